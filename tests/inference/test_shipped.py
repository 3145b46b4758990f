"""The network that the package ships: small, of nobody's machine, and it sees streets."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.facts import CLASS_NAMES

from mtl_seg_depth import load
from mtl_seg_depth.data.streets import render_scene
from mtl_seg_depth.inference.trained import SHIPPED, find_checkpoint
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.system.errors import UserError


def test_it_is_called_demo_where_no_run_is(tmp_path: Path) -> None:
    assert find_checkpoint("demo", tmp_path) == SHIPPED
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "best.pt").touch()
    assert find_checkpoint("demo", tmp_path) == tmp_path / "demo" / "best.pt"
    with pytest.raises(UserError, match="no run in"):
        find_checkpoint("demos", tmp_path)


def test_it_is_small_and_names_no_folder_of_a_machine() -> None:
    assert SHIPPED.stat().st_size < 12e6
    saved = checkpoint.load_best(SHIPPED, torch.device("cpu"))

    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for each in value.values() for text in texts(each)]
        return [value] if isinstance(value, str) else []

    assert [text for text in texts(saved.config) if text.startswith(("/", "sqlite", "http"))] == []


def test_it_sees_what_and_how_far(tmp_path: Path) -> None:
    network = load("demo", outputs=tmp_path)
    assert network.trained.name == "demo"
    confusion = np.zeros((len(CLASS_NAMES),) * 2, np.int64)
    errors = []
    for number in range(8):
        scene = render_scene(0, "test", number)
        seen = network.predict(scene.rgb)
        np.add.at(confusion, (scene.semseg.ravel(), seen.labels.ravel()), 1)
        apart = np.log(seen.depth / scene.depth)[np.isfinite(scene.depth) & (scene.depth > 4)]
        errors.append(100 * math.sqrt(np.mean((apart - apart.mean()) ** 2)))
    crossed = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - crossed
    iou = dict(zip(CLASS_NAMES, 100 * crossed / np.maximum(union, 1), strict=True))
    assert min(iou[name] for name in ("road", "building", "sky", "car", "vegetation")) > 60
    assert np.mean(errors) < 35
