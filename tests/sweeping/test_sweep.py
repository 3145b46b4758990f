"""What the sweeper promises: resume, no double work, failures with their reasons, pruning, seeds, exit codes."""

import json
import math
import os
import re
import shutil
import signal
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from helpers import sweeps_in
from helpers.lengths import quick_or_long
from helpers.sweeps_in import described, results, states, sweep, tiny, trials
from helpers.tiny_data import write_tiny_miniscapes
from optuna.trial import TrialState

from mtl_seg_depth.runs.pace import Pace
from mtl_seg_depth.sweeping import trial as sweeping_trial
from mtl_seg_depth.sweeping.queue import noted
from mtl_seg_depth.sweeping.workers import FAILED
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import AGAIN
from mtl_seg_depth.training.loop import Training
from mtl_seg_depth.training.step import Step

FAULTS = "a trial that fails is recorded with its reason, and the sweep goes on"
THREE = ("-m", "loss=l2,l1,berhu", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweeps_in.prepare(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    """An empty store beside shared data."""
    for name in ("data", "resnet18.pth"):
        (tmp_path / name).symlink_to(data / name)
    return tmp_path


def small(folder: Path, *arguments: str, steps: int = 2) -> int:
    return sweep(*THREE, *sweeps_in.places(folder), *tiny(steps=steps), *arguments)


def outcome(folder: Path) -> dict[str, int]:
    """How many rows the newest sweep has, and how many of them are neither scored nor known to have failed."""
    found = states(folder)
    return {"rows": len(found), "lost": sum(state not in ("complete", "failed") for state in found)}


def test_a_finished_sweep_is_not_run_again(folder: Path, trained: list[str]) -> None:
    assert small(folder) == 0
    assert len(set(trained)) == len(trained) == 3
    first = described(folder)
    assert small(folder) == 0
    assert len(trained) == 3
    assert described(folder)["rows"] == first["rows"]
    assert described(folder)["started"] == first["started"]


def test_a_single_run_and_another_sweep_are_taken_and_not_trained_again(folder: Path, trained: list[str]) -> None:
    alone = [argument for argument in THREE if not argument.startswith(("-m", "loss="))]
    assert sweep("loss=l1", *alone, *sweeps_in.places(folder), *tiny()) == 0
    assert small(folder) == 0
    assert small(folder, "loss=l1,huber") == 0
    assert len(set(trained)) == len(trained) == 4
    assert states(folder) == ["complete", "complete"]


def test_a_row_whose_run_was_deleted_is_trained_again(folder: Path, trained: list[str]) -> None:
    assert small(folder) == 0
    lost = described(folder)["rows"][1]["runs"][0]["folder"]
    shutil.rmtree(folder / "outputs" / lost)
    assert small(folder) == 0
    assert Counter(trained)[lost] == 2
    assert len(trained) == 4
    assert states(folder) == ["complete"] * 3


def other_pictures(folder: Path) -> str:
    write_tiny_miniscapes(folder / "other", sweeps_in.SIZES, height=32, width=64, seed=1)
    return f"data.root={folder}/other"


def test_other_data_are_another_sweep_and_other_runs(
    folder: Path, trained: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    two = ("loss=l2,l1", "score=test")
    assert small(folder, *two) == 0
    first = described(folder)
    other = other_pictures(folder)
    capfd.readouterr()
    assert small(folder, *two, other, "dry_run=true") == 0
    said = capfd.readouterr().out
    assert said.count("1 of 1") == 2
    assert said.startswith("loss: 2 trials\n")
    assert "not packed yet: what was trained before counts if it was on the same data" in said
    assert small(folder, *two, other) == 0
    second = described(folder)
    assert second["study"] != first["study"]
    assert trained == [*trained[:2], *(f"{name}.2" for name in trained[:2])]
    for old, new in zip(first["rows"], second["rows"], strict=True):
        assert new["runs"][0]["fingerprint"] == old["runs"][0]["fingerprint"]
        assert new["runs"][0]["scores"] != old["runs"][0]["scores"]
    assert small(folder, *two, other) == small(folder, *two) == 0
    assert len(trained) == 4
    assert small(folder, *two, other, "dry_run=true") == 0
    assert capfd.readouterr().out.count("1 of 1") == 2
    elsewhere = [place for place in sweeps_in.places(folder) if not place.startswith("data.root=")]
    assert sweep(*THREE, *elsewhere, *tiny("loss=l2", f"data.root={folder}/data,{folder}/other")) == 0
    assert [row["runs"][0]["folder"] for row in described(folder)["rows"]] == [trained[0], trained[2]]
    assert len(trained) == 4


SEARCH = ("lr.value=interval(1e-5,1e-3)", "loss=l2", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=1")
GRID = ("loss=l2,l1",)


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    quick_or_long(
        (GRID, ("loss=l2,l1", "model=branched"), "model\n"),
        (SEARCH, (*SEARCH, "lr.value=interval(1e-5,1e-2)"), "lr.value"),
        long=(
            (GRID, ("loss=l2,l1", "hydra.sweeper.objective=depth"), "objective"),
            (SEARCH, (*SEARCH, "data.root={other}"), "data"),
            (SEARCH, (*SEARCH, "hydra/sweeper/sampler=tpe"), "sampler\n"),
        ),
    ),
)
def test_another_sweep_of_the_same_name_has_a_study_of_its_own(
    folder: Path, first: tuple[str, ...], second: tuple[str, ...], differs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if any("{other}" in each for each in second):
        other_pictures(folder)
    second = tuple(each.format(other=folder / "other") for each in second)
    assert small(folder, *first, "hydra.sweeper.study_name=mine") == 0
    before = described(folder)
    capfd.readouterr()
    assert small(folder, *second, "hydra.sweeper.study_name=mine") == 0
    assert f"mine is another sweep: what differs is {differs}" in capfd.readouterr().out
    assert described(folder)["study"] == "mine.2"
    for row in described(folder)["rows"]:
        result = json.loads((folder / "outputs" / row["runs"][0]["folder"] / "result.json").read_text())
        assert row["runs"][0]["fingerprint"] == result["fingerprint"]
        assert row["runs"][0]["scores"] == {key: result["best"][f"val/{key}"] for key in row["runs"][0]["scores"]}
    assert small(folder, *first, "hydra.sweeper.study_name=mine") == 0
    assert described(folder)["study"] == "mine"
    assert described(folder)["rows"] == before["rows"]


def test_a_grid_is_extended_under_its_name_and_finds_its_old_rows_trained(folder: Path, trained: list[str]) -> None:
    assert small(folder, "loss=l2,l1", "hydra.sweeper.study_name=mine") == 0
    assert small(folder, "loss=huber,l2,l1", "hydra.sweeper.study_name=mine") == 0
    assert [row["label"] for row in described(folder)["rows"]] == ["loss=huber", "loss=l2", "loss=l1"]
    assert len(trained) == len(set(trained)) == 3


@pytest.mark.parametrize("objective", ["depth", "margin", "[depth,margin]"])
def test_a_network_without_the_objective_is_no_row(folder: Path, objective: str, trained: list[str]) -> None:
    networks = "+hydra.sweeper.linked={network:{one:['model=single','model.task=semseg'],both:['model=joint']}}"
    overrides = ("-m", networks, f"hydra.sweeper.objective={objective}", "loss=l2")
    assert sweep(*overrides, *sweeps_in.places(folder), *tiny()) == FAILED
    none, some = described(folder)["rows"]
    assert none["state"] == "impossible"
    assert "hydra.sweeper.objective=" in none["reason"]
    assert "a network for semseg alone has no such score" in none["reason"]
    assert some["state"] == "complete"
    assert len(trained) == 1
    table = (folder / "outputs" / "sweeps" / described(folder)["study"] / "artifacts" / "table.md").read_text()
    assert "| **network=both** | complete | **" in table


def test_of_several_objectives_one_that_a_network_does_not_have_is_the_worst(folder: Path) -> None:
    networks = "+hydra.sweeper.linked={network:{a:['model.task=semseg'],b:['model.task=depth']}}"
    both = ("model=single", "hydra.sweeper.objective=[semseg,depth]", "loss=l2")
    assert sweep("-m", networks, *both, *sweeps_in.places(folder), *tiny()) == 0
    a, b = described(folder)["rows"]
    assert [a["state"], b["state"]] == ["complete", "complete"]
    assert a["values"] == [a["runs"][0]["scores"]["semseg"], math.inf]
    assert b["values"] == [-math.inf, b["runs"][0]["scores"]["depth"]]
    artifacts = folder / "outputs" / "sweeps" / described(folder)["study"] / "artifacts"
    assert [best["params"]["network"] for best in yaml.safe_load((artifacts / "best.yaml").read_text())] == ["a", "b"]
    assert (artifacts / "plot.png").exists()


def test_a_sweep_of_which_no_network_has_the_objective_does_not_start(folder: Path) -> None:
    single = ("loss=l2,l1", "model=single", "model.task=semseg", "hydra.sweeper.objective=depth")
    assert small(folder, *single) == 2
    assert not (folder / "studies.db").exists()


def test_the_table_is_what_the_runs_scored(folder: Path) -> None:
    assert small(folder) == 0
    table = described(folder)
    best = {path.name: result["best"] for path, result in results(folder)}
    for row in table["rows"]:
        (run,) = row["runs"]
        scores = {name: best[run["folder"]][f"val/{name}"] for name in ("multitask", "semseg", "depth")}
        assert run["scores"] == scores
        assert row["values"] == [scores["multitask"]]
    assert [row["params"] for row in table["rows"]] == [{"loss": loss} for loss in ("l2", "l1", "berhu")]
    assert json.loads((folder / "outputs" / "sweeps" / table["study"] / "result.json").read_text()) == {
        "status": "finished"
    }


def test_seeds_are_replicates_and_the_objective_is_their_mean(folder: Path, trained: list[str]) -> None:
    assert small(folder, "seeds=[3,4]", "hydra.sweeper.objective=depth") == 0
    assert len(set(trained)) == 6
    for row in described(folder)["rows"]:
        assert [run["seed"] for run in row["runs"]] == [3, 4]
        depths = [run["scores"]["depth"] for run in row["runs"]]
        assert depths[0] != depths[1]
        assert row["values"] == [pytest.approx(sum(depths) / 2)]


def test_more_seeds_later_train_only_what_is_missing(folder: Path, trained: list[str]) -> None:
    assert small(folder, "seeds=[0]") == 0
    assert small(folder, "seeds=[0,1]") == 0
    assert len(set(trained)) == len(trained) == 6


def test_a_diverged_trial_is_recorded_and_the_sweep_goes_on(
    folder: Path, trained: list[str], observed: Callable[..., None]
) -> None:
    arguments = (*THREE, *sweeps_in.places(folder), *tiny("lr.value=1e30,1e-4", "optimizer=sgd", "loss=l2"))
    assert sweep(*arguments) == FAILED
    assert states(folder) == ["failed", "complete"]
    assert described(folder)["rows"][0]["reason"].startswith("diverged by step 2")
    assert described(folder)["rows"][0]["runs"][0]["status"] == "diverged"
    assert sweep(*arguments) == FAILED
    assert len(trained) == 2, "it would diverge again"
    observed(FAULTS, **outcome(folder))


def failing_step(monkeypatch: pytest.MonkeyPatch, error: BaseException, times: int = 1) -> None:
    """The first `times` steps of all raise."""
    left = [times]
    original = Step.__call__

    def step(self: Step, *arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(Step, "__call__", step)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("a bug"), "crashed: RuntimeError: a bug; the trace is in"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (UserError("some.png: it is damaged"), "some.png: it is damaged"),
        (OSError(28, "No space left on device", "last.pt"), "last.pt: No space left on device"),
    ],
)
def test_a_failed_trial_has_its_reason_and_is_tried_again_by_the_same_command(
    folder: Path,
    error: Exception,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    observed: Callable[..., None],
) -> None:
    failing_step(monkeypatch, error)
    assert small(folder) == FAILED
    assert states(folder) == ["failed", "complete", "complete"]
    assert reason in described(folder)["rows"][0]["reason"]
    assert "2 complete, 1 failed" in capfd.readouterr().out
    assert small(folder) == 0
    assert states(folder) == ["complete"] * 3
    assert described(folder)["rows"][0]["attempt"] == 2
    assert sum(trial.state == TrialState.COMPLETE for trial in trials(folder)) == 3
    observed(FAULTS, **outcome(folder))


def test_a_gpu_that_is_lost_ends_the_worker_and_not_its_other_trials(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], trained: list[str]
) -> None:
    failing_step(monkeypatch, torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))
    assert small(folder) == FAILED
    assert states(folder) == ["failed", "waiting", "waiting"]
    assert "The GPU is lost to this process" in capfd.readouterr().out
    assert len(trained) == 1
    assert small(folder) == 0
    assert states(folder) == ["complete"] * 3


def test_memory_that_an_evaluation_used_up_is_free_for_the_next_trial(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    original = sweeping_trial.evaluate_run

    def evaluate(*arguments: Any) -> Any:
        if held:
            assert held[0]() is None, "the first trial's tensors are gone"
            return original(*arguments)
        large = torch.zeros(8)
        held.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(sweeping_trial, "evaluate_run", evaluate)
    assert small(folder, "loss=l2,l1", "score=test") == FAILED
    assert states(folder) == ["failed", "complete"]


def test_a_trial_that_another_worker_finished_meanwhile_is_left_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As after a long sleep: the other one took it over, and is through."""
    original = Step.__call__
    slept: list[bool] = []

    def step(self: Step, *arguments: Any) -> Any:
        if not slept:
            slept.append(True)
            (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/studies.db")
            study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/studies.db")
            study.tell(0, 7.0)
        return original(self, *arguments)

    monkeypatch.setattr(Step, "__call__", step)
    assert small(folder, "loss=l2,l1") in (0, FAILED)
    said = capfd.readouterr()
    assert "Another worker has taken it over" in said.out
    assert "Traceback" not in said.out + said.err
    assert not list(folder.rglob("errors/*.txt"))
    assert [trial.state for trial in trials(folder)][:2] == [TrialState.COMPLETE] * 2
    assert trials(folder)[0].values == [7.0]


def test_a_trial_is_not_tried_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_step(monkeypatch, RuntimeError("always"), times=10)
    arguments = (*THREE, *sweeps_in.places(folder), *tiny(), "loss=l1,l2", "hydra.sweeper.max_attempts=2")
    assert [sweep(*arguments) for _ in range(3)] == [FAILED] * 3
    assert [noted(trial)["attempt"] for trial in trials(folder)] == [1, 1, 2, 2]


def test_a_full_disk_leaves_the_sweep_complete(
    folder: Path, monkeypatch: pytest.MonkeyPatch, observed: Callable[..., None]
) -> None:
    usage = shutil.disk_usage(folder)
    free = iter([usage._replace(free=1000)])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: next(free, usage) if "outputs" in str(path) else usage)
    assert small(folder) == FAILED
    assert states(folder) == ["failed", "complete", "complete"]
    assert "are free; paths.outputs=<folder> puts them elsewhere" in described(folder)["rows"][0]["reason"]
    observed(FAULTS, **outcome(folder))


def test_a_data_file_that_vanishes_fails_the_trials_after_it_with_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, observed: Callable[..., None]
) -> None:
    sweeps_in.prepare(folder / "own")
    picture = next((folder / "own" / "data" / "train" / "depth").iterdir())
    original = Training.run

    def run(self: Training) -> str:
        status = original(self)
        picture.unlink(missing_ok=True)
        return status

    monkeypatch.setattr(Training, "run", run)
    places = [each.replace(f"{folder}/data", f"{folder}/own/data") for each in sweeps_in.places(folder)]
    assert sweep(*THREE, *places, *tiny()) == FAILED
    assert states(folder) == ["complete", "failed", "failed"]
    assert all(picture.stem in row["reason"] for row in described(folder)["rows"][1:])
    observed(FAULTS, **outcome(folder))


def test_a_dry_run_trains_nothing_and_counts_what_rows_share_once(
    folder: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pace, "seconds", lambda self, settings, steps: 60.0)
    assert small(folder, "loss=l2", "score=test", "tta=none,report", "seeds=[0,1]", "dry_run=true") == 0
    said = capfd.readouterr().out
    assert re.findall(r"tta=\w+ +2 +0 of 2 +(\d+ min \d+ s)", said) == ["2 min 00 s", "2 min 00 s"]
    assert "left: about 2 min 00 s" in said
    assert trained == []
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize("optimizers", quick_or_long("adam,sgd", long=("sgd,adam",)))
def test_a_key_that_only_some_rows_have_is_the_end_of_the_others_alone(
    folder: Path, optimizers: str, trained: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    for fixed, runs in (("optimizer.momentum=0.8", "sgd"), ("optimizer.betas=[0.8,0.9]", "adam")):
        assert small(folder, "loss=l2", f"optimizer={optimizers}", fixed) == FAILED
        rows = {row["label"]: row["state"] for row in described(folder)["rows"]}
        assert list(rows) == [f"optimizer={name}" for name in optimizers.split(",")]
        assert {label for label, state in rows.items() if state == "complete"} == {f"optimizer={runs}"}
        assert f"{fixed.partition('=')[0]}: there is no such option" in capfd.readouterr().out
    assert len(trained) == 2


def test_a_search_records_the_trials_that_do_not_fit_together_and_trains_the_others(
    folder: Path, trained: list[str]
) -> None:
    search = ("loss=l2", "optimizer=adam,sgd", "optimizer.momentum=0.8", "hydra/sweeper/sampler=random")
    assert small(folder, *search, "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=5") == FAILED
    rows = described(folder)["rows"]
    assert {(row["params"]["optimizer"], row["state"]) for row in rows} == {("sgd", "complete"), ("adam", "failed")}
    assert small(folder, *search, "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=5") == FAILED
    assert described(folder)["rows"] == rows, "they would not fit together again"
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("model=joint,brancht", "model=brancht: there is no such option; did you mean branched?"),
        ("loss=l1,l3", "loss=l3: there is no such option; There are berhu, gradient_matching, huber, l1,"),
        ("loss='l1',\"l3\"", "loss=l3: there is no such option"),
        ("loss=choice(l1,berhuu)", "loss=berhuu: there is no such option; did you mean berhu?"),
        ("experiment=adam_lr/1e-4,adam_lr/1e-9", "experiment=adam_lr/1e-9: there is no such option"),
        ("+hydra.sweeper.params={model:'joint,brancht'}", "model=brancht: there is no such option"),
        ("+hydra.sweeper.linked={x:{a:['model=joint'],b:['model=brancht']}}", "model=brancht: there is no such option"),
    ],
)
@pytest.mark.parametrize("search", [(), ("hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=2")])
def test_an_option_that_there_is_not_starts_nothing(
    folder: Path, mistake: str, message: str, search: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep("-m", *sweeps_in.places(folder), *tiny(), mistake, *search) == 2
    assert message in capfd.readouterr().err
    assert not (folder / "outputs").exists()
    assert not (folder / "studies.db").exists()


def test_an_impossible_combination_never_starts(folder: Path, trained: list[str]) -> None:
    assert small(folder, "loss=l2", "schedule.batch_size=99,4") == FAILED
    assert states(folder) == ["impossible", "complete"]
    assert described(folder)["rows"][0]["reason"] == "schedule.batch_size=99 is larger than the 16 training images"
    assert len(trained) == 1
    assert [trial.params for trial in trials(folder)] == [{"schedule.batch_size": 4}]


def test_a_mistake_that_concerns_all_trials_starts_none(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert small(folder, "optimizer.betaas=1") == 2
    assert "optimizer.betaas" in capfd.readouterr().err
    assert not (folder / "outputs").exists()
    assert not (folder / "studies.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "loss=l1"], "nothing varies"),
        (["-m", "lr.value=interval(0.1,1)"], "lr.value varies continuously"),
        (["-m", "loss=l1,l2", "hydra.sweeper.objective=speed"], "there are multitask, semseg, depth, margin"),
        (["-m", "loss=l1,l2", "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs=0"),
        (["-m", "loss=l1,l2", "rerun=true"], "rerun=true is for one training"),
        (["-m", "loss=l1,l2", "hydra.sweeper.storage=redis://u:p@host"], "redis://***@host: studies are kept in"),
        (
            ["-m", "loss=l1,l2", "hydra.sweeper.objective=[semseg,depth]", "hydra/sweeper/pruner=median"],
            "several objectives cannot be pruned",
        ),
    ],
)
def test_a_mistake_is_a_message(
    folder: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*sweeps_in.places(folder), *tiny(), *arguments) == 2
    errors = capfd.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


def test_a_stop_saves_and_the_same_command_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Step.__call__
    steps: list[int] = []

    def step(self: Step, *arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 4:  # in the middle of the second trial
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    monkeypatch.setattr(Step, "__call__", step)
    assert small(folder, steps=3) == AGAIN
    assert states(folder) == ["complete", "waiting", "waiting"]
    assert [trial.state for trial in trials(folder)][1] == TrialState.WAITING
    assert small(folder, steps=3) == 0
    assert states(folder) == ["complete"] * 3
    assert len(trials(folder)) == 3
    assert len(steps) == 9, "the stopped trial went on from its checkpoint"


def test_another_number_of_threads_is_recorded_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    original = Step.__call__
    stops = iter([signal.SIGTERM])

    def step(self: Step, *arguments: Any) -> Any:
        if number := next(stops, None):
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    monkeypatch.setattr(Step, "__call__", step)
    for threads, code in ((1, AGAIN), (2, 0)):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=threads: number)
        assert small(folder, "loss=l2,l1", steps=3) == code
    assert capfd.readouterr().out.count("Begun with another number of threads (1, 2)") == 1
    stopped, other = (folder / "outputs" / row["folder"] / "run.json" for row in described(folder)["rows"])
    assert [json.loads(path.read_text())["tags"]["threads"] for path in (stopped, other)] == ["1, 2", "2"]


def test_a_trial_of_a_dead_worker_is_taken_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a SIGKILL: the trial is RUNNING, and its process is not."""
    assert small(folder, "loss=l1,l2") == 0
    study = optuna.load_study(study_name=described(folder)["study"], storage=f"sqlite:///{folder}/studies.db")
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=trials(folder)[0].params,
            distributions=trials(folder)[0].distributions,
            user_attrs={"row": 0, "attempt": 2, "owner": {**noted(trials(folder)[0])["owner"], "started": 1.0}},
        )
    )
    assert small(folder, "loss=l1,l2") == 0
    assert [trial.state for trial in trials(folder)] == [TrialState.COMPLETE] * 3


