"""What a run's folder has to look at when its training is over."""

import csv
import math
from pathlib import Path

import pytest
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet
from PIL import Image, ImageDraw

from mtl_seg_depth.drawing.curves import curves
from mtl_seg_depth.drawing.legend import font
from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.runs.run import run

STEPS = range(10, 110, 10)


def reddish(image: Image.Image) -> int:
    """Pixels of any colour: all but the axes are lines."""
    return sum(count for count, colour in image.getcolors(1 << 20) or () if max(colour) - min(colour) > 60)


def test_a_finished_training_has_its_curves_its_first_batch_and_its_numbers_as_a_table(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 2, "test": 1}, height=40, width=72)
    result = run(tiny(tmp_path, "tracking.log_every=1"), quiet())
    with Image.open(result.folder / "artifacts" / "curves.png") as drawn:
        assert reddish(drawn.convert("RGB")) > 500
    with Image.open(result.folder / "artifacts" / "batch.png") as batch:
        assert batch.width > 3 * 200  # image, labels, depth
    with (result.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    points = list(read_points(result.folder / "metrics.jsonl"))
    assert [int(row["step"]) for row in rows] == sorted({point.step for point in points})
    for point in points:
        row = next(row for row in rows if int(row["step"]) == point.step)
        assert all(float(row[name]) == value or math.isnan(value) for name, value in point.metrics.items())


def test_curves_stand_in_their_axes_whatever_is_in_the_record() -> None:
    flat = {"train/loss/depth": [(step, 2.0) for step in STEPS], "val/semseg": [(100, 30.0)]}
    broken = {"train/loss/depth": [(step, math.nan) for step in STEPS], "val/depth": [(50, math.inf)]}
    wild = {"train/loss/depth": [(step, (-1) ** step * 10.0 ** (step - 9)) for step in range(30)]}
    for points in (flat, broken, wild, {}):
        image = curves(points, best_step=100 if points else None)
        assert image.width > 500
        drawn = bool(points) and points is not broken
        assert (reddish(image) > 0) == drawn


def test_the_font_has_every_character_of_the_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda draw, place, text, *_, **__: written.append(text))
    names = ("train/loss/depth", "train/learning_rate", "val/multitask", "val/semseg", "val/depth")
    curves({name: [(step, 1.0 + step) for step in STEPS] for name in names}, best_step=50)
    assert any("higher is better" in text for text in written)
    assert any("lower is better" in text for text in written)
    missing = bytes(font(15).getmask("\uffff"))
    assert [letter for letter in set("".join(written)) - {" "} if bytes(font(15).getmask(letter)) == missing] == []
