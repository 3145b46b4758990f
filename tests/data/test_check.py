import io
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import compose
from helpers.facts import STATISTICS, encode_depth
from helpers.tiny_data import miniscapes, write_tiny_miniscapes
from PIL import Image
from rich.console import Console

from mtl_seg_depth.commands.check_data import check_data
from mtl_seg_depth.data.check import Inspection, inspect, print_inspection
from mtl_seg_depth.drawing.data_sheet import draw_sheet
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthStatistics


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_miniscapes(tmp_path / "data")


def inspected(root: Path, workers: int | None = None) -> Inspection:
    return inspect(miniscapes(root, workers=workers), progress=False)


def printed(root: Path, expected: DepthStatistics = STATISTICS) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_inspection(console, inspect(miniscapes(root, statistics=expected), progress=False))
    return console.file.getvalue()


def check(root: Path, *overrides: str) -> int:
    """The exit code of `check_data.py`."""
    places = (f"data.root={root}", f"data.cache={root.parent}/cache")
    return check_data(compose("data=miniscapes", *places, *overrides, config="check_data"))


def test_statistics_are_those_of_all_pixels_together(root: Path) -> None:
    train = inspected(root, workers=2).splits["train"]
    labels = np.stack([np.asarray(Image.open(path)) for path in (root / "train" / "semseg").iterdir()])
    codes = np.stack([np.asarray(Image.open(path)) for path in (root / "train" / "depth").iterdir()])
    assert train.images == 3
    assert train.sizes == {(64, 32): 9}
    assert train.counts["semseg"].tolist() == [int((labels == value).sum()) for value in range(256)]
    assert train.counts["depth"].tolist() == [int((codes == value).sum()) for value in range(256)]
    assert train.ignored_share("semseg") == train.ignored_share("depth") == 2 / 32
    np.testing.assert_allclose(train.class_shares("semseg")[5], (labels == 5).sum() / (labels != 255).sum())
    metres = 1 / ((1 / 4 - 1 / 300) * (codes[codes > 0].astype(np.float64) - 1) / 254 + 1 / 300)
    np.testing.assert_allclose(
        train.depth("depth"), (metres.mean(), metres.std(), metres.min(), metres.max()), rtol=1e-6
    )
    assert not train.damaged


def test_depth_by_hand(root: Path) -> None:
    for path in (root / "train" / "depth").iterdir():
        # Code 1 is 300 m and code 255 is 4 m; one pixel in four each, the other half is not valid.
        Image.fromarray(np.tile(np.array([0, 1, 255, 0], np.uint8), (32, 16))).save(path)
    train = inspected(root).splits["train"]
    assert train.ignored_share("depth") == 0.5
    np.testing.assert_allclose(train.depth("depth"), (152, 148, 4, 300), rtol=1e-6)


