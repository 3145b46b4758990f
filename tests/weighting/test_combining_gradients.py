"""The gradient methods' formulas and solvers: the papers' properties, and TorchJD as the reference."""

import itertools
import math
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from helpers.two_tasks import GIVEN, TASKS
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize, nnls
from torch import Tensor, nn
from torchjd.aggregation import (
    AlignedMTLWeighting,
    FairGradWeighting,
    GradVacWeighting,
    IMTLGWeighting,
    MGDAWeighting,
    PCGradWeighting,
)

from mtl_seg_depth.weighting.aligned_mtl import AlignedMTL
from mtl_seg_depth.weighting.cagrad import CAGrad
from mtl_seg_depth.weighting.draws import orders
from mtl_seg_depth.weighting.fairgrad import FairGrad
from mtl_seg_depth.weighting.gradients import GradientWeighting
from mtl_seg_depth.weighting.gradvac import GradVac
from mtl_seg_depth.weighting.imtl_g import IMTLG
from mtl_seg_depth.weighting.mgda import MGDA
from mtl_seg_depth.weighting.nash_mtl import NashMTL
from mtl_seg_depth.weighting.pcgrad import PCGrad, project
from mtl_seg_depth.weighting.solvers import eigen, solve
from mtl_seg_depth.weighting.upgrad import UPGrad

METHODS: dict[str, type[GradientWeighting]] = {
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "nash_mtl": NashMTL,
    "aligned_mtl": AlignedMTL,
    "mgda": MGDA,
    "imtl_g": IMTLG,
    "fairgrad": FairGrad,
    "gradvac": GradVac,
    "upgrad": UPGrad,
}


def pair(length: float, angle: float) -> Tensor:
    """Gradients as rows: one of length 1, one of this length at this angle in degrees."""
    turn = math.radians(angle)
    rows = [[1.0, 0.0, 0.0], [length * math.cos(turn), length * math.sin(turn), 0.0]]
    return torch.tensor(rows, dtype=torch.float64)


lengths = st.floats(-2, 2).map(lambda exponent: 10**exponent)
pairs = st.builds(pair, lengths, st.floats(1, 179))


@given(pairs)
def test_pcgrad_projects_as_algorithm_1_does(rows: Tensor) -> None:
    gram = rows @ rows.T
    weights = PCGrad(**GIVEN).combine(gram)
    projected = [g - min(0.0, float(g @ other)) / (other @ other) * other for g, other in (rows, rows.flip(0))]
    torch.testing.assert_close(weights @ rows, projected[0] + projected[1])
    torch.testing.assert_close(weights, PCGradWeighting()(gram))


@example(pair(0.01, 179.0), 1.5)
@given(pairs, st.sampled_from([0.0, 0.4, 0.9, 1.5]))
def test_cagrad_stays_within_c_and_helps_the_worse_task_most(rows: Tensor, c: float) -> None:
    """Half of it, as it is on the scale of the sum: against every direction on the ball around the average."""
    update = CAGrad(c=c, **GIVEN).combine(rows @ rows.T) @ rows / 2
    average = rows.mean(0)
    radius = c * average.norm()
    assert (update - average).norm() <= radius * (1 + 1e-9) + 1e-12
    turns = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)
    directions = torch.stack([turns.cos(), turns.sin(), torch.zeros_like(turns)])
    best = (rows @ (average[:, None] + radius * directions)).min(dim=0).values.max()
    # The length that CAGrad adds to |g_w| costs its share of the step where the gradients nearly cancel.
    nearest_to_zero = torch.linalg.det(rows[:, :2]).abs() / (rows[0] - rows[1]).norm()
    slack = 2e-3 + 2 * c * 1e-6 * rows.norm() / nearest_to_zero
    assert (rows @ update).min() >= best - slack * rows.norm(dim=1).min() * average.norm()


def test_cagrad_of_opposite_gradients() -> None:
    """Parallel to rounding: for c < 1 the improvement is best at the short end of the ball."""
    rows = torch.tensor([[1.0, 0.0], [-0.5, 0.0]], dtype=torch.float64)
    update = CAGrad(c=0.4, **GIVEN).combine(rows @ rows.T) @ rows / 2
    assert update.tolist() == pytest.approx([0.15, 0.0], rel=1e-4)


