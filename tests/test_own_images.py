"""docs/data.md, followed to the letter by somebody with photos, colour masks and 16-bit depth."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Commands
from helpers.composing import ROOT
from helpers.miniatures import save

from mtl_seg_depth.data.streets import render_scene

TEXT = (ROOT / "docs" / "data.md").read_text()
SECTION = re.search(r"^## Your own images\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
MOST_LINES = 15
ROAD, SKY = 0, 10
SMALL = (
    *("data.crop_size=[32,32]", "schedule.max_steps=2", "schedule.batch_size=2", "model.aspp=false"),
    *("precision=fp32", "device=cpu", "tracking=folder", "tracking.panels=0"),
)


def block(kind: str) -> str:
    """The first block of its kind in the section."""
    assert SECTION
    blocks: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", SECTION[1], re.DOTALL | re.MULTILINE)
    return next(body for name, body in blocks if name == kind)


def draw(root: Path) -> None:
    """A small set as the section describes it."""
    for drive in range(3):
        for number in range(2):
            scene = render_scene(0, "train", 2 * drive + number, 48, 80)
            mask = np.zeros((48, 80, 3), np.uint8)
            mask[scene.semseg == ROAD], mask[scene.semseg == SKY] = (128, 64, 128), (70, 130, 180)
            metres = np.where(scene.depth < 65, scene.depth, 0)
            save(root / f"photos/drive{drive}/{number}.jpg", scene.rgb)
            save(root / f"masks/drive{drive}/{number}.png", mask)
            save(root / f"depth/drive{drive}/{number}.png", (1000 * metres).astype(np.uint16))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The commands and conf/, with the file that the section shows."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copytree(ROOT / "sweeps", folder / "sweeps")
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    (folder / "conf" / "data" / "mine.yaml").write_text(block("yaml").replace("/data/mine", str(tmp_path / "mine")))
    return folder


def test_three_commands_and_a_few_lines_lead_to_a_trained_network(
    command: Commands, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "mine")
    assert len(block("yaml").splitlines()) <= MOST_LINES
    monkeypatch.delenv("MTL_SEG_DEPTH_ROOT", raising=False)
    places = [f"paths.root={checkout}"]
    lines = [line.partition("#")[0].split(" ", 1)[1].strip() for line in block("").splitlines()]
    check, train, predict = (line.replace("/data/mine", str(tmp_path / "mine")) for line in lines)

    done = command(f"{checkout}/{check.split()[0]}", *check.split()[1:], *places, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / "sheet.png").exists()
    measured = dict(re.findall(r"data\.(depth_mean|depth_std)=([\d.]+)", done.stdout))
    for key, value in measured.items():
        train = train.replace(f"data.{key}=<as it says>", f"data.{key}={value}")
    assert "<" not in train

    done = command(f"{checkout}/{train.split()[0]}", *train.split()[1:], *SMALL, *places, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "road" in done.stdout

    done = command(f"{checkout}/{predict.split()[0]}", *predict.split()[1:], "device=cpu", *places, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(checkout.rglob("*predict*/**/*.png"))) >= 6
