"""Every option of the group, from its YAML to optimiser steps: learning, continuing, logging."""

import io
from pathlib import Path

import pytest
import torch
from helpers.composing import options, tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.two_tasks import TASKS, batch, configured, state_of, step_with
from torch import nn

from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.training.step import Step
from mtl_seg_depth.weighting.gradients import GradientWeighting

OPTIONS = options("task_weights")
METHODS = [option for option in OPTIONS if option != "equal" and not option.startswith("w0")]
OF_THE_LOG = ["db_mtl", "stch"]
"""Of the logarithms of the losses, when they begin."""
LEARNED = ["imtl_l", "uncertainty"]


def parameters(step: Step) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in [*step.network.parameters(), *step.weighting.parameters()]])


@pytest.mark.parametrize("option", OPTIONS)
def test_an_interrupted_training_continues_bit_by_bit(option: str) -> None:
    """Saved after 7 steps of epochs of 3: in the middle of the first epoch whose weights dwa changed."""
    step = step_with(configured(f"task_weights={option}"))
    for number in range(7):
        step(batch(number), 0.01)
    file = io.BytesIO()
    torch.save(state_of(step), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = step_with(configured(f"task_weights={option}"))
    other.network.load_state_dict(saved["network"])
    other.weighting.load_state_dict(saved["weighting"])
    other.optimizer.load_state_dict(saved["optimizer"])
    start = parameters(step)
    for number in range(7, 14):
        step(batch(number), 0.01)
        other(batch(number), 0.01)
    assert parameters(step).equal(parameters(other))
    assert step.weighting.weights.equal(other.weighting.weights)
    assert not parameters(step).equal(start)


@pytest.mark.parametrize("option", METHODS)
def test_both_losses_fall(option: str) -> None:
    step = step_with(configured(f"task_weights={option}"))
    before = step(batch(0), 0.02)
    for _ in range(40):
        after = step(batch(0), 0.02)
    assert all(after[task] < 0.98 * before[task] for task in TASKS)


@pytest.mark.parametrize("option", METHODS)
def test_weights_are_logged_as_scalars(option: str) -> None:
    step = step_with(configured(f"task_weights={option}"))
    step(batch(0), 0.01)
    logged = step.weighting.logged()
    expected = {"weight/semseg", "weight/depth"} | (
        {"gradient_cosine"} if isinstance(step.weighting, GradientWeighting) else set()
    )
    assert set(logged) == expected
    assert all(value.ndim == 0 and value.isfinite() for value in logged.values())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("option", METHODS)
def test_one_task_alone_learns(option: str, task: str) -> None:
    step = step_with(configured(f"task_weights={option}", tasks=(task,)))
    for number in range(8):
        losses = step(batch(number), 0.01)
    assert set(losses) == {task}
    assert parameters(step).isfinite().all()
    assert set(step.weighting.logged()) == {f"weight/{task}"}
    # The weight of a single loss, or of its logarithm, is 1 wherever it is a share of something.
    if option not in LEARNED:
        loss = losses[task].item() if option in OF_THE_LOG else 1.0
        assert step.weighting.weights.item() * loss == pytest.approx(1.0, rel=1e-4)


def test_two_numbers_make_a_weighting() -> None:
    weighting = configured("task_weights=equal", "task_weights.semseg=0.3", "task_weights.depth=0.7")
    assert weighting(torch.tensor([10.0, 100.0])).item() == pytest.approx(73.0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task_weights=equal", "task_weights.depth=-1"], "task weights are 0 or more"),
        (["task_weights=dwa", "task_weights.temperature=0"], "temperature is above 0"),
        (["task_weights=famo", "task_weights.gamma=-1"], "gamma is 0 or more"),
        (["task_weights=cagrad", "task_weights.c=-0.1"], "c is 0 or more"),
        (["task_weights=db_mtl", "task_weights.beta=1"], "beta is 0 or more and below 1"),
        (["task_weights=fairgrad", "task_weights.alpha=0"], r"alpha is from 0\.5 to 5"),
        (["task_weights=graddrop", "task_weights.leak=2"], "leak is from 0 to 1"),
        (["task_weights=gradnorm", "task_weights.alpha=-1"], "alpha is 0 or more"),
        (["task_weights=gradvac", "task_weights.beta=2"], "beta is from 0 to 1"),
        (["task_weights=stch", "task_weights.mu=0"], "mu is above 0"),
        (["task_weights=stch", "task_weights.warm_up_epochs=-1"], "warm_up_epochs is 0 or more"),
        (["task_weights=dwa", "+task_weights.steps_per_epoch=5"], "no such option"),
    ],
)
def test_a_mistake_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"task_weights.*{message}"):
        configured(*overrides)


