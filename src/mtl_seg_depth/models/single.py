"""One task alone."""

from typing import Any, Literal, get_args

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.encoder import ResNetEncoder

Task = Literal["semseg", "depth"]


class Single(Branched):
    """The branch of one task and nothing of the others: the reference for what sharing brings.

    Other arguments as in `Network`.
    """

    def __init__(self, encoder: ResNetEncoder, task: Task, **network: Any) -> None:
        if task not in get_args(Task):
            raise ValueError(f"no task is called {task!r}; there are {', '.join(get_args(Task))}")
        self.tasks = (task,)
        super().__init__(encoder, **network)