def test_a_trial_of_a_living_worker_is_left_alone(folder: Path) -> None:
    assert small(folder, "loss=l1,l2") == 0
    study = optuna.load_study(study_name=described(folder)["study"], storage=f"sqlite:///{folder}/studies.db")
    running = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=trials(folder)[0].params,
        distributions=trials(folder)[0].distributions,
        user_attrs={"row": 0, "attempt": 2, "owner": noted(trials(folder)[0])["owner"]},
    )
    study.add_trial(running)
    assert small(folder, "loss=l1,l2") == 0
    assert [trial.state for trial in trials(folder)][-1] == TrialState.RUNNING
    assert states(folder) == ["running", "complete"]


def test_a_pruned_trial_keeps_its_scores_says_when_and_can_go_on_alone(folder: Path, trained: list[str]) -> None:
    pruning = (
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=1",
        "hydra.sweeper.objective=depth",
        "validation.every_steps=1",
    )
    # A rate of 0 learns nothing: all its validations are worse than the first trial's.
    arguments = (*THREE, *sweeps_in.places(folder), *tiny("loss=l2", "lr.value=1e-3,1e-12", steps=4), *pruning)
    assert sweep(*arguments) == 0
    rows = described(folder)["rows"]
    assert [row["state"] for row in rows] == ["complete", "pruned"]
    assert rows[1]["reason"].startswith("pruned after step ")
    step = int(rows[1]["reason"].split()[-1])
    assert step < 4
    assert rows[1]["runs"][0]["status"] == "pruned"
    assert set(rows[1]["runs"][0]["scores"]) == {"multitask", "semseg", "depth"}
    assert sorted(trials(folder)[1].intermediate_values) == list(range(1, step + 1))
    assert sweep(*arguments) == 0
    assert len(trained) == 2, "a pruned trial is over"
    alone = [argument for argument in arguments if not argument.startswith(("-m", "hydra", "lr.value", "loss=l2,"))]
    assert sweep("lr.value=1e-12", *alone) == 0
    assert len(trained) == 3
    finished = {path.name: result for path, result in results(folder)}[rows[1]["runs"][0]["folder"]]
    assert (finished["status"], finished["steps"]) == ("finished", 4)


