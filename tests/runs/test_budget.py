"""A training by minutes: as many steps as are measured to fit, and as many again wherever it goes on."""

import io
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.comparing import assert_same_run
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from rich.console import Console

from mtl_seg_depth.config import fingerprint
from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.runs import budget
from mtl_seg_depth.runs import run as runs
from mtl_seg_depth.runs.assembly import Parts, assemble
from mtl_seg_depth.runs.dry_run import dry_run
from mtl_seg_depth.runs.pace import Pace
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import Interrupted
from mtl_seg_depth.training.step import Step

COSINE = ("lr=cosine", "tracking.log_every=1", "tracking.panels=0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_miniscapes(tmp_path / "data", {"train": 8, "val": 20})
    return tmp_path


def train(folder: Path, *overrides: str) -> RunResult:
    return runs.run(tiny(folder, *COSINE, *overrides), Console(file=io.StringIO()))


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Sets the seconds of a step and of a batch of validation, on a clock that only these move."""
    now = 0.0

    def set_pace(of_step: float, of_scored: float) -> None:
        def slow(function: Callable[..., Any], seconds: float) -> Any:
            def slowly(*arguments: Any) -> Any:
                nonlocal now
                now += seconds
                return function(*arguments)

            return slowly

        def assembled(*arguments: Any) -> Parts:
            parts = assemble(*arguments)
            return replace(parts, advance=slow(parts.advance, of_step), predictor=slow(parts.predictor, of_scored))

        monkeypatch.setattr(budget, "assemble", assembled)
        monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: now))

    return set_pace


def test_as_many_steps_as_fit_with_their_validations(folder: Path, pace: Callable[[float, float], None]) -> None:
    pace(0.25, 0.5)  # an epoch of 4 steps takes 1 s, and validating 20 images in tenths 5 s
    result = train(folder, "schedule.minutes=0.4", "validation.batch_size=2", "schedule.epochs=7")
    assert result.status == "finished"
    assert result.steps == 16  # four times 6 s
    rates = [
        point.metrics["train/learning_rate"]
        for point in read_points(result.folder / "metrics.jsonl")
        if "train/learning_rate" in point.metrics
    ]
    assert len(rates) == 16
    assert rates[0] == 1e-4
    assert rates[-1] < 2e-6, "the rate falls over the minutes, not over the epochs"
    thrice = train(folder, "schedule.minutes=0.4", "validation.batch_size=2", "validation.times=3")
    assert thrice.steps == 36, "9 s, and 15 s of validating three times"
    points = read_points(thrice.folder / "metrics.jsonl")
    assert [point.step for point in points if "val/depth" in point.metrics] == [12, 24, 36]
    assert train(folder, "schedule.minutes=0.001", "schedule.batch_size=4").steps == 1, "there is always one"
    assert train(folder, "schedule.minutes=0.4", "schedule.max_steps=3").steps == 3


def test_a_run_goes_on_with_the_steps_that_it_was_begun_with(
    folder: Path, pace: Callable[[float, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pace(1.0, 0.0)
    minutes = ("schedule.minutes=0.2", "checkpoint.every_minutes=1e-9")
    whole = train(folder, *minutes)
    assert whole.steps == 12

    original, taken = Step.__call__, 0

    def stopped_in_the_fifth(self: Step, *arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == budget.WARM_UP + 1 + budget.FEWEST + 5:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    monkeypatch.setattr(Step, "__call__", stopped_in_the_fifth)
    with pytest.raises(Interrupted):
        train(folder, *minutes, "rerun=true")
    pace(0.1, 0.0)  # ten times as fast a machine
    again = train(folder, *minutes)
    assert again.folder != whole.folder
    assert again.steps == 12
    assert_same_run(whole.folder, again.folder)


def test_epochs_do_not_count_then_and_minutes_that_are_not_given_do_not_either(tmp_path: Path) -> None:
    assert fingerprint(tiny(tmp_path, "schedule.minutes=3", "schedule.epochs=5")) == fingerprint(
        tiny(tmp_path, "schedule.minutes=3")
    )
    assert len({fingerprint(tiny(tmp_path, f"schedule.minutes={minutes}")) for minutes in ("null", 3, 4)}) == 3
    assert Pace(tmp_path).seconds(tiny(tmp_path, "schedule.minutes=3"), steps=1) == 180


def test_a_dry_run_names_minutes_and_no_steps(folder: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    dry_run(tiny(folder, "schedule.minutes=3"), console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "as many steps of 2 as fit into 3 min 00 s on cpu" in told
    assert "about 3 min 00 s" in told


def test_minutes_too_few_for_the_learning_rate_are_told(folder: Path, pace: Callable[[float, float], None]) -> None:
    pace(1.0, 0.0)
    with pytest.raises(UserError, match=r"warmup_epochs is within 0\.\.0\.75, the epochs; not 2"):
        train(folder, "schedule.minutes=0.05", "lr.warmup_epochs=2")
