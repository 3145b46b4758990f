"""A trained network in somebody's own program: the README's lines, and the same answers as predict.py's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import ROOT, compose
from helpers.trained_runs import only_run, quiet
from PIL import ExifTags, Image

import mtl_seg_depth
from mtl_seg_depth.config import parse_as
from mtl_seg_depth.inference import prediction
from mtl_seg_depth.inference.loaded import Loaded
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.installation import ROOT_VARIABLE


@pytest.fixture(scope="module")
def network(trained_folder: Path) -> Loaded:
    return mtl_seg_depth.load("first", outputs=trained_folder / "outputs", device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def known_camera(network: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data that it was trained on do not say what their camera was: here they do."""
    monkeypatch.setattr(type(network.trained.source), "focal", 1.1)


def photo(path: Path, width: int = 90, height: int = 61, film: int | None = None) -> Path:
    exif = Image.Exif()
    if film is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = film
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(rgb).save(path, exif=exif)
    return path


def test_the_lines_of_the_readme_run(trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = next(
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "from mtl_seg_depth import load" in block
    )
    assert len(lines.splitlines()) <= 10
    photo(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ROOT_VARIABLE, str(trained_folder))
    names: dict[str, object] = {}
    exec(lines, names)
    assert (tmp_path / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("film", [None, 50])
def test_a_file_an_image_and_an_array_are_seen_as_predict_sees_them(
    network: Loaded, trained_folder: Path, tmp_path: Path, film: int | None
) -> None:
    path = photo(tmp_path / "photo.jpg", film=film)
    words = ["run=first", "device=cpu", "precision=fp32", "depth=npy", f"paths.outputs={trained_folder}/outputs"]
    tree = compose(*words, config="predict") | {"input": str(path), "output": str(tmp_path / "out")}
    prediction.predict(parse_as(prediction.PredictionSettings, tree), quiet())
    labels = np.asarray(Image.open(tmp_path / "out" / "photo_labels.png"))
    depth = np.load(tmp_path / "out" / "photo_depth.npy")
    with Image.open(path) as image:
        pixels = np.asarray(image)
        found = [network.predict(str(path)), network.predict(path), network.predict(image)]
    if film is None:  # an array says nothing of its camera
        found.append(network.predict(pixels))
    for each in found:
        assert each.labels is not None
        assert each.depth is not None
        assert (each.labels.dtype, each.depth.dtype) == (np.uint8, np.float32)
        assert (each.labels == labels).all()
        np.testing.assert_array_equal(each.depth, depth)
        assert each.labels.shape == each.depth.shape == (61, 90)
        assert ("EXIF" in each.metres) == (film is not None)
    assert network.classes[labels.max()] == found[0].classes[labels.max()]


def test_a_rotation_in_exif_is_applied_to_an_image_as_to_a_file(network: Loaded, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    rgb = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        turned = network.predict(image)
    assert turned.labels is not None
    assert turned.labels.shape == turned.image.shape[:2] == (70, 50)


def test_metres_follow_the_focal_length_that_is_given(network: Loaded) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (40, 72, 3), np.uint8)
    near, far = (network.predict(rgb, focal=pixels).depth for pixels in (50.0, 100.0))
    assert near is not None
    assert far is not None
    np.testing.assert_allclose(far, 2 * near, rtol=1e-6)
    tripled, own = network.predict(rgb, focal_ratio=3.0).depth, network.predict(rgb, focal_ratio=1.0).depth
    assert tripled is not None
    assert own is not None
    np.testing.assert_allclose(tripled, 3 * own, rtol=1e-6)


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (np.zeros((4, 5), np.uint8), r"an image is uint8 \[height, width, 3\], not uint8 \[4, 5\]"),
        (np.zeros((4, 5, 3), np.float32), r"not float32 \[4, 5, 3\]"),
        (Image.new("F", (40, 40)), "the image cannot be used: holds floating-point values"),
        ("/nowhere/photo.jpg", "/nowhere/photo.jpg: cannot be read"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(network: Loaded, picture: object, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        network.predict(picture)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_focal_length_that_is_none_is_refused(network: Loaded) -> None:
    with pytest.raises(UserError, match="focal=-1: should be above 0"):
        network.predict(np.zeros((40, 40, 3), np.uint8), focal=-1.0)


def test_a_run_is_named_as_in_a_command(network: Loaded, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(folder))
    for reference in (only_run(folder, "first"), "first", network.trained.fingerprint[:6]):
        assert mtl_seg_depth.load(reference, device="cpu").trained.fingerprint == network.trained.fingerprint
    with pytest.raises(UserError, match=r"run=fisrt: no run in .* is called so; did you mean first"):
        mtl_seg_depth.load("fisrt")
    shutil.rmtree(only_run(folder, "second"))
    assert mtl_seg_depth.load("latest").trained.name == "first"


def test_importing_the_package_loads_nothing_that_takes_seconds() -> None:
    code = "import sys, mtl_seg_depth; print(sorted({'torch', 'numpy', 'hydra', 'PIL', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