def test_a_search_stops_at_its_number_of_trials_and_goes_on_with_more(folder: Path, trained: list[str]) -> None:
    search = ("lr.value=tag(log,interval(1e-5,1e-3))", "hydra/sweeper/sampler=random", "loss=l2")
    assert small(folder, *search, "hydra.sweeper.n_trials=2") == 0
    assert small(folder, *search, "hydra.sweeper.n_trials=3") == 0
    assert len(trained) == len(set(trained)) == 3
    assert described(folder)["kind"] == "search"
    assert states(folder) == ["complete"] * 3


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "nsgaii", "cmaes"])
def test_a_seeded_search_that_is_extended_or_shared_repeats_no_trial_and_is_the_same_again(
    folder: Path, sampler: str, trained: list[str]
) -> None:
    pytest.importorskip("cmaes")
    search = (
        *("loss=l2", "lr.value=tag(log,interval(1e-5,1e-2))", "clip_norm=interval(0.5,2.0)"),
        *(f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=7", "hydra.sweeper.objective=margin"),
    )

    def found(name: str, *numbers: int) -> list[dict[str, str]]:
        for number in numbers:
            assert small(folder, *search, f"hydra.sweeper.n_trials={number}", f"hydra.sweeper.study_name={name}") == 0
        return [row["params"] for row in described(folder)["rows"]]

    at_once = found("at_once", 4)
    assert len({row["lr.value"] for row in at_once}) == 4
    assert found("bit_by_bit", 1, 2, 4) == at_once
    assert len(trained) == 4


def test_several_objectives_have_a_pareto_front(folder: Path) -> None:
    assert small(folder, "hydra.sweeper.objective=[semseg,depth]") == 0
    table = described(folder)
    assert table["directions"] == ["maximize", "minimize"]
    for row in table["rows"]:
        assert row["values"] == [row["runs"][0]["scores"]["semseg"], row["runs"][0]["scores"]["depth"]]


def test_plain_sweepers_keep_working(folder: Path, trained: list[str]) -> None:
    places = [each for each in sweeps_in.places(folder) if not each.startswith("hydra")]
    assert sweep(*THREE, *places, *tiny(), "hydra/sweeper=basic") == 0
    search = ("hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=2")
    assert (
        sweep(*THREE, *places, *tiny(), *search, "hydra.sweeper.direction=maximize", f"hydra.sweep.dir={folder}") == 0
    )
    assert len(set(trained)) == 3
    assert not (folder / "studies.db").exists()
    assert (folder / "optimization_results.yaml").exists()
