"""Every option of the group with three tasks, from its YAML to optimiser steps; nobody but the test knows the third."""

import io
import re
from pathlib import Path

import pytest
import torch
from helpers.composing import options
from helpers.from_the_host import NothingFromTheHost
from helpers.two_tasks import batch, configured
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mtl_seg_depth.weighting
from mtl_seg_depth.nodes import TASK_NAMES
from mtl_seg_depth.weighting.fixed import Fixed
from mtl_seg_depth.weighting.gradients import GradientWeighting
from mtl_seg_depth.weighting.weighting import Weighting

TASKS = ("semseg", "depth", "normals")
OPTIONS = options("task_weights")
CLASSES = {"semseg": 4, "depth": 1, "normals": 3}


@pytest.fixture(autouse=True)
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the third one a name that weights may be given by."""
    monkeypatch.setitem(TASK_NAMES, "normals", None)


class Three(nn.Module):
    """A trunk for all, a decoder for two, and a head for each task."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.decoder = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())
        self.heads = nn.ModuleDict({task: nn.Conv2d(8, channels, 1) for task, channels in CLASSES.items()})

    def losses(self, step: int) -> dict[str, Tensor]:
        data = batch(step)
        features = self.trunk(data.image)
        decoded = self.decoder(features)
        normals = torch.nn.functional.normalize(self.heads["normals"](decoded), dim=1)
        return {
            "semseg": nn.functional.cross_entropy(self.heads["semseg"](features), data.targets["semseg"]),
            "depth": nn.functional.mse_loss(self.heads["depth"](decoded).squeeze(1), data.targets["depth"]),
            "normals": 1 - (normals * nn.functional.normalize(data.image - 0.5, dim=1)).sum(1).mean(),
        }


class Training:
    """What a run does with a weighting, step by step."""

    def __init__(self, option: str) -> None:
        third = ["+task_weights.normals=0.5"] if isinstance(of(option, TASKS[:2]), Fixed) else []
        self.weighting = of(option, TASKS, *third)
        self.network = Three()
        self.weighting.prepare(self.network)
        self.optimizer = torch.optim.Adam([*self.network.parameters(), *self.weighting.parameters()], lr=0.01)

    def step(self, number: int) -> dict[str, Tensor]:
        losses = self.network.losses(number)
        self.optimizer.zero_grad(set_to_none=True)
        self.weighting.backward(losses, self.network)
        self.optimizer.step()
        self.weighting.after_step(lambda: {task: loss.detach() for task, loss in self.network.losses(number).items()})
        return {task: loss.detach() for task, loss in losses.items()}

    def parts(self) -> list[nn.Module | torch.optim.Optimizer]:
        return [self.network, self.weighting, self.optimizer]

    def parameters(self) -> Tensor:
        both = [*self.network.parameters(), *self.weighting.parameters()]
        return torch.cat([parameter.detach().flatten() for parameter in both])


def of(option: str, tasks: tuple[str, ...], *overrides: str) -> Weighting:
    return configured(f"task_weights={option}", *overrides, tasks=tasks)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_interrupted_training_continues_bit_by_bit(option: str) -> None:
    training = Training(option)
    for number in range(7):
        training.step(number)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in training.parts()], file)
    file.seek(0)
    other = Training(option)
    for part, state in zip(other.parts(), torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    start = training.parameters()
    for number in range(7, 14):
        training.step(number)
        other.step(number)
    assert training.parameters().equal(other.parameters())
    assert training.weighting.weights.equal(other.weighting.weights)
    assert not training.parameters().equal(start)


def test_pcgrads_order_is_that_of_the_step_after_a_checkpoint_too() -> None:
    training, other = Training("pcgrad"), Training("pcgrad")
    for number in range(3):
        training.step(number)
    other.weighting.load_state_dict(training.weighting.state_dict())
    assert other.weighting.get_buffer("steps") == 3
    # Two tasks have no order, and their checkpoints stay what they were.
    assert not of("pcgrad", TASKS[:2]).state_dict()


@pytest.mark.parametrize("option", OPTIONS)
def test_all_losses_fall(option: str) -> None:
    training = Training(option)
    before = training.step(0)
    for _ in range(60):
        after = training.step(0)
    assert all(after[task] < 0.98 * before[task] for task in TASKS)


@pytest.mark.parametrize("option", OPTIONS)
def test_weights_and_the_cosine_of_each_pair_are_logged(option: str) -> None:
    training = Training(option)
    training.step(0)
    logged = training.weighting.logged()
    pairs = {f"gradient_cosine/{pair}" for pair in ("semseg-depth", "semseg-normals", "depth-normals")}
    assert set(logged) == {f"weight/{task}" for task in TASKS} | (
        pairs if isinstance(training.weighting, GradientWeighting) else set()
    )
    assert all(value.ndim == 0 and value.isfinite() for value in logged.values())


@pytest.mark.parametrize("option", OPTIONS)
def test_nothing_waits_for_the_device(option: str) -> None:
    """A step on tensors without values: asking for one raises, and so do shapes that depend on one."""
    weighting_on_host = Training(option).weighting
    assert weighting_on_host.capturable
    with FakeTensorMode():
        training = Training(option)
        losses = training.network.losses(0)
        with NothingFromTheHost():
            training.weighting.backward(losses, training.network)
            training.weighting.after_step(lambda: {task: loss.detach() for task, loss in losses.items()})


def test_no_weighting_knows_a_task() -> None:
    folder = Path(mtl_seg_depth.weighting.__file__).parent
    names = re.compile(r"\b(semseg|depth|segmentation)\b", re.IGNORECASE)
    found = [f"{file.name}: {line}" for file in folder.glob("*.py") for line in names.findall(file.read_text())]
    assert not found
