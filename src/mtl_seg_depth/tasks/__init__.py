"""What one task is: its labels or codes, its loss, its scores and colours; a folder for each."""

from typing import TYPE_CHECKING

from mtl_seg_depth.nodes import TASK_NAMES
from mtl_seg_depth.system.lazy import lazily
from mtl_seg_depth.tasks.depth import headline as depth
from mtl_seg_depth.tasks.headline import Headline
from mtl_seg_depth.tasks.semseg import headline as semseg

if TYPE_CHECKING:
    from mtl_seg_depth.tasks.depth.task import Depth
    from mtl_seg_depth.tasks.semseg.task import Semseg
    from mtl_seg_depth.tasks.task import Task

__all__ = ["HEADLINES", "Depth", "Headline", "Semseg", "Task", "compared"]

__getattr__ = lazily(__name__, {"Depth": "depth.task", "Semseg": "semseg.task", "Task": "task"})

HEADLINES: dict[str, Headline] = TASK_NAMES
"""Of every task there is, by the task's name; a task that is defined elsewhere adds its own."""

HEADLINES.update({headline.key: headline for headline in (semseg.MEAN_IOU, depth.SI_LOG)})

_COMPARED = {"semseg": semseg.COMPARED, "depth": depth.COMPARED}


def compared(task: str) -> tuple[Headline, ...]:
    """The scores of a task that tables compare ways to train it by: its headline score where it says no more."""
    return _COMPARED.get(task, (HEADLINES[task],))
