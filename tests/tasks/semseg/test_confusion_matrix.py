import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.facts import CPU
from helpers.guesses import random_labels
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.semseg.confusion_matrix import ConfusionMatrix

NAN = math.nan


def confusion(prediction, labels, absent="exclude"):
    matrix = ConfusionMatrix(CITYSCAPES, CPU, absent)
    matrix.update(prediction, labels)
    return matrix


def test_confusion_and_iou_agree_with_torchmetrics():
    prediction, labels = random_labels()
    ours = confusion(prediction, labels)
    theirs = MulticlassConfusionMatrix(19, ignore_index=255)(prediction, labels)
    assert torch.equal(ours.matrix, theirs)
    assert torch.equal(ours.matrix.sum(dim=1), torch.bincount(labels.flatten(), minlength=19)[:19])  # rows: labels
    iou = MulticlassJaccardIndex(19, ignore_index=255, average=None)(prediction, labels)
    torch.testing.assert_close(ours.iou().float(), iou, rtol=1e-6, atol=1e-6)
    mean = MulticlassJaccardIndex(19, ignore_index=255, average="macro")(prediction, labels).item()
    assert ours.mean_iou() == pytest.approx(100 * mean, rel=1e-6)


def test_confusion_and_iou_agree_with_scikit_learn():
    prediction, labels = random_labels(seed=1)
    ours = confusion(prediction, labels)
    counted = labels.flatten() != 255
    y_true, y_pred = labels.flatten()[counted].numpy(), prediction.flatten()[counted].numpy()
    np.testing.assert_array_equal(ours.matrix, confusion_matrix(y_true, y_pred, labels=range(19)))
    np.testing.assert_allclose(ours.iou(), jaccard_score(y_true, y_pred, average=None), rtol=1e-12)
    assert ours.mean_iou() == pytest.approx(100 * jaccard_score(y_true, y_pred, average="macro"), rel=1e-12)


def test_pixel_accuracy_leaves_out_ignored_pixels_and_agrees_with_scikit_learn():
    prediction, labels = random_labels(seed=2)
    counted = labels.flatten() != 255
    assert not counted.all()
    expected = accuracy_score(labels.flatten()[counted], prediction.flatten()[counted])
    assert confusion(prediction, labels).compute().details["pixel_accuracy"] == pytest.approx(100 * expected)
    nothing = torch.full((1, 2, 2), 255)
    assert math.isnan(confusion(torch.zeros_like(nothing), nothing).accuracy())


def test_by_hand():
    labels = torch.tensor([[[0, 0, 0, 1], [1, 18, 255, 255]]])
    prediction = torch.tensor([[[0, 0, 1, 1], [1, 18, 18, 0]]])
    ours = confusion(prediction, labels)
    expected = torch.full((19,), NAN, dtype=torch.float64)
    expected[0], expected[1], expected[18] = 2 / 3, 2 / 3, 1
    torch.testing.assert_close(ours.iou(), expected, equal_nan=True)
    assert ours.mean_iou() == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 3)
    assert confusion(prediction, labels, absent="zero").mean_iou() == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 19)


def test_a_class_that_is_only_predicted_or_only_labelled_counts_as_zero_in_both_rules():
    prediction, labels = torch.tensor([[[0, 0, 5]]]), torch.tensor([[[0, 7, 0]]])
    ours = confusion(prediction, labels)
    assert ours.iou()[[5, 7]].tolist() == [0, 0]
    assert ours.mean_iou() == pytest.approx(100 * (1 / 3) / 3)
    assert confusion(prediction, labels, absent="zero").mean_iou() == pytest.approx(100 * (1 / 3) / 19)


def test_images_that_are_ignored_altogether_change_nothing():
    prediction, labels = random_labels()
    with_more = ConfusionMatrix(CITYSCAPES, CPU)
    with_more.update(prediction, labels)
    with_more.update(prediction, torch.full_like(labels, 255))
    assert torch.equal(with_more.matrix, confusion(prediction, labels).matrix)


