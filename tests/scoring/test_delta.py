"""delta_m in both conventions, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.scoring.delta import over_metrics, over_tasks

TASKS = {"semseg": {"miou": True, "accuracy": True}, "depth": {"error": False}}
ALONE = {"miou": 50.0, "accuracy": 80.0, "error": 0.4}


def test_by_hand() -> None:
    """+2 % and -10 % of segmentation, +25 % of depth."""
    scores = {"miou": 51.0, "accuracy": 72.0, "error": 0.3}
    assert over_metrics(scores, ALONE, TASKS) == pytest.approx(-(2 - 10 + 25) / 3)
    assert over_tasks(scores, ALONE, TASKS) == pytest.approx(((2 - 10) / 2 + 25) / 2)


def test_alone_is_zero_and_better_is_lower_in_one_and_higher_in_the_other() -> None:
    assert over_metrics(ALONE, ALONE, TASKS) == over_tasks(ALONE, ALONE, TASKS) == 0
    for better in ({"miou": 51.0}, {"accuracy": 81.0}, {"error": 0.3}):
        assert over_metrics(ALONE | better, ALONE, TASKS) < 0 < over_tasks(ALONE | better, ALONE, TASKS)


positive = st.floats(0.01, 100)


@given(*[st.fixed_dictionaries(dict.fromkeys(("a", "b", "c", "d"), positive))] * 2)
def test_they_are_opposite_where_all_tasks_have_as_many_metrics(
    scores: dict[str, float], alone: dict[str, float]
) -> None:
    tasks = {"one": {"a": True, "b": False}, "two": {"c": True, "d": True}}
    assert over_metrics(scores, alone, tasks) == pytest.approx(-over_tasks(scores, alone, tasks), rel=1e-9, abs=1e-9)


def test_nothing_is_better_than_zero_by_a_share() -> None:
    assert math.isnan(over_metrics(ALONE, ALONE | {"error": 0.0}, TASKS))
    assert math.isnan(over_tasks(ALONE, ALONE | {"error": 0.0}, TASKS))
