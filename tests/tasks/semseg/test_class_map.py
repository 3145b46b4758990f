"""Maps between label spaces: every one that is here, how they score, and what is wrong with one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.facts import CPU
from sklearn.metrics import accuracy_score, balanced_accuracy_score, jaccard_score

from mtl_seg_depth.data.cityscapes_classes import CATEGORIES, CITYSCAPES
from mtl_seg_depth.data.nyuv2 import NYU13
from mtl_seg_depth.data.vkitti2 import CLASSES as VKITTI2
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.semseg.class_map import MAPS, Mapped, between, fitting
from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.semseg.task import Semseg

CAMVID = Classes(
    ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"),
    tuple((i, i, i) for i in range(11)),
)
SPACES = {"cityscapes": CITYSCAPES, "categories": CATEGORIES, "vkitti2": VKITTI2, "camvid": CAMVID}
PAIRS = [(one, other) for one in SPACES for other in SPACES]


def mapped(network: Classes, data: Classes, name: str) -> Mapped:
    return between(name, network, data)


@pytest.mark.parametrize(("network", "data"), PAIRS)
def test_every_two_label_spaces_have_a_map_and_every_class_has_its_place(network: str, data: str) -> None:
    names = fitting(SPACES[network], SPACES[data])
    assert "categories" in names
    for name in names:
        found = mapped(SPACES[network], SPACES[data], name)
        assert tuple(found.predictions) == SPACES[network].names
        assert tuple(found.labels) == SPACES[data].names
        for table in (found.predictions, found.labels):
            assert set(table.values()) - {None} == set(found.classes.names), "both have every class that is scored"


def test_which_maps_fit_is_known() -> None:
    assert fitting(CITYSCAPES, VKITTI2) == ["camvid", "categories", "vkitti2"]
    assert fitting(CAMVID, VKITTI2) == ["camvid", "categories"]
    assert fitting(CITYSCAPES, NYU13) == []
    assert sorted(path.stem for path in MAPS.iterdir()) == ["camvid", "categories", "vkitti2"]


def test_the_categories_are_those_of_the_cityscapes_benchmark() -> None:
    from cityscapesscripts.helpers.labels import trainId2label

    table = mapped(CITYSCAPES, CATEGORIES, "categories").predictions
    assert list(table.values()) == [trainId2label[train_id].category for train_id in range(19)]


def test_a_turned_order_of_classes_is_the_same_map() -> None:
    order = np.random.default_rng(0).permutation(19)
    turned = Classes(tuple(CITYSCAPES.names[i] for i in order), tuple(CITYSCAPES.colours[i] for i in order))
    one, other = mapped(CITYSCAPES, VKITTI2, "vkitti2"), mapped(turned, VKITTI2, "vkitti2")
    assert [one.predicted_ids[i] for i in order] == list(other.predicted_ids[:19])


@pytest.mark.parametrize(
    ("network", "data", "name"),
    [
        ("cityscapes", "vkitti2", "vkitti2"),
        ("vkitti2", "cityscapes", "vkitti2"),
        ("camvid", "cityscapes", "categories"),
        ("cityscapes", "cityscapes", "categories"),
    ],
)
def test_scores_are_those_of_scikit_learn_on_names(network: str, data: str, name: str) -> None:
    random = np.random.default_rng(1)
    predicted = random.integers(0, len(SPACES[network]), (3, 20, 30))
    labels = np.where(random.random((3, 20, 30)) < 0.2, 255, random.integers(0, len(SPACES[data]), (3, 20, 30)))
    found = mapped(SPACES[network], SPACES[data], name)
    task = Semseg(found.classes, mapped=found)
    meter = task.meter(CPU)
    meter.update(torch.from_numpy(predicted), task.target(torch.from_numpy(labels)))
    ours = meter.compute()

    seen = np.array([found.predictions[each] or "nothing" for each in SPACES[network].names])[predicted]
    true = np.array([found.labels[each] or "ignored" for each in SPACES[data].names])[
        np.where(labels == 255, 0, labels)
    ]
    counted = (labels != 255) & (true != "ignored")
    y_true, y_pred, names = true[counted], seen[counted], list(found.classes.names)
    iou = jaccard_score(y_true, y_pred, labels=names, average=None)
    assert ours.headline == pytest.approx(100 * iou.mean())
    assert [ours.details[f"iou/{each}"] for each in names] == pytest.approx(list(100 * iou))
    assert ours.details["pixel_accuracy"] == pytest.approx(100 * accuracy_score(y_true, y_pred))
    recalls = [np.mean(y_pred[y_true == each] == each) for each in names]
    assert ours.details["mean_class_accuracy"] == pytest.approx(100 * np.mean(recalls))
    if "nothing" not in y_pred:
        assert ours.details["mean_class_accuracy"] == pytest.approx(100 * balanced_accuracy_score(y_true, y_pred))
    assert not ours.broken


def test_by_hand_what_has_no_counterpart_is_ignored_as_a_label_and_wrong_as_a_prediction() -> None:
    found = mapped(CITYSCAPES, VKITTI2, "vkitti2")
    task = Semseg(found.classes, mapped=found)
    rows = [  # predicted, labelled
        ("car", "van"),  # right: both are cars
        ("vegetation", "tree"),  # right
        ("sidewalk", "road"),  # wrong: there are no sidewalks
        ("road", "misc"),  # ignored
        ("fence", "guard rail"),  # ignored
        ("road", "road"),  # right
    ]
    predicted = torch.tensor([[[CITYSCAPES.names.index(each) for each, _ in rows]]])
    labels = torch.tensor([[[VKITTI2.names.index(each) for _, each in rows]]])
    meter = task.meter(CPU)
    meter.update(predicted, task.target(labels))
    found_scores = meter.compute().details
    assert found_scores["iou/car"] == found_scores["iou/vegetation"] == 100
    assert found_scores["iou/road"] == 50
    assert found_scores["pixel_accuracy"] == 75
    assert found_scores["mean_class_accuracy"] == pytest.approx(250 / 3)


def test_a_class_that_the_data_lack_is_no_class_of_the_comparison() -> None:
    assert "human" not in mapped(CITYSCAPES, VKITTI2, "categories").classes.names
    assert mapped(CITYSCAPES, VKITTI2, "categories").predictions["person"] is None


GOOD = """\
classes: {soft: [1, 2, 3], hard: [4, 5, 6]}
tables:
  mine: {grass: soft, rock: hard, snow: null}
  theirs: {moss: soft, stone: hard}
