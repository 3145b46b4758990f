"""Searches: the best trials, and those that none beats in everything."""

from pathlib import Path

import pytest
from helpers.report_store import Row, Store

from mtl_seg_depth.report.searches import best_trials, finished, search_notes, search_table, value_titles
from mtl_seg_depth.report.store import Study, read_studies

TWO = {"objective": ["val/multitask", "cost/seconds"], "directions": ["maximize", "minimize"]}


def study(tmp_path: Path, rows: list[Row], **others: object) -> Study:
    store = Store(tmp_path / "outputs")
    store.study("search_lr", rows, kind="search", **others)
    return read_studies(store.outputs)[0][0]


def trials(*values: tuple[float | None, ...]) -> list[Row]:
    return [Row(label=f"lr={number}", values=list(value)) for number, value in enumerate(values)]


@pytest.mark.parametrize(("direction", "best"), [("maximize", [2, 0, 1]), ("minimize", [1, 0, 2])])
def test_the_best_trials_come_first(tmp_path: Path, direction: str, best: list[int]) -> None:
    found = study(tmp_path, trials((5.0,), (1.0,), (9.0,)), directions=[direction])
    assert [trial.row.number for trial in best_trials(found)] == best


def test_trials_at_the_floor_are_told_apart_by_the_rest_of_their_scores(tmp_path: Path) -> None:
    rows = [Row([scores], label="x", values=[0.0]) for scores in ((10, 90), (30, 80), (20, 90))]
    assert [trial.row.number for trial in best_trials(study(tmp_path, rows))] == [1, 2, 0]


def test_only_complete_trials_with_finite_values_count(tmp_path: Path) -> None:
    rows = trials((5.0,), (float("nan"),), (None,), (7.0,), (8.0,))
    rows[3].state, rows[4].state = "pruned", "running"
    rows.append(Row(label="no values"))
    assert [trial.row.number for trial in finished(study(tmp_path, rows))] == [0]


def test_the_pareto_front_holds_what_nothing_beats_in_everything(tmp_path: Path) -> None:
    # Multitask up, seconds down: trial 1 is beaten by 0, trial 3 by 2, and 4 equals 2.
    found = study(tmp_path, trials((30, 100), (20, 100), (40, 200), (40, 300), (40, 200)), **TWO)
    assert [trial.row.number for trial in best_trials(found)] == [2, 4, 0]


def test_objectives_are_called_what_the_suite_calls_their_scores(tmp_path: Path) -> None:
    known = study(tmp_path, [], objective=["semseg", "depth"], directions=["maximize", "minimize"])
    assert value_titles(known) == ["mIoU, % ↑", "SI-log ↓"]
    assert value_titles(study(tmp_path, [], **TWO)) == ["val/multitask ↑", "cost/seconds ↓"]


def test_the_table_says_what_was_tried_and_on_which_data(tmp_path: Path) -> None:
    table = search_table(study(tmp_path, trials((5.0,), (9.0,)), overrides=["data.train=64"]))
    assert [cell.text for cell in table.rows[0]] == ["1", "lr=1", "9.00", "0"]
    assert [cells[2].bold for cells in table.rows] == [True, False]
    assert "not Miniscapes" in table.caption
    assert "data.train=64" in table.caption


def test_trials_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    rows = trials((5.0,), (6.0,), (None,), (None,))
    rows[2].state, rows[3].state = "pruned", "failed"
    assert search_notes(study(tmp_path, rows)) == ["4 trials: 2 complete, 1 pruned, 1 failed."]
    assert search_notes(study(tmp_path, [])) == ["No trial has started yet."]
    assert search_notes(study(tmp_path, trials((None,)))) == ["1 trial: 1 complete.", "No trial is complete yet."]
