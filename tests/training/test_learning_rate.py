import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR

from mtl_seg_depth.training.learning_rates import Constant, Cosine, LearningRate, OneCycle, Poly, Span, Stairs

SPAN = Span(epochs=16, steps_per_epoch=5)


def rates(schedule):
    return [schedule(step) for step in range(schedule.span.steps)]


def torchs(make, value=0.01, steps=SPAN.steps):
    """What a scheduler of torch's gives, one value a step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=value)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def test_poly_is_the_report_s_formula_one_stair_an_epoch():
    expected = torchs(lambda o: LambdaLR(o, lambda epoch: max(1e-6, (1 - epoch / 16) ** 0.9)), steps=16)
    values = rates(Poly(SPAN, 0.01))
    assert values[::5] == pytest.approx(expected, rel=1e-12)
    for epoch in range(16):
        assert len(set(values[5 * epoch : 5 * epoch + 5])) == 1
    assert values[40] == pytest.approx(0.01 * 0.5**0.9)


def test_poly_per_step_falls_with_every_step_from_the_same_height():
    values = rates(Poly(SPAN, 0.01, power=2, per_step=True))
    assert values == pytest.approx([0.01 * (1 - step / 80) ** 2 for step in range(80)], rel=1e-12)


def test_poly_ends_no_lower_than_a_millionth():
    assert Poly(SPAN, 1.0, power=50)(79) == 1e-6


def test_constant():
    assert rates(Constant(SPAN, 0.3)) == [0.3] * 80


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_is_torch_s(floor):
    expected = torchs(lambda o: CosineAnnealingLR(o, T_max=80, eta_min=floor * 0.01))
    assert rates(Cosine(SPAN, 0.01, floor=floor)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_onecycle_is_torch_s():
    # Torch ends at 1/1e4 of where it began, and the top of 80 steps a quarter of which rise is its step 19.
    schedule = OneCycle(SPAN, 0.01, rise=19 / 79, start=0.04, end=0.04 / 1e4)
    expected = torchs(lambda o: OneCycleLR(o, 0.01, total_steps=80, pct_start=0.25, cycle_momentum=False))
    assert rates(schedule) == pytest.approx(expected, rel=1e-9)


def test_onecycle_begins_peaks_and_ends_where_it_was_told_to():
    schedule = OneCycle(Span(1, 101), 2.0, rise=0.3, start=0.1, end=0.01)
    values = rates(schedule)
    assert values[0] == pytest.approx(0.2)
    assert values[30] == pytest.approx(2.0)
    assert values[100] == pytest.approx(0.02)
    assert values[:31] == sorted(values[:31])
    assert values[30:] == sorted(values[30:], reverse=True)
    assert values[15] == pytest.approx((0.2 + 2.0) / 2)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_onecycle_over_a_few_steps(steps):
    values = rates(OneCycle(Span(1, steps), 1.0))
    assert values[0] == pytest.approx(0.04)
    assert all(0 < value <= 1 for value in values)


@pytest.mark.parametrize("schedule", [Constant, Poly, Cosine])
def test_warm_up_rises_linearly_to_what_the_schedule_has_there(schedule):
    cold, warm = rates(schedule(SPAN, 0.01)), rates(schedule(SPAN, 0.01, warmup_epochs=2))
    assert warm[:10] == pytest.approx([value * (step + 1) / 10 for step, value in enumerate(cold[:10])])
    assert warm[10:] == cold[10:]


def test_stairs_halve_the_rate_after_every_so_many_epochs():
    """As torch's StepLR, step by step."""
    values = rates(Stairs(SPAN, 0.01, every_epochs=6))
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.01)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.5)
    for step, value in enumerate(values):
        assert value == optimizer.param_groups[0]["lr"]
        optimizer.step()
        if (step + 1) % SPAN.steps_per_epoch == 0:
            theirs.step()
    assert sorted(set(values)) == [0.0025, 0.005, 0.01]


def test_warm_up_may_be_part_of_an_epoch_or_all_of_the_training():
    assert rates(Constant(Span(2, 4), 1.0, warmup_epochs=0.5))[:3] == [0.5, 1, 1]
    assert rates(Constant(Span(1, 4), 1.0, warmup_epochs=1)) == [0.25, 0.5, 0.75, 1]


def test_a_rate_is_a_function_of_the_step_alone():
    for schedule in (Poly(SPAN, 0.01), Cosine(SPAN, 0.01, warmup_epochs=1), OneCycle(SPAN, 0.01)):
        values = rates(schedule)
        assert [schedule(step) for step in reversed(range(80))] == values[::-1]


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (Constant, {"value": 0}, "value, the learning rate, is above 0"),
        (Constant, {"value": -1e-3}, "value, the learning rate, is above 0"),
        (Constant, {"value": math.nan}, "value, the learning rate, is above 0"),
        (Poly, {"value": 1, "warmup_epochs": 17}, r"warmup_epochs is within 0\.\.16"),
        (Poly, {"value": 1, "warmup_epochs": -1}, r"warmup_epochs is within 0\.\.16"),
        (Poly, {"value": 1, "power": 0}, "power is above 0"),
        (Cosine, {"value": 1, "floor": 1.5}, "floor"),
        (Stairs, {"value": 1, "every_epochs": 0}, "every_epochs is 1 or more"),
        (Stairs, {"value": 1, "gamma": 0}, "gamma"),
        (Stairs, {"value": 1, "gamma": 2}, "gamma"),
        (OneCycle, {"value": 1, "rise": 0}, "rise"),
        (OneCycle, {"value": 1, "rise": 1}, "rise"),
        (OneCycle, {"value": 1, "start": 0}, "start and end"),
        (OneCycle, {"value": 1, "end": 2}, "start and end"),
    ],
)
def test_values_that_make_no_sense_are_refused(schedule, arguments, message):
    with pytest.raises(ValueError, match=message):
        schedule(SPAN, **arguments)


def test_a_schedule_without_a_factor_says_so():
    with pytest.raises(NotImplementedError, match=r"LearningRate has no factor\(\)"):
        LearningRate(SPAN, 1.0)(0)
