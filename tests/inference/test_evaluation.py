"""Evaluating a tiny trained run: equal to its own validation, stored and found again."""

import io
import json
import shutil
from pathlib import Path

import pytest
from helpers.commands import Commands
from helpers.composing import options, tiny
from helpers.facts import CPU
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import HEIGHT, WIDTH, evaluate, only_run, quiet, settings_of
from PIL import Image
from rich.console import Console

from mtl_seg_depth.cli.scorecard import show_evaluation
from mtl_seg_depth.inference import evaluation
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.errors import OutOfMemoryError, UserError


def test_the_validation_split_scores_what_it_scored_in_training(folder: Path) -> None:
    result = evaluate(folder)
    own = json.loads((only_run(folder, "first") / "result.json").read_text())["best"]
    assert own
    assert {name: result.scores[name.removeprefix("val/")] for name in own} == own
    assert result.pictures == 3
    assert (result.image_size, result.scored_size) == ((HEIGHT, WIDTH), (32, 64))
    console = Console(record=True, width=200, file=io.StringIO())
    show_evaluation(console, result)
    told = "miniscapes: 19 classes; depth 4 to 300 m; depth scored with mean over images; images of 72 x 40, of which"
    assert f"{told} the upper left 64 x 32 are scored" in console.export_text()
    # Only what the training had not logged itself is new in the record.
    points = list(read_points(only_run(folder, "first") / "metrics.jsonl"))
    assert set(points[-1].metrics) == {f"val/{name}" for name in result.scores if name.startswith("by_distance")}


@pytest.mark.parametrize("tta", options("tta"))
def test_every_way_to_augment_is_stored_under_its_own_name(folder: Path, tta: str) -> None:
    result = evaluate(folder, "split=test", f"tta={tta}")
    assert (result.tta_name, result.split, result.pictures) == (tta, "test", 2)
    assert result.key == ("test" if tta == "none" else f"test_{tta}")
    run_folder = only_run(folder, "first")
    (stored,) = (run_folder / "evaluations").iterdir()
    assert stored.name.startswith(f"test-{tta}-")
    with Image.open(run_folder / "artifacts" / "evaluations" / f"{stored.stem}.png") as picture:
        assert picture.width > 500
    logged = {name for point in read_points(run_folder / "metrics.jsonl") for name in point.metrics}
    assert {f"{result.key}/multitask", f"{result.key}/depth_errors/rmse"} <= logged


def test_tiles_are_another_evaluation_with_a_name_of_its_own(folder: Path) -> None:
    whole = evaluate(folder, "split=test")
    tiled = evaluate(folder, "split=test", "tile=[32,32]")
    assert (whole.tile, tiled.tile) == (None, (32, 32))
    assert tiled.key == "test_tiles_32x32"
    assert tiled.scores != whole.scores
    assert evaluate(folder, "split=test", "tile=[32,32]") == tiled
    as_large = evaluate(folder, "split=test", "tile=[512,512]")
    assert as_large.scores == whole.scores
    with pytest.raises(UserError, match=r"tile=\[16, 64\]: a network takes 32 pixels a side or more"):
        evaluate(folder, "tile=[16,64]")


def test_the_same_evaluation_is_read_and_not_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate(folder, "tta=flip")
    counted: list[int] = []
    monkeypatch.setattr(evaluation, "score", lambda *_, **__: counted.append(1))
    again = evaluate(folder, "tta=none", "tta.flip=true", "batch_size=1")
    assert again == first.model_copy(update={"plain": None})
    assert not counted
    monkeypatch.undo()
    plain = evaluate(folder)
    assert evaluate(folder, "tta=flip").plain == plain.scores
    rerun = evaluate(folder, "tta=flip", "rerun=true")
    assert rerun.scores == pytest.approx(first.scores)


def test_other_data_have_a_key_of_their_own_and_the_same_elsewhere_have_not(folder: Path, tmp_path: Path) -> None:
    """As it is asked for by `data.root=` alone, and as a data set of its own."""
    own = load_trained("first", folder / "outputs", CPU).source.root
    shutil.copytree(own, tmp_path / "same")
    write_tiny_miniscapes(tmp_path / "other", {"train": 1, "val": 3, "test": 2}, height=HEIGHT, width=WIDTH, seed=5)
    cache = f"data.cache={tmp_path}/packed"
    for split in ("val", "test"):
        here = evaluate(folder, f"split={split}")
        other = evaluate(folder, f"split={split}", f"data.root={tmp_path}/other", cache)
        assert here.key == split
        assert other.key == f"{split}_on_miniscapes_{other.data[:6]}"
        assert other.scores != here.scores
        assert evaluate(folder, f"split={split}", "data=miniscapes", f"data.root={tmp_path}/other", cache) == other
        for place in (own, tmp_path / "same"):
            assert evaluate(folder, f"split={split}", "data=miniscapes", f"data.root={place}", cache) == here
            assert evaluate(folder, f"split={split}", f"data.root={place}", cache) == here
        points = list(read_points(only_run(folder, "first") / "metrics.jsonl"))
        logged = {name: value for point in points for name, value in point.metrics.items()}
        assert logged[f"{other.key}/depth"] == other.scores["depth"]
        assert logged[f"{split}/depth"] == here.scores["depth"]