def test_every_label_from_19_up_is_ignored():
    labels = torch.arange(256).view(1, 16, 16)
    assert confusion(torch.full_like(labels, 18), labels).matrix.sum() == 19


def test_with_nothing_but_ignored_pixels_there_is_no_score():
    for absent in ("exclude", "zero"):
        ours = confusion(torch.zeros(1, 2, 2, dtype=torch.int64), torch.full((1, 2, 2), 255), absent)
        assert ours.iou().isnan().all()
        assert math.isnan(ours.mean_iou())
        assert not ours.compute().broken


def test_it_is_one_matrix_of_the_whole_split_and_not_a_mean_over_images():
    sums = ConfusionMatrix(CITYSCAPES, CPU)
    sums.update(torch.tensor([[[0, 0, 0, 0]]]), torch.tensor([[[0, 0, 0, 1]]]))
    sums.update(torch.tensor([[[1, 1]]]), torch.tensor([[[1, 0]]]))
    assert sums.mean_iou() == pytest.approx(100 * (3 / 5 + 1 / 3) / 2)


def test_other_classes_have_a_matrix_of_their_size_and_their_names():
    classes = Classes(("grass", "rock", "snow"), ((0, 255, 0), (99, 99, 99), (255, 255, 255)), ignore_index=3)
    matrix = ConfusionMatrix(classes, CPU)
    matrix.update(torch.tensor([[[0, 1, 2, 2, 1]]]), torch.tensor([[[0, 1, 1, 2, 3]]]))
    measured = matrix.compute()
    assert measured.confusion.matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert measured.confusion.names == classes.names
    assert measured.details == pytest.approx(
        {"iou/grass": 100, "iou/rock": 50, "iou/snow": 50, "pixel_accuracy": 75, "mean_class_accuracy": 250 / 3}
    )
    assert measured.headline == pytest.approx(200 / 3)


def test_mean_iou_is_that_of_the_cityscapes_projects_own_scorer(tmp_path: Path) -> None:
    scorer = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    from cityscapesscripts.helpers.labels import trainId2label

    def to_ids(train_ids: np.ndarray) -> np.ndarray:
        table = np.zeros(256, np.uint8)  # ignored pixels become "unlabeled"
        for train_id in range(19):
            table[train_id] = trainId2label[train_id].id
        return table[train_ids]

    generator = np.random.default_rng(0)
    matrix = ConfusionMatrix(CITYSCAPES, CPU)
    files: dict[str, list[str]] = {"truth": [], "predicted": []}
    for number in range(3):
        labels = generator.integers(0, 19, (37, 53)).astype(np.uint8)
        labels[labels == 17] = 255  # one class is nowhere
        predicted = np.where(generator.random(labels.shape) < 0.6, labels, generator.integers(0, 17, labels.shape))
        predicted = np.where(predicted == 255, 3, predicted).astype(np.uint8)
        matrix.update(torch.from_numpy(predicted)[None].long(), torch.from_numpy(labels)[None].long())
        for kind, pixels in (("truth", labels), ("predicted", predicted)):
            path = tmp_path / f"{kind}_{number}.png"
            Image.fromarray(to_ids(pixels)).save(path)
            files[kind].append(str(path))
    arguments = scorer.args
    arguments.evalInstLevelScore, arguments.quiet, arguments.JSONOutput = False, True, False
    theirs = scorer.evaluateImgLists(files["predicted"], files["truth"], arguments)
    assert matrix.mean_iou() / 100 == pytest.approx(theirs["averageScoreClasses"], abs=1e-6)
    ours = matrix.iou().tolist()
    for train_id in range(19):
        score = theirs["classScores"][trainId2label[train_id].name]
        assert ours[train_id] == pytest.approx(score, abs=1e-6, nan_ok=True)
