"""Predictions of a split as a zip: what it holds, and that it is whole or absent."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.facts import encode_depth
from helpers.trained_runs import HEIGHT, WIDTH, evaluate, quiet, settings_of
from PIL import Image

from mtl_seg_depth.inference import evaluation
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.precision import Precision

CPU = torch.device("cpu")


def predictor_of(folder: Path) -> Predictor:
    trained = load_trained("first", folder / "outputs", CPU)
    return Predictor(trained.network, trained.tasks, Precision("fp32"))


def test_a_submission_holds_every_picture_in_full_size(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "handed in.zip"
    settings = settings_of(folder, "split=test", "batch_size=2").model_copy(update={"submission": str(path)})
    assert evaluation.evaluate(settings, quiet()) is not None
    first = path.read_bytes()
    predictor = predictor_of(folder)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"test/{kind}/{i}.png" for i in range(2) for kind in ("semseg", "depth")]
        for i in range(2):
            with Image.open(folder / "data" / "test" / "rgb" / f"{i}.jpg") as image:
                rgb = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
            prediction = predictor(rgb)
            labels = np.asarray(Image.open(io.BytesIO(archive.read(f"test/semseg/{i}.png"))))
            codes = np.asarray(Image.open(io.BytesIO(archive.read(f"test/depth/{i}.png"))))
            assert labels.shape == codes.shape == (HEIGHT, WIDTH)
            assert labels.dtype == codes.dtype == np.uint8
            assert (labels == prediction["semseg"][0].numpy()).mean() > 0.999
            assert np.abs(codes.astype(int) - encode_depth(prediction["depth"][0].numpy())).max() <= 1
    evaluation.evaluate(settings, quiet())
    assert path.read_bytes() == first


def test_an_unlabelled_split_can_be_predicted_and_not_scored(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "unlabelled"
    shutil.copytree(folder / "data" / "test" / "rgb", root / "test" / "rgb")
    places = ["split=test", f"data.root={root}", f"data.cache={tmp_path}/packed"]
    with pytest.raises(UserError, match=r"the test images have no labels to score against; submission=<file\.zip>"):
        evaluate(folder, *places)
    assert evaluation.evaluate(settings_of(folder, *places, f"submission={tmp_path}/out.zip"), quiet()) is None
    assert zipfile.ZipFile(tmp_path / "out.zip").testzip() is None


def test_a_submission_that_cannot_be_finished_leaves_the_old_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.zip"
    path.write_text("the one before")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write = zipfile.ZipFile.writestr
    monkeypatch.setattr(zipfile.ZipFile, "writestr", broken)
    with pytest.raises(UserError, match="No space left on device; no submission was written"):
        evaluate(folder, "split=test", f"submission={path}")
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda archive, name, _: write(archive, name, _other_png()))
    with pytest.raises(UserError, match="reads back otherwise"):
        evaluate(folder, "split=test", f"submission={path}")
    assert path.read_text() == "the one before"
    assert not list(tmp_path.glob(".*.tmp*"))


def _other_png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT), 77).save(file, "PNG")
    return file.getvalue()
