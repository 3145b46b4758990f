"""A training through its own entry point, on tiny data: what it leaves, how it continues, how it fails."""

import errno
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.comparing import assert_same_run, damage, scores, weights
from helpers.composing import HELPERS, TINY, places, tiny
from helpers.facts import encode_depth
from helpers.tiny_data import write_tiny_miniscapes
from mlflow import MlflowClient
from PIL import Image
from rich.console import Console

from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.folder import RunFolder
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import Interrupted
from mtl_seg_depth.training.step import Step

COUNTS = {"train": 8, "val": 3}
STEPS = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_miniscapes(tmp_path / "data", COUNTS)
    return tmp_path


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def train(folder: Path, *overrides: str) -> RunResult:
    return run(tiny(folder, *overrides), quiet())


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    taken: list[int] = []
    original = Step.__call__

    def counting(self: Step, *arguments: Any) -> Any:
        taken.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Step, "__call__", counting)
    return taken


@pytest.mark.parametrize("norm", ["standard", "minmax", "log", "inverse"])
def test_depths_beyond_the_configured_range_count_for_nothing(
    folder: Path, norm: str, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (folder / "data").glob("*/depth/*.png"):
        near_and_far = np.tile(np.repeat([5.0, 160.0], 32), (32, 1))
        Image.fromarray(encode_depth(near_and_far)).save(path)
    limits = ("data.depth_mean=20", "data.depth_std=9", f"depth_norm={norm}", "schedule.epochs=1")
    half = train(folder, *limits, "data.depth_min=10")
    assert half.status == "finished"
    assert "invalid" not in caplog.text
    none = train(folder, *limits, "data.depth_min=10", "data.depth_max=100")
    assert none.status == "finished"
    assert "val/depth" not in none.best
    assert "val: every pixel looked at is ignored or invalid for depth" in caplog.text


def test_labels_that_are_all_ignored_are_told_and_have_no_score(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in (folder / "data" / "val" / "semseg").glob("*.png"):
        Image.new("L", (64, 32), 255).save(path)
    result = train(folder, "schedule.epochs=1")
    assert result.status == "finished"
    assert "val/semseg" not in result.best
    assert "val/depth" in result.best
    assert "val: every pixel looked at is ignored or invalid for semseg" in caplog.text
    assert "train:" not in caplog.text


def test_a_training_leaves_everything_it_promises(folder: Path, steps_taken: list[int]) -> None:
    result = train(folder, "tracking.log_every=2")
    assert len(steps_taken) == STEPS
    assert result.status == "finished"
    assert result.steps == STEPS
    left = result.folder
    assert {path.name for path in left.iterdir()} >= {
        "config.yaml", "run.json", "metrics.jsonl", "result.json", "last.pt", "best.pt", "artifacts",
    }  # fmt: skip
    for picture in ("panels/step_000004.png", "panels/step_000008.png", "confusion.png"):
        with Image.open(left / "artifacts" / picture) as image:
            assert min(image.size) > 50
    assert json.loads((left / "result.json").read_text()) == result.model_dump()
    logged = {name for _, values in scores(left) for name in values}
    assert {"train/loss/semseg", "train/loss/depth", "train/learning_rate", "val/multitask", "val/semseg"} <= logged
    assert {"val/depth", "val/iou/road", "val/depth_errors/rmse", "best/multitask", "best/step"} <= logged
    assert [step for step, values in scores(left) if "train/loss/depth" in values] == [2, 4, 6, 8]
    card = json.loads((left / "run.json").read_text())
    assert card["fingerprint"] == result.fingerprint
    assert card["params"]["lr.value"] == "0.0001"
    assert card["params"]["model"] == "mtl_seg_depth.models.joint.Joint"
    assert set(result.baseline) >= {"val/semseg", "val/depth", "val/multitask"}


def test_the_best_epoch_is_the_best_on_validation_and_its_weights_are_kept(folder: Path) -> None:
    result = train(folder, "lr.value=1e-2", "schedule.epochs=4")
    validations = {step: values for step, values in scores(result.folder) if "val/multitask" in values}
    assert sorted(validations) == [4, 8, 12, 16]

    def rank(step: int) -> tuple[float, float]:
        values = validations[step]
        return values["val/multitask"], values["val/semseg"] - values["val/depth"]

    assert result.best_step == max(validations, key=rank)
    assert result.best["val/semseg"] == validations[result.best_step]["val/semseg"]
    assert torch.load(result.folder / "best.pt", weights_only=True)["step"] == result.best_step
    last = validations[16]
    assert (result.last["val/depth"], last["best/step"]) == (last["val/depth"], result.best_step)


def test_the_scores_of_all_three_selections_are_in_the_result_and_in_the_record(folder: Path) -> None:
    result = train(folder, "schedule.epochs=6", "validation.every_steps=2")
    logged = scores(result.folder)
    validations = [values for _, values in logged if "val/multitask" in values]
    assert len(validations) == 12
    final = {name: value for _, values in logged for name, value in values.items()}
    assert result.averaged == final["mean_of_last_10/validations"] == 10
    for name in ("semseg", "depth", "multitask", "pixel_accuracy", "depth_errors/mae", "depth_errors/abs_rel"):
        mean = sum(values[f"val/{name}"] for values in validations[-10:]) / 10
        assert result.mean_of_last_10[f"val/{name}"] == pytest.approx(mean)
        assert final[f"mean_of_last_10/{name}"] == result.mean_of_last_10[f"val/{name}"]
        assert final[f"last/{name}"] == result.last[f"val/{name}"] == validations[-1][f"val/{name}"]
        assert final[f"best/{name}"] == result.best[f"val/{name}"]


def test_a_finished_run_is_not_trained_twice(folder: Path, steps_taken: list[int]) -> None:
    first = train(folder)
    assert train(folder) == first
    assert train(folder, "tracking.log_every=3", "checkpoint.every_minutes=1").folder == first.folder
    assert len(steps_taken) == STEPS


def test_rerun_trains_again_beside_the_old_with_the_same_result(folder: Path, steps_taken: list[int]) -> None:
    first = train(folder)
    second = train(folder, "rerun=true")
    assert len(steps_taken) == 2 * STEPS
    assert second.folder == first.folder.with_name(first.folder.name + ".2")
    assert_same_run(first.folder, second.folder)
    assert train(folder).folder == second.folder  # the newest stands for the config


def test_another_seed_is_another_result(folder: Path) -> None:
    first, second = train(folder), train(folder, "seed=1")
    assert first.folder != second.folder
    assert not weights(first.folder)["encoder.stem.0.weight"].equal(weights(second.folder)["encoder.stem.0.weight"])


class Stopping:
    """Lets a step send this process a signal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, number: int) -> None:
        original = Step.__call__
        self.count = 0

        def stopping(step: Step, *arguments: Any) -> Any:
            self.count += 1
            if self.count == at:
                os.kill(os.getpid(), number)
            return original(step, *arguments)

        monkeypatch.setattr(Step, "__call__", stopping)


def test_an_average_of_the_weights_is_what_is_scored_and_kept(folder: Path) -> None:
    plain, averaged = train(folder, "schedule.epochs=1"), train(folder, "schedule.epochs=1", "ema=0.5")
    last = torch.load(averaged.folder / "last.pt", weights_only=True)
    best = weights(averaged.folder, "best.pt")
    for name, value in weights(plain.folder).items():
        assert value.equal(last["network"][name]), "training goes on as without it"
        assert best[name].equal(last["average"][f"network.{name}"])
    moved = "encoder.stem.0.weight"
    assert not best[moved].equal(last["network"][moved])
    assert averaged.last["val/depth"] != plain.last["val/depth"]


@pytest.mark.parametrize(
    ("number", "ema"), [(signal.SIGINT, "null"), (signal.SIGTERM, "null"), (signal.SIGTERM, "0.9")]
)
def test_a_run_asked_to_stop_saves_and_continues_as_if_nothing_had_been(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, ema: str
) -> None:
    whole = train(folder, "tracking.log_every=4", "seed=0", f"ema={ema}")
    with monkeypatch.context() as patched:
        Stopping(patched, at=3, number=number)
        with pytest.raises(Interrupted, match="stopped at step 3 of 8"):
            train(folder, "tracking.log_every=4", "rerun=true", f"ema={ema}")
    # In the middle of an epoch and between two log points: sums, order and views have to go on where they were.
    again = train(folder, "tracking.log_every=4", "rerun=true", f"ema={ema}")
    assert again.folder.suffix == ".2"
    assert_same_run(whole.folder, again.folder)


def test_resume_false_starts_anew_beside_what_was_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        Stopping(patched, at=3, number=signal.SIGTERM)
        with pytest.raises(Interrupted):
            train(folder)
    assert train(folder, "resume=false").folder.suffix == ".2"


def test_a_killed_run_continues_bit_for_bit(
    folder: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    """Ended at random moments, the same command each time: weights and scores as of the uninterrupted run."""
    kills = extent(10, 100)
    overrides = [*TINY, *places(folder), "checkpoint.every_minutes=0.003", "schedule.epochs=6", "tracking.log_every=3"]
    command = [sys.executable, str(HELPERS / "killing.py"), str(kills), str(folder), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 60 * kills, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert len(report["started_from"]) == kills
    assert any(report["started_from"]), "the kills all fell before the first checkpoint"
    lost = []
    for killed in report["killed"]:
        lost.append(assert_same_run(report["whole"], killed))
        assert not list(Path(killed).rglob(".*.tmp*")), "a continued run clears away what a kill left behind"
    observed(
        "a run ended at any moment, by SIGKILL, loss of power, SIGTERM or Ctrl-C, continues to bit-identical weights "
        "and scores",
        kills=kills,
        stops=report["stops"],
        power_failures=report["power_failures"],
        torn_checkpoints=report["torn"],
        runs_compared=len(lost),
        lost=sum(lost),
    )


def test_a_loss_that_is_no_number_ends_the_run_as_diverged(folder: Path, steps_taken: list[int]) -> None:
    result = train(folder, "optimizer=sgd", "lr.value=1e12", "tracking.log_every=1", "validation.every_steps=1")
    assert result.status == "diverged"
    assert 1 <= len(steps_taken) == result.steps < STEPS
    assert all(math.isfinite(value) for value in result.best.values())
    assert not any(math.isnan(value) for value in result.last.values()), "what is not finite is wrong, and not left out"
    last_loss = [values for _, values in scores(result.folder) if "train/loss/depth" in values][-1]
    assert not math.isfinite(last_loss["train/loss/depth"] + last_loss["train/loss/semseg"])
    assert train(folder, "optimizer=sgd", "lr.value=1e12", "tracking.log_every=1", "validation.every_steps=1")
    assert len(steps_taken) == result.steps


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_checkpoint_of_other_data_is_not_continued(folder: Path, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    """Even if its card does not say what data it is of: two validation splits must not share one best."""
    left = stopped_twice(folder, monkeypatch)
    write_tiny_miniscapes(folder / "other", COUNTS, seed=1)
    shutil.rmtree(folder / "data" / split)
    shutil.copytree(folder / "other" / split, folder / "data" / split)
    monkeypatch.setattr(RunFolder, "data", {})
    name = {"train": "training data", "val": "validation data"}[split]
    with pytest.raises(UserError, match=f"{left.name}/last.pt was made with another {name}: it is not of this run"):
        train(folder)


def test_a_checkpoint_from_before_it_knew_its_validation_split_is_continued(
    folder: Path, monkeypatch: pytest.MonkeyPatch, steps_taken: list[int]
) -> None:
    left = stopped_twice(folder, monkeypatch)
    for name in ("last.pt", "best.pt"):
        saved = checkpoint.load(left / name, torch.device("cpu"))
        saved["identity"].pop("validation data")
        checkpoint.save(left / name, saved)
    card = json.loads((left / "run.json").read_text())
    (left / "run.json").write_text(json.dumps({key: value for key, value in card.items() if key != "data"}))
    steps_taken.clear()
    assert train(folder).folder == left
    assert len(steps_taken) == STEPS - 6
    assert json.loads((left / "run.json").read_text())["data"].keys() == {"train", "val"}


def stopped_twice(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Path:
    """The folder of a run that was saved at the steps 4 and 6 of 8, and stopped then."""
    with monkeypatch.context() as patched:
        Stopping(patched, at=6, number=signal.SIGTERM)
        with pytest.raises(Interrupted):
            train(folder, *overrides)
    return max((folder / "outputs").iterdir())


@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_the_same_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, steps_taken: list[int], how: str
) -> None:
    whole = train(folder, "tracking.log_every=3")
    steps_taken.clear()
    left = stopped_twice(folder, monkeypatch, "tracking.log_every=3", "rerun=true")
    last = left / "last.pt"
    if how == "flipped":
        damage(last)
    elif how == "cut":
        os.truncate(last, last.stat().st_size // 2)
    else:  # killed between two renames
        last.unlink()
    again = train(folder, "tracking.log_every=3", "rerun=true")
    assert again.folder == left
    assert len(steps_taken) == 6 + 4
    assert re.search(r"last\.pt is (damaged|missing).*; going on from the checkpoint before, of step 4", caplog.text)
    assert_same_run(whole.folder, left)


def test_the_damaged_one_does_not_take_the_place_of_the_one_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = stopped_twice(folder, monkeypatch)
    damage(left / "last.pt")
    with monkeypatch.context() as patched:
        Stopping(patched, at=1, number=signal.SIGTERM)
        with pytest.raises(Interrupted, match="step 5"):
            train(folder)
    kept = [checkpoint.load(left / name, torch.device("cpu")) for name in ("last.pt", "last.previous.pt")]
    assert [saved["state"]["step"] for saved in kept] == [5, 4]


def test_with_both_checkpoints_damaged_it_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = stopped_twice(folder, monkeypatch)
    damage(left / "last.pt")
    damage(left / "last.previous.pt")
    with pytest.raises(UserError, match=r"last\.pt is .*last\.previous\.pt is .* nothing is left .* resume=false"):
        train(folder)
    assert train(folder, "resume=false").status == "finished"


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_best_weights_that_are_lost_are_not_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    left = stopped_twice(folder, monkeypatch)
    if how == "damaged":
        damage(left / "best.pt")
    else:
        (left / "best.pt").unlink()
    with pytest.raises(UserError, match=r"best\.pt .*; the best weights so far are lost\. resume=false trains anew"):
        train(folder)


def test_best_weights_of_a_later_step_stay_unless_they_are_beaten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that does not repeat its sums exactly: the second life scores less than the first did."""
    whole = train(folder, "validation.every_steps=2")
    left = stopped_twice(folder, monkeypatch, "validation.every_steps=2", "rerun=true")
    later = checkpoint.load(left / "best.pt", torch.device("cpu"))
    later = {**later, "step": 8, "rank": (99.0, 99.0), "scores": {**later["scores"], "val/multitask": 99.0}}
    checkpoint.save(left / "best.pt", later)
    with monkeypatch.context() as patched:  # nothing beats what the state knows
        patched.setattr("mtl_seg_depth.scoring.scores.Scores.rank", (-99.0, -99.0))
        result = train(folder, "validation.every_steps=2", "rerun=true")
    assert whole.best["val/multitask"] != 99
    assert (result.best_step, result.best["val/multitask"]) == (8, 99.0)
    assert torch.load(left / "best.pt", weights_only=True)["step"] == 8


def test_no_room_for_checkpoints_is_known_before_the_first_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch, steps_taken: list[int]
) -> None:
    train(folder, "schedule.max_steps=1")  # so that packing is done
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("mtl_seg_depth.records.folder.shutil.disk_usage", lambda _: usage(2**30, 2**30, 2**20))
    with pytest.raises(UserError, match=r"take up to \d+ MiB, and 1 MiB are free; paths\.outputs=<folder>"):
        train(folder)
    assert len(steps_taken) == 1


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, saves = torch.save, []

    def full(state: Any, file: Any) -> None:
        saves.append("optimizer" in state)
        if sum(saves) == 2:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(state, file)

    monkeypatch.setattr("mtl_seg_depth.records.checkpoint.torch.save", full)
    with pytest.raises(UserError, match="No space left on device; what was saved before is untouched"):
        train(folder, "lr.value=1e-5")
    monkeypatch.undo()
    left = next((folder / "outputs").iterdir())
    assert torch.load(left / "last.pt", weights_only=True)["state"]["step"] == 4
    assert not list(left.glob(".*.tmp*"))
    assert train(folder, "lr.value=1e-5").status == "finished"


def test_a_folder_that_cannot_be_written_is_a_message(folder: Path) -> None:
    (folder / "outputs").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"outputs.*what was saved before is untouched"):
        train(folder)