@given(pairs)
def test_nash_is_the_bargaining_solution(rows: Tensor) -> None:
    gram = rows @ rows.T
    alpha = NashMTL(**GIVEN).combine(gram)
    assert (alpha > 0).all()
    torch.testing.assert_close(gram @ alpha * alpha, torch.ones(2, dtype=torch.float64), rtol=1e-6, atol=0)


@given(pairs)
def test_aligned_gradients_have_condition_number_1(rows: Tensor) -> None:
    """The sum of two orthogonal vectors as long as the smallest singular value; and TorchJD's, whose mean is half."""
    gram = rows @ rows.T
    weights = AlignedMTL(**GIVEN).combine(gram)
    smallest = torch.linalg.svdvals(rows).min()
    torch.testing.assert_close((weights @ rows).norm(), math.sqrt(2) * smallest, rtol=1e-6, atol=0)
    torch.testing.assert_close(weights, 2 * AlignedMTLWeighting()(gram), rtol=1e-6, atol=1e-9)


def test_aligned_parallel_gradients_keep_their_direction() -> None:
    rows = torch.tensor([[3.0, 4.0], [3.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(AlignedMTL(**GIVEN).combine(rows @ rows.T) @ rows, rows.sum(0))


@pytest.mark.parametrize("name", METHODS)
def test_orthogonal_gradients_of_length_1_are_about_their_sum(name: str) -> None:
    weights = METHODS[name](**GIVEN).combine(torch.eye(2, dtype=torch.float64))
    assert weights[0].item() == pytest.approx(weights[1].item())
    assert 1 - 1e-6 <= weights[0] < 1.5


@pytest.mark.parametrize("rows", [[[0.0, 0.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [-1.0, -2.0]]])
@pytest.mark.parametrize("name", METHODS)
def test_vanishing_and_opposite_gradients_give_finite_updates(name: str, rows: list[list[float]]) -> None:
    gradients = torch.tensor(rows, dtype=torch.float64)
    weights = METHODS[name](**GIVEN).combine(gradients @ gradients.T)
    assert weights.isfinite().all()
    assert (weights @ gradients).norm() <= 2 * gradients.norm()


def gradients_of(tasks: int, dimensions: int, spread: float, seed: int) -> Tensor:
    """Random gradients as rows, with lengths over twice as many powers of ten."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(tasks, dimensions, generator=random, dtype=torch.float64)
    return rows * 10 ** (spread * (2 * torch.rand(tasks, 1, generator=random, dtype=torch.float64) - 1))


seeds = st.integers(0, 2**32)
many = st.builds(gradients_of, st.sampled_from([3, 4]), st.just(8), st.sampled_from([0.0, 1.0, 2.0]), seeds)
"""Independent: no gradient is a sum of the others."""
crowded = st.builds(
    gradients_of, st.sampled_from([3, 4, 8]), st.sampled_from([2, 3]), st.sampled_from([0.0, 1.0]), seeds
)
"""In so few dimensions that they depend on each other, and often leave no direction that is good for all."""


def given_for(tasks: int) -> dict[str, Any]:
    return {"tasks": tuple("abcdefgh"[:tasks]), "steps_per_epoch": 3}


@pytest.mark.parametrize("name", ["pcgrad", "cagrad", "nash_mtl", "aligned_mtl", "imtl_g"])
@given(pairs)
def test_the_solver_for_many_is_the_formula_for_two(name: str, rows: Tensor) -> None:
    method = METHODS[name](**GIVEN)
    gram = rows @ rows.T
    many, two = method.combine_many(gram), method.combine_two(gram)
    if name == "cagrad":  # its shares are as exact as the barrier is low, relative to the sum of the squared lengths
        length = (two @ gram @ two).sqrt()
        assert ((many - two) @ rows).norm() <= 1e-3 * length
    else:
        torch.testing.assert_close(many, two, rtol=1e-4 if name == "nash_mtl" else 1e-6, atol=0)


@given(many | crowded, st.integers(0, 1000))
def test_pcgrad_of_many_is_torchjds_in_the_same_order(rows: Tensor, step: int) -> None:
    method = PCGrad(**given_for(len(rows)))
    method.steps.fill_(step)
    gram = rows @ rows.T
    shuffled = iter(orders(method.steps, len(rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randperm", lambda _: next(shuffled))
        expected = PCGradWeighting()(gram)
    torch.testing.assert_close(method.combine(gram), expected, rtol=1e-9, atol=1e-9)


@given(many | crowded, st.integers(0, 1000))
def test_pcgrad_shortens_gradients_until_they_agree_with_the_last_one_met(rows: Tensor, step: int) -> None:
    order = orders(torch.tensor(step), len(rows))
    projected = project(rows @ rows.T, order) @ rows
    assert (projected.norm(dim=1) <= rows.norm(dim=1) * (1 + 1e-9)).all()
    for row, (gradient, met) in enumerate(zip(projected, order.tolist(), strict=True)):
        last = rows[[other for other in met if other != row][-1]]
        assert gradient @ last >= -1e-9 * rows[row].norm() * last.norm()


@given(many)
def test_pcgrad_without_conflict_is_the_plain_sum(rows: Tensor) -> None:
    rows = rows.abs()
    assert PCGrad(**given_for(len(rows))).combine(rows @ rows.T).equal(torch.ones(len(rows), dtype=torch.float64))


def test_pcgrads_orders_are_permutations_that_change_with_the_step() -> None:
    drawn = [orders(torch.tensor(step), 3) for step in range(600)]
    assert all(order.sort(dim=1).values.equal(torch.arange(3).expand(3, 3)) for order in drawn)
    first = [tuple(order[0].tolist()) for order in drawn]
    counts = [first.count(order) for order in itertools.permutations(range(3))]
    assert min(counts) > 60  # of 100 each
    together = [(tuple(order[0].tolist()), tuple(order[1].tolist())) for order in drawn]
    assert len(set(together)) == 36


@given(many | crowded, st.sampled_from([0.0, 0.4, 0.9, 1.5]))
def test_cagrad_of_many_has_no_duality_gap(rows: Tensor, c: float) -> None:
    """No update in the ball has a better worst improvement than the minimum over w, and this one has it."""
    gram = rows @ rows.T
    average = rows.mean(0)
    radius = c * average.norm()
    method = CAGrad(c=c, **given_for(len(rows)))
    shares = method._shares(gram / gram.trace())
    assert (shares >= 0).all()
    assert shares.sum().item() == pytest.approx(1)
    together = shares @ rows
    bound = together @ average + radius * together.norm()
    update = method.combine(gram) @ rows / len(rows)
    assert (update - average).norm() <= radius * (1 + 1e-9) + 1e-12
    scale = rows.norm() * average.norm()
    if together.norm() > 1e-2 * rows.norm():  # else no direction helps all, and the added part is cut short
        assert (rows @ update).min() >= bound - 1e-4 * scale
    assert bound <= scipy_minimum(rows, c) + 1e-6 * scale


def scipy_minimum(rows: Tensor, c: float) -> float:
    """The least value that SciPy finds from the corners and the middle."""
    unit = (rows / rows.norm()).numpy()
    average = unit.mean(0)
    size = len(unit)

    def function(w: Any) -> float:
        return float(w @ unit @ average + c * np.linalg.norm(average) * np.linalg.norm(w @ unit))

    starts = [np.full(size, 1 / size), *(0.9 * np.eye(size) + 0.1 / size)]
    constraint = {"type": "eq", "fun": lambda w: w.sum() - 1}
    found = [
        minimize(function, start, bounds=[(0, 1)] * size, constraints=constraint, method="SLSQP") for start in starts
    ]
    feasible = [result.x.clip(0) / result.x.clip(0).sum() for result in found]
    return min(map(function, feasible)) * float(rows.norm()) ** 2


@given(many)
def test_cagrad_at_c_0_is_the_sum(rows: Tensor) -> None:
    assert (
        CAGrad(c=0.0, **given_for(len(rows))).combine(rows @ rows.T).equal(torch.ones(len(rows), dtype=torch.float64))
    )


@given(many)
def test_nash_of_many_is_the_bargaining_solution(rows: Tensor) -> None:
    gram = rows @ rows.T
    alpha = NashMTL(**given_for(len(rows))).combine(gram)
    assert (alpha > 0).all()
    torch.testing.assert_close(gram @ alpha * alpha, torch.ones_like(alpha), rtol=1e-6, atol=0)
    assert (alpha @ rows).norm().item() == pytest.approx(math.sqrt(len(rows)), rel=1e-6)


@given(many)
def test_a_linear_system_is_solved(rows: Tensor) -> None:
    matrix = rows @ rows.T
    torch.testing.assert_close(solve(matrix, matrix @ rows), rows, rtol=1e-6, atol=1e-6)


@given(many)
def test_aligned_gradients_of_many_have_condition_number_1(rows: Tensor) -> None:
    """The sum of orthogonal vectors as long as the smallest singular value; and TorchJD's, whose mean is a Kth."""
    size = len(rows)
    gram = rows @ rows.T
    values, vectors = eigen(gram)
    torch.testing.assert_close(vectors @ torch.diag(values) @ vectors.T, gram, rtol=1e-9, atol=1e-12)
    weights = AlignedMTL(**given_for(size)).combine(gram)
    smallest = torch.linalg.svdvals(rows).min()
    torch.testing.assert_close((weights @ rows).norm(), math.sqrt(size) * smallest, rtol=1e-5, atol=0)
    # TorchJD's eigenvalues are exact relative to the largest, up to 1e10 times the smallest here.
    torch.testing.assert_close(weights, size * AlignedMTLWeighting()(gram), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cagrad", "nash_mtl", "aligned_mtl", "imtl_g"])
@given(many, st.randoms(use_true_random=False))
def test_the_order_of_the_tasks_does_not_matter(name: str, rows: Tensor, random: Random) -> None:
    order = random.sample(range(len(rows)), len(rows))
    method = METHODS[name](**given_for(len(rows)))
    weights = method.combine(rows @ rows.T)
    torch.testing.assert_close(method.combine(rows[order] @ rows[order].T), weights[order], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("tasks", [3, 4, 8])
@pytest.mark.parametrize("name", METHODS)
def test_orthogonal_gradients_of_length_1_are_about_their_sum_for_many(name: str, tasks: int) -> None:
    weights = METHODS[name](**given_for(tasks)).combine(torch.eye(tasks, dtype=torch.float64))
    assert weights.tolist() == pytest.approx([weights[0].item()] * tasks)
    assert 1 - 1e-6 <= weights[0] < 1.5


DEGENERATE = {
    "a zero": [[0.0, 0.0], [1.0, 2.0], [-2.0, 1.0]],
    "all zero": [[0.0, 0.0]] * 3,
    "identical": [[3.0, 4.0]] * 4,
    "parallel": [[1.0, 2.0], [2.0, 4.0], [100.0, 200.0]],
    "opposite": [[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [-3.0, -6.0]],
    "a sum of zero": [[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]],
    "a zero and opposite": [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]],
}


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", METHODS)
def test_degenerate_gradients_of_many_give_finite_updates(name: str, case: str, scale: float) -> None:
    rows = scale * torch.tensor(DEGENERATE[case], dtype=torch.float64)
    weights = METHODS[name](**given_for(len(rows))).combine(rows @ rows.T)
    assert weights.isfinite().all()
    shortest = min((length for length in rows.norm(dim=1).tolist() if length), default=1.0)
    unit = {"nash_mtl": 1.0, "fairgrad": shortest ** (-1 / 3)}.get(name, rows.norm().item())
    assert (weights @ rows).norm() <= len(rows) * unit
    if case in ("identical", "parallel") and name != "nash_mtl":
        torch.testing.assert_close((weights @ rows)[1] / (weights @ rows)[0], rows[0, 1] / rows[0, 0])
    if name == "nash_mtl":
        assert weights[rows.norm(dim=1) == 0].eq(0).all()
        if case in ("opposite", "a sum of zero"):
            assert (weights @ rows).norm() < 1e-3


PROBLEMS = [(tasks, seed) for tasks in (2, 3, 5) for seed in range(20)]
"""Numbers of tasks, and seeds of gradients whose lengths differ up to a hundredfold."""


def problem(tasks: int, seed: int) -> Tensor:
    return gradients_of(tasks, 8, 1.0, seed)


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_imtl_g_is_torchjds_and_projects_alike_onto_all_gradients(tasks: int) -> None:
    for rows in (problem(tasks, seed) for seed in range(20)):
        gram = rows @ rows.T
        weights = IMTLG(**given_for(tasks)).combine(gram)
        torch.testing.assert_close(weights, tasks * IMTLGWeighting()(gram), rtol=1e-5, atol=1e-7)
        assert weights.sum().item() == pytest.approx(tasks)
        projections = (rows @ (weights @ rows)) / rows.norm(dim=1)
        torch.testing.assert_close(projections, projections[0].expand(tasks), rtol=1e-5, atol=0)


def test_imtl_g_of_two_by_hand() -> None:
    """Lengths 1 and 3, whatever the angle: weights in proportion to 3 and 1."""
    for angle in (10, 90, 170):
        rows = pair(3.0, angle)
        assert IMTLG(**GIVEN).combine(rows @ rows.T).tolist() == pytest.approx([1.5, 0.5])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_fairgrad_shares_the_gain_by_alpha_fairness(tasks: int, alpha: float) -> None:
    """Equation 4: what a task gains is its weight to the power -1 / alpha."""
    for rows in (problem(tasks, seed) for seed in range(20)):
        gram = rows @ rows.T
        weights = FairGrad(alpha=alpha, **given_for(tasks)).combine(gram)
        torch.testing.assert_close(gram @ weights, weights ** (-1 / alpha), rtol=1e-4, atol=0)
        if alpha == 1:
            torch.testing.assert_close(weights, NashMTL(**given_for(tasks)).combine(gram), rtol=1e-5, atol=0)


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_fairgrad_is_torchjds(tasks: int) -> None:
    for rows in (gradients_of(tasks, 8, 0.0, seed) for seed in range(20)):  # SciPy's search is exact for these alone
        gram = rows @ rows.T
        expected = FairGradWeighting(alpha=2.0)(gram)
        torch.testing.assert_close(FairGrad(**given_for(tasks)).combine(gram), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_mgda_is_the_shortest_and_torchjds(tasks: int) -> None:
    """No vertex is nearer to zero as seen from it; the search of TorchJD comes as near as it searches long."""
    for rows in (problem(tasks, seed) for seed in range(20)):
        gram = rows @ rows.T
        weights = MGDA(**given_for(tasks)).combine(gram) / tasks
        assert (weights >= 0).all()
        assert weights.sum().item() == pytest.approx(1)
        shortest = weights @ rows
        assert (rows @ shortest).min() >= shortest @ shortest - 1e-6 * gram.diagonal().min()
        searched = MGDAWeighting(epsilon=1e-5, max_iters=200)(gram) @ rows
        assert shortest.norm() <= searched.norm() * (1 + 1e-6)
        assert searched.norm() <= shortest.norm() * 1.1


def test_mgda_of_two_by_hand() -> None:
    rows = torch.tensor([[4.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert MGDA(**GIVEN).combine(rows @ rows.T).tolist() == pytest.approx([2 * 4 / 20, 2 * 16 / 20])
    rows = torch.tensor([[1.0, 0.0], [5.0, 1.0]], dtype=torch.float64)  # the shorter one is nearest
    assert MGDA(**GIVEN).combine(rows @ rows.T).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_upgrad_projects_every_gradient_onto_what_harms_no_task(tasks: int) -> None:
    """Against the non-negative least squares of SciPy, in their own dimension; dependent ones are bound by a ridge."""
    for seed in range(20):
        dimensions, tolerance = (8, 1e-6) if seed % 2 else (3, 1e-3)
        rows = gradients_of(tasks, dimensions, 1.0, seed)
        update = UPGrad(**given_for(tasks)).combine(rows @ rows.T) @ rows
        expected = sum(row + rows.T @ torch.from_numpy(nnls(rows.T.numpy(), -row.numpy())[0]) for row in rows)
        torch.testing.assert_close(update, expected, rtol=0, atol=tolerance * rows.norm().item())
        assert (rows @ update >= -tolerance * rows.norm(dim=1) * rows.norm()).all()


def test_upgrad_of_two_is_pcgrad() -> None:
    for rows in (problem(2, seed) for seed in range(20)):
        gram = rows @ rows.T
        assert UPGrad(**GIVEN).combine(gram).equal(PCGrad(**GIVEN).combine(gram))


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_gradvac_is_torchjds_step_by_step(tasks: int) -> None:
    """With the same orders, over steps in which the targets move."""
    method, theirs = GradVac(beta=0.3, **given_for(tasks)), GradVacWeighting(beta=0.3, eps=0.0)
    for step in range(20):
        method.steps.fill_(step)
        others = [[task for task in row if task != own] for own, row in enumerate(orders(method.steps, tasks).tolist())]
        places = iter(torch.tensor([sorted(row).index(task) for task in row]) for row in others)
        rows = problem(tasks, step // 5) + 0.3 * problem(tasks, 100 + step)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randperm", lambda _, places=places: next(places))
            expected = theirs(rows @ rows.T)
        torch.testing.assert_close(method.combine(rows @ rows.T), expected, rtol=1e-9, atol=1e-9)


def test_gradvac_turns_a_gradient_to_the_cosine_that_it_used_to_have() -> None:
    """60 degrees twice: the target is 3 / 8 after the second; 90 degrees are then turned to that cosine."""
    method = GradVac(beta=0.5, **GIVEN)
    for _ in range(2):
        assert method.combine(pair(2.0, 60.0) @ pair(2.0, 60.0).T).tolist() == [1.0, 1.0]
    assert method.targets.tolist() == [[0, pytest.approx(0.375)], [pytest.approx(0.375), 0]]
    gain = 0.375 / math.sqrt(1 - 0.375**2)
    weights = method.combine(pair(2.0, 90.0) @ pair(2.0, 90.0).T)
    assert weights.tolist() == pytest.approx([1 + 2 * gain, 1 + gain / 2])


def test_gradvac_of_parallel_gradients_is_about_their_sum() -> None:
    method = GradVac(beta=0.9, **given_for(3))
    for step in range(30):
        rows = (1 + step) * torch.tensor([[3.0, 4.0], [0.3, 0.4], [30.0, 40.0]], dtype=torch.float64)
        weights = method.combine(rows @ rows.T)
    torch.testing.assert_close(weights @ rows, rows.sum(0), rtol=1e-2, atol=0)


def toy(x: Tensor) -> dict[str, Tensor]:
    """Two tasks in two parameters: logarithmic valleys where x[1] > 0, two bowls around (7, -8) and (-7, -8) below.

    The benchmark of the CAGrad paper, used again in those of Nash-MTL and FAMO.
    """
    a, b = x
    valleys = [
        (0.5 * (-a - 7) - torch.tanh(-b)).abs().clamp(5e-6).log() + 6,
        (0.5 * (-a + 3) + torch.tanh(-b) + 2).abs().clamp(5e-6).log() + 6,
    ]
    bowls = [((-a + centre).square() + 0.1 * (-b - 8).square()) / 10 - 20 for centre in (7, -7)]
    up, down = torch.tanh(b / 2).clamp(0), torch.tanh(-b / 2).clamp(0)
    return {task: valley * up + bowl * down for task, valley, bowl in zip(TASKS, valleys, bowls, strict=True)}


def descend(weighting: GradientWeighting, start: tuple[float, float]) -> list[float]:
    network = nn.Module()
    network.x = nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adam([network.x], lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        weighting.backward(toy(network.x), network)
        optimizer.step()
    end: list[float] = network.x.tolist()
    return end


def test_on_the_papers_toy_cagrad_finds_the_best_average_and_others_their_own_compromise() -> None:
    """All end between the bowls, where no task can gain without the other's loss; only CAGrad in the middle."""
    ends = {name: descend(METHODS[name](**GIVEN), (-8.5, -5.0)) for name in ("cagrad", "pcgrad", "nash_mtl")}
    assert all(-7 < end[0] < 7 and end[1] == pytest.approx(-8.4, abs=0.1) for end in ends.values())
    assert abs(ends["cagrad"][0]) < 0.5
    assert ends["pcgrad"][0] < -4
    assert ends["nash_mtl"][0] < -4
