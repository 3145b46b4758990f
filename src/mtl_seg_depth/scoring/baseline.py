"""What a network must beat: for every task, the best prediction that looks at nothing."""

from collections.abc import Mapping

from torch import Tensor

from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.tasks.task import Task

SAMPLE = 512
"""Images counted at most, evenly spaced over the split: enough for one class and one mean."""


class Constant:
    """Predicts one value a task for every pixel, in the form of a `Predictor`."""

    def __init__(self, train: PackedSplit, tasks: Mapping[str, Task]) -> None:
        """Count the codes of the training split."""
        step = -(-len(train) // SAMPLE)
        train.check(range(0, len(train), step))
        self.values = {name: task.constant(train.targets[name][::step]) for name, task in tasks.items()}

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """The constants in the shape of a prediction for images [B, 3, H, W]."""
        shape = (image.shape[0], *image.shape[2:])
        return {task: value.to(image.device).expand(*shape, *value.shape) for task, value in self.values.items()}