def test_two_identical_commands_at_once_train_once(folder: Path) -> None:
    settings = tiny(folder)
    script = f"""
import io, time
from pathlib import Path
from rich.console import Console
from helpers.composing import tiny
from helpers import small_resnets
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.training.loop import Training
small_resnets.install()
folder = Path({str(folder)!r})
original = Training.run
def slow(training):
    (folder / "inside").touch()
    while not (folder / "go on").exists():
        time.sleep(0.05)
    return original(training)
Training.run = slow
run(tiny(folder), Console(file=io.StringIO()))
"""
    other = subprocess.Popen([sys.executable, "-c", script])
    while not (folder / "inside").exists():
        assert other.poll() is None
        time.sleep(0.05)
    with pytest.raises(UserError, match="another process is training this very run"):
        run(settings, quiet())
    (folder / "go on").touch()
    assert other.wait(timeout=60) == 0
    assert run(settings, quiet()).status == "finished"


def test_a_single_task_network_is_scored_on_its_task_alone(folder: Path) -> None:
    result = train(folder, "model=single", "model.task=depth")
    assert "val/depth" in result.best
    assert "val/semseg" not in result.best
    assert result.best["val/multitask"] == max(50 - result.best["val/depth"], 0)
    assert "val/semseg" not in result.baseline


