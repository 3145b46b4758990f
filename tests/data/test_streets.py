"""The street scenes: what is in them, how they agree with their camera, and how they come to disk."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from helpers.facts import CLASS_NAMES, NUM_CLASSES, encode_depth
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.data import filling
from mtl_seg_depth.data.streets import SPLITS, Scene, render_scene, write, write_streets
from mtl_seg_depth.data.streets.render import Conditions
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthCodec

SKY, ROAD = CLASS_NAMES.index("sky"), CLASS_NAMES.index("road")
COUNTS = {"train": 5, "val": 2, "test": 1}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """As many pictures as the default validation split has, smaller."""
    return [render_scene(0, "val", i, 64, 128) for i in range(64)]


def write_small(root: Path, **changes: object) -> None:
    parameters = {"counts": COUNTS, "height": 32, "width": 64, "seed": 3, "workers": 1}
    write_streets(root, **(parameters | changes))  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a folder but the lock."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def interrupted(root: Path, how: signal.Signals) -> int:
    """Signals a write in two processes once pictures appear; its exit code, after all its processes ended."""
    code = (
        "import sys; from pathlib import Path; from mtl_seg_depth.data.streets import write_streets\n"
        "if __name__ == '__main__':\n"
        "    write_streets(Path(sys.argv[1]), counts={'train': 400}, height=32, width=64, seed=3, workers=2)\n"
    )
    script = root.parent / "fill.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, script, root],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Tests that a script started in the background ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 90
    while len(list(root.glob("train/depth/*.png"))) < 6:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    code_of_exit = process.wait(timeout=60)
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return code_of_exit
        assert time.monotonic() < deadline, "processes were left behind"
        time.sleep(0.02)


def test_a_scene_depends_on_its_arguments_alone() -> None:
    first, again = render_scene(1, "train", 7, 48, 96), render_scene(1, "train", 7, 48, 96)
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.semseg, again.semseg)
    assert np.array_equal(first.depth, again.depth, equal_nan=True)
    for other in (render_scene(2, "train", 7, 48, 96), render_scene(1, "train", 8, 48, 96)):
        assert np.mean(first.semseg != other.semseg) > 0.1


def test_splits_share_no_scene() -> None:
    maps = {render_scene(0, split, i, 16, 32).depth.tobytes() for split in SPLITS for i in range(6)}
    assert len(maps) == 18


def test_shapes_and_types(scenes: list[Scene]) -> None:
    assert {(s.rgb.shape, s.rgb.dtype.name) for s in scenes} == {((64, 128, 3), "uint8")}
    assert {(s.semseg.shape, s.semseg.dtype.name) for s in scenes} == {((64, 128), "uint8")}
    assert {(s.depth.shape, s.depth.dtype.name) for s in scenes} == {((64, 128), "float32")}


def test_every_class_is_there_about_as_often_as_in_cityscapes(scenes: list[Scene]) -> None:
    counts = np.bincount(np.stack([s.semseg for s in scenes]).ravel(), minlength=256)
    assert counts[NUM_CLASSES:].sum() == 0
    share = dict(zip(CLASS_NAMES, 100 * counts[:NUM_CLASSES] / counts.sum(), strict=True))
    bands = {
        "road": (28, 40), "building": (16, 30), "vegetation": (9, 22), "car": (4, 12), "sidewalk": (3, 9),
        "sky": (2, 12), "pole": (0.6, 2.5), "person": (0.5, 3), "terrain": (0.5, 4), "wall": (0.2, 2),
        "fence": (0.2, 2), "traffic sign": (0.2, 1), "traffic light": (0.05, 0.6),
    }  # fmt: skip
    for name, value in share.items():
        low, high = bands.get(name, (0.03, 1.5))
        assert low < value < high, f"{name}: {value:.2f} %"


def test_pictures_show_something(scenes: list[Scene]) -> None:
    brightness = [s.rgb.mean() for s in scenes]
    assert min(brightness) > 60 and max(brightness) < 200
    assert np.std(brightness) > 4
    assert min(s.rgb.std() for s in scenes) > 20


def test_depth_is_positive_and_missing_in_the_sky_alone(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.array_equal(np.isnan(scene.depth), scene.semseg == SKY)
        assert np.nanmin(scene.depth) > 0
        assert np.nanmax(scene.depth) < np.inf


@pytest.mark.parametrize(("index", "driven"), [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (1, 7.5)])
@pytest.mark.parametrize("conditions", get_args(Conditions))
def test_road_depth_is_that_of_the_ground_plane(index: int, driven: float, conditions: Conditions) -> None:
    height, width = 48, 80
    scene = render_scene(5, "train", index, height, width, ahead=driven, conditions=conditions)
    camera = scene.camera
    down, across = np.mgrid[:height, :width] + 0.5
    focal = camera.focal * width
    right, below, ahead = camera.axes[:, 1]  # the vertical part of each image axis
    fall = (across - width / 2) / focal * right + (down - height / 2) / focal * below + ahead
    with np.errstate(divide="ignore"):
        expected = -camera.position[1] / fall
    road = scene.semseg == ROAD
    assert road.sum() > 300
    np.testing.assert_allclose(scene.depth[road], expected[road], rtol=2e-3)


def test_any_conditions_are_other_light_and_other_cameras_for_the_same_streets(scenes: list[Scene]) -> None:
    every = [render_scene(0, "val", i, 64, 128, conditions="any") for i in range(len(scenes))]
    again = render_scene(0, "val", 3, 64, 128, conditions="any")
    assert np.array_equal(every[3].rgb, again.rgb) and np.array_equal(every[3].semseg, again.semseg)

    def spread(of: Callable[[Scene], float]) -> float:
        fair, any_of_them = ([of(scene) for scene in drawn] for drawn in (scenes, every))
        return float(np.ptp(any_of_them) / np.ptp(fair))

    for wider in (
        lambda scene: scene.rgb.mean(),
        lambda scene: scene.rgb[..., 0].mean() / scene.rgb[..., 2].mean(),
        lambda scene: scene.camera.focal,
        lambda scene: scene.camera.position[1],
        lambda scene: scene.camera.axes[2, 1],
    ):
        assert spread(wider) > 1.5
    for scene in every:
        assert np.array_equal(np.isnan(scene.depth), scene.semseg == SKY)
        np.testing.assert_allclose(scene.camera.axes @ scene.camera.axes.T, np.eye(3), atol=1e-6)
    held = [np.unique(np.stack([s.semseg for s in drawn])).tolist() for drawn in (scenes, every)]
    assert held == [list(range(NUM_CLASSES))] * 2


def test_another_size_shows_the_same_scene() -> None:
    for index in range(3):
        small, large = render_scene(0, "test", index, 40, 80), render_scene(0, "test", index, 120, 240)
        # With an odd ratio, the small picture's pixel centres are pixel centres of the large one, too.
        semseg, depth, rgb = large.semseg[1::3, 1::3], large.depth[1::3, 1::3], large.rgb.reshape(40, 3, 80, 3, 3)
        assert np.mean(small.semseg == semseg) > 0.99
        both = np.isfinite(small.depth) & np.isfinite(depth)
        assert np.mean(np.abs(small.depth[both] / depth[both] - 1) < 1e-3) > 0.99
        assert np.abs(small.rgb - rgb.mean(axis=(1, 3))).mean() < 14


def test_files_hold_the_scenes(tmp_path: Path) -> None:
    write_small(tmp_path, height=64, width=128)
    for split, count in COUNTS.items():
        for folder, suffix in (("rgb", "jpg"), ("semseg", "png"), ("depth", "png")):
            names = {path.name for path in (tmp_path / split / folder).iterdir()}
            assert names == {f"{i}.{suffix}" for i in range(count)}
    scene = render_scene(3, "train", 4, 64, 128)

    def read(folder: str, suffix: str, mode: str) -> NDArray[np.uint8]:
        with Image.open(tmp_path / "train" / folder / f"4.{suffix}") as image:
            assert image.mode == mode
            return np.asarray(image)

    assert np.array_equal(read("semseg", "png", "L"), scene.semseg)
    assert np.array_equal(read("depth", "png", "L"), encode_depth(scene.depth))
    assert np.abs(read("rgb", "jpg", "RGB").astype(int) - scene.rgb).mean() < 5
    index = json.loads((tmp_path / "index.json").read_text())
    assert (index["seed"], index["counts"], index["height"], index["width"]) == (3, COUNTS, 64, 128)


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    write_small(tmp_path / "one", counts={"train": 9})
    write_small(tmp_path / "two", counts={"train": 9}, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_complete_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small(tmp_path)
    monkeypatch.setattr(write, "render_scene", None)
    write_small(tmp_path)


def test_an_unfinished_folder_is_continued(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    write_small(whole)
    shutil.copytree(whole, part)
    for name in ("index.json", "train/rgb/1.jpg", "val/depth/0.png", "test/semseg/0.png"):
        (part / name).unlink()
    (part / "train/rgb/.1.0123abcd.tmp.jpg").write_bytes(b"half")
    kept = (part / "train/rgb/2.jpg").stat().st_mtime_ns
    write_small(part)
    assert contents(part) == contents(whole)
    assert (part / "train/rgb/2.jpg").stat().st_mtime_ns == kept


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_write_leaves_nothing_half_done(tmp_path: Path, how: signal.Signals) -> None:
    root = tmp_path / "streets"
    assert interrupted(root, how) != 0
    assert not (root / "index.json").exists()
    if how == signal.SIGINT:
        assert not list(root.rglob("*.tmp*"))
    for i in (int(path.stem) for path in root.glob("train/depth/*.png")):
        with Image.open(root / "train" / "semseg" / f"{i}.png") as image:
            assert np.array_equal(np.asarray(image), render_scene(3, "train", i, 32, 64).semseg)


def test_two_at_once_render_each_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def counting(seed: int, split: str, index: int, height: int, width: int, **conditions: Any) -> Scene:
        rendered.append((split, index))
        return render_scene(seed, split, index, height, width, **conditions)

    monkeypatch.setattr(write, "render_scene", counting)
    monkeypatch.setattr(filling, "track", lambda items, **_: items)  # one progress bar per process
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write_small, tmp_path) for _ in range(2)]:
            done.result()
    assert len(rendered) == len(set(rendered)) == sum(COUNTS.values())


@pytest.mark.parametrize("change", [{"seed": 4}, {"height": 16}, {"counts": {"train": 6}}, {"conditions": "any"}])
@pytest.mark.parametrize("finished", [True, False])
def test_other_scenes_are_not_mixed_in(tmp_path: Path, change: dict[str, object], finished: bool) -> None:
    write_small(tmp_path, counts={"train": 1})
    if not finished:
        (tmp_path / "index.json").unlink()
    before = contents(tmp_path)
    with pytest.raises(UserError) as caught:
        write_small(tmp_path, **({"counts": {"train": 1}} | change))
    for part in (str(tmp_path), "it holds", "seed 3", "asked"):
        assert part in str(caught.value)
    assert contents(tmp_path) == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        write_small(tmp_path)
    assert list(contents(tmp_path)) == ["thesis.tex"]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for root in (file, file / "streets"):
        with pytest.raises(UserError, match="cannot be written"):
            write_small(root)


def test_too_little_space_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=rf"{tmp_path}: about \d+ bytes are needed, 1000 are free"):
        write_small(tmp_path)


@pytest.mark.parametrize(("where", "failing"), [(DepthCodec, "encode"), (write, "render_scene")])
def test_a_full_disk_is_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, failing: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    original: Callable[..., object] = getattr(where, failing)
    monkeypatch.setattr(where, failing, full)
    with pytest.raises(UserError, match="became full"):
        write_small(tmp_path)
    monkeypatch.setattr(where, failing, original)
    write_small(tmp_path)
    assert not list(tmp_path.rglob("*.tmp*"))


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no split dev"):
        write_small(tmp_path, counts={"dev": 1})


def test_workers_start_without_torch() -> None:
    code = "import sys, mtl_seg_depth.data.streets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_absurd_number_of_scenes_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Too little space for the street scenes"):
        write_streets(tmp_path / "streets", counts={"train": 10**11}, height=64, width=128, seed=0)


def test_a_camera_that_drives_sees_the_same_things_where_they_stand() -> None:
    height, width = 96, 192
    start, later = (render_scene(0, "val", 43, height, width, ahead=ahead) for ahead in (0.0, 6.0))
    np.testing.assert_array_equal(start.rgb, render_scene(0, "val", 43, height, width).rgb)
    moved = later.camera.position - start.camera.position
    assert 5.9 < moved[2] <= 6.0
    assert abs(float(later.camera.axes[2] @ start.camera.axes[2])) < 0.9998, "this street bends"
    rays = [side[1::2] for side in start.camera.grid(height, width)]
    rays = np.stack([*np.meshgrid(*rays), np.ones((height, width))], axis=-1)
    points = start.camera.position + start.depth[..., None] * (rays @ start.camera.axes)
    seen = (points - later.camera.position) @ later.camera.axes.T
    focal = later.camera.focal * width
    across, down = ((focal * seen[..., side] / seen[..., 2] + half) for side, half in ((0, width / 2), (1, height / 2)))
    inside = (seen[..., 2] > 1) & (across > 0) & (across < width) & (down > 0) & (down < height)
    found = later.depth[down[inside].astype(int), across[inside].astype(int)]
    assert inside.sum() > 3000
    assert np.mean(np.abs(found / seen[..., 2][inside] - 1) < 0.05) > 0.85  # the rest are edges, and what hides others
