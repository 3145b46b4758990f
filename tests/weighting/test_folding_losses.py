"""The methods with a formula for the combined loss, by hand and at their optima."""

import math
from collections.abc import Callable

import pytest
import torch
from helpers.two_tasks import GIVEN, TASKS
from torch import Tensor, nn
from torchjd import scalarization

from mtl_seg_depth.weighting.dwa import DynamicWeightAverage
from mtl_seg_depth.weighting.famo import FAMO
from mtl_seg_depth.weighting.fixed import Fixed
from mtl_seg_depth.weighting.geometric import Geometric
from mtl_seg_depth.weighting.imtl_l import IMTLL
from mtl_seg_depth.weighting.rlw import RLW
from mtl_seg_depth.weighting.stch import STCH
from mtl_seg_depth.weighting.uncertainty import Uncertainty
from mtl_seg_depth.weighting.weighting import Weighting


def feed(weighting: Weighting, semseg: float, depth: float) -> Tensor:
    """One step whose losses have these values; the gradients that they received."""
    leaves = [torch.tensor(value, requires_grad=True) for value in (semseg, depth)]
    weighting.backward(dict(zip(TASKS, leaves, strict=True)), nn.Module())
    gradients = torch.stack([leaf.grad for leaf in leaves if leaf.grad is not None])
    assert gradients.equal(weighting.weights)  # what is logged is what was descended
    return gradients


def test_fixed_is_the_weighted_sum() -> None:
    fixed = Fixed(semseg=0.2, depth=0.8, **GIVEN)
    assert fixed(torch.tensor([3.0, 5.0])).item() == pytest.approx(4.6)
    assert feed(fixed, 3.0, 5.0).tolist() == pytest.approx([0.2, 0.8])