def test_other_test_pictures_asked_for_first_do_not_become_the_runs_own(folder: Path, tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "other", {"val": 3, "test": 2}, height=HEIGHT, width=WIDTH, seed=5)
    write_tiny_miniscapes(tmp_path / "alone", {"test": 2}, height=HEIGHT, width=WIDTH, seed=6)
    for name in ("other", "alone"):
        result = evaluate(folder, "split=test", f"data.root={tmp_path}/{name}", f"data.cache={tmp_path}/packed")
        assert result.key == f"test_on_miniscapes_{result.data[:6]}"
    assert evaluate(folder, "split=test").key == "test"


def test_scores_of_another_precision_or_rule_have_keys_of_their_own(folder: Path) -> None:
    assert evaluate(folder, "precision=bf16").key == "val_bf16"
    assert evaluate(folder, "absent_classes=zero").key == "val_absent_zero"


def test_scores_go_to_where_the_run_is_tracked(folder: Path, trained_folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{trained_folder}/mlflow.db")
    run_id = json.loads((only_run(folder, "first") / "mlflow.json").read_text())["run_id"]
    before = client.get_run(run_id).info
    result = evaluate(folder, "split=test", "tta=multiscale", f"tracking_uri=sqlite:///{trained_folder}/mlflow.db")
    after = client.get_run(run_id)
    assert after.data.metrics["test_multiscale/multitask"] == result.scores["multitask"]
    assert after.data.metrics["test_multiscale/by_distance/10-20/mae"] == result.scores["by_distance/10-20/mae"]
    assert (after.info.status, after.info.end_time) == (before.status, before.end_time)
    assert [file.path for file in client.list_artifacts(run_id, "evaluations")]


def test_a_server_that_is_away_costs_no_scores(folder: Path) -> None:
    console = quiet()
    result = evaluation.evaluate(settings_of(folder, "split=test", "tracking_uri=http://127.0.0.1:9"), console)
    assert result is not None
    assert "not on the tracking server" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_training_that_is_alive_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(evaluation, "LONGEST_WAIT_S", 0.1)
    with (
        FileLock(only_run(folder, "first") / "lock", is_singleton=False),
        pytest.raises(UserError, match="its training is still running"),
    ):
        evaluate(folder)


def test_the_tables_say_what_was_measured(folder: Path) -> None:
    evaluate(folder)
    result = evaluate(folder, "tta=flip")
    console = quiet()
    show_evaluation(console, result)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("first", "one view", "gain", "SI-log", "80 and more", "% of pixels", "vegetation", "val_flip/..."):
        assert part in text


def test_a_checkpoint_elsewhere_is_scored_and_nothing_stored(folder: Path, tmp_path: Path) -> None:
    shutil.copy(only_run(folder, "first") / "best.pt", tmp_path / "mine.pt")
    result = evaluate(folder, f"run={tmp_path}/mine.pt")
    assert result.name == "mine.pt"
    assert result.scores == evaluate(folder).scores
    assert not (tmp_path / "evaluations").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run=frist", r"run=frist: no run in .*outputs is called so; did you mean first\?"),
        ("run=null", r"run=<which one\?> newest first there are\n  \w+  second "),
        ("run=zzzzzz", r"newest first there are\n  \w+  second "),
        ("run=1234e567", "run=Infinity: the command line takes this for a number"),
        ("run=conf", "run=conf: no run in"),
        ("split=trian", "split=trian: should be 'train', 'val' or 'test'"),
        ("+spilt=val", "spilt: there is no such option; did you mean split"),
        ("submission=here.txt", "submission=here.txt: a file ending in .zip"),
        ("submission=/nowhere/here.zip", "in a folder that exists"),
        ("tta.scales=[0]", "tta: scales are one or more numbers above 0"),
        ("data.root=/nowhere", "/nowhere: is not a folder"),
        ("device=cuda:7", "device=cuda:7: this machine has"),
    ],
)
def test_a_mistake_is_a_message(folder: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(folder, override)


def test_scales_that_are_too_large_for_the_memory_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 15728640000 bytes")

    monkeypatch.setattr(Predictor, "outputs", outputs)
    with pytest.raises(
        OutOfMemoryError, match=r"batch_size=8 with tta.scales=.* of whole images: cpu is out of memory"
    ):
        evaluate(folder, "tta=multiscale", "tta.scales=[24]")


def test_a_single_task_network_is_scored_on_its_task_and_hands_in_nothing(folder: Path, tmp_path: Path) -> None:
    run(tiny(folder, "schedule.epochs=1", "model=single", "model.task=depth", "name=depth"), quiet())
    result = evaluate(folder, "run=depth")
    assert result.confusion is None
    assert {name.partition("/")[0] for name in result.scores} == {
        "depth", "multitask", "depth_errors", "by_distance",
    }  # fmt: skip
    show_evaluation(quiet(), result)
    with pytest.raises(UserError, match="this network predicts depth alone"):
        evaluate(folder, "run=depth", f"submission={tmp_path}/out.zip")


def test_from_the_command_line_and_in_a_sweep(folder: Path, command: Commands) -> None:
    line = ["evaluate.py", f"paths.outputs={folder}/outputs", "run=first", "device=cpu", "split=test"]
    done = command(*line)
    assert done.returncode == 0, done.stderr
    assert "mean IoU, % ↑" in done.stdout
    assert "was evaluated before" in command(*line).stdout
    done = command(*line, "-m", "tta.scales=[1],[1,1.5]")
    assert done.returncode == 0, done.stderr
    stored = (only_run(folder, "first") / "evaluations").iterdir()
    assert sorted(path.name.rpartition("-")[0] for path in stored) == ["test-none", "test-scales_1_1.5"]
