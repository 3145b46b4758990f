"""A network of a few hundred parameters for both tasks, its batches, and weightings by the names people call them."""

from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import mse_loss

from helpers.composing import compose
from mtl_seg_depth.config import parse
from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.nodes import build
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.training.step import Step
from mtl_seg_depth.weighting.weighting import Weighting

TASKS = ("semseg", "depth")
GIVEN = {"tasks": TASKS, "steps_per_epoch": 3, "noise_factors": {"semseg": 1.0, "depth": 0.5}}
"""What assembly gives to every weighting."""


class Tiny(nn.Module):
    """A trunk with batch normalisation and a head for each task.

    Without a bias before the normalisation: its gradient would be rounding noise, of which Adam makes whole steps.
    """

    def __init__(self, tasks: tuple[str, ...] = TASKS) -> None:
        super().__init__()
        self.tasks = tasks
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.heads = nn.ModuleDict({task: nn.Conv2d(8, {"semseg": 4, "depth": 1}[task], 1) for task in tasks})

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        features = self.trunk(image)
        return {task: [head(features)] for task, head in self.heads.items()}


def batch(step: int, device: str = "cpu") -> Batch:
    random = torch.Generator().manual_seed(step)
    image = torch.rand(4, 3, 6, 6, generator=random)
    semseg = torch.randint(0, 4, (4, 6, 6), generator=random)
    depth = 3 * image.mean(1) + torch.rand(4, 6, 6, generator=random)
    return Batch(image.to(device), {"semseg": semseg.to(device), "depth": depth.to(device)}, [0, 1, 2, 3])


def configured(*overrides: str, tasks: tuple[str, ...] = TASKS) -> Weighting:
    """The weighting of a command line, through the repository's own conf/."""
    weighting: Weighting = build("task_weights", parse(compose(*overrides)).task_weights, **GIVEN | {"tasks": tasks})
    return weighting


def step_with(weighting: Weighting, device: str = "cpu", **arguments: Any) -> Step:
    """A step on a `Tiny` network whose initial weights are always the same."""
    torch.manual_seed(0)
    network = Tiny(weighting.tasks).to(device, memory_format=torch.channels_last)
    weighting.to(device)
    every: dict[str, Any] = {
        "semseg": nn.CrossEntropyLoss(),
        "depth": lambda raw, depth: mse_loss(raw.squeeze(1), depth),
    }
    losses = {task: every[task] for task in weighting.tasks}
    optimizer = optim.Adam(
        [{"params": list(network.parameters())}, {"params": list(weighting.parameters())}], lr=0.0, fused=True
    )
    return Step(network, losses, weighting, optimizer, Precision("fp32"), **arguments)  # type: ignore[arg-type]


def state_of(step: Step) -> dict[str, Any]:
    """What a checkpoint holds of a step."""
    parts = {"network": step.network, "weighting": step.weighting, "optimizer": step.optimizer, "average": step.average}
    return {name: part.state_dict() for name, part in parts.items() if part is not None}
