"""Weights that stay as they are."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_seg_depth.weighting.weighting import Weighting


class Fixed(Weighting):
    """The weighted sum of the losses: the report's way.

    The weights are keyword arguments by the names of the tasks. Every task of the network needs one; those of other
    tasks are ignored, so one set of weights serves the network of all tasks and that of any of them alone.
    """

    fixed: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        steps_per_epoch: int,
        noise_factors: Mapping[str, float] | None = None,
        **weights: float,
    ) -> None:
        super().__init__(tasks, steps_per_epoch, noise_factors)
        written = " ".join(f"{task}={weight}" for task, weight in weights.items())
        if missing := [task for task in self.tasks if task not in weights]:
            named = " and ".join(missing)
            raise ValueError(f"there is no weight for {named}: every task needs one, and given are {written or 'none'}")
        if not all(weight >= 0 for weight in weights.values()) or not any(weights.values()):
            raise ValueError(f"task weights are 0 or more and not all 0, not {written}")
        fixed = [weights[task] for task in self.tasks]
        if not any(fixed):
            zeros = " and ".join(f"{task}=0" for task in self.tasks)
            leave = "leaves" if len(fixed) == 1 else "leave"
            raise ValueError(f"{zeros} {leave} the network nothing to learn: it has no other task")
        self.register_buffer("fixed", torch.tensor(fixed), persistent=False)

    def forward(self, losses: Tensor) -> Tensor:
        """The weighted sum over the tasks that the network has."""
        return (self.fixed * losses).sum()
