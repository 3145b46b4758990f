"""Predicting and comparing: the predictor, test-time augmentation, the field's scores."""

from mtl_seg_depth.scoring.tta import AveragedViews, ReportViews

__all__ = ["AveragedViews", "ReportViews"]
