"""What segmentation is judged by."""

from mtl_seg_depth.tasks.headline import Headline

MEAN_IOU = Headline("semseg", "mean IoU", "mIoU", "%", higher_is_better=True, pivot=50.0)

COMPARED = (
    MEAN_IOU,
    Headline("pixel_accuracy", "pixel accuracy", "pix. acc.", "%", higher_is_better=True),
)
"""What the field's tables compare methods by."""
