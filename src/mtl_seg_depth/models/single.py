"""One task alone."""

from collections.abc import Mapping
from typing import Any

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.encoder import Encoder


class Single(Branched):
    """The branch of one task and nothing of the others: the reference for what sharing brings.

    Other arguments as in `Network`.
    """

    def __init__(self, encoder: Encoder, outputs: Mapping[str, int], task: str, **network: Any) -> None:
        if task not in outputs:
            raise ValueError(f"task: no task is called {task!r}; there are {', '.join(outputs)}")
        super().__init__(encoder, {task: outputs[task]}, **network)
