"""A run that is over keeps what its commands need, and of older ones the rest is freed."""

import io
from pathlib import Path

import pytest
from filelock import FileLock
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from rich.console import Console

from mtl_seg_depth.config import Paths
from mtl_seg_depth.inference.evaluation import evaluate_run
from mtl_seg_depth.records.folder import RunFolder
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.runs.pruning import PruneSettings, prune
from mtl_seg_depth.runs.run import run

LAST = ("last.pt", "last.previous.pt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 2})
    return tmp_path


def train(folder: Path, *overrides: str) -> RunResult:
    return run(tiny(folder, "tracking.panels=0", *overrides), Console(file=io.StringIO()))


def pruned(folder: Path, *, dry_run: bool = False) -> dict[str, int]:
    paths = Paths(root=str(folder), datasets=str(folder), outputs=str(folder / "outputs"))
    return {each.folder.name: each.bytes for each in prune(PruneSettings(dry_run=dry_run, paths=paths))}


def names(result: RunResult) -> set[str]:
    return {path.name for path in result.folder.iterdir()}


def test_a_run_that_is_over_keeps_its_best_weights_and_no_checkpoint_to_go_on_from(folder: Path) -> None:
    result = train(folder, "checkpoint.keep=best")
    assert not names(result) & set(LAST)
    assert "best.pt" in names(result)
    assert train(folder, "checkpoint.keep=best").best == result.best, "the same command again needs none"
    settings = tiny(folder, "score=val")
    assert evaluate_run(settings, result.folder, Console(file=io.StringIO())).scores["depth"] == pytest.approx(
        result.best["val/depth"]
    )
    assert RunFolder(result.folder).size < 1.3 * (result.folder / "best.pt").stat().st_size + 100_000


def test_all_of_them_stay_where_that_is_asked_for(folder: Path) -> None:
    result = train(folder, "checkpoint.keep=all")
    assert set(LAST) < names(result)
    assert train(folder, "checkpoint.keep=best").folder == result.folder, "what is kept makes no other run"


def test_only_checkpoints_of_runs_that_are_over_are_freed(folder: Path) -> None:
    over, interrupted, cut, lost, busy = (train(folder, f"seed={seed}") for seed in range(5))
    (interrupted.folder / "result.json").unlink()
    text = (cut.folder / "result.json").read_text().replace('"finished"', '"pruned"')
    (cut.folder / "result.json").write_text(text)
    (lost.folder / "best.pt").unlink()
    everything = {result.folder: names(result) for result in (over, interrupted, cut, lost, busy)}
    expected = {each.folder.name: sum((each.folder / name).stat().st_size for name in LAST) for each in (over, busy)}
    assert pruned(folder, dry_run=True) == expected
    assert {path: {each.name for each in path.iterdir()} for path in everything} == everything
    with FileLock(busy.folder / "lock"):
        assert pruned(folder) == {over.folder.name: expected[over.folder.name]}
    assert names(over) == everything[over.folder] - set(LAST)
    for other in (interrupted, cut, lost, busy):
        assert names(other) == everything[other.folder]
    assert pruned(folder) == {busy.folder.name: expected[busy.folder.name]}
    assert pruned(folder) == {}
    assert train(folder, "seed=1").steps == interrupted.steps, "what was interrupted goes on"


def test_a_run_elsewhere_that_a_link_leads_to_is_not_touched(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    result = train(folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "run"
    result.folder.rename(elsewhere)
    result.folder.symlink_to(elsewhere)
    assert pruned(folder) == {}
    assert (elsewhere / "last.pt").exists()
