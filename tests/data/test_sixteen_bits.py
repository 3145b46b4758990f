"""Depths in 16 bits: from the file through the pack into batches, the same metres wherever the pixels wait."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers.facts import CPU
from helpers.tiny_data import miniscapes, write_tiny_miniscapes
from PIL import Image

from mtl_seg_depth.data import placement
from mtl_seg_depth.data.augmentation import Augmentation
from mtl_seg_depth.data.batches import Batch, ScoringBatches, TrainingBatches
from mtl_seg_depth.data.check import inspect
from mtl_seg_depth.data.files import DamagedFileError, Reader
from mtl_seg_depth.data.miniscapes import READERS, Miniscapes
from mtl_seg_depth.data.packed import verify
from mtl_seg_depth.data.placement import DevicePixels, HostPixels, Place
from mtl_seg_depth.drawing.data_sheet import draw_sheet
from mtl_seg_depth.tasks.configured import Depth, Semseg
from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthSpec, DepthStatistics
from mtl_seg_depth.tasks.task import Task

CODECS = {
    "metres": DepthCodec(bits=16, scale="metres", first=1 / 256, last=65535 / 256),
    "disparity": DepthCodec(bits=16, scale="disparity", first=1 / 200, last=2.0),
}
ENDS = [0, 1, 2, 32767, 32768, 65534, 65535]


class Deep(Miniscapes):
    """Miniscapes with depths in 16 bits."""

    readers: ClassVar = {**READERS, "depth": Reader("PNG", bits=16)}
    codec = CODECS["metres"]

    def __init__(self, **miniscapes: Any) -> None:
        super().__init__(**miniscapes)
        whole = DepthStatistics(27.0, 29.0, self.codec.nearest, self.codec.farthest)
        self.spec = replace(self.spec, targets={**self.spec.targets, "depth": DepthSpec(self.codec, whole)})


class DeepDisparity(Deep):
    codec = CODECS["disparity"]


@pytest.fixture(params=[Deep, DeepDisparity])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Deep:
    root = write_tiny_miniscapes(tmp_path / "data")
    generator = np.random.default_rng(3)
    for path in root.glob("*/depth/*.png"):
        codes = generator.integers(0, 2**16, (32, 64), np.uint16)
        codes[0, : len(ENDS)] = ENDS
        Image.fromarray(codes).save(path)
    found = miniscapes(root, kind=request.param)
    assert isinstance(found, Deep)
    return found


def codes_of(data: Deep, split: str) -> np.ndarray:
    """As Pillow reads them."""
    return np.stack([np.asarray(Image.open(path)) for path in data.files(split).paths["depth"]])


def metres_of(data: Deep, codes: np.ndarray) -> np.ndarray:
    """By the codec's definition, float32."""
    codec = data.codec
    value = codec.first + (codes.astype(np.float64) - 1) * (codec.last - codec.first) / 65534
    with np.errstate(divide="ignore"):
        metres = value if codec.scale == "metres" else 1 / value
    return np.where(codes == 0, np.nan, metres).astype(np.float32)


def tasks(data: Deep) -> dict[str, Task]:
    return {"semseg": Semseg(data.spec.targets["semseg"]), "depth": Depth(data.spec.targets["depth"])}


def assert_identical(one: Batch, other: Batch) -> None:
    assert one.ids == other.ids
    for first, second in zip(one.tensors, other.tensors, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def test_they_are_packed_as_they_are(data: Deep) -> None:
    split = data.open("train", progress=False)
    assert split.images.dtype == split.targets["semseg"].dtype == np.uint8
    assert split.targets["depth"].dtype == np.uint16
    np.testing.assert_array_equal(split.targets["depth"], codes_of(data, "train"))
    assert split.targets["depth"].max() == 65535
    split.check(range(3))
    verify(split.folder)


@pytest.mark.parametrize("kept", [0, placement.KEPT_BYTES])
@pytest.mark.parametrize("where", ["host", "device"])
def test_batches_have_their_metres(data: Deep, where: Place, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "KEPT_BYTES", kept)
    batches = ScoringBatches(
        data.open("train", progress=False), batch_size=3, tasks=tasks(data), device=CPU, place=where
    )
    assert isinstance(batches.pixels, {"host": HostPixels, "device": DevicePixels}[where])
    (batch,) = batches
    found, codes = batch.targets["depth"], codes_of(data, "train")
    assert found.dtype == torch.float32
    assert (codes > 32767).mean() > 0.4
    np.testing.assert_array_equal(found, metres_of(data, codes))
    np.testing.assert_array_equal(found.isnan(), codes == 0)
    np.testing.assert_array_equal(
        found[0, 0, [1, 6]].sort().values, np.float32([data.codec.nearest, data.codec.farthest])
    )


@pytest.mark.parametrize("augmentation", [{"flip": 0.5}, {"flip": 0.5, "zoom": (0.9, 2.0), "tilt": 5}], ids=str)
def test_views_are_the_same_from_the_device_and_from_the_host(data: Deep, augmentation: dict[str, Any]) -> None:
    split = data.open("train", progress=False)
    host, device = (
        TrainingBatches(
            split,
            Augmentation(**augmentation, rescale_depth=False),
            batch_size=3,
            crop_size=(32, 40),
            tasks=tasks(data),
            seed=0,
            device=CPU,
            place=where,
        )
        for where in ("host", "device")
    )
    known = metres_of(data, codes_of(data, "train"))
    for step in range(3):
        assert_identical(host[step], device[step])
        for number, depth in zip(host[step].ids, host[step].targets["depth"], strict=True):
            assert np.isin(depth[~depth.isnan()].numpy(), known[number]).all()


def test_they_are_inspected(data: Deep, tmp_path: Path) -> None:
    for kind in ("semseg", "depth"):
        (data.root / "test" / kind).rename(tmp_path / kind)
    (data.root / "val").rename(tmp_path / "val")
    inspection = inspect(data, progress=False)
    train, codes = inspection.splits["train"], codes_of(data, "train")
    metres = metres_of(data, codes[codes > 0]).astype(np.float64)
    np.testing.assert_array_equal(train.counts["depth"], np.bincount(codes.ravel(), minlength=2**16))
    np.testing.assert_allclose(
        train.depth("depth"), (metres.mean(), metres.std(), metres.min(), metres.max()), rtol=1e-6
    )
    assert inspection.splits["val"].depth("depth") is inspection.splits["test"].depth("depth") is None
    assert [error.path for error in inspection.damaged] == [data.root / "val"]
    draw_sheet(data, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").exists()


def test_eight_bits_where_sixteen_are_due_are_refused(data: Deep) -> None:
    path = data.files("train").paths["depth"][1]
    Image.new("L", (64, 32)).save(path)
    with pytest.raises(DamagedFileError, match=r"1\.png: is a 8-bit grey PNG; depth files are 16-bit grey"):
        data.open("train", progress=False)
