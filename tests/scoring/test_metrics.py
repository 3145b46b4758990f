import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from mtl_seg_depth.scoring.metrics import (
    DEPTH_ERRORS,
    ConfusionMatrix,
    DepthErrors,
    Scorer,
    Scores,
    mean_iou,
    multitask_score,
)

CPU = torch.device("cpu")
NAN = math.nan


def random_labels(images=3, side=40, ignored=0.2, seed=0):
    """Labels with ignored pixels, and predictions that are right three times out of four."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(19, (images, side, side), generator=generator)
    guess = torch.randint(19, labels.shape, generator=generator)
    prediction = torch.where(torch.rand(labels.shape, generator=generator) < 0.75, labels, guess)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return prediction, labels


def random_depths(images=4, side=30, invalid=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (images, side, side)
    depth = 4 + 296 * torch.rand(shape, generator=generator) ** 2
    prediction = (depth * torch.exp(0.3 * torch.randn(shape, generator=generator))).clamp(4, 300)
    depth[torch.rand(shape, generator=generator) < invalid] = NAN
    return prediction, depth


def confusion(prediction, labels):
    matrix = ConfusionMatrix(CPU)
    matrix.update(prediction, labels)
    return matrix


def errors(prediction, depth):
    sums = DepthErrors(CPU)
    sums.update(prediction, depth)
    return sums.compute()


class TestSegmentation:
    def test_confusion_and_iou_agree_with_torchmetrics(self):
        prediction, labels = random_labels()
        ours = confusion(prediction, labels)
        theirs = MulticlassConfusionMatrix(19, ignore_index=255)(prediction, labels)
        assert torch.equal(ours.matrix, theirs)
        assert torch.equal(ours.matrix.sum(dim=1), torch.bincount(labels.flatten(), minlength=19)[:19])  # rows: labels
        iou = MulticlassJaccardIndex(19, ignore_index=255, average=None)(prediction, labels)
        torch.testing.assert_close(ours.iou().float(), iou, rtol=1e-6, atol=1e-6)
        mean = MulticlassJaccardIndex(19, ignore_index=255, average="macro")(prediction, labels).item()
        assert mean_iou(ours.iou()) == pytest.approx(100 * mean, rel=1e-6)

    def test_confusion_and_iou_agree_with_scikit_learn(self):
        prediction, labels = random_labels(seed=1)
        ours = confusion(prediction, labels)
        counted = labels.flatten() != 255
        y_true, y_pred = labels.flatten()[counted].numpy(), prediction.flatten()[counted].numpy()
        np.testing.assert_array_equal(ours.matrix, confusion_matrix(y_true, y_pred, labels=range(19)))
        np.testing.assert_allclose(ours.iou(), jaccard_score(y_true, y_pred, average=None), rtol=1e-12)
        assert mean_iou(ours.iou()) == pytest.approx(100 * jaccard_score(y_true, y_pred, average="macro"), rel=1e-12)

    def test_by_hand(self):
        labels = torch.tensor([[[0, 0, 0, 1], [1, 18, 255, 255]]])
        prediction = torch.tensor([[[0, 0, 1, 1], [1, 18, 18, 0]]])
        iou = confusion(prediction, labels).iou()
        expected = torch.full((19,), NAN, dtype=torch.float64)
        expected[0], expected[1], expected[18] = 2 / 3, 2 / 3, 1
        torch.testing.assert_close(iou, expected, equal_nan=True)
        assert mean_iou(iou) == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 3)
        assert mean_iou(iou, absent="zero") == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 19)

    def test_a_class_that_is_only_predicted_or_only_labelled_counts_as_zero_in_both_rules(self):
        iou = confusion(torch.tensor([[[0, 0, 5]]]), torch.tensor([[[0, 7, 0]]])).iou()
        assert iou[[5, 7]].tolist() == [0, 0]
        assert mean_iou(iou) == pytest.approx(100 * (1 / 3) / 3)

    def test_images_that_are_ignored_altogether_change_nothing(self):
        prediction, labels = random_labels()
        with_more = ConfusionMatrix(CPU)
        with_more.update(prediction, labels)
        with_more.update(prediction, torch.full_like(labels, 255))
        assert torch.equal(with_more.matrix, confusion(prediction, labels).matrix)

    def test_every_label_from_19_up_is_ignored(self):
        labels = torch.arange(256).view(1, 16, 16)
        assert confusion(torch.full_like(labels, 18), labels).matrix.sum() == 19

    def test_with_nothing_but_ignored_pixels_the_score_is_zero(self):
        iou = confusion(torch.zeros(1, 2, 2, dtype=torch.int64), torch.full((1, 2, 2), 255)).iou()
        assert iou.isnan().all()
        assert mean_iou(iou) == mean_iou(iou, absent="zero") == 0

    def test_it_is_one_matrix_of_the_whole_split_and_not_a_mean_over_images(self):
        sums = ConfusionMatrix(CPU)
        sums.update(torch.tensor([[[0, 0, 0, 0]]]), torch.tensor([[[0, 0, 0, 1]]]))
        sums.update(torch.tensor([[[1, 1]]]), torch.tensor([[[1, 0]]]))
        assert mean_iou(sums.iou()) == pytest.approx(100 * (3 / 5 + 1 / 3) / 2)


def reference(prediction, depth):
    """One image's errors in plain float64, from the definitions of the KITTI and Eigen benchmarks."""
    p, t = prediction.astype(np.float64), depth.astype(np.float64)
    p, t = p[~np.isnan(t)], t[~np.isnan(t)]
    d = np.log(np.maximum(t, 0.01)) - np.log(np.maximum(p, 0.01))
    ratio = np.maximum(p / t, t / p)
    return {
        "si_log": 100 * np.sqrt(np.mean(d**2) - np.mean(d) ** 2),
        "mae": np.mean(np.abs(p - t)),
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "log_mae": np.mean(np.abs(d)),
        "log_rmse": np.sqrt(np.mean(d**2)),
        "inverse_mae": np.mean(np.abs(1 / t - 1 / p)),
        "inverse_rmse": np.sqrt(np.mean((1 / t - 1 / p) ** 2)),
        "delta1": np.mean(ratio < 1.25),
        "delta2": np.mean(ratio < 1.25**2),
        "delta3": np.mean(ratio < 1.25**3),
    }