def test_a_clean_data_set_exits_with_0(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(root, f"picture={tmp_path}/sheet.png") == 0
    assert "damaged:" not in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > sheet.height / 2 > 100


def test_a_doubt_is_said_and_decides_the_exit_code_where_checks_are_strict(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(root / "train" / "rgb" / "0.jpg", root / "val" / "rgb" / "0.jpg")
    assert check(root) == 0
    assert "look at this" in capsys.readouterr().out
    assert check(root, "strict=true") == 3


def test_damage_is_listed_by_file_and_exits_with_1(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(root / "train" / "rgb" / "1.jpg", 400)
    Image.fromarray(np.full((32, 64), 77, np.uint8)).save(root / "val" / "semseg" / "0.png")
    (root / "test" / "depth" / "1.png").unlink()
    Image.new("L", (8, 8)).save(root / "train" / "depth" / "2.png")
    assert check(root) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("damaged: ")]
    assert [line.split(": ")[1].removeprefix(f"{root}/") for line in lines] == [
        "train/rgb/1.jpg",
        "train/depth/2.png",
        "val/semseg/0.png",
        "test/rgb/1.jpg",
    ]
    reasons = ("cannot be", "is 8 x 8 pixels, but most of the split is 64 x 32", "the label 77", "no depth/1.png")
    for line, reason in zip(lines, reasons, strict=True):
        assert reason in line
    # What can be read still counts.
    train = inspected(root).splits["train"]
    assert train.counts["semseg"].sum() == 3 * 32 * 64


def test_a_missing_or_empty_split_is_damage(root: Path) -> None:
    (root / "val").rename(root / "not-val")
    for path in (root / "test").rglob("*.*"):
        path.unlink()
    damaged = inspected(root).damaged
    assert [error.path for error in damaged] == [root / "val", root / "test" / "rgb"]
    assert "damaged: " in printed(root)


def test_an_unlabelled_test_split_is_clean(root: Path, tmp_path: Path) -> None:
    for kind in ("semseg", "depth"):
        (root / "test" / kind).rename(tmp_path / kind)
    inspection = inspected(root)
    assert not inspection.damaged
    assert inspection.splits["test"].images == 2
    assert inspection.splits["test"].depth("depth") is None
    assert math.isnan(inspection.splits["test"].ignored_share("depth"))
    assert not any("test" in warning for warning in inspection.warnings())
    draw_sheet(miniscapes(root), tmp_path / "sheet.png", split="test")
    assert (tmp_path / "sheet.png").exists()


def test_wrong_statistics_are_answered_with_the_right_ones(root: Path) -> None:
    measured = inspected(root).splits["train"].depth("depth")
    for mean, std, warned in (
        (measured.mean * 1.04, measured.std * 0.97, False),
        (measured.mean * 1.06, measured.std, True),
        (measured.mean, measured.std * 0.94, True),
    ):
        text = printed(root, DepthStatistics(mean, std, STATISTICS.min, STATISTICS.max))
        override = f"set data.depth_mean={measured.mean:.4f} data.depth_std={measured.std:.4f}"
        assert (override in text) == warned


def test_labels_that_are_all_ignored_are_worth_a_warning(root: Path) -> None:
    for path in (root / "val" / "semseg").iterdir():
        Image.fromarray(np.full((32, 64), 255, np.uint8)).save(path)
    warnings = inspected(root).warnings()
    assert "val: every pixel is ignored; are its labels train ids?" in warnings
    assert not any(warning.startswith("val: no pixel of") for warning in warnings)


def write_depths(root: Path, *metres: float) -> None:
    """Let every image have these depths, in stripes."""
    for path in root.glob("*/depth/*.png"):
        row = np.repeat(np.array(metres), 64 // len(metres))
        Image.fromarray(encode_depth(np.tile(row, (32, 1)))).save(path)


def test_depths_beyond_the_configured_range_are_worth_a_warning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_depths(root, 5.0, 20.0, 40.0, 160.0)
    statistics = ("data.depth_mean=56.25", "data.depth_std=61")
    assert check(root, *statistics, "data.depth_min=10", "data.depth_max=80") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning:") and "depth_m" in line]
    assert [line.split(":")[1].strip() for line in told if "50.00% of the depths" in line] == ["train", "val", "test"]
    assert all("data.depth_min=10" in line and "data.depth_max=80" in line for line in told)
    check(root, *statistics)
    assert "depth_min" not in capsys.readouterr().out


def test_absent_classes_and_mostly_invalid_depth_are_worth_a_warning(root: Path) -> None:
    for path in (root / "val" / "semseg").iterdir():
        Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) % 17, (32, 1))).save(path)
    for path in (root / "val" / "depth").iterdir():
        Image.fromarray(np.tile(np.array([0, 0, 0, 9], np.uint8), (32, 16))).save(path)
    warnings = inspected(root).warnings()
    assert "val: no pixel of motorcycle, bicycle" in warnings
    assert "val: 75% of the pixels have no valid depth" in warnings


def test_damaged_packs_are_found(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = miniscapes(root).open("train", progress=False)
    assert check(root, "verify=true") == 0
    assert f"as it was packed: {split.folder}" in capsys.readouterr().out
    with (split.folder / "rgb.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([split.images[-1, -1, -1, -1] ^ 255]))
    assert check(root) == 0
    capsys.readouterr()
    assert check(root, "verify=true") == 1
    found = f"damaged: {split.folder}/rgb.npy is damaged within the images 0 to 2; the next run that reads them"
    assert found in capsys.readouterr().out
    assert split.folder.exists()
    with pytest.raises(UserError, match="The pack was removed"):
        miniscapes(root).open("train", progress=False).check([0])
    miniscapes(root).open("train", progress=False)
    assert check(root, "verify=true") == 0


def test_damaged_pictures_are_not_drawn(root: Path, tmp_path: Path) -> None:
    data = miniscapes(root)
    paths = data.files("train").paths
    os.truncate(paths["depth"][0], 20)
    draw_sheet(data, tmp_path / "sheet.png", leave_out={paths["depth"][0]})
    assert (tmp_path / "sheet.png").exists()
    with pytest.raises(UserError, match="no undamaged image"):
        draw_sheet(data, tmp_path / "none.png", leave_out=set(paths["rgb"]))


@pytest.mark.parametrize("name", ["sheet.jpg", "absent/sheet.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_inspection(root: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"picture=.*{name}: a file ending in \.png, in a folder that exists"):
        check(root / "absent", f"picture={root / name}")


def test_a_missing_data_set_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a folder; set data\.root=<folder>"):
        check(tmp_path / "absent")
