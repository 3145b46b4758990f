"""What depth is judged by."""

from mtl_seg_depth.tasks.headline import Headline

SI_LOG = Headline("depth", "SI-log RMSE x 100", "SI-log", "", higher_is_better=False, pivot=50.0)
