"""The mean of a training's last validations, by hand."""

from collections.abc import Mapping

import pytest

from mtl_seg_depth.records.record import Point
from mtl_seg_depth.records.selection import mean_of_last


def validation(step: int, **scores: float) -> Point:
    return Point(step, 0, {**{f"val/{name}": value for name, value in scores.items()}, "best/step": 1.0})


def point(step: int, metrics: Mapping[str, float]) -> Point:
    return Point(step, 0, dict(metrics))


def test_it_is_over_the_last_ten_validations_and_over_nothing_else_that_was_logged() -> None:
    validations = [validation(step, semseg=float(step)) for step in range(1, 15)]
    evaluation = point(14, {"val/semseg": 99.0})
    losses = point(14, {"train/loss/semseg": 1.0})
    averaged = mean_of_last([*validations, losses, evaluation])
    assert (averaged.scores, averaged.validations) == ({"val/semseg": pytest.approx(9.5)}, 10)


def test_of_fewer_validations_it_is_over_those_there_are_and_says_how_many() -> None:
    averaged = mean_of_last([validation(4, depth=30.0), validation(8, depth=20.0)])
    assert (averaged.scores, averaged.validations) == ({"val/depth": 25.0}, 2)
    assert mean_of_last([]).validations == 0
    assert mean_of_last([]).scores == {}


def test_a_score_that_one_of_the_validations_does_not_have_has_no_mean() -> None:
    averaged = mean_of_last([validation(4, depth=30.0), validation(8, depth=20.0, semseg=50.0)])
    assert averaged.scores == {"val/depth": 25.0}


def test_a_validation_that_an_interrupted_training_repeated_counts_once() -> None:
    points = [validation(4, depth=30.0), validation(8, depth=20.0), validation(8, depth=20.0), validation(12, depth=10)]
    assert mean_of_last(points).scores == {"val/depth": 20.0}
    assert mean_of_last(points).validations == 3
