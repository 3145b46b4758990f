"""What is best: the scores' names and directions, the multitask score, the margin and the rank."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.scoring import headline
from mtl_seg_depth.tasks import HEADLINES
from mtl_seg_depth.tasks.headline import Headline

NAN = math.nan
values = st.floats(0, 200) | st.none() | st.just(NAN)


@pytest.mark.parametrize(
    ("semseg", "depth", "expected"),
    [
        # Tables of the report: learning rates (SGD 0.1; Adam 1 and 0.1), encoder start, ASPP, branched, losses.
        (69.776, 26.829, 42.947),
        (8.319, 81.2, 0.0),
        (10.768, 56.999, 0.0),
        (72.762, 25.556, 47.206),
        (85.260, 18.353, 66.907),
        (85.451, 17.159, 68.292),
        (86.222, 15.576, 70.646),
        # One of the two at its floor.
        (40.0, 30.0, 20.0),
        (60.0, 70.0, 10.0),
        (25.631, 40.513, 9.487),
        # At the pivots, and beside them.
        (50.0, 50.0, 0.0),
        (50.5, 50.5, 0.5),
        (49.5, 49.5, 0.5),
        (100.0, 0.0, 100.0),
    ],
)
def test_multitask_scores_of_the_report(semseg, depth, expected):
    assert headline.multitask({"semseg": semseg, "depth": depth}) == pytest.approx(expected, abs=1e-3 + 1e-9)


@pytest.mark.parametrize("missing", [{}, {"depth": None}, {"depth": NAN}])
def test_a_missing_task_adds_nothing(missing):
    assert headline.multitask({"semseg": 80.0, **missing}) == 30
    assert headline.multitask(missing) == 0
    without_classes = {"semseg": missing["depth"]} if missing else {}
    assert headline.multitask(without_classes | {"depth": 20.0}) == 30


def test_what_is_no_task_adds_nothing():
    assert headline.multitask({"semseg": 80.0, "multitask": 99.0, "iou/road": 99.0}) == 30


def test_the_margin_by_hand():
    assert headline.margin({"semseg": 40.0, "depth": 70.0}) == -30
    assert headline.margin({"semseg": 80.0, "depth": 15.5, "multitask": 64.5}) == 64.5
    assert headline.margin({"semseg": 40.0}, ["semseg"]) == 40
    assert headline.margin({"depth": 70.0}, ["depth"]) == -70
    assert headline.margin({"semseg": 40.0, "depth": 70.0}, ["depth"]) == -70


@pytest.mark.parametrize("missing", [{}, {"depth": None}, {"depth": NAN}])
def test_without_one_of_its_tasks_there_is_no_margin(missing):
    assert math.isnan(headline.margin({"semseg": 40.0, **missing}))
    assert math.isnan(headline.margin({"semseg": 40.0, **missing}, ["semseg", "depth"]))
    assert headline.margin({"semseg": 40.0, **missing}, ["semseg"]) == 40
    assert math.isnan(headline.margin({"semseg": 40.0}, []))


@pytest.mark.parametrize("key", headline.objectives())
@pytest.mark.parametrize("missing", [None, NAN])
def test_what_is_missing_or_nan_is_the_worst_of_every_objective(key, missing):
    assert headline.gain(key, missing) == -math.inf
    for found in (-1e30, -1.0, 0.0, 50.0, 1e30):
        assert headline.gain(key, found) > headline.gain(key, missing)
    absent = [headline.gain(key, headline.value(key, scores)) for scores in ({}, {key: missing})]
    assert absent == [-math.inf, -math.inf]


@given(st.sampled_from(sorted(headline.objectives())), st.floats(-200, 200), st.floats(-200, 200))
def test_of_two_values_the_one_in_the_objective_s_direction_gains_more(key, one, other):
    better = max(one, other) if headline.direction(key) == "maximize" else min(one, other)
    assert max((one, other), key=lambda found: headline.gain(key, found)) == better


def test_directions_are_those_of_the_scores():
    expected = {"multitask": "maximize", "semseg": "maximize", "depth": "minimize", "margin": "maximize"}
    assert {key: headline.direction(key) for key in headline.objectives()} == expected


@given(values, values, values, values)
def test_the_rank_is_the_multitask_score_and_then_the_margin(semseg, depth, other_semseg, other_depth):
    one, other = {"semseg": semseg, "depth": depth}, {"semseg": other_semseg, "depth": other_depth}
    first, second = headline.rank(one), headline.rank(other)
    assert not any(math.isnan(part) for part in (*first, *second))  # any two can be compared
    if headline.WORST in (first, second):
        assert (first == headline.WORST) == math.isnan(headline.margin(one))
    elif headline.multitask(one) != headline.multitask(other):
        assert (first > second) == (headline.multitask(one) > headline.multitask(other))
    else:
        assert (first > second) == (headline.margin(one) > headline.margin(other))


@pytest.mark.parametrize("missing", [{}, {"depth": None}, {"depth": NAN}])
def test_whoever_lacks_a_task_ranks_behind_whoever_has_it(missing):
    assert headline.rank({"semseg": 99.0, **missing}) == headline.WORST < headline.rank({"semseg": 0.0, "depth": 1e6})
    assert headline.rank({}) == headline.rank({"semseg": NAN, "depth": NAN}) == headline.WORST


@pytest.mark.parametrize(
    ("task", "order"), [("semseg", [80.0, 60.0, 40.0, 10.0, NAN]), ("depth", [10.0, 40.0, 60.0, 90.0, NAN])]
)
def test_networks_of_one_task_are_ranked_by_it_on_both_sides_of_its_pivot(task, order):
    ranks = [headline.rank({task: found}, [task]) for found in order]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(order)
    assert headline.rank({}, [task]) == ranks[-1]


def test_an_objective_is_read_from_the_scores_and_the_margin_is_worked_out():
    scores = {"multitask": 12.0, "semseg": 55.0, "depth": 43.0}
    assert [headline.value(key, scores) for key in ("multitask", "semseg", "depth", "margin")] == [12, 55, 43, 12]
    assert math.isnan(headline.value("margin", {"semseg": 55.0}))


def test_what_tables_show_is_picked_from_what_is_measured():
    measured = {"val/multitask": 1.0, "val/semseg": 2.0, "val/iou/road": 3.0, "test/depth": 4.0}
    assert headline.picked(measured, "val/") == {"multitask": 1.0, "semseg": 2.0}
    assert headline.picked(measured, "test/") == {"depth": 4.0}
    assert headline.picked(measured) == {}


def test_tables_show_the_multitask_score_and_then_the_tasks():
    assert [each.key for each in headline.shown()] == ["multitask", *HEADLINES]
    assert [each.key for each in headline.shown(["depth"])] == ["multitask", "depth"]
    assert [each.heading for each in headline.shown()] == ["multitask ↑", "mean IoU, % ↑", "SI-log RMSE x 100 ↓"]


def test_a_score_without_a_pivot_is_no_part_of_the_multitask_score():
    assert Headline("normals", "mean angle", "angle", "degrees", higher_is_better=False).points(1.0) == 0
    assert Headline("normals", "mean angle", "angle", "degrees", higher_is_better=False, pivot=30).points(20.0) == 10
