"""What depth is judged by."""

from mtl_seg_depth.tasks.headline import Headline

SI_LOG = Headline("depth", "SI-log RMSE x 100", "SI-log", "", higher_is_better=False, pivot=50.0)

COMPARED = (
    Headline("depth_errors/mae", "absolute error", "abs. err.", "m", higher_is_better=False),
    Headline("depth_errors/abs_rel", "relative error", "rel. err.", "", higher_is_better=False),
)
"""What the field's tables compare methods by."""
