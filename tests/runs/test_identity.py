"""A run is known by its settings and the content of its data: other data are never answered with an old result."""

import io
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from rich.console import Console

from mtl_seg_depth.inference.trained import find_checkpoint
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.runs import assembly
from mtl_seg_depth.runs.dry_run import dry_run
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import Interrupted
from mtl_seg_depth.training.step import Step

COUNTS = {"train": 4, "val": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two data sets of the same names and sizes, a copy of the first, and one that shares its training split alone."""
    for name, seed in (("a", 0), ("b", 1)):
        write_tiny_miniscapes(tmp_path / name, COUNTS, seed=seed)
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    shutil.copytree(tmp_path / "a" / "train", tmp_path / "mixed" / "train")
    shutil.copytree(tmp_path / "b" / "val", tmp_path / "mixed" / "val")
    return tmp_path


def settings_of(folder: Path, data: str, *overrides: str) -> Any:
    settings = tiny(folder, "schedule.epochs=1", "tracking.panels=0", *overrides)
    node = {**settings.data, "root": str(folder / data), "cache": str(folder / f"packed_{data}")}
    return settings.model_copy(update={"data": node})


def train(folder: Path, data: str, *overrides: str) -> RunResult:
    return run(settings_of(folder, data, *overrides), Console(file=io.StringIO()))


def told(folder: Path, data: str) -> str:
    console = Console(file=io.StringIO(), width=300)
    dry_run(settings_of(folder, data), console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_other_data_are_another_run_beside_it_and_the_same_elsewhere_are_not(folder: Path) -> None:
    a, b, mixed = (train(folder, data) for data in ("a", "b", "mixed"))
    assert a.fingerprint == b.fingerprint == mixed.fingerprint
    assert [each.folder.name for each in (b, mixed)] == [f"{a.folder.name}.2", f"{a.folder.name}.3"]
    assert len({each.best["val/depth"] for each in (a, b, mixed)}) == 3
    assert a.data["train"] == mixed.data["train"] != b.data["train"]
    assert a.data["val"] != mixed.data["val"] == b.data["val"]
    for result in (a, b, mixed):
        assert json.loads((result.folder / "run.json").read_text())["data"] == result.data
        assert json.loads((result.folder / "result.json").read_text())["data"] == result.data
    assert [train(folder, data).folder for data in ("a", "b", "mixed", "moved")] == [
        each.folder for each in (a, b, mixed, a)
    ]
    again = train(folder, "b", "rerun=true")
    assert again.folder.name == f"{a.folder.name}.4"
    assert again.best == b.best
    assert train(folder, "b").folder == again.folder, "the newest stands for the config on these data"
    assert train(folder, "a").folder == a.folder


def test_another_file_of_initial_weights_under_the_same_name_is_another_run(folder: Path) -> None:
    first, second = (train(folder, "a", f"seed={seed}").best_weights for seed in (1, 2))
    assert first is not None
    assert second is not None
    weights = folder / "weights.pt"

    def started(source: Path) -> RunResult:
        shutil.copy(source, weights)
        return train(folder, "a", f"encoder.weights={weights}")

    one, other = started(first), started(second)
    assert one.fingerprint == other.fingerprint
    assert other.folder.name == f"{one.folder.name}.2"
    assert one.best["val/depth"] != other.best["val/depth"]
    assert started(first).folder == one.folder
    assert started(second).folder == other.folder
    weights.unlink()  # what is not known counts as equal: the newest stands for the config
    assert train(folder, "a", f"encoder.weights={weights}").folder == other.folder


def test_a_run_from_before_the_file_of_weights_was_known_stands_for_any(folder: Path) -> None:
    weights = folder / "weights.pt"
    shutil.copy(train(folder, "a").best_weights or "", weights)
    result = train(folder, "a", f"encoder.weights={weights}")
    card = json.loads((result.folder / "run.json").read_text())
    del card["data"]["weights"]
    (result.folder / "run.json").write_text(json.dumps(card))
    weights.write_bytes(weights.read_bytes() + b" ")
    assert train(folder, "a", f"encoder.weights={weights}").folder == result.folder


def interrupt(monkeypatch: pytest.MonkeyPatch, folder: Path, data: str, *overrides: str) -> None:
    """Train until a SIGTERM in the first step."""
    original = Step.__call__

    def stopping(self: Step, *arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Step, "__call__", stopping)
        train(folder, data, *overrides)


def test_an_interrupted_run_goes_on_with_its_own_data_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Step.__call__
    interrupt(monkeypatch, folder, "a")
    b = train(folder, "b")
    steps: list[int] = []
    monkeypatch.setattr(Step, "__call__", lambda *arguments: steps.append(1) or original(*arguments))
    a = train(folder, "moved")
    assert b.folder.name == f"{a.folder.name}.2"
    assert len(steps) == a.steps - 1 == 1


def test_data_that_are_gone_are_a_mistake_even_if_the_run_is_finished(folder: Path) -> None:
    train(folder, "a")
    shutil.rmtree(folder / "a")
    with pytest.raises(UserError, match=r"/a: is not a folder; .*data\.root=<folder>"):
        train(folder, "a")


def test_a_dry_run_says_what_it_can_and_writes_nothing(folder: Path) -> None:
    assert "no finished run here" in told(folder, "a")
    train(folder, "a")
    before = sorted(folder.rglob("*"))
    assert told(folder, "a").endswith("; trained before\n")
    assert told(folder, "moved").endswith("; trained before, if the data are the same\n")
    assert sorted(folder.rglob("*")) == before
    train(folder, "b")
    shutil.rmtree(folder / "outputs")
    train(folder, "a")
    assert "; about " in told(folder, "b"), "b is packed, and known to be other data"


def test_a_name_that_fits_runs_on_different_data_is_refused_with_both(folder: Path) -> None:
    a, b = train(folder, "a", "name=mine"), train(folder, "b", "name=mine")
    for reference in ("mine", a.fingerprint):
        with pytest.raises(
            UserError, match=f"runs of one config on different data; there are {b.folder.name}, {a.folder.name}"
        ):
            find_checkpoint(reference, folder / "outputs")
    assert find_checkpoint(b.folder.name, folder / "outputs") == b.folder / "best.pt"


def test_outputs_that_are_moved_keep_their_results(folder: Path) -> None:
    first = train(folder, "a")
    (folder / "outputs").rename(folder / "elsewhere")
    second = train(folder, "a", f"paths.outputs={folder}/elsewhere")
    assert second.best_weights == folder / "elsewhere" / first.folder.name / "best.pt"
    assert second.best_weights.is_file()


def test_a_run_of_automatic_precision_goes_on_in_the_format_it_was_begun_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = ["bf16"]
    monkeypatch.setattr(assembly, "native", lambda device: faster[0])
    wide = ("precision=auto", "data.crop_size=[64,64]")
    write_tiny_miniscapes(folder / "wide", COUNTS, height=64, width=64)
    interrupt(monkeypatch, folder, "wide", *wide)
    faster[0] = "fp32"
    resumed = train(folder, "wide", *wide)
    assert (resumed.folder / "config.yaml").read_text().count("precision: bf16") == 1
    assert [path.name for path in (folder / "outputs").iterdir()] == [resumed.folder.name]
    assert train(folder, "wide", *wide).folder == resumed.folder
    # One that was asked for by name is another command's.
    explicit = train(folder, "wide", *wide, "precision=fp32", "seed=1")
    faster[0] = "bf16"
    assert train(folder, "wide", *wide, "seed=1").fingerprint != explicit.fingerprint
