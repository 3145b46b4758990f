"""The gradient methods' formulas: the papers' properties, and TorchJD as the reference."""

import math

import pytest
import torch
from helpers.two_tasks import GIVEN, TASKS
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchjd.aggregation import AlignedMTLWeighting, PCGradWeighting

from mtl_seg_depth.weighting.aligned_mtl import AlignedMTL
from mtl_seg_depth.weighting.cagrad import CAGrad
from mtl_seg_depth.weighting.gradients import GradientWeighting
from mtl_seg_depth.weighting.nash_mtl import NashMTL
from mtl_seg_depth.weighting.pcgrad import PCGrad

METHODS = {"pcgrad": PCGrad, "cagrad": CAGrad, "nash_mtl": NashMTL, "aligned_mtl": AlignedMTL}


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
    assert weights[0] == weights[1]
    assert 1 <= weights[0] < 1.5


@pytest.mark.parametrize("rows", [[[0.0, 0.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [-1.0, -2.0]]])
@pytest.mark.parametrize("name", METHODS)
def test_vanishing_and_opposite_gradients_give_finite_updates(name: str, rows: list[list[float]]) -> None:
    gradients = torch.tensor(rows, dtype=torch.float64)
    weights = METHODS[name](**GIVEN).combine(gradients @ gradients.T)
    assert weights.isfinite().all()
    assert (weights @ gradients).norm() <= 2 * gradients.norm()


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
