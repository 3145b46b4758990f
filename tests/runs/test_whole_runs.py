"""Whole runs on whatever device there is: broken off and continued, one after another in a process, and evaluated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.comparing import assert_same_run
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import evaluate, quiet

from mtl_seg_depth.data import placement
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.training.graphed_step import GraphedStep
from mtl_seg_depth.training.step import Step

on_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICES = [
    pytest.param(("device=cpu", "step=eager", "precision=fp32"), id="cpu"),
    pytest.param(("device=cuda", "step=graph", "precision=bf16"), id="cuda", marks=on_cuda),
]
AMONG_ALL_PARTS = ("ema=0.9", "clip_norm=1", "augment=full", "validation.batch_size=3", "tracking.log_every=2")


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    placement.forget_all_but(())


class BrokenOff(Exception):  # noqa: N818  (as if somebody had pulled the plug)
    pass


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighting", ["equal", "famo", "cagrad"])
def test_a_run_broken_off_continues_bit_for_bit(
    device: tuple[str, ...], weighting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU what is captured anew, warm-up included, goes on where the first graph ended."""
    overrides = (*device, *AMONG_ALL_PARTS, f"task_weights={weighting}", "deterministic=true", "schedule.epochs=3")
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        write_tiny_miniscapes(folder / "data", {"train": 4, "val": 4, "test": 1})
    whole = run(tiny(folders[0], *overrides), quiet())
    assert whole.steps == 6

    advance: Any = GraphedStep if "device=cuda" in device else Step
    original, steps = advance.__call__, []

    def breaking(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 6:
            raise BrokenOff
        return original(*arguments)

    with monkeypatch.context() as patch, pytest.raises(BrokenOff):
        patch.setattr(advance, "__call__", breaking)
        run(tiny(folders[1], *overrides), quiet())
    console = quiet()
    run(tiny(folders[1], *overrides), console)
    assert "from step 4" in console.file.getvalue()  # type: ignore[attr-defined]
    one, other = (next((folder / "outputs").glob("*/last.pt")).parent for folder in folders)
    assert_same_run(one, other)


@pytest.mark.parametrize("device", DEVICES)
def test_the_second_run_of_a_process_finds_its_images_where_the_first_left_them(
    device: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 3, "test": 2})
    uploads: list[int] = []
    original = placement._upload
    monkeypatch.setattr(placement, "_upload", lambda *given: (uploads.append(1), original(*given))[1])
    for seed in (0, 1):
        console = quiet()
        result = run(
            tiny(tmp_path, *device, "schedule.epochs=1", "deterministic=true", f"seed={seed}", f"name=of{seed}"),
            console,
        )
        assert result.status == "finished"
        said: str = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("images on the GPU" in said) == ("device=cuda" in device)
        assert 0 < result.cost.peak_memory_share < 1
    assert len(uploads) == (6 if "device=cuda" in device else 0)
    own = {name.removeprefix("val/"): value for name, value in result.best.items()}
    scores = evaluate(tmp_path, "run=of1", device[0]).scores
    assert {name: scores[name] for name in own} == pytest.approx(own, rel=1e-5)
