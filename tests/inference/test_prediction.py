"""Predicting people's own images: which files, in what shape they come, and what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.commands import Commands
from helpers.composing import compose
from helpers.facts import palette, tasks
from helpers.photographs import picture, save
from helpers.trained_runs import quiet
from PIL import Image
from rich.console import Console

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet
from mtl_seg_depth.inference import prediction
from mtl_seg_depth.inference.prediction import PredictionSettings, Summary, predict_photo, save_depth
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.errors import UserError

PRODUCTS = ("labels.png", "depth.png", "depth_colour.png", "overlay.png", "sheet.png")


def predict(folder: Path, *overrides: str, console: Console | None = None, **values: Any) -> Summary:
    tree = compose("run=first", "device=cpu", f"paths.outputs={folder}/outputs", *overrides, config="predict")
    return prediction.predict(parse_as(PredictionSettings, tree | values), console or quiet())


def test_every_product_of_every_picture_in_its_own_size(trained_folder: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = predict(trained_folder, input=str(photos), output=str(out))
    assert (summary.done, summary.failed) == (2, ())
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {f"{name}_{product}" for name in ("b", "été/a street (1)") for product in PRODUCTS}
    for name, size in (("b", (51, 33)), ("été/a street (1)", (40, 48))):
        with Image.open(out / f"{name}_labels.png") as labels:
            assert (labels.mode, labels.size) == ("P", size)
            assert np.asarray(labels).max() < 19
            colours = np.asarray(labels.convert("RGB"))
            assert (colours == palette()[np.asarray(labels)]).all()
        with Image.open(out / f"{name}_depth.png") as depth:
            assert (depth.mode, depth.size) == ("I;16", size)
            assert 4000 <= np.asarray(depth).min() <= np.asarray(depth).max() <= 65535
            assert "1/1000 m; 65535 stands for 65.535 m or more" in depth.info["Description"]
        for product in ("overlay", "depth_colour"):
            with Image.open(out / f"{name}_{product}.png") as image:
                assert (image.mode, image.size) == ("RGB", size)


def test_predictions_are_the_same_every_time_and_follow_the_views(
    trained_folder: Path,
    photos: Path,
    tmp_path: Path,
) -> None:
    for out in ("one", "two"):
        predict(trained_folder, input=str(photos), output=str(tmp_path / out))
    predict(trained_folder, "tta=multiscale_flip", input=str(photos), output=str(tmp_path / "tta"))
    for path in (tmp_path / "one").rglob("*.png"):
        relative = path.relative_to(tmp_path / "one")
        assert path.read_bytes() == (tmp_path / "two" / relative).read_bytes()
    changed = [(tmp_path / run / "b_depth.png").read_bytes() for run in ("one", "tta")]
    assert changed[0] != changed[1]


def test_damaged_files_are_reported_and_the_others_done(trained_folder: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "a broken.jpg").write_bytes(b"this is no image")
    whole = save(photos / "cut.jpg", picture(64, 64)).read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.png").touch()
    (photos / "notes.txt").write_text("no image, and not taken for one")
    summary = predict(trained_folder, input=str(photos), output=str(tmp_path / "out"))
    assert summary.done == 2
    assert [error.path.name for error in summary.failed] == ["a broken.jpg", "cut.jpg", "empty.png"]
    assert len(list((tmp_path / "out").rglob("*_sheet.png"))) == 2


def looked_at(monkeypatch: pytest.MonkeyPatch, most: int) -> list[tuple[int, int]]:
    """Predictors that have no memory for more pixels than `most`; what they looked at."""
    seen: list[tuple[int, int]] = []
    call = Predictor.__call__

    def limited(self: Predictor, image: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((image.shape[-2], image.shape[-1]))
        if image.shape[-2] * image.shape[-1] > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:113] can't allocate memory: you tried to allocate")
        return call(self, image)

    monkeypatch.setattr(Predictor, "__call__", limited)
    return seen


def test_what_does_not_fit_into_memory_is_named_with_max_side_and_the_others_are_done(
    trained_folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(photos / "large.png", picture(200, 300))
    save(photos / "thin.png", picture(1, 70000))
    seen = looked_at(monkeypatch, 40_000)
    summary = predict(trained_folder, input=str(photos), output=str(tmp_path / "out"))
    assert summary.done == 2
    assert [error.path.name for error in summary.failed] == ["large.png", "thin.png"]
    assert all("max_side=<pixels>" in error.reason for error in summary.failed)
    assert (32, 70000 * 32) not in seen, "nothing of that size is even tried"
    small = predict(trained_folder, "max_side=100", "write=[labels]", input=str(photos), output=str(tmp_path / "two"))
    assert (small.done, small.failed) == (4, ())
    assert max(max(size) for size in seen[3:]) == 100
    with Image.open(tmp_path / "two" / "thin_labels.png") as labels:
        assert labels.size == (70000, 1)


def test_a_network_whose_output_is_nan_is_told_and_stores_nothing(
    trained_folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = Predictor.outputs
    monkeypatch.setattr(
        Predictor, "outputs", lambda self, image: {task: raw * torch.nan for task, raw in outputs(self, image).items()}
    )
    for tta in ("none", "flip"):
        summary = predict(trained_folder, f"tta={tta}", input=str(photos), output=str(tmp_path / "out"))
        assert summary.done == 0
        assert all("is not finite (nan): nothing is stored of it" in error.reason for error in summary.failed)
    assert not (tmp_path / "out").exists()


def test_a_name_too_long_for_what_is_written_of_it_stops_nothing(
    trained_folder: Path, photos: Path, tmp_path: Path
) -> None:
    save(photos / f"{'é' * 120}.png", picture(33, 40))
    summary = predict(trained_folder, input=str(photos), output=str(tmp_path / "out"))
    assert summary.done == 2
    assert [error.reason for error in summary.failed] == ["its name is too long for the files that are made of it"]


def test_an_output_that_links_to_itself_is_a_message(trained_folder: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match="loop: File exists"):
        predict(trained_folder, input=str(photos), output=str(tmp_path / "loop"))


def test_of_a_phones_folder_every_kind_of_file_is_predicted_or_counted(
    trained_folder: Path, tmp_path: Path, command: Commands
) -> None:
    rgb, folder = picture(40, 40), tmp_path / "phone"
    folder.mkdir()
    for name in ("a.jpg", "b.jfif", "c.JPG"):
        Image.fromarray(rgb).save(folder / name, "JPEG")
    for name in ("d.HEIC", "e.heic", "clip.MOV", "notes"):
        (folder / name).write_bytes(b"another kind")
    words = ["run=first", "device=cpu", f"paths.outputs={trained_folder}/outputs", "write=[labels]"]
    done = command("predict.py", *words, f"input={folder}", f"output={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert "3 images predicted" in done.stdout
    assert "left out: 2 .heic, 1 .mov, 1 without an ending, which are not read" in done.stdout
    for name in ("a.jpg", "b.jfif", "c.JPG"):
        (folder / name).unlink()
    done = command("predict.py", *words, f"input={folder}", f"output={tmp_path}/out")
    assert done.returncode == 2
    assert "no image there" in done.stderr
    assert "there are 2 .heic, 1 .mov, 1 without an ending" in done.stderr


@pytest.mark.parametrize("size", [(7, 5), (1, 90), (31, 33), (32, 32), (65, 47)])
def test_any_size_is_predicted_and_keeps_it(size: tuple[int, int]) -> None:
    seen: list[tuple[int, int]] = []

    def look(rgb: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((rgb.shape[-2], rgb.shape[-1]))
        assert min(seen[-1]) >= 32
        return {"semseg": rgb[:, 0].mul(18).long(), "depth": rgb[:, 1] * 100 + 4}

    result = predict_photo(picture(*size), look, tasks(), torch.device("cpu"))
    assert result["semseg"].shape == result["depth"].shape == size
    assert (result["semseg"].dtype, result["depth"].dtype) == (np.uint8, np.float32)
    if min(size) >= 32:
        assert seen == [size]
        rgb = picture(*size)
        np.testing.assert_allclose(result["depth"], rgb[..., 1] / 255 * 100 + 4, rtol=1e-5)
    name = "a name that is far too long for an image as narrow as this"
    sheet = prediction_sheet(picture(*size), result, tasks(), name)
    assert min(sheet.size) > 50


def test_max_side_limits_what_the_network_looks_at_and_focal_ratio_scales_metres() -> None:
    seen: list[tuple[int, int]] = []

    def look(rgb: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((rgb.shape[-2], rgb.shape[-1]))
        return {"depth": torch.full((1, *rgb.shape[-2:]), 10.0)}

    result = predict_photo(picture(100, 300), look, tasks(), torch.device("cpu"), max_side=150, focal_ratio=1.5)
    assert seen == [(50, 150)]
    np.testing.assert_allclose(result["depth"], np.full((100, 300), 15.0), rtol=1e-6)
    predict_photo(picture(40, 60), look, tasks(), torch.device("cpu"), max_side=150)
    assert seen[-1] == (40, 60)


@pytest.mark.parametrize(
    ("form", "per_metre", "limit"), [("mm", 1000, 65.535), ("cm", 100, 655.35), ("kitti", 256, 65535 / 256)]
)
def test_depth_pictures_read_back_in_their_unit(tmp_path: Path, form: Any, per_metre: int, limit: float) -> None:
    depth = np.array([[4.0, 12.3456, 65.0, 65.535], [66.0, 255.9, 256.5, 300.0]], np.float32)
    cut = save_depth(depth, tmp_path / "depth.png", form)
    with Image.open(tmp_path / "depth.png") as image:
        metres = np.asarray(image).astype(np.float64) / per_metre
    np.testing.assert_allclose(metres, depth.clip(max=limit), atol=0.5 / per_metre + 1e-4)
    assert cut == (limit < 300)


def test_depth_as_npy_is_exact(tmp_path: Path) -> None:
    depth = np.linspace(4, 300, 12, dtype=np.float32).reshape(3, 4)
    assert not save_depth(depth, tmp_path / "depth.npy", "npy")
    loaded = np.load(tmp_path / "depth.npy")
    assert (loaded.dtype, loaded.shape) == (np.float32, (3, 4))
    assert (loaded == depth).all()


def test_only_what_is_asked_for_is_written(trained_folder: Path, photos: Path, tmp_path: Path) -> None:
    predict(
        trained_folder, "depth=npy", "write=[depth,labels]", input=str(photos / "b.png"), output=str(tmp_path / "o")
    )
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["b_depth.npy", "b_labels.png"]


def test_an_output_folder_among_the_pictures_is_not_predicted_again(trained_folder: Path, photos: Path) -> None:
    out = photos / "predictions"
    for _ in range(2):
        assert predict(trained_folder, "write=[labels]", input=str(photos), output=str(out)).done == 2
    assert len(list(out.rglob("*.png"))) == 2
    with pytest.raises(UserError, match="is the folder of the images; give another"):
        predict(trained_folder, input=str(photos), output=str(photos))


def test_a_picture_is_never_overwritten(trained_folder: Path, tmp_path: Path) -> None:
    first = save(tmp_path / "a.png", picture(33, 33))
    other = save(tmp_path / "a_labels.png", picture(34, 34))
    with pytest.raises(UserError, match=r"a_labels\.png is one of the images, and would be overwritten"):
        predict(trained_folder, input=[str(first), str(other)], output=str(tmp_path))
    with Image.open(other) as image:
        assert image.size == (34, 34)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "input=<an image, a folder, or a pattern"),
        ("{}/nothing", r"there is no such file or folder; did you mean nothing_here\?"),
        ("{}/nothing_here", r"no image there \(\.bmp, "),
        ("{}/*.jpeg", "no image there"),
        ("{}/*/../*.png", "after the first wildcard a pattern cannot go up again"),
        (["{}/x/a.png", "{}/y/a.png"], "several images are called a.png"),
    ],
)
def test_a_mistake_in_the_input_is_a_message(
    trained_folder: Path,
    tmp_path: Path,
    given: str | list[str] | None,
    message: str,
) -> None:
    (tmp_path / "nothing_here").mkdir()
    for folder in ("x", "y"):
        save(tmp_path / folder / "a.png", picture(4, 4))
    save(tmp_path / "z.png", picture(4, 4))
    value = [g.format(tmp_path) for g in given] if isinstance(given, list) else given and given.format(tmp_path)
    with pytest.raises(UserError, match=message):
        predict(trained_folder, input=value, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("depth=metres", "depth=metres: should be 'mm', 'cm', 'kitti' or 'npy'"),
        ("write=[]", "write="),
        ("max_side=8", "max_side=8: should be greater than or equal to 32"),
        ("focal_ratio=0", "focal_ratio=0"),
        ("run=frist", "did you mean first"),
    ],
)
def test_a_mistake_elsewhere_is_a_message(trained_folder: Path, photos: Path, override: str, message: str) -> None:
    tree = compose("run=first", f"paths.outputs={trained_folder}/outputs", config="predict")
    key, _, value = override.partition("=")
    tree |= {"input": str(photos), key: json.loads(value) if value[0] in "[08" else value}
    with pytest.raises(UserError, match=message):
        prediction.predict(parse_as(PredictionSettings, tree), quiet())


def test_from_the_command_line_damage_makes_the_exit_code_1(
    trained_folder: Path, photos: Path, tmp_path: Path, command: Commands
) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    arguments = ["run=first", "device=cpu", f"paths.outputs={trained_folder}/outputs", f"input={photos}/*"]
    arguments += [f"output={tmp_path}/où (1)", "write=[sheet]"]
    done = command("predict.py", *arguments)
    assert done.returncode == 1, done.stderr
    assert "1 images predicted" in done.stdout
    assert f"failed: {photos}/broken.png: is no image that can be read" in done.stdout
    assert [path.name for path in (tmp_path / "où (1)").iterdir()] == ["b_sheet.png"]