class TestDepth:
    def test_every_error_agrees_with_a_float64_reference_image_by_image(self):
        prediction, depth = random_depths()
        each = [reference(p, t) for p, t in zip(prediction.numpy(), depth.numpy(), strict=True)]
        ours = errors(prediction, depth)
        assert tuple(ours) == tuple(each[0]) == DEPTH_ERRORS
        for name, value in ours.items():
            assert value == pytest.approx(np.mean([one[name] for one in each]), rel=1e-6), name

    def test_by_hand(self):
        depth = torch.tensor([[[10.0, 20.0, NAN]], [[40.0, NAN, NAN]]])
        prediction = torch.tensor([[[20.0, 20.0, 7.0]], [[36.0, 7.0, 7.0]]])
        ours, ln2, ln9 = errors(prediction, depth), math.log(2), math.log(40 / 36)
        expected = {
            "si_log": 100 * (ln2 / 2 + 0) / 2,
            "mae": (5 + 4) / 2,
            "rmse": (math.sqrt(50) + 4) / 2,
            "abs_rel": (0.5 + 0.1) / 2,
            "sq_rel": (5 + 0.4) / 2,
            "log_mae": (ln2 / 2 + ln9) / 2,
            "log_rmse": (ln2 / math.sqrt(2) + ln9) / 2,
            "inverse_mae": (0.025 + 1 / 36 - 1 / 40) / 2,
            "inverse_rmse": (0.05 / math.sqrt(2) + 1 / 36 - 1 / 40) / 2,
            "delta1": (0.5 + 1) / 2,
            "delta2": (0.5 + 1) / 2,
            "delta3": (0.5 + 1) / 2,
        }
        assert ours == pytest.approx(expected, rel=1e-6, abs=1e-5)

    @pytest.mark.parametrize(
        ("factor", "within"),
        [
            (1.24, (1, 1, 1)),
            (1.26, (0, 1, 1)),
            (1.57, (0, 0, 1)),
            (1.96, (0, 0, 0)),
            (1 / 1.24, (1, 1, 1)),
            (1 / 1.26, (0, 1, 1)),
        ],
    )
    def test_delta_thresholds_by_hand(self, factor, within):
        ours = errors(torch.full((1, 1, 1), 50 * factor), torch.full((1, 1, 1), 50.0))
        assert (ours["delta1"], ours["delta2"], ours["delta3"]) == within

    def test_images_without_a_valid_pixel_are_left_out(self):
        prediction, depth = random_depths()
        more = torch.cat([depth, torch.full_like(depth[:2], NAN)])
        assert errors(torch.cat([prediction, prediction[:2]]), more) == errors(prediction, depth)

    def test_with_no_valid_pixel_at_all_the_errors_are_nan(self):
        assert all(math.isnan(value) for value in errors(torch.ones(1, 2, 2), torch.full((1, 2, 2), NAN)).values())

    def test_what_is_predicted_where_there_is_no_depth_does_not_matter(self):
        prediction, depth = random_depths()
        for wild in (NAN, math.inf, 0.0, -1.0):
            assert errors(prediction.where(~depth.isnan(), wild), depth) == errors(prediction, depth)

    @pytest.mark.parametrize("scale", [0.01, 0.5, 1.1, 3.0])
    def test_si_log_forgives_a_scale(self, scale):
        prediction, depth = random_depths()
        once, scaled = errors(prediction, depth), errors(prediction * scale, depth)
        assert scaled["si_log"] == pytest.approx(once["si_log"], rel=1e-5)
        assert scaled["log_rmse"] != pytest.approx(once["log_rmse"], rel=1e-3)

    @pytest.mark.parametrize("scale", [3.0, 20.0])
    def test_si_log_is_exact_where_the_scale_is_far_off_and_the_rest_nearly_right(self, scale):
        prediction, depth = random_depths(images=1, side=10)
        prediction = depth.nan_to_num(5) * scale * torch.linspace(0.999, 1.001, 100).view(1, 10, 10)
        expected = reference(prediction[0].numpy(), depth[0].numpy())["si_log"]
        assert errors(prediction, depth)["si_log"] == pytest.approx(expected, rel=2e-4)

    def test_a_perfect_prediction_has_no_error(self):
        _, depth = random_depths()
        ours = errors(depth.nan_to_num(5), depth)
        assert all(ours[name] == (1 if name.startswith("delta") else 0) for name in DEPTH_ERRORS)

    def test_predictions_below_one_centimetre_count_as_one_centimetre_in_logarithms_and_quotients(self):
        ours = errors(torch.tensor([[[0.0]], [[-3.0]]]), torch.tensor([[[1.0]], [[1.0]]]))
        assert ours["log_mae"] == pytest.approx(math.log(100), rel=1e-6)
        assert ours["inverse_mae"] == pytest.approx(99, rel=1e-6)
        assert ours["mae"] == pytest.approx((1 + 4) / 2)

    def test_bfloat16_predictions_are_scored_in_float32(self):
        prediction, depth = random_depths()
        assert errors(prediction.bfloat16(), depth) == errors(prediction.bfloat16().float(), depth)


