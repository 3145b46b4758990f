"""The methods that see gradients themselves, or learn from them: TorchJD, autograd and the papers as the reference."""

from typing import Any

import pytest
import torch
from helpers.two_tasks import GIVEN, TASKS
from torch import Tensor, nn
from torchjd.aggregation import GradDrop as TorchJDGradDrop

from mtl_seg_depth.weighting.db_mtl import DBMTL
from mtl_seg_depth.weighting.draws import hashed, uniform
from mtl_seg_depth.weighting.graddrop import GradDrop
from mtl_seg_depth.weighting.gradnorm import GradNorm
from mtl_seg_depth.weighting.weighting import Weighting


def given_for(tasks: int) -> dict[str, Any]:
    return {"tasks": tuple("abcdefgh"[:tasks]), "steps_per_epoch": 3}


class Shared(nn.Module):
    """Two parameters for all tasks, and one for the first alone."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Parameter(torch.zeros(4, 5, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(7, dtype=torch.float64))
        self.head = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def vector(self) -> Tensor:
        return torch.cat([self.trunk.flatten(), self.bias])

    def gradient(self) -> Tensor:
        assert self.trunk.grad is not None
        assert self.bias.grad is not None
        return torch.cat([self.trunk.grad.flatten(), self.bias.grad])

    def linear(self, rows: Tensor) -> dict[str, Tensor]:
        """Losses whose gradients are these."""
        losses = {task: row @ self.vector() for task, row in zip("abcdefgh", rows, strict=False)}
        return losses | {"a": losses["a"] + self.head.sum()}


def rows_of(tasks: int, seed: int) -> Tensor:
    return torch.randn(tasks, 27, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("leak", [0.0, 0.3])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_graddrop_is_torchjds_with_the_same_draws(tasks: int, leak: float) -> None:
    method = GradDrop(leak=leak, seed=7, **given_for(tasks))
    for step in range(20):
        network, rows = Shared(), rows_of(tasks, step)
        number = torch.tensor(step)
        drawn = torch.cat([uniform(hashed(7), number, 20), uniform(hashed(7) + 1, number, 7)])
        method.backward(network.linear(rows), network)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *_, drawn=drawn, **__: drawn.double())
            expected = TorchJDGradDrop(leak=torch.full((tasks,), leak, dtype=torch.float64))(rows)
        torch.testing.assert_close(network.gradient(), expected)
        assert network.head.grad is not None
        assert network.head.grad.tolist() == [1.0] * 3


def test_graddrop_hears_one_sign_as_often_as_it_is_pure() -> None:
    """Three against one: in three of four steps the sum of the three, else the one; equal signs are the plain sum."""
    method = GradDrop(**given_for(2))
    rows = torch.tensor([[3.0] * 20 + [2.0] * 7, [-1.0] * 20 + [5.0] * 7], dtype=torch.float64)
    updates = []
    for _ in range(200):
        network = Shared()
        method.backward(network.linear(rows), network)
        updates.append(network.gradient())
    opposed, agreed = torch.stack(updates).split([20, 7], dim=1)
    assert agreed.eq(7).all()
    assert set(opposed.unique().tolist()) == {-1.0, 3.0}
    assert opposed.eq(3).double().mean().item() == pytest.approx(0.75, abs=0.02)
    assert opposed.eq(3).double().mean(dim=0).std() < 0.08  # every place by itself


def test_graddrop_logs_the_share_of_each_gradient_that_was_kept() -> None:
    method = GradDrop(**given_for(2))
    network, rows = Shared(), rows_of(2, 0)
    method.backward(network.linear(rows), network)
    kept = [(network.gradient() * row.sign() > 0) & (network.gradient() != 0) for row in rows]
    expected = [(row.square() * keep).sum() / row.square().sum() for row, keep in zip(rows, kept, strict=True)]
    assert method.weights.tolist() == pytest.approx([share.item() for share in expected], rel=1e-6)


def test_another_seed_draws_otherwise_and_the_same_one_the_same() -> None:
    drawn = {seed: uniform(seed, torch.tensor(3), 1000) for seed in (0, 1)}
    assert uniform(0, torch.tensor(3), 1000).equal(drawn[0])
    for one, other in [(drawn[0], drawn[1]), (drawn[0], uniform(0, torch.tensor(4), 1000))]:
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.1


def test_draws_are_uniform_and_never_0_or_1() -> None:
    drawn = torch.stack([uniform(seed, torch.tensor(step), 1000) for seed in range(10) for step in range(10)])
    assert drawn.min() > 0
    assert drawn.max() < 1
    shares = torch.histc(drawn, bins=20, min=0, max=1) / drawn.numel()
    assert (shares - 0.05).abs().max() < 0.004
    assert drawn.mean(dim=0).std().item() == pytest.approx((1 / 1200) ** 0.5, rel=0.2)  # as of 100 independent ones


def curved(network: Shared, tasks: int) -> dict[str, Tensor]:
    """Losses of different sizes, each with its own minimum."""
    losses = {
        task: 10.0**number * (network.vector() - row).square().mean()
        for number, (task, row) in enumerate(zip("abcdefgh"[:tasks], rows_of(tasks, 0), strict=True))
    }
    return losses | {"a": losses["a"] + network.head.square().sum()}


@pytest.mark.parametrize("alpha", [0.0, 1.5])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_gradnorm_learns_by_the_derivative_of_equation_2(tasks: int, alpha: float) -> None:
    """That autograd finds in the paper's own words; the network gets the gradient of the weighted sum."""
    method, network = GradNorm(alpha=alpha, **given_for(tasks)), Shared()
    optimizer = torch.optim.SGD([*network.parameters(), *method.parameters()], lr=0.001)
    first = torch.stack(list(curved(network, tasks).values())).detach()
    for _ in range(5):
        weights = method.factors.detach().double().requires_grad_()
        losses = torch.stack(list(curved(network, tasks).values()))
        lengths = []
        for weight, loss in zip(weights, losses, strict=True):
            parts = torch.autograd.grad(weight * loss, [network.trunk, network.bias], create_graph=True)
            lengths.append(torch.cat([part.flatten() for part in parts]).norm())
        rates = (losses / first / (losses / first).mean()).detach()
        targets = (torch.stack(lengths).mean() * rates**alpha).detach()
        (expected,) = torch.autograd.grad((torch.stack(lengths) - targets).abs().sum(), weights)
        parameters = list(network.parameters())
        plain = torch.autograd.grad(weights.detach() @ losses, parameters)
        optimizer.zero_grad()
        method.backward(curved(network, tasks), network)
        torch.testing.assert_close(method.factors.grad, expected.float(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close([parameter.grad for parameter in parameters], list(plain))
        optimizer.step()
        method.after_step(dict)
        assert method.factors.sum().item() == pytest.approx(tasks)
    assert method.factors.std() > 0.001


def test_gradnorm_makes_gradients_equally_long_and_those_of_the_slower_task_longer() -> None:
    for alpha, expected in ((0.0, 1.0), (1.0, 2.0)):
        method = GradNorm(alpha=alpha, **GIVEN)
        optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
        lengths = torch.tensor([1.0, 4.0])
        for progress in (torch.ones(2), *[torch.tensor([0.5, 1.0])] * 200):
            network = nn.Linear(1, 1)
            losses = {  # their values say how far each has come, their gradients stay as they are
                task: length * network.weight.sum() + (value - length * network.weight.sum()).detach()
                for task, length, value in zip(TASKS, lengths, progress, strict=True)
            }
            optimizer.zero_grad()
            method.backward(losses, network)
            optimizer.step()
            method.after_step(dict)
        ratio = ((method.factors * lengths)[1] / (method.factors * lengths)[0]).item()
        assert ratio == pytest.approx(expected, rel=0.1)


def test_gradnorms_weights_stay_above_zero_at_any_rate() -> None:
    method, network = GradNorm(**given_for(2)), Shared()
    optimizer = torch.optim.SGD(method.parameters(), lr=100.0)
    for _ in range(5):
        optimizer.zero_grad()
        method.backward(curved(network, 2), network)
        optimizer.step()
        method.after_step(dict)
        assert (method.factors > 0).all()
        assert method.factors.sum().item() == pytest.approx(2)


@pytest.mark.parametrize("beta", [0.0, 0.9])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_db_mtl_is_the_authors_formula(tasks: int, beta: float) -> None:
    """Averages of the gradients of log losses, from zero, each as long as the longest; the head has its own one."""
    method, network = DBMTL(beta=beta, **given_for(tasks)), Shared()
    method.prepare(network)
    averages = torch.zeros(tasks, 27, dtype=torch.float64)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(4):
        gradients = []
        for loss in curved(network, tasks).values():
            found = torch.autograd.grad(loss.log(), [network.trunk, network.bias])
            gradients.append(torch.cat([part.flatten() for part in found]))
        (head,) = torch.autograd.grad(curved(network, tasks)["a"].log(), network.head)
        averages = beta * averages + (1 - beta) * torch.stack(gradients)
        lengths = averages.norm(dim=1, keepdim=True)
        optimizer.zero_grad()
        method.backward(curved(network, tasks), network)
        torch.testing.assert_close(
            network.gradient(), (lengths.max() / lengths * averages).sum(dim=0), rtol=1e-5, atol=1e-8
        )
        torch.testing.assert_close(network.head.grad, head)
        optimizer.step()


def test_db_mtl_does_not_see_the_scale_of_a_loss() -> None:
    updates = []
    for scale in (1.0, 1e4):
        method, network = DBMTL(**given_for(2)), Shared()
        method.prepare(network)
        losses = curved(network, 2)
        method.backward(losses | {"b": scale * losses["b"]}, network)
        updates.append(network.gradient())
    torch.testing.assert_close(updates[0], updates[1])


@pytest.mark.parametrize("method", [GradDrop, GradNorm, DBMTL])
def test_a_task_that_shares_nothing_is_left_alone(method: type[Weighting]) -> None:
    """Its parameter has its own gradient, and the others are as if they were alone."""
    updates = []
    for tasks in (2, 3):
        network = Shared()
        alone = nn.Parameter(torch.ones(2, dtype=torch.float64))
        network.register_parameter("alone", alone)
        weighting = method(**given_for(tasks))
        weighting.prepare(network)
        losses = curved(network, 2) | ({"c": alone.sum()} if tasks == 3 else {})
        weighting.backward(losses, network)
        updates.append(network.gradient())
    assert updates[0].equal(updates[1])
    assert alone.grad is not None
    assert alone.grad.tolist() == [0.5 if method is DBMTL else 1.0] * 2
