"""Runs that the code of before left behind (commit e764846) are found, scored and continued.

tests/fixtures/old_runs/ was written by that code itself, with two things around it: every parameter began as 0.01, and
with SGD at a rate of 1e-30 none moved, so that 45 MB of weights compress to 15 kB. Its files:

    data/                four training and two validation images
    outputs/...76d1...   a finished run, `name=old`, with an evaluation of its validation split
    outputs/...c3f0...   `name=stopped seed=1`, stopped after step 3 of 4
    outputs/sweeps/      the account of a sweep with two seeds and an evaluation of the test split
"""

import io
import json
import lzma
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.composing import compose, tiny
from rich.console import Console

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.inference.evaluation import EvaluationSettings, evaluate
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.results import Card, Evaluation, RunResult, SweepRecord
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.stored import read
from mtl_seg_depth.training.step import Step

pytestmark = pytest.mark.usefixtures("real_resnets")

OLD = Path(__file__).parents[1] / "fixtures" / "old_runs"
COMMAND = (
    "optimizer=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0", "lr.value=1e-30", "encoder.name=resnet18",
    "tracking.panels=0", "validation.every_steps=2", "schedule.epochs=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "all"
    shutil.copytree(OLD, folder)
    for path in folder.rglob("*.xz"):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    return folder


@pytest.fixture
def folder(unpacked: Path, tmp_path: Path) -> Path:
    """A copy; checkpoints are shared, since a new one takes an old one's name and is not written into it."""

    def copy_or_link(source: str, target: str) -> None:
        (os.link if source.endswith(".pt") else shutil.copy2)(source, target)

    shutil.copytree(unpacked, tmp_path, dirs_exist_ok=True, copy_function=copy_or_link)
    return tmp_path


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    taken: list[int] = []
    original = Step.__call__
    monkeypatch.setattr(Step, "__call__", lambda *arguments: taken.append(1) or original(*arguments))
    return taken


pytestmark = pytest.mark.usefixtures("real_resnets")


def train(folder: Path, *overrides: str) -> RunResult:
    return run(tiny(folder, *COMMAND, *overrides), Console(file=io.StringIO()))


def score(folder: Path, *overrides: str) -> Evaluation:
    places = [f"data.root={folder}/data", f"data.cache={folder}/packed", f"paths.outputs={folder}/outputs"]
    composed = compose("run=old", "device=cpu", "split=val", *places, *overrides, config="evaluate")
    result = evaluate(parse_as(EvaluationSettings, composed), Console(file=io.StringIO()))
    assert result is not None
    return result


def stored(folder: Path, pattern: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(next(folder.glob(pattern)).read_text())
    return content


def test_the_fixture_is_small() -> None:
    assert sum(path.stat().st_size for path in OLD.rglob("*") if path.is_file()) < 100_000


def test_a_finished_run_is_found_by_the_same_command(folder: Path, steps: list[int]) -> None:
    known = stored(folder, "outputs/*76d1*/result.json")
    assert "data" not in known
    result = train(folder, "name=old")
    assert steps == []
    assert (result.status, result.fingerprint) == (known["status"], known["fingerprint"])
    assert result.folder == next(folder.glob("outputs/*76d1*"))
    assert (result.best, result.cost.memory) == (known["best"], known["cost"]["memory"])
    assert result.best_weights == result.folder / "best.pt", "wherever it was when it was written"


def test_other_training_data_are_known_by_its_checkpoint(folder: Path, steps: list[int]) -> None:
    for number in range(2):
        shutil.copy(folder / "data/train/rgb/3.jpg", folder / f"data/train/rgb/{number}.jpg")
    assert train(folder).folder.name.endswith(".2")
    assert len(steps) == 4


def test_a_finished_run_scores_what_it_scored(folder: Path) -> None:
    known = stored(folder, "outputs/*76d1*/result.json")["best"]
    evaluated = stored(folder, "outputs/*76d1*/evaluations/*.json")["scores"]
    read, anew = score(folder), score(folder, "rerun=true")
    assert read.scores == evaluated
    assert (read.key, read.file) == (anew.key, anew.file) == ("val", read.file)
    assert {name: anew.scores[name.removeprefix("val/")] for name in known} == pytest.approx(known)


def test_a_stopped_run_is_continued(folder: Path, steps: list[int]) -> None:
    left = next(folder.glob("outputs/*c3f0*"))
    result = train(folder, "name=stopped", "seed=1")
    assert (result.folder, len(steps), result.status, result.steps) == (left, 1, "finished", 4)
    identity = checkpoint.identity(left / "last.pt")
    assert checkpoint.digests(identity) == result.data
    assert checkpoint.load(left / "last.pt", torch.device("cpu"))["state"]["step"] == 4


@pytest.mark.parametrize(
    ("pattern", "model"),
    [
        ("outputs/*76d1*/run.json", Card),
        ("outputs/*76d1*/result.json", RunResult),
        ("outputs/*76d1*/evaluations/*.json", Evaluation),
        ("outputs/sweeps/*/sweep.json", SweepRecord),
    ],
)
def test_every_file_of_before_is_read_with_all_its_values(pattern: str, model: type[Any]) -> None:
    path = next(OLD.glob(pattern))
    known, found = json.loads(path.read_text()), read(path, model).model_dump()
    if model is RunResult:
        del known["folder"]  # where it was then
    assert _part(found, known) == known


def _part(value: Any, like: Any) -> Any:
    """The keys of `value` that `like` has, at every depth."""
    if isinstance(like, dict):
        return {key: _part(value[key], inner) for key, inner in like.items()}
    if isinstance(like, list):
        return [_part(each, inner) for each, inner in zip(value, like, strict=True)]
    return value