def test_fixed_takes_the_weights_of_the_networks_own_tasks() -> None:
    weights = {"semseg": 0.2, "depth": 0.8, "normals": 0.5}
    fixed = Fixed(tasks=("normals", "semseg"), steps_per_epoch=3, **weights)
    assert fixed(torch.tensor([2.0, 5.0])).item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("tasks", "weights", "message"),
    [
        ("a b", {"a": 1.0}, "no weight for b: every task needs one, and given are a=1.0"),
        ("a b c", {"a": 1.0, "d": 2.0}, "no weight for b and c: every task needs one, and given are a=1.0 d=2.0"),
        ("a", {}, "no weight for a: every task needs one, and given are none"),
        ("a", {"a": 1.0, "b": -1.0}, "task weights are 0 or more and not all 0, not a=1.0 b=-1.0"),
        ("a b", {"a": 0.0, "b": 0.0}, "task weights are 0 or more and not all 0, not a=0.0 b=0.0"),
        ("a", {"a": math.nan}, "task weights are 0 or more and not all 0, not a=nan"),
        ("a b", {"a": 0.0, "b": 0.0, "c": 1.0}, "a=0 and b=0 leave the network nothing to learn"),
    ],
)
def test_fixed_refuses_weights_that_make_no_sense(tasks: str, weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fixed(tasks=tasks.split(), steps_per_epoch=3, **weights)


def test_a_likelihood_that_nobody_gave_is_a_classifications() -> None:
    uncertainty = Uncertainty(tasks=("a", "b", "c"), steps_per_epoch=3, noise_factors={"b": 0.5, "d": 9.0})
    assert uncertainty(torch.tensor([3.0, 5.0, 7.0])).item() == pytest.approx(3.0 + 2.5 + 7.0)


def test_uncertainty_starts_from_the_two_likelihoods() -> None:
    """s^2 = 1: a classification weighs 1, a regression 1/2, and log s adds nothing."""
    uncertainty = Uncertainty(**GIVEN)
    assert uncertainty(torch.tensor([3.0, 5.0])).item() == pytest.approx(5.5)
    assert feed(uncertainty, 3.0, 5.0).tolist() == pytest.approx([1.0, 0.5])


def test_uncertainty_settles_where_the_variance_is_the_loss() -> None:
    uncertainty = Uncertainty(**GIVEN)
    optimizer = torch.optim.Adam(uncertainty.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        weights = feed(uncertainty, 3.0, 0.05)
        optimizer.step()
    variances = uncertainty.log_variances.exp().tolist()
    assert variances == pytest.approx([2 * 3.0, 0.05], rel=1e-2)
    assert weights.tolist() == pytest.approx([1 / 6, 10.0], rel=1e-2)


def test_dwa_over_three_epochs_by_hand() -> None:
    """Epochs of 3 steps; mean losses 4, 1 and then 2, 0.9: ratios 0.5 and 0.9."""
    dwa = DynamicWeightAverage(**GIVEN)
    for semseg, depth in [(3.0, 1.0), (4.0, 1.5), (5.0, 0.5)] + [(2.0, 0.9)] * 3:
        assert feed(dwa, semseg, depth).tolist() == [1.0, 1.0]
    a, b = math.exp(0.5 / 2), math.exp(0.9 / 2)
    for _ in range(3):  # the same weights for the whole epoch, whatever its losses
        assert feed(dwa, 100.0, 0.9).tolist() == pytest.approx([2 * a / (a + b), 2 * b / (a + b)])
    a, b = math.exp(50 / 2), math.exp(1 / 2)
    assert feed(dwa, 1.0, 1.0).tolist() == pytest.approx([2 * a / (a + b), 2 * b / (a + b)])


def test_dwa_survives_a_loss_of_zero() -> None:
    dwa = DynamicWeightAverage(**GIVEN)
    for semseg in [0.0] * 3 + [1.0] * 3 + [0.0] * 6:
        assert feed(dwa, semseg, 1.0).isfinite().all()


def test_geometric_by_hand() -> None:
    geometric = Geometric(**GIVEN)
    assert geometric(torch.tensor([4.0, 9.0])).item() == pytest.approx(6.0)
    assert feed(geometric, 4.0, 9.0).tolist() == pytest.approx([6 / 8, 6 / 18])


@pytest.mark.parametrize("losses", [(0.0, 2.0), (2.0, 0.0), (0.0, 0.0)])
def test_geometric_of_a_zero_is_finite(losses: tuple[float, float]) -> None:
    geometric = Geometric(**GIVEN)
    assert 0 <= geometric(torch.tensor(losses)).item() < 2e-4
    weights = feed(geometric, *losses)
    assert weights.isfinite().all()
    assert [weight == 0 for weight in weights.tolist()] == [loss == 0 for loss in losses]


def test_famo_starts_with_equal_shares_of_log_losses() -> None:
    """z = 1/2 each: weights proportional to 1/L, summing to 1."""
    famo = FAMO(**GIVEN)
    assert feed(famo, 1.0, 4.0).tolist() == pytest.approx([0.8, 0.2], rel=1e-5)


def test_famo_gives_weight_to_the_task_that_improved_less() -> None:
    """The first Adam step is the rate itself in the direction of the sign."""
    famo = FAMO(learning_rate=0.1, gamma=0.0, **GIVEN)
    feed(famo, 1.0, 4.0)
    famo.after_step(lambda: {"semseg": torch.tensor(0.5), "depth": torch.tensor(3.0)})
    assert famo.logits.tolist() == pytest.approx([-0.1, 0.1], rel=1e-4)
    share = 1 / (1 + math.exp(0.2))  # softmax of the logits
    expected = [share / 1.0, (1 - share) / 4.0]
    assert feed(famo, 1.0, 4.0).tolist() == pytest.approx([w / sum(expected) for w in expected], rel=1e-4)


def test_famo_is_the_authors_adam() -> None:
    """Against torch's own Adam, with gamma as its weight decay, on the derivative that autograd finds."""
    famo = FAMO(**GIVEN)
    logits = nn.Parameter(torch.zeros(2))
    adam = torch.optim.Adam([logits], lr=0.025, weight_decay=1e-3)
    for step in range(20):
        before, after = torch.rand(2, 2, generator=torch.Generator().manual_seed(step)) + 0.5
        feed(famo, *before.tolist())
        famo.after_step(lambda after=after: dict(zip(TASKS, after, strict=True)))
        logits.grad = None
        (torch.softmax(logits, 0) * (before.log() - after.log())).sum().backward()
        adam.step()
    assert famo.logits.tolist() == pytest.approx(logits.tolist(), rel=1e-4)


def relative_progress(weighting: Weighting) -> list[float]:
    """How far the logarithms of two least-squares losses of very different scale fall in 300 steps."""
    random = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 10, 12, generator=random)
    targets = torch.randn(2, 10, generator=random)
    x = torch.zeros(12, requires_grad=True)
    network = nn.Module()
    network.x = nn.Parameter(x)
    losses: Callable[[], dict[str, Tensor]] = lambda: {  # noqa: E731
        "semseg": (first @ network.x - targets[0]).square().mean(),
        "depth": 1000 * (second @ network.x - targets[1]).square().mean(),
    }
    start = losses()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(300):
        optimizer.zero_grad()
        weighting.backward(losses(), network)
        optimizer.step()
        weighting.after_step(losses)
    end = losses()
    return [math.log(start[task].item() / end[task].item()) for task in TASKS]


def test_famo_lets_both_losses_fall_at_a_similar_rate() -> None:
    semseg, depth = relative_progress(Fixed(semseg=0.5, depth=0.5, **GIVEN))
    assert depth > 2 * semseg  # the sum sees little but the larger loss
    semseg, depth = relative_progress(FAMO(**GIVEN))
    assert min(semseg, depth) > 0.8
    assert semseg == pytest.approx(depth, rel=0.2)


def problems(tasks: int) -> Tensor:
    """20 losses for each task, over four powers of ten, in float64."""
    random = torch.Generator().manual_seed(tasks)
    return 10 ** (4 * torch.rand(20, tasks, generator=random, dtype=torch.float64) - 2)


def derivative(function: Callable[[Tensor], Tensor], losses: Tensor) -> Tensor:
    leaf = losses.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf), leaf)
    return found


