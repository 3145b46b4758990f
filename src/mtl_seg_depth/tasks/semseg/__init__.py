"""Semantic segmentation: classes, cross-entropy."""