"""
MINE = Classes(("grass", "rock", "snow"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
THEIRS = Classes(("moss", "stone"), ((0, 0, 0), (1, 1, 1)))


def test_a_map_of_ones_own_is_a_file_and_its_scores_are_called_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "ground.yaml"
    path.write_text(GOOD)
    found = between(str(path), MINE, THEIRS)
    assert found.classes.names == ("soft", "hard")
    assert found.predictions == {"grass": "soft", "rock": "hard", "snow": None}
    assert found.classes.colours == ((1, 2, 3), (4, 5, 6))
    path.write_text(GOOD.replace("snow: null", "snow: soft"))
    other = between(str(path), MINE, THEIRS)
    assert found.name.startswith("ground_")
    assert other.name.startswith("ground_")
    assert found.name != other.name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rock: hard", "rock: hrad", r"ground.yaml: mine.rock is hrad, .*did you mean hard\?"),
        (", snow: null", "", "no table of the network's classes; the table of mine lacks snow"),
        (
            "stone: hard",
            "stone: hard, dust: null",
            "of the data's classes; the table of theirs has dust, which are none",
        ),
        ("  theirs: {moss: soft, stone: hard}\n", "", "ground.yaml: tables: .*at least 2"),
        ("[1, 2, 3]", "[1, 2, 300]", "ground.yaml: classes.soft.2: .*255"),
        ("tables:", "table:", "ground.yaml: tables: Field required"),
        ("tables:", "tables: [", "ground.yaml: is no YAML"),
        ("stone: hard", "stone: soft", "network and data have 1 classes in common"),
        ("snow: null", "Grass: null", "ground.yaml: mine has a class twice"),
    ],
)
def test_a_map_that_is_not_whole_is_a_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "ground.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError, match=message):
        between(str(path), MINE, THEIRS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vkiti2", r"no map is called so; did you mean vkitti2\?"),
        ("nowhere.yaml", "there are camvid, categories, vkitti2"),
    ],
)
def test_a_name_that_is_none_is_a_message(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        between(name, CITYSCAPES, VKITTI2)


def test_classes_that_no_table_has_are_told_which_tables_there_are() -> None:
    with pytest.raises(UserError, match="no table of the data's classes; its tables are of cityscapes, categories"):
        between("categories", CITYSCAPES, THEIRS)