def test_rlw_draws_softmax_of_standard_normals() -> None:
    rlw = RLW(tasks=("a", "b", "c"), steps_per_epoch=3)
    drawn = []
    for step in range(2000):
        rlw.steps.fill_(step)
        drawn.append(derivative(rlw, torch.ones(3)))
    weights = torch.stack(drawn)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2000))
    ratios = (weights[:, 0] / weights[:, 1]).log()  # the difference of two standard normals
    assert ratios.mean().item() == pytest.approx(0, abs=0.1)
    assert ratios.std().item() == pytest.approx(math.sqrt(2), rel=0.05)
    assert (ratios.abs() > 2 * math.sqrt(2)).double().mean().item() == pytest.approx(0.0455, abs=0.015)


def test_rlws_draws_are_those_of_the_seed_and_the_step() -> None:
    weights = {}
    for seed in (0, 1):
        rlw = RLW(seed=seed, **GIVEN)
        weights[seed] = [feed(rlw, 1.0, 2.0).tolist() for _ in range(3)]
    assert len({str(each) for seed in weights for each in weights[seed]}) == 6
    again = RLW(seed=1, **GIVEN)
    again.steps.fill_(2)
    assert feed(again, 5.0, 1.0).tolist() == weights[1][2]


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_imtl_l_is_torchjds(tasks: int) -> None:
    ours, theirs = IMTLL(tasks=tuple("abcdefgh"[:tasks]), steps_per_epoch=3), scalarization.IMTLL(tasks)
    for losses in problems(tasks):
        scales = losses.log().float() / 3
        ours.scales.data.copy_(scales)
        theirs.log_scale.data.copy_(scales)
        torch.testing.assert_close(ours(losses), theirs(losses))
        for function, parameter in ((ours, ours.scales), (theirs, theirs.log_scale)):
            parameter.grad = None
            function(losses).backward()
        torch.testing.assert_close(ours.scales.grad, theirs.log_scale.grad)


def test_imtl_l_settles_where_every_scaled_loss_is_1() -> None:
    imtl = IMTLL(**GIVEN)
    optimizer = torch.optim.Adam(imtl.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        weights = feed(imtl, 3.0, 0.05)
        optimizer.step()
    assert weights.tolist() == pytest.approx([1 / 3, 20.0], rel=1e-2)


@pytest.mark.parametrize("mu", [0.1, 1.0])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_stch_is_torchjds_of_log_losses_relative_to_the_measured_ones(tasks: int, mu: float) -> None:
    stch = STCH(mu=mu, warm_up_epochs=0, tasks=tuple("abcdefgh"[:tasks]), steps_per_epoch=3)
    measured, *losses = problems(tasks)
    stch.steps.fill_(3)
    stch.sums.copy_(3 * measured)
    theirs = scalarization.STCH(mu, weights=torch.ones(tasks, dtype=torch.float64), reference=measured.log())
    for each in losses:
        found = derivative(stch, each)
        torch.testing.assert_close(found, derivative(lambda x: tasks * theirs(x.log()), each))
        assert (found * each).sum().item() == pytest.approx(tasks)


def test_stch_warms_up_measures_an_epoch_and_then_minds_the_worst() -> None:
    """Epochs of 3: one of warming up, one with means 2 and 8; then the task that has fallen less weighs more."""
    stch = STCH(mu=0.5, warm_up_epochs=1, **GIVEN)
    for semseg, depth in [(5.0, 100.0)] * 3 + [(1.0, 8.0), (2.0, 12.0), (3.0, 4.0)]:
        assert feed(stch, semseg, depth).tolist() == pytest.approx([1 / semseg, 1 / depth])
    shares = [(1.0 / 2) ** 2, (6.0 / 8) ** 2]  # exp(log(ratio) / 0.5)
    expected = [2 * share / sum(shares) / loss for share, loss in zip(shares, (1.0, 6.0), strict=True)]
    assert feed(stch, 1.0, 6.0).tolist() == pytest.approx(expected)
    assert feed(stch, 2.0, 0.0)[1] == 0