def test_a_task_without_weight_cannot_be_the_only_one() -> None:
    with pytest.raises(UserError, match="semseg=0 leaves"):
        configured("task_weights.semseg=0", tasks=("semseg",))


def test_recomputed_losses_leave_no_trace_in_the_network() -> None:
    """They are the losses of a training pass, batch statistics and all; running statistics stay as they are."""
    step = step_with(configured("task_weights=famo"))
    step(batch(0), 0.01)
    before = {name: value.clone() for name, value in step.network.state_dict().items()}
    again = step._recompute(batch(1))
    assert all(value.equal(before[name]) for name, value in step.network.state_dict().items())
    assert not any(loss.requires_grad for loss in again.values())
    trained = step(batch(1), 0.01)
    assert all(again[task] == trained[task] for task in TASKS)
    assert not step.network.trunk[1].running_mean.equal(before["trunk.1.running_mean"])  # tracking is on again


def test_a_step_ends_with_what_the_weighting_does_after_it() -> None:
    step = step_with(configured("task_weights=famo"))
    step(batch(0), 0.01)
    assert step.weighting.get_buffer("updates") == 1
    assert step.weighting.get_buffer("logits").abs().min() > 0


def test_what_is_learned_has_the_runs_optimiser_without_its_decay(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data")
    settings = tiny(tmp_path, "task_weights=uncertainty", "optimizer=adam", "optimizer.weight_decay=0.1")
    step = assemble(settings, torch.device("cpu")).step
    network, weighting = step.optimizer.param_groups
    assert (network["weight_decay"], weighting["weight_decay"]) == (0.1, 0.0)
    assert weighting["params"][0] is step.weighting.get_parameter("log_variances")


def test_clipping_is_of_the_networks_gradient() -> None:
    step = step_with(configured("task_weights=uncertainty"), clip_norm=1e-3)
    step(batch(0), 0.0)
    norm = nn.utils.get_total_norm([p.grad for p in step.network.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    grad = step.weighting.get_parameter("log_variances").grad
    assert grad is not None
    assert grad.abs().max() > 0.1


@pytest.mark.parametrize("tasks", [("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("option", METHODS)
def test_a_loss_of_zero_without_gradient_leaves_everything_finite(option: str, tasks: tuple[str, ...]) -> None:
    weighting = configured(f"task_weights={option}", tasks=tasks)
    network = nn.Linear(3, 1)
    weighting.prepare(network)
    optimizer = torch.optim.SGD([*network.parameters(), *weighting.parameters()], lr=0.1)

    def losses() -> dict[str, torch.Tensor]:
        made = {
            task: (network(torch.full((3,), float(number))) - 1).square().mean() for number, task in enumerate(tasks)
        }
        return made | {"a": 0 * network.weight.sum()}

    for _ in range(4):
        optimizer.zero_grad()
        weighting.backward(losses(), network)
        optimizer.step()
        weighting.after_step(losses)
        assert all(value.isfinite().all() for value in (*network.parameters(), *weighting.state_dict().values()))
        assert weighting.weights.isfinite().all()
