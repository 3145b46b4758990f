"""Proof that data sets are objects: 13 classes, and 16-bit depth of 0.5 to 10 m."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from helpers.composing import tiny
from helpers.facts import CLASS_NAMES
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet, settings_of
from PIL import Image

from mtl_seg_depth import data
from mtl_seg_depth.config import Settings
from mtl_seg_depth.data.files import IMAGE, Reader, label_reader
from mtl_seg_depth.data.miniscapes import Miniscapes
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.inference.deployed import Deployed, describe
from mtl_seg_depth.inference.evaluation import evaluate
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.runs import run as running
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthRules, DepthSpec, DepthStatistics
from mtl_seg_depth.tasks.semseg.classes import Classes

ROOMS = Classes(tuple(f"thing {i}" for i in range(13)), tuple((i, 2 * i, 3 * i) for i in range(13)), ignore_index=254)
FINE = DepthCodec(bits=16, scale="metres", first=0.0002, last=13.107)
SIZES = {"train": 4, "val": 3, "test": 2}


class Rooms(Miniscapes):
    """Indoor images in the layout of Miniscapes."""

    readers: ClassVar = {
        IMAGE: Reader("JPEG", channels=(3,)),
        "semseg": label_reader(13, 254),
        "depth": Reader("PNG", bits=16),
    }

    def __init__(self, **miniscapes: Any) -> None:
        super().__init__(**miniscapes | {"depth_mean": 30.0, "depth_std": 10.0, "depth_min": 4.0, "depth_max": 300.0})
        depth = DepthSpec(FINE, DepthStatistics(3.0, 2.0, 0.5, 10.0), DepthRules(cap=8.0))
        self.spec = DataSpec("rooms", {"semseg": ROOMS, "depth": depth}, licence="CC0", source="this test")


def write_rooms(root: Path) -> None:
    """Miniscapes' tiny files with other labels, and depths that Miniscapes' codec cannot hold."""
    write_tiny_miniscapes(root, SIZES, height=40, width=72)
    random = np.random.default_rng(0)
    for split in SIZES:
        for path in (root / split / "semseg").iterdir():
            labels = random.integers(0, 13, (5, 9), np.uint8).repeat(8, 0).repeat(8, 1)
            labels[:2] = 254
            Image.fromarray(labels).save(path)
            depth = random.integers(2_500, 30_000, (5, 9)).repeat(8, 0).repeat(8, 1).astype(np.uint16)
            depth[-2:], depth[2, 0] = 0, 40_000  # a code above what signed numbers of 16 bits hold
            Image.fromarray(depth).save(root / split / "depth" / path.name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(data, "Rooms", Rooms, raising=False)
    monkeypatch.setattr(data, "__all__", [*data.__all__, "Rooms"])
    write_rooms(tmp_path / "data")
    return tmp_path


def rooms(folder: Path, *overrides: str) -> Settings:
    composed = tiny(folder, *overrides)
    return composed.model_copy(update={"data": {**composed.data, "_target_": "mtl_seg_depth.data.Rooms"}})


def test_classes_codec_and_rules_go_where_they_are_needed(folder: Path) -> None:
    settings = rooms(folder, "name=rooms", "augment=full")
    result = running.run(settings, quiet())
    assert {name for name in result.best if "/iou/" in name} <= {f"val/iou/{name}" for name in ROOMS.names}
    trained = load_trained("rooms", folder / "outputs", running.torch.device("cpu"))
    assert trained.tasks["semseg"].channels == 13
    prediction = trained.tasks["depth"].decode(running.torch.full((1, 1, 2, 2), 99.0))
    assert prediction.max() == 10.0, "the valid range is the data's"
    assert describe(trained, Deployed(trained.network, trained.tasks))["classes"] == list(ROOMS.names)
    split = trained.source.open("train")
    assert split.targets["depth"].dtype == np.uint16
    metres = trained.tasks["depth"].target(running.torch.from_numpy(split.targets["depth"].astype(np.int32)))
    assert metres[0, 2, 0].item() == pytest.approx(8.0)
    assert metres[0, -1, 0].isnan()


def test_codes_of_16_bits_arrive_whole_in_a_batch(folder: Path) -> None:
    from mtl_seg_depth.runs.assembly import assemble, resolve, scoring_batches

    settings, device = resolve(rooms(folder))
    parts = assemble(settings, device)
    split = parts.source.open("val")
    batch = scoring_batches(settings, parts, split, device).rows([0, 1, 2])
    expected = FINE.table()[split.targets["depth"][:, :32, :64]]
    np.testing.assert_array_equal(batch.targets["depth"].numpy(), expected)
    assert np.nanmax(expected) == pytest.approx(8.0)


def test_a_checkpoint_carries_its_data_spec(folder: Path) -> None:
    running.run(rooms(folder), quiet())
    saved = checkpoint.load(next((folder / "outputs").glob("*/best.pt")), running.torch.device("cpu"))
    assert saved["spec"]["targets"]["semseg"]["names"] == list(ROOMS.names)
    assert saved["spec"]["licence"] == "CC0"


def test_depths_beyond_the_data_sets_cap_are_not_scored(folder: Path) -> None:
    from mtl_seg_depth.tasks.configured import configured_tasks

    task = configured_tasks({"depth": rooms_spec()}, rooms(folder).model_dump())["depth"]
    meter = task.meter(running.torch.device("cpu"))
    depth = running.torch.tensor([[[1.0, 9.0]]])
    meter.update(running.torch.tensor([[[2.0, 900.0]]]), depth)
    assert meter.compute().details["depth_errors/mae"] == 1.0


def rooms_spec() -> DepthSpec:
    spec = DepthSpec(FINE, DepthStatistics(3.0, 2.0, 0.5, 10.0), DepthRules(cap=8.0))
    assert isinstance(spec, DepthSpec)
    return spec


def test_a_network_is_never_scored_on_data_with_other_classes(folder: Path) -> None:
    running.run(rooms(folder, "name=rooms"), quiet())
    write_tiny_miniscapes(folder / "streets", SIZES, height=40, width=72)
    with pytest.raises(UserError) as error:
        evaluate(
            settings_of(
                folder, "run=rooms", "data=miniscapes", f"data.root={folder}/streets", f"data.cache={folder}/c"
            ),
            quiet(),
        )
    assert ", ".join(ROOMS.names) in str(error.value)
    assert ", ".join(CLASS_NAMES) in str(error.value)


def test_a_valid_range_beyond_the_codec_is_refused(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", SIZES)
    with pytest.raises(UserError, match=r"depth_min=0\.5 .* codes stand for 4 to 300 m"):
        running.run(tiny(tmp_path, "data.depth_min=0.5"), quiet())
