"""What one task is: its labels or codes, its loss, its scores and pictures; a folder for each."""

from mtl_seg_depth.tasks.depth.headline import SI_LOG
from mtl_seg_depth.tasks.headline import Headline
from mtl_seg_depth.tasks.semseg.headline import MEAN_IOU

HEADLINES: dict[str, Headline] = {headline.key: headline for headline in (MEAN_IOU, SI_LOG)}
"""Of every task there is, by the task's name; a task that is defined elsewhere adds its own."""