class TestScores:
    def batch(self):
        (classes, labels), (metres, depth) = random_labels(images=6, side=8), random_depths(images=6, side=8)
        return {"semseg": classes, "depth": metres}, labels, depth

    def score(self, sizes, tasks=("semseg", "depth"), **options):
        prediction, labels, depth = self.batch()
        scorer = Scorer(tasks, CPU, **options)
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            scorer.update({task: values[part] for task, values in prediction.items()}, labels[part], depth[part])
            start += size
        return scorer.compute()

    def test_running_sums_equal_one_big_batch(self):
        whole, parts = self.score([6]), self.score([1, 3, 2])
        assert torch.equal(whole.confusion, parts.confusion)
        assert whole.semseg == parts.semseg
        assert parts.depth_errors == pytest.approx(whole.depth_errors, rel=1e-12)

    def test_all_numbers_have_a_name_of_their_own(self):
        scores = self.score([6])
        flat = scores.flat("val")
        assert flat["val/multitask"] == multitask_score(scores.semseg, scores.depth)
        assert flat["val/semseg"] == mean_iou(confusion(self.batch()[0]["semseg"], self.batch()[1]).iou())
        assert flat["val/depth"] == flat["val/depth_errors/si_log"]
        assert flat["val/iou/traffic light"] == scores.iou["traffic light"]
        assert len(flat) == 3 + 19 + len(DEPTH_ERRORS)

    @pytest.mark.parametrize("task", ["semseg", "depth"])
    def test_one_task_alone_has_its_own_scores_and_no_others(self, task):
        scores = self.score([6], tasks=(task,))
        both = self.score([6])
        assert getattr(scores, task) == getattr(both, task)
        assert scores.multitask == multitask_score(scores.semseg, scores.depth)
        names = set(scores.flat("val"))
        assert names < set(both.flat("val"))
        assert ("val/semseg" in names) == (task == "semseg")
        assert ("val/depth" in names) == (task == "depth")

    def test_the_rule_for_absent_classes_is_passed_on(self):
        labels = torch.zeros(1, 2, 2, dtype=torch.int64)
        values = {}
        for absent in ("exclude", "zero"):
            scorer = Scorer(("semseg",), CPU, absent)
            scorer.update({"semseg": labels}, labels, torch.full((1, 2, 2), NAN))
            values[absent] = scorer.compute()
        assert values["exclude"].semseg == 100
        assert values["zero"].semseg == pytest.approx(100 / 19)
        assert "val/iou/sky" not in values["zero"].flat("val")

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
        ],
    )
    def test_multitask_scores_of_the_report(self, semseg, depth, expected):
        assert multitask_score(semseg, depth) == pytest.approx(expected, abs=1e-3 + 1e-9)

    def test_a_missing_task_adds_nothing(self):
        assert multitask_score(80.0, None) == 30
        assert multitask_score(None, 20.0) == 30
        assert multitask_score(None, None) == 0

    @given(st.floats(0, 50), st.floats(0, 50), st.floats(50, 200), st.floats(50, 200))
    def test_at_the_floor_of_the_multitask_score_the_better_one_still_ranks_higher(self, worse, better, far, near):
        def rank(semseg, depth):
            return Scores(semseg, depth, {}, {}, None).rank

        worse, better, near, far = min(worse, better), max(worse, better), min(near, far), max(near, far)
        assert rank(better, near) >= rank(worse, far)
        assert rank(50.1, 200.0) > rank(49.9, 50.1)


def test_a_split_without_any_depth_still_has_a_best_and_ranks_behind_one_with() -> None:
    without = Scores(semseg=60.0, depth=math.nan, iou={}, depth_errors={}, confusion=None)
    assert without.multitask == 10
    assert (-math.inf, -math.inf) < without.rank < replace(without, depth=60.0).rank
