"""A run that lacks memory says so wherever that happens; no other error is taken for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet

from mtl_seg_depth.data import packed
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.errors import OutOfMemoryError
from mtl_seg_depth.training.step import Step

PLACES: dict[str, tuple[Any, str]] = {
    "the network goes to the device": (Network, "to"),
    "a pack is mapped": (packed.np, "load"),
    "a checkpoint is read": (torch, "load"),
    "a step": (Step, "__call__"),
    "a validation": (Predictor, "outputs"),
    "a checkpoint is written": (checkpoint.torch, "save"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [torch.AcceleratorError("CUDA error: out of memory"), MemoryError()])
def test_a_shortage_anywhere_in_a_run_is_one_message(
    place: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_miniscapes(tmp_path / "data")
    settings = tiny(tmp_path, "schedule.epochs=1")
    if place == "a checkpoint is read":
        run(settings, quiet())
        (next((tmp_path / "outputs").glob("*/result.json"))).unlink()

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(*PLACES[place], fails)
    with pytest.raises(OutOfMemoryError, match=r"schedule.batch_size=2 with data.crop_size=.* out of memory"):
        run(settings, quiet())


@pytest.mark.parametrize("place", ["the network goes to the device", "a step", "a validation"])
def test_another_error_of_the_device_comes_out_as_itself(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_miniscapes(tmp_path / "data")
    error = torch.AcceleratorError("CUDA error: device-side assert triggered")

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(*PLACES[place], fails)
    with pytest.raises(torch.AcceleratorError) as raised:
        run(tiny(tmp_path, "schedule.epochs=1"), quiet())
    assert raised.value is error
