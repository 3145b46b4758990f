"""Sweeps' accounts and run folders, whole, half-written and hostile."""

import tracemalloc
from pathlib import Path

import pytest
from helpers.report_store import Row, Store, write, write_evaluation, write_points, write_result

from mtl_seg_depth.records.results import SweepRun
from mtl_seg_depth.report.store import RunStore, choose, read_studies, run_store
from mtl_seg_depth.system.errors import UserError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


def names(store: Store, *wanted: str) -> set[str]:
    return {study.study for study in choose(read_studies(store.outputs)[0], wanted)}


def test_no_outputs_are_no_studies(tmp_path: Path) -> None:
    assert read_studies(tmp_path / "nowhere") == ([], [])


def test_the_newest_study_of_every_sweep_is_taken_and_every_ad_hoc_one(store: Store) -> None:
    store.study("loss", [], name="loss-new", updated=30)
    store.study("loss", [], name="loss-old", updated=10)
    store.study("dilation", [], name="dilation-a", updated=5)
    store.study(None, [], name="adhoc-1")
    store.study(None, [], name="adhoc-2")
    assert names(store) == {"loss-new", "dilation-a", "adhoc-1", "adhoc-2"}


def test_a_wanted_study_takes_the_place_of_the_newest_of_its_sweep_alone(store: Store) -> None:
    store.study("loss", [], name="loss-new", updated=30)
    store.study("loss", [], name="loss-old1", updated=10)
    store.study("loss", [], name="loss-old2", updated=20)
    store.study("dilation", [], name="dilation-a")
    assert names(store, "loss-old") == {"loss-old2", "dilation-a"}
    assert names(store, "loss-old1") == {"loss-old1", "dilation-a"}


def test_a_wanted_study_that_is_not_there_is_a_message(store: Store) -> None:
    store.study("loss", [], name="loss-1a2b")
    with pytest.raises(UserError, match=r"studies: .* is called lss-1a2b; did you mean loss-1a2b\?"):
        names(store, "lss-1a2b")


def test_what_is_no_account_is_told_and_the_rest_is_read(store: Store) -> None:
    store.study("loss", [], name="good")
    store.study("loss", [], name="newer", version=2)
    store.study("loss", [], name="lopsided", directions=["maximize", "minimize"])
    torn = store.study("loss", [], name="torn")
    torn.write_text(torn.read_text()[:-20])
    foreign = store.study("loss", [], name="foreign")
    write(foreign, {"version": 1})
    studies, problems = read_studies(store.outputs)
    assert [study.study for study in studies] == ["good"]
    assert len(problems) == 4
    for name, part in (("newer", "version 2"), ("lopsided", "1 objectives and 2 directions"), ("foreign", "study")):
        assert any(f"sweeps/{name}/sweep.json" in problem and part in problem for problem in problems)


def test_keys_that_a_newer_writer_added_are_left_alone(store: Store) -> None:
    store.study("loss", [Row([(60, 30)])], cluster="gpu-7")
    studies, problems = read_studies(store.outputs)
    assert len(studies) == 1
    assert not problems


def test_passwords_are_taken_out_of_everything(store: Store) -> None:
    uri = "tracking.uri=postgresql://me:hunter2@host/runs"
    store.study("loss", [Row([], label=uri, reason=f"refused: {uri}", params={"tracking.uri": uri})], overrides=[uri])
    study = read_studies(store.outputs)[0][0]
    assert "hunter2" not in study.model_dump_json()
    assert study.overrides == ["tracking.uri=postgresql://***@host/runs"]


def test_only_what_changes_a_result_is_told_of_the_overrides_and_no_folders(store: Store) -> None:
    overrides = ["data.train=64", "+data.root=/my/data", "paths.outputs=/tmp/x", "tracking=folder", "device=cpu",
                 "seeds=[0,1]", "hydra.sweeper.n_jobs=2", "encoder.weights=/my/best.pt"]  # fmt: skip
    store.study("loss", [], overrides=overrides)
    study = read_studies(store.outputs)[0][0]
    assert study.told_overrides == ["data.train=64", "encoder.weights=best.pt"]
    assert study.overrides == overrides


def test_a_run_without_a_folder_is_empty(tmp_path: Path) -> None:
    problems: list[str] = []
    for folder in (None, "not-there", "../outside", "/etc"):
        found = run_store(tmp_path, SweepRun(seed=0, folder=folder, status="waiting"), problems)
        assert found.path is None
        assert (found.card, found.result, list(found.points()), found.panel()) == (None, None, [], None)
    assert [problem.split()[0] for problem in problems] == ["../outside", "/etc"]


def test_a_damaged_file_of_a_run_is_left_out_and_told(store: Store) -> None:
    store.study("loss", [Row([(60, 30)])])
    folder = next(store.outputs.glob("run-*"))
    (folder / "result.json").write_text('{"status": "fini')
    problems: list[str] = []
    found = run_store(store.outputs, SweepRun(seed=0, folder=folder.name, status="finished"), problems)
    assert found.card is not None
    assert found.card.name == folder.name
    assert found.result is None
    assert problems[0].startswith(f"{folder.name}/result.json was left out: ")


def test_an_evaluation_is_read_from_inside_the_run_alone(store: Store) -> None:
    store.study("loss", [Row([(60, 30)])])
    folder = next(store.outputs.glob("run-*"))
    write_evaluation(folder / "evaluations" / "test.json", seconds=3.0)
    write_evaluation(store.outputs / "secret.json", seconds=4.0)
    for name, seconds in (("evaluations/test.json", 3.0), ("../secret.json", None)):
        run = SweepRun(seed=0, folder=folder.name, status="finished", evaluation=name)
        evaluation = run_store(store.outputs, run, []).evaluation
        assert (evaluation.seconds if evaluation else None) == seconds


def test_the_panel_is_that_of_the_best_step_or_else_the_newest(store: Store) -> None:
    store.study("loss", [Row([(60, 30)])])
    folder = next(store.outputs.glob("run-*"))
    panels = folder / "artifacts" / "panels"
    panels.mkdir(parents=True)
    for step in (64, 192):
        (panels / f"step_{step:06}.png").touch()
    run = SweepRun(seed=0, folder=folder.name, status="finished")
    newest = run_store(store.outputs, run, []).panel()
    assert newest is not None
    assert newest.name == "step_000192.png"
    write_result(folder, best_step=64)
    best = run_store(store.outputs, run, []).panel()
    assert best is not None
    assert best.name == "step_000064.png"


def test_of_a_long_record_only_what_figures_show_is_kept(tmp_path: Path) -> None:
    shown = {"train/loss/depth": 1.0, "train/weight/depth": 0.5}
    write_points(
        tmp_path / "metrics.jsonl", [(n, {**shown, "train/epoch": 1.0, "val/iou/x": 2.0}) for n in range(5000)]
    )
    tracemalloc.start()
    series = RunStore(tmp_path).series
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert series.keys() == shown.keys()
    assert list(series["train/weight/depth"][0]) == list(range(5000))
    assert kept < 5000 * 2 * 30