def test_max_steps_ends_early_and_still_validates(folder: Path) -> None:
    result = train(folder, "schedule.max_steps=3")
    assert (result.steps, result.best_step) == (3, 3)


def test_validation_at_a_step_interval(folder: Path) -> None:
    result = train(folder, "validation.every_steps=3")
    assert [step for step, values in scores(result.folder) if "val/depth" in values] == [3, 6, 8]


def test_scores_do_not_depend_on_the_size_of_validation_batches(folder: Path) -> None:
    one = train(folder, "validation.batch_size=1").best
    many = train(folder, "validation.batch_size=3", "rerun=true").best
    assert one.keys() == many.keys()
    np.testing.assert_allclose(list(one.values()), list(many.values()), rtol=1e-6)


def test_a_run_killed_while_the_last_of_it_was_sent_is_completed_by_the_same_command(
    folder: Path, fresh_database: Path
) -> None:
    """Between the result and the end of its sending: the server still has it as running."""
    shutil.copy(fresh_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    overrides = (f"tracking.uri={uri}", "tracking.system_metrics=false")
    state = train(folder, *overrides).folder / "mlflow.json"
    sent = json.loads(state.read_text())
    state.write_text(json.dumps({**sent, "finished": False}))
    client = MlflowClient(uri)
    client.update_run(sent["run_id"], "RUNNING")
    train(folder, *overrides)
    assert client.get_run(sent["run_id"]).info.status == "FINISHED"
    assert json.loads(state.read_text())["finished"]
