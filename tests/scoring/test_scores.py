import math

import pytest
import torch
from helpers.facts import CPU, tasks
from helpers.guesses import random_depths, random_labels
from helpers.tiny_split import tiny_split
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.scoring.scores import Scorer, Scores, score
from mtl_seg_depth.tasks.depth.meter import DEPTH_ERRORS
from mtl_seg_depth.tasks.task import Measured

NAN = math.nan


def batch():
    """Predictions and targets of six images."""
    (classes, labels), (metres, depth) = random_labels(images=6, side=8), random_depths(images=6, side=8)
    return {"semseg": classes, "depth": metres}, {"semseg": labels, "depth": depth}


def scored(sizes, *names, **options):
    prediction, targets = batch()
    scorer = Scorer(tasks(*names, **options), CPU)
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        scorer.update(*({task: values[part] for task, values in each.items()} for each in (prediction, targets)))
        start += size
    return scorer.compute()


def scores(**headlines):
    """Scores of which the headlines are known."""
    return Scores({task: Measured(value) for task, value in headlines.items()})


def test_running_sums_equal_one_big_batch():
    whole, parts = scored([6]), scored([1, 3, 2])
    assert torch.equal(whole.confusion.matrix, parts.confusion.matrix)
    assert whole.headlines["semseg"] == parts.headlines["semseg"]
    assert parts.measured["depth"].details == pytest.approx(whole.measured["depth"].details, rel=1e-12)


def test_all_numbers_have_a_name_of_their_own():
    found = scored([6])
    flat = found.flat("val")
    assert flat["val/multitask"] == headline.multitask({"semseg": flat["val/semseg"], "depth": flat["val/depth"]})
    assert flat["val/semseg"] == found.measured["semseg"].headline
    assert flat["val/depth"] == flat["val/depth_errors/si_log"] == found.measured["depth"].headline
    assert flat["val/iou/traffic light"] == found.measured["semseg"].details["iou/traffic light"]
    assert len(flat) == 3 + 19 + 2 + len(DEPTH_ERRORS)


@pytest.mark.parametrize("task", ["semseg", "depth"])
def test_one_task_alone_has_its_own_scores_and_no_others(task):
    alone, both = scored([6], task), scored([6])
    assert alone.headlines[task] == both.headlines[task]
    assert set(alone.headlines) == {"multitask", task}
    assert alone.headlines["multitask"] == headline.multitask({task: alone.headlines[task]})
    names = set(alone.flat("val"))
    assert names < set(both.flat("val"))
    assert ("val/semseg" in names) == (task == "semseg")
    assert ("val/depth" in names) == (task == "depth")
    assert (alone.confusion is None) == (task == "depth")


def test_the_rule_for_absent_classes_is_passed_on():
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    values = {}
    for absent in ("exclude", "zero"):
        scorer = Scorer(tasks("semseg", absent=absent), CPU)
        scorer.update({"semseg": labels}, {"semseg": labels})
        values[absent] = scorer.compute()
    assert values["exclude"].headlines["semseg"] == 100
    assert values["zero"].headlines["semseg"] == pytest.approx(100 / 19)
    assert "val/iou/sky" not in values["zero"].flat("val")


def test_more_is_measured_where_it_is_asked_for():
    prediction, targets = batch()
    names = []
    for detailed in (False, True):
        scorer = Scorer(tasks(), CPU, detailed)
        scorer.update(prediction, targets)
        names.append(set(scorer.compute().flat("val")))
    assert names[0] < names[1]
    assert all(name.startswith("val/by_distance/") for name in names[1] - names[0])


@given(st.floats(0, 50), st.floats(0, 50), st.floats(50, 200), st.floats(50, 200))
def test_at_the_floor_of_the_multitask_score_the_better_one_still_ranks_higher(worse, better, far, near):
    def rank(semseg, depth):
        return scores(semseg=semseg, depth=depth).rank

    worse, better, near, far = min(worse, better), max(worse, better), min(near, far), max(near, far)
    assert rank(better, near) >= rank(worse, far)
    assert rank(50.1, 200.0) > rank(49.9, 50.1)


def test_on_a_split_without_any_depth_the_best_is_chosen_by_the_classes():
    without = scores(semseg=60.0, depth=NAN)
    assert without.headlines["multitask"] == 10
    assert headline.WORST < scores(semseg=NAN, depth=NAN).rank < scores(semseg=20.0, depth=NAN).rank < without.rank
    assert "val/depth" not in without.flat("val")


@pytest.mark.parametrize(("task", "better", "worse"), [("semseg", 20.0, 19.0), ("depth", 80.0, 81.0)])
def test_a_network_of_one_task_is_ranked_by_it_where_the_multitask_score_is_at_its_floor(task, better, worse):
    assert scores(**{task: better}).rank > scores(**{task: worse}).rank > scores(**{task: NAN}).rank


def right_predictions(tiny):
    """Predicts every image of a split as it is."""
    seen = iter(ScoringBatches(tiny, batch_size=4, tasks=tasks(), device=CPU))
    return lambda image: next(seen).targets


def test_a_whole_split_is_predicted_and_compared():
    tiny = tiny_split()
    found = score(right_predictions(tiny), ScoringBatches(tiny, batch_size=4, tasks=tasks(), device=CPU), tasks())
    assert found.headlines == {"multitask": 100, "semseg": 100, "depth": 0}
    assert found.confusion.matrix.sum() == (tiny.targets["semseg"][:, :32, :64] != 255).sum()


def test_no_batch_at_all_is_an_error():
    with pytest.raises(ValueError, match="no batch to score"):
        score(lambda image: {}, [], tasks())
