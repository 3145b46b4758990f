"""Semantic segmentation: classes, cross-entropy, mean IoU."""
