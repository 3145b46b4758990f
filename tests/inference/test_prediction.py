"""Predicting people's own images: which files, in what shape they come, and what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.colours import Colours, look_with
from helpers.commands import Commands
from helpers.composing import compose
from helpers.facts import CPU, palette, tasks
from helpers.photographs import picture, save
from helpers.trained_runs import quiet
from PIL import ExifTags, Image
from rich.console import Console

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.drawing.prediction_sheet import prediction_sheet
from mtl_seg_depth.inference import prediction
from mtl_seg_depth.inference.camera import Camera
from mtl_seg_depth.inference.looking import predict_photo, seen_size
from mtl_seg_depth.inference.photos import read_focal
from mtl_seg_depth.inference.prediction import PredictionSettings, Summary
from mtl_seg_depth.inference.products import save_depth
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.errors import UserError

PRODUCTS = ("labels.png", "depth.png", "depth_colour.png", "overlay.png", "sheet.png")


def predict(folder: Path, *overrides: str, console: Console | None = None, **values: Any) -> Summary:
    tree = compose("run=first", "device=cpu", f"paths.outputs={folder}/outputs", *overrides, config="predict")
    return prediction.predict(parse_as(PredictionSettings, tree | values), console or quiet())


def test_every_product_of_every_picture_in_its_own_size(trained_folder: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = predict(trained_folder, input=str(photos), output=str(out))
    assert (summary.done, summary.failed) == (2, [])
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
            assert 400 <= np.asarray(depth).min() <= np.asarray(depth).max() <= 30000
            assert "1/100 m; 65535 stands for 655.35 m or more" in depth.info["Description"]
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
    outputs = Predictor.outputs

    def limited(self: Predictor, image: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((image.shape[-2], image.shape[-1]))
        if image.shape[-2] * image.shape[-1] > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:113] can't allocate memory: you tried to allocate")
        return outputs(self, image)

    monkeypatch.setattr(Predictor, "outputs", limited)
    return seen


def test_what_does_not_fit_into_memory_is_named_with_max_side_and_the_others_are_done(
    trained_folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(photos / "large.png", picture(200, 300))
    save(photos / "thin.png", picture(1, 70000))
    seen = looked_at(monkeypatch, 40_000)
    summary = predict(trained_folder, "max_side=null", input=str(photos), output=str(tmp_path / "out"))
    assert summary.done == 2
    assert [error.path.name for error in summary.failed] == ["large.png", "thin.png"]
    assert all("max_side=<pixels>" in error.reason for error in summary.failed)
    assert (32, 70000 * 32) not in seen, "nothing of that size is even tried"
    small = predict(trained_folder, "max_side=100", "write=[labels]", input=str(photos), output=str(tmp_path / "two"))
    assert (small.done, small.failed) == (4, [])
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
    network, rgb = Colours(), picture(*size)
    seen = seen_size(size, None, (40, 72))
    result = predict_photo(rgb, look_with(network), tasks(), CPU, seen)
    assert result["semseg"].shape == result["depth"].shape == size
    assert (result["semseg"].dtype, result["depth"].dtype) == (np.uint8, np.float32)
    assert network.seen == [seen]
    if min(size) >= 32:
        assert seen == size
        np.testing.assert_allclose(result["depth"], rgb[..., 1] / 255 * 100 + 4, rtol=1e-4)
    name = "a name that is far too long for an image as narrow as this"
    sheet = prediction_sheet(picture(*size), result, tasks(), name, "and a note")
    assert min(sheet.size) > 50


@pytest.mark.parametrize(
    ("size", "max_side", "seen"),
    [
        ((1000, 2000), "auto", (36, 72)),  # as long as the training images
        ((2000, 1000), "auto", (72, 36)),
        ((30, 60), "auto", (36, 72)),  # things are as large as in training, so small images are enlarged
        ((1000, 2000), None, (1000, 2000)),
        ((100, 300), 150, (50, 150)),
        ((40, 60), 150, (40, 60)),
        ((10, 3000), 150, (32, 150)),
    ],
)
def test_the_network_looks_at_the_size_of_its_training_or_at_the_one_asked_for(
    size: tuple[int, int], max_side: Any, seen: tuple[int, int]
) -> None:
    assert seen_size(size, max_side, (40, 72)) == seen


def test_of_a_network_whose_training_images_are_not_known_the_default_is_full_size() -> None:
    assert seen_size((1000, 2000), "auto", None) == (1000, 2000)


def test_classes_that_were_seen_small_have_smooth_edges_in_full_size() -> None:
    rows, columns = np.mgrid[:320, :320]
    rgb = np.zeros((320, 320, 3), np.uint8)
    rgb[..., 0] = np.where(rows + 2 * columns < 480, 14, 28)  # a slope between class 1 and class 2
    found = predict_photo(rgb, look_with(Colours()), tasks(), CPU, (32, 32))["semseg"]
    edge = (found == found[0, 0]).sum(axis=1)
    steps = np.abs(np.diff(edge[20:300]))
    assert 0 < steps.max() <= 2, "one pixel of what the network saw is ten pixels here"


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_a_large_image_is_looked_at_in_tiles_that_show_no_seam(tta: str) -> None:
    rgb, network = picture(150, 190), Colours()
    tiled = predict_photo(rgb, look_with(network, 64, tta), tasks(), CPU, (150, 190))
    assert set(network.seen) == {(64, 64)}
    whole = predict_photo(rgb, look_with(Colours(), tta=tta), tasks(), CPU, (150, 190))
    assert (tiled["semseg"] == whole["semseg"]).mean() > 0.999  # where two classes tie
    np.testing.assert_allclose(tiled["depth"], whole["depth"], rtol=1e-4)


def test_metres_follow_the_focal_length_and_say_so() -> None:
    camera = Camera(trained_size=(128, 256), trained_focal=0.75)  # 192 pixels
    assert camera.ratio_of((1000, 2000), (128, 256), 1500.0)[0] == pytest.approx(1)
    ratio, why = camera.ratio_of((1000, 2000), (128, 256), 3000.0)  # seen with 384
    assert ratio == pytest.approx(2)
    assert why == "metres are the network's times 2.00, by the focal length: 3000 px (EXIF)"
    assert camera.ratio_of((1000, 2000), (1000, 2000), 1500.0)[0] == pytest.approx(1500 / 192)
    ratio, why = camera.ratio_of((1000, 2000), (256, 512), None)
    assert (ratio, "field of view: no focal length is known" in why) == (2, True)
    ratio, why = Camera((128, 256), 0.75, focal=3000.0).ratio_of((1000, 2000), (128, 256), 1500.0)
    assert (ratio, why.endswith("(focal)")) == (pytest.approx(2), True)
    assert Camera((128, 256), 0.75, 3000.0, ratio=1.5).ratio_of((10, 20), (10, 20), 9.0)[0] == 1.5


def test_the_focal_length_in_exif_changes_metres_and_nonsense_in_it_changes_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 36
    path = save(tmp_path / "a.jpg", picture(600, 900), exif=exif)
    assert read_focal(path) == pytest.approx(900)  # as many image widths as film widths
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 0
    assert read_focal(save(tmp_path / "b.jpg", picture(600, 900), exif=exif)) is None
    assert read_focal(save(tmp_path / "c.png", picture(6, 9))) is None


def test_the_scale_and_the_run_and_one_file_to_look_at_are_said_in_lines_that_can_be_copied(
    trained_folder: Path, photos: Path, tmp_path: Path, command: Commands
) -> None:
    words = ["run=first", "device=cpu", f"paths.outputs={trained_folder}/outputs", f"input={photos}/b.png"]
    done = command("predict.py", *words, f"output={tmp_path}/{'long ' * 20}", "focal_ratio=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Looking at 72 x 47, as in training (max_side=72; null: full size)"
    assert lines[1].startswith("1 image predicted, ")
    assert "first (" in lines[2]
    assert "mIoU" in lines[3]
    assert Path(lines[-1].strip()).is_file()
    assert not [line for line in lines if "beyond" in line]


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
    with pytest.raises(UserError, match=r"a_labels\.png is one of the inputs, and would be overwritten"):
        predict(trained_folder, input=[str(first), str(other)], output=str(tmp_path))
    with Image.open(other) as image:
        assert image.size == (34, 34)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "input=<an image, a video, a folder, or a pattern"),
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
        ("max_side=8", "max_side=8: should be auto, null for full size, or at least 32 pixels"),
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
    assert "1 image predicted" in done.stdout
    assert f"failed: {photos}/broken.png: is no image that can be read" in done.stdout
    assert [path.name for path in (tmp_path / "où (1)").iterdir()] == ["b_sheet.png"]
