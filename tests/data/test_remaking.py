"""Miniscapes made of Synscapes: the same images, in its sizes, ids and codes."""

from pathlib import Path

import numpy as np
import pytest
from helpers import miniatures
from helpers.commands import Commands
from helpers.composing import places
from helpers.miniatures import HEIGHT, WIDTH, opened, save
from helpers.tiny_data import miniscapes
from PIL import Image

from mtl_seg_depth.data import remaking
from mtl_seg_depth.data.remaking import make_miniscapes
from mtl_seg_depth.system.errors import UserError

SIZE = (HEIGHT // 2, WIDTH // 2)
HALF = f"data.size=[{SIZE[0]},{SIZE[1]}]"
# 1 + 254 * (1 / 40 - 1 / 300) / (1 / 4 - 1 / 300) = 23.3, floored; what is beyond 300 m is no depth.
CODES = {4.0: 255, 40.0: 23, 300.0: 1, 1e6: 0}
TRAIN_IDS = {0: 255, 7: 0, 23: 10, 33: 18}


def source(folder: Path, *overrides: str) -> miniatures.DataSet:
    return opened(folder, "data=synscapes", miniatures.SHARES, HALF, *overrides)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    miniatures.synscapes(tmp_path / "data")
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*") if path.name != ".lock"}


def test_labels_and_codes_are_those_of_the_nearest_pixels(folder: Path) -> None:
    assert make_miniscapes(source(folder), folder / "made") == {"train": 4, "val": 2, "test": 2}
    made = miniscapes(folder / "made")
    seen = 0
    for split in ("train", "val", "test"):
        packed = made.open(split, progress=False)
        assert packed.images.shape[1:3] == SIZE
        for row, image in enumerate(source(folder).files(split).paths["rgb"]):
            number = image.stem
            labels = np.asarray(Image.open(folder / f"data/img/class/{number}.png"))[1::2, 1::2]
            assert np.array_equal(packed.targets["semseg"][row], np.vectorize(TRAIN_IDS.get)(labels))
            metres = miniatures_depth(folder / f"data/img/depth/{number}.exr")[1::2, 1::2]
            assert np.array_equal(packed.targets["depth"][row], np.vectorize(CODES.get)(metres))
            seen += 1
    assert seen == 8


def miniatures_depth(path: Path) -> np.ndarray:
    import OpenEXR

    return np.asarray(OpenEXR.File(str(path)).channels()["Z"].pixels)


def test_an_image_is_averaged_and_near_is_never_mixed_with_far(folder: Path) -> None:
    fine = np.indices((HEIGHT, WIDTH)).sum(0) % 2
    for path in (folder / "data/img/rgb").iterdir():
        save(path, np.repeat(255 * fine[..., None].astype(np.uint8), 3, axis=2))
        save(folder / f"data/img/depth/{path.stem}.exr", np.where(fine.astype(bool), 4.0, 300.0))
    make_miniscapes(source(folder, "data.size=[48,72]"), folder / "made")
    packed = miniscapes(folder / "made").open("train", progress=False)
    grey = packed.images[:, 4:-4, 4:-4]
    assert np.abs(grey.astype(int) - 127).max() < 40
    assert set(np.unique(packed.targets["depth"])) == {1, 255}


def test_what_was_killed_goes_on_and_ends_with_the_same_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, part = folder / "whole", folder / "part"
    make_miniscapes(source(folder), whole)
    done: list[object] = []
    write = remaking.write_image

    def killed(root: Path, place: tuple[str, int], arrays: dict[str, np.ndarray]) -> None:
        if len(done) == 3:
            (root / "train/rgb/.9.0123abcd.tmp.jpg").write_bytes(b"half")
            raise KeyboardInterrupt
        done.append(place)
        write(root, place, arrays)

    monkeypatch.setattr(remaking, "write_image", killed)
    with pytest.raises(KeyboardInterrupt):
        make_miniscapes(source(folder, "data.workers=1"), part)
    assert not (part / "index.json").exists()
    (part / "train/rgb/0.jpg").write_bytes(b"")  # as a power cut leaves it
    kept = (part / "train/rgb/1.jpg").stat().st_mtime_ns
    monkeypatch.setattr(remaking, "write_image", write)
    make_miniscapes(source(folder), part)
    assert contents(part) == contents(whole)
    assert (part / "train/rgb/1.jpg").stat().st_mtime_ns == kept


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    (folder / "made").mkdir()
    (folder / "made" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        make_miniscapes(source(folder), folder / "made")
    make_miniscapes(source(folder), folder / "other")
    with pytest.raises(UserError, match=r"holds other Miniscapes images(.|\n)*height 32(.|\n)*height 16"):
        make_miniscapes(source(folder, "data.size=[16,24]"), folder / "other")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.size=null", "Miniscapes has one size"),
        ("data.depth_max=200", "stand for 4 to 300 m"),
        ("data.splits={train: 0.8, val: 0.2, test: 0}", "Miniscapes has train, val, test"),
    ],
)
def test_what_miniscapes_cannot_be_is_refused(folder: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_miniscapes(source(folder, override), folder / "made")
    assert not (folder / "made").exists()


def test_a_damaged_source_is_named_and_mended_it_goes_on(folder: Path) -> None:
    mask = source(folder).files("val").paths["semseg"][0]
    whole = mask.read_bytes()
    mask.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{mask.name}: cannot be decoded"):
        make_miniscapes(source(folder), folder / "made")
    mask.write_bytes(whole)
    assert make_miniscapes(source(folder), folder / "made")["val"] == 2


def test_the_command_makes_what_the_others_read(folder: Path, command: Commands) -> None:
    words = [f"data.root={folder}/data", f"to={folder}/made", miniatures.SHARES, HALF]
    done = command("make_miniscapes.py", *words)
    assert done.returncode == 0, done.stderr
    assert f"4 + 2 + 2 images for train, val and test in {folder}/made; the course had 20000 + 2500" in done.stdout
    checked = command("check_data.py", "data=miniscapes", *places(folder), f"data.root={folder}/made")
    assert checked.returncode == 0, checked.stdout
    assert "48 x 32" in checked.stdout
    assert "Miniscapes images" not in command("make_miniscapes.py", *words).stdout
    refused = command("make_miniscapes.py", *words, "data=urbansyn")
    assert refused.returncode == 2
    assert "Miniscapes is made of data=synscapes" in refused.stderr
