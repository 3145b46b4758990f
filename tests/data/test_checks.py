"""A data set that is written wrongly is recognised in words, and one that is written rightly raises no alarm."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import miniatures, street_sets
from helpers.composing import compose
from helpers.lengths import only_long, quick_or_long
from helpers.street_sets import FORMATS, LABEL_IDS, RIGHT, Scene, Stored, along_rays, changed, paired_with_next, whole
from PIL import Image
from rich.console import Console

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.data.check import InspectionSettings, inspect, print_inspection
from mtl_seg_depth.data.checks import Verdict, examine
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.nodes import build

TRAIN_IDS = np.full(256, 255, np.uint8)
TRAIN_IDS[LABEL_IDS] = np.arange(19)

Scenes = Sequence[Scene]


def data_set(folder: Path, name: str, *overrides: str) -> DataSet:
    places = (f"data.root={folder}/data", f"data.cache={folder}/packed")
    chosen = {each.split("=")[0]: each for each in (f"data={name}", *places, *overrides)}
    settings = parse_as(InspectionSettings, compose(*chosen.values(), config="check_data"))
    data: DataSet = build("data", settings.data)
    return data


def written(folder: Path, name: str, drawn: Scenes, stored: Stored = RIGHT, *overrides: str) -> DataSet:
    return data_set(folder, name, *FORMATS[name](folder / "data", drawn, stored), *overrides)


def alarms(verdicts: Sequence[Verdict]) -> dict[str, str]:
    return {verdict.about: verdict.words for verdict in verdicts if verdict.mark == "look at this"}


@pytest.fixture(scope="module")
def drawn() -> Scenes:
    return street_sets.scenes()


@pytest.mark.parametrize(
    "name", quick_or_long("vkitti2", long=("cityscapes", "miniscapes", "synscapes", "urbansyn", "folder"))
)
def test_what_is_written_rightly_raises_no_alarm(tmp_path: Path, drawn: Scenes, name: str) -> None:
    verdicts = examine(written(tmp_path, name, drawn), progress=False)
    assert {verdict.mark for verdict in verdicts} == {"ok"}, alarms(verdicts)


@only_long
def test_depth_without_a_unit_has_no_scale_to_check(tmp_path: Path, drawn: Scenes) -> None:
    verdicts = {each.about: each for each in examine(written(tmp_path, "mtan_cityscapes", drawn), progress=False)}
    assert verdicts["depth scale"].mark == "not checked"
    assert "no unit" in verdicts["depth scale"].words
    assert not alarms(list(verdicts.values()))


def inverse_centimetres(depth: np.ndarray) -> np.ndarray:
    return whole(np.where(depth == 65535, 0, 6e6 / np.maximum(depth, 1.0)))


def next_class(labels: np.ndarray) -> np.ndarray:
    return LABEL_IDS[(TRAIN_IDS[labels] + 1) % 19]


Wrong = tuple[str, Callable[[Scenes], Scenes], Stored, tuple[str, ...], dict[str, str]]


def as_drawn(drawn: Scenes) -> Scenes:
    return drawn


WRONG: dict[str, Wrong] = {
    "inverse depth for metres": (
        *("vkitti2", as_drawn, Stored(depth=inverse_centimetres), ()),
        {"road depth": "depth looks like disparity (or inverse depth) read as metres: nearer pixels are larger"},
    ),
    "metres for disparity": (
        *("cityscapes", as_drawn, Stored(depth=lambda d: whole(np.where(d == 0, 0, 1e7 / np.maximum(d, 1)))), ()),
        {"road depth": "depth looks like metres read as disparity"},
    ),
    "centimetres for metres": (
        *("folder", as_drawn, RIGHT, ("data.depth_scale=1", "data.depth_max=80")),
        {"depth scale": "depth looks about 100 times too large (centimetres for metres?)"},
    ),
    "metres for centimetres": (
        *("folder", as_drawn, RIGHT, ("data.depth_scale=0.0001",)),
        {"depth scale": "depth looks about 100 times too small (metres for centimetres?)"},
    ),
    "train ids for label ids": (
        *("cityscapes", as_drawn, Stored(labels=lambda ids: TRAIN_IDS[ids]), ()),
        {"classes": "the labels look like train ids, read as label ids"},
    ),
    "label ids for train ids": (
        *("urbansyn", as_drawn, Stored(labels=lambda ids: LABEL_IDS[ids]), ()),
        {"classes": "the labels look like label ids, read as train ids"},
    ),
    "swapped channels": (
        *("vkitti2", lambda drawn: changed(drawn, rgb=lambda rgb: rgb[..., ::-1]), RIGHT, ()),
        {"colours": "red and blue are swapped"},
    ),
    "shifted by one class": (
        *("cityscapes", as_drawn, Stored(labels=next_class), ()),
        {"classes": "the labels look shifted: ids in the files are 1 too high"},
    ),
    "shifted pairs": (
        *("synscapes", paired_with_next, RIGHT, ()),
        {
            "images, labels": "labels belong to the image 1 place after in the order of names",
            "images, depth": "depth belongs to the image 1 place after in the order of names",
        },
    ),
    "distances along rays": (
        *("vkitti2", lambda drawn: [along_rays(scene) for scene in drawn], RIGHT, ()),
        {"planar depth": "depth looks like distance along the ray"},
    ),
    "another camera's baseline": (
        *("cityscapes", as_drawn, Stored(baseline=0.54 / 0.21), ()),
        {"depth scale": "times too large, or the camera is a wrong one"},
    ),
    "another image's focal length": (
        *("cityscapes", as_drawn, Stored(focal=0.5), ()),
        {"depth scale": "wrong camera: its focal length is"},
    ),
    "labels mirrored": (
        *("folder", lambda drawn: changed(drawn, labels=lambda labels: labels[:, ::-1]), RIGHT, ()),
        {"images, labels": "labels look mirrored, left for right"},
    ),
    "labels moved": (
        *("folder", lambda drawn: changed(drawn, labels=lambda labels: np.roll(labels, 6, 1)), RIGHT, ()),
        {"images, labels": "labels lie 6 right of the image"},
    ),
    "upside down": (
        "folder",
        lambda drawn: changed(drawn, **dict.fromkeys(("rgb", "labels", "depth"), np.flipud)),
        RIGHT,
        (),
        {"classes": "images and labels stand on their heads"},
    ),
    "a sky that is near": (
        *("synscapes", as_drawn, Stored(depth=lambda depth: np.where(depth == 1e4, 1.0, depth)), ()),
        {"depth of sky": "the sky is 1 m away"},
    ),
}
QUICK = (
    *("inverse depth for metres", "centimetres for metres", "train ids for label ids", "swapped channels"),
    *("shifted by one class", "shifted pairs", "distances along rays", "another camera's baseline"),
)


@pytest.mark.parametrize("mistake", quick_or_long(*QUICK, long=tuple(each for each in WRONG if each not in QUICK)))
def test_what_is_written_wrongly_is_recognised(tmp_path: Path, drawn: Scenes, mistake: str) -> None:
    name, change, stored, overrides, expected = WRONG[mistake]
    found = alarms(examine(written(tmp_path, name, change(drawn), stored, *overrides), progress=False))
    assert found.keys() == expected.keys(), found
    for about, words in expected.items():
        assert words in found[about]


def test_too_little_is_not_judged(tmp_path: Path, drawn: Scenes) -> None:
    few = examine(written(tmp_path / "few", "synscapes", drawn[:6]), progress=False)
    assert {verdict.mark for verdict in few} == {"not checked"}
    small = changed(drawn, **dict.fromkeys(("rgb", "labels", "depth"), lambda pixels: pixels[::4, ::4]))
    verdicts = examine(written(tmp_path / "small", "folder", small), progress=False)
    assert [verdict.words for verdict in verdicts] == ["images are smaller than 96 x 48 pixels"]


def room(random: np.random.Generator, height: int = 120, width: int = 160) -> tuple[np.ndarray, ...]:
    """An image, classes and metres of an empty room with a box in it, as a camera at chest height sees it."""
    down, across = np.mgrid[-0.375 : 0.375 : height * 1j, -0.5 : 0.5 : width * 1j] / 0.9
    far, side, camera, top = random.uniform(3, 5), random.uniform(1.2, 2.2), random.uniform(1.1, 1.5), 1.3
    with np.errstate(divide="ignore"):
        planes = np.stack([np.full(down.shape, far), camera / down, top / -down, side / across, side / -across])
    planes[planes <= 0] = np.inf
    labels = np.array([5, 2, 0, 5, 5])[planes.argmin(axis=0)]  # wall, floor, ceiling
    depth = planes.min(axis=0)
    left, up = random.integers(20, width - 60), random.integers(50, 80)
    labels[up : up + 30, left : left + 40], depth[up : up + 30, left : left + 40] = 3, 0.6 * far
    shades = random.integers(40, 220, (6, 3))
    rgb = np.clip(shades[labels] + random.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
    return rgb, labels.astype(np.float32), depth.astype(np.float32)


def test_rooms_raise_no_alarm(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for number in range(count):
            for kind, pixels in zip(("image", "label", "depth"), room(random), strict=True):
                stored = pixels / np.float32(255) if kind == "image" else pixels
                miniatures.save(tmp_path / f"data/{split}/{kind}/{number}.npy", stored)
    found = inspect(data_set(tmp_path, "mtan_nyuv2"), progress=False)
    assert not found.damaged
    marks = {verdict.about: verdict.mark for verdict in found.verdicts}
    assert not found.alarms
    assert marks["images, labels"] == marks["images, depth"] == "ok"
    assert marks["classes"] == marks["road depth"] == marks["colours"] == "not checked"


def listed(tmp_path: Path, drawn: Scenes, train: Sequence[str], val: Sequence[str]) -> DataSet:
    """Scenes 0 to 7 as drive a, others as drive b, divided by lists."""
    for number, scene in enumerate(drawn[:12]):
        place = f"{'ab'[number // 8]}/{number}"
        miniatures.save(tmp_path / f"data/photos/{place}.png", scene.rgb)
        miniatures.save(tmp_path / f"data/depth/{place}.png", whole(1000 * np.nan_to_num(scene.depth)))
    for split, names in (("train", train), ("val", val)):
        (tmp_path / f"data/{split}.txt").write_text("\n".join(names))
    return data_set(
        *(tmp_path, "folder", "data.masks=null", "data.splits={train: train.txt, val: val.txt}"),
        *("data.images='photos/{drive}/{name}.png'", "data.depths='depth/{drive}/{name}.png'"),
    )


def test_drives_and_images_that_splits_share_are_named(tmp_path: Path, drawn: Scenes) -> None:
    first, second = [f"a/{number}" for number in range(8)], [f"b/{number}" for number in range(8, 12)]
    assert not inspect(listed(tmp_path, drawn, first, second), progress=False).alarms
    found = alarms(inspect(listed(tmp_path, drawn, first[:6], [*first[6:], *second]), progress=False).verdicts)
    assert found == {"sequences": "train and val share 1 of their sequences: a"}
    blurred = Image.fromarray(drawn[9].rgb).resize((128, 64)).resize((256, 128))
    data = listed(tmp_path, drawn, first, second)
    for number, image in ((0, Image.fromarray(drawn[8].rgb)), (1, blurred)):
        image.save(tmp_path / f"data/photos/a/{number}.png")
    found = alarms(inspect(data, progress=False).verdicts)
    same, nearly = found["images in splits"].split("; ")
    assert found["images, depth"].startswith("the depth of 2 of 12 images fits another image better than their own")
    assert same.startswith("one image is the same in two splits") and "b/8.png and" in same and "a/0.png" in same
    assert nearly.startswith("one image is nearly the same in two splits") and "b/9.png and" in nearly


def test_a_verdict_fits_80_columns_and_damage_of_all_files_is_told_once(tmp_path: Path, drawn: Scenes) -> None:
    data = written(tmp_path, "urbansyn", drawn, Stored(labels=lambda ids: LABEL_IDS[ids]))
    found = inspect(data, progress=False)
    console = Console(file=io.StringIO(), width=80)
    print_inspection(console, found)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    table = text[text.index("what it means") :]
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "look at this" in table
    assert text.count("are these Cityscapes' label ids?") <= 8, "three of a split and no more"
    assert "were not read" in text
    assert "to paste: data.depth_mean=" in text


def test_colours_of_another_order_and_label_ids_are_named_in_the_message(tmp_path: Path) -> None:
    path = miniatures.save(tmp_path / "0.png", np.full((8, 8, 3), (3, 2, 1), np.uint8))
    with pytest.raises(DamagedFileError, match="with red and blue swapped they are"):
        LabelReader(((0x010203, 0),), colours=True)(path)
    path = miniatures.save(tmp_path / "1.png", np.full((8, 8), 255, np.uint8))
    with pytest.raises(DamagedFileError, match=r"are these Cityscapes' train ids\?"):
        LabelReader(tuple((each, 0) for each in range(-1, 34)))(path)


def test_some_images_of_each_split_can_be_enough(tmp_path: Path, drawn: Scenes) -> None:
    data = written(tmp_path, "folder", drawn)
    found = inspect(data, images=2, progress=False)
    assert [split.sizes.total() for split in found.splits.values()] == [6, 6, 6]
    assert [split.images for split in found.splits.values()] == [10, 4, 2]
