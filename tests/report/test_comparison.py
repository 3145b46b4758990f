"""Means over seeds, order and circumstances, against values worked out by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.report_store import (
    MINISCAPES,
    STREETS,
    TABLES,
    Row,
    Store,
    report_rows,
    scores_of,
    write,
    write_evaluation,
    write_points,
    write_result,
)

from mtl_seg_depth.report.comparison import Comparison, best, compare, ranks
from mtl_seg_depth.report.document import caption
from mtl_seg_depth.report.store import read_studies
from mtl_seg_depth.report.tables import PARAMETERS
from mtl_seg_depth.scoring import headline


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


def comparison(store: Store, table: str) -> Comparison:
    return compare(TABLES[table], read_studies(store.outputs)[0][0], store.outputs, [])


def test_mean_and_standard_deviation_over_the_seeds(store: Store) -> None:
    store.study("dilation", [Row([(60, 30), (62, 30), (64, 33)]), Row([(70, 20)])])
    first, second = comparison(store, "dilation").rows
    assert first.values("semseg") == [60, 62, 64]
    assert first.mean("semseg") == 62
    assert first.deviation("semseg") == 2  # of 60, 62, 64 with n - 1
    assert first.mean("multitask") == pytest.approx((30 + 32 + 31) / 3)
    assert second.mean("depth") == 20
    assert second.deviation("depth") is None


@pytest.mark.parametrize("table", [name for name, table in TABLES.items() if name != "tta"])
def test_rows_whose_choice_was_overridden_are_not_tested_and_count_for_no_order(store: Store, table: str) -> None:
    varied = [key for key in TABLES[table].vary if len({str(row.says[key]) for row in TABLES[table].rows}) > 1]
    same = {name: "the same" for key in varied for name in PARAMETERS[key]}
    store.study(table, [replace(row, chosen=same) for row in report_rows(table)])
    found = comparison(store, table)
    assert set(found.untested) == set(range(len(found.rows)))
    assert found.compared == []
    assert found.tau() is None
    assert all("not tested: another row has the same" in found.state(index) for index in range(len(found.rows)))
    assert not any(best(key, found.ours) for key in ("multitask", "semseg", "depth"))


def test_one_overridden_row_takes_the_other_of_its_kind_out_of_the_order(store: Store) -> None:
    rows = report_rows("adam_lr")
    rate = {name: "1e-4" for key in TABLES["adam_lr"].vary for name in PARAMETERS[key]}
    store.study("adam_lr", [replace(rows[0], chosen=rate), replace(rows[1], chosen=rate), *rows[2:]])
    found = comparison(store, "adam_lr")
    assert set(found.untested) == {0, 1}
    assert found.compared == list(range(2, len(rows)))
    assert found.tau() == 1


def test_what_still_trains_and_what_is_not_a_number_does_not_count(store: Store) -> None:
    rows = [
        Row([(60, 30), (99, 1)], state="running", statuses=["finished", "running"]),
        Row([(math.nan, 30)]),
    ]
    store.study("dilation", rows)
    running, broken = comparison(store, "dilation").rows
    assert running.values("semseg") == [60]
    assert running.state == "running, 1 of 2 seeds done"
    assert broken.values("semseg") == []
    assert broken.values("depth") == [30]


def test_a_row_with_a_score_that_is_not_finite_is_neither_placed_nor_the_best(store: Store) -> None:
    rows = [Row([(90, math.inf), (90, 5)]), Row([(60, 30), (60, 30)]), Row([(55, 30), (55, 30)])]
    store.study("depth_norm", rows)
    compared = comparison(store, "depth_norm")
    assert compared.rows[0].diverged
    assert sorted(compared.places()) == [1, 2]
    assert [best(key, compared.ours) for key in ("multitask", "semseg", "depth")] == [{1}, {1}, {1, 2}]


def test_states_tell_what_to_believe(store: Store) -> None:
    rows = [
        Row([None], state="failed", statuses=["diverged"], reason="diverged at step 120"),
        Row([(40, 60), None, (40, 60)], statuses=["finished", "diverged", "finished"]),
        Row([], state="waiting"),
        Row([], state="impossible", reason="no such dilation"),
        Row([(60, 30)]),
        Row([(8, 80)], statuses=["diverged"]),
    ]
    store.study("adam_lr", rows)
    compared = comparison(store, "adam_lr")
    assert [row.state for row in compared.rows] == [
        "failed: diverged at step 120", "1 of 3 seeds diverged", "not run yet", "impossible: no such dilation", "",
        "1 of 3 seeds diverged",
    ]  # fmt: skip
    assert [row.is_open for row in compared.rows] == [False, False, True, False, False, False]
    assert [row.is_lost for row in compared.rows] == [True, False, False, False, False, True]
    assert compared.rows[5].mean("semseg") == 8  # a score from before it diverged is a score


def test_the_order_is_that_by_which_a_training_picks_its_best() -> None:
    for semseg, depth in ((60.0, 30.0), (40.0, 60.0), (55.0, 55.0)):
        scores = scores_of(semseg, depth)
        assert ranks([scores]) == [headline.rank(scores)]


def test_a_missing_score_is_worse_than_any() -> None:
    at_floor = scores_of(1.0, 99.0)
    order = ranks([{"multitask": 0.0, "depth": 50.0}, at_floor, {"semseg": 90.0, "depth": 1.0}])
    assert order[2] < order[0] < order[1]
    assert best("multitask", [{"multitask": 0.0, "depth": 50.0}, at_floor]) == {1}
    assert best("depth", [{"multitask": 9.0}, scores_of(60, 30), scores_of(60, 20)]) == {2}


def test_one_task_alone_is_ordered_by_its_own_margin() -> None:
    rows = [{"multitask": 0.0, "depth": depth} for depth in (80.0, 60.0)]
    assert best("multitask", rows) == {1}


def test_a_row_that_diverged_is_neither_placed_nor_the_best(store: Store) -> None:
    rows = [Row([(99, 1)], statuses=["diverged"]), Row([(60, 30)]), Row([(50, 40)])]
    store.study("loss", rows)
    compared = comparison(store, "loss")
    assert compared.rows[0].mean("semseg") == 99
    assert set(compared.places()) == {1, 2}
    assert best("multitask", compared.ours) == best("depth", compared.ours) == {1}


def test_agreement_of_equal_turned_and_mixed_orders(store: Store) -> None:
    for rows, tau in (
        ([(50, 40), (50, 30), (50, 20)], 1.0),  # the report: l2, l1, berhu, from worst to best
        ([(50, 20), (50, 30), (50, 40)], -1.0),
        ([(50, 40), (50, 20), (50, 30)], 1 / 3),  # two pairs agree, one does not
    ):
        store.study("loss", [Row([scores]) for scores in rows])
        assert comparison(store, "loss").tau() == pytest.approx(tau)


def test_ties_count_as_tau_b_has_them(store: Store) -> None:
    store.study("loss", [Row([(50, 40)]), Row([(50, 40)]), Row([(50, 30)])])
    # Of three pairs two agree and one is tied in one order: 2 / sqrt(3 * 2).
    assert comparison(store, "loss").tau() == pytest.approx(2 / math.sqrt(6))


def test_there_is_no_agreement_without_an_order(store: Store) -> None:
    store.study("loss", [Row([(50, 40)])] * 3)
    assert comparison(store, "loss").tau() is None
    store.study("loss", [Row([(50, 40)]), Row(), Row()])
    assert comparison(store, "loss").tau() is None


def test_only_rows_with_both_numbers_are_placed(store: Store) -> None:
    rows = report_rows("loss")
    rows[1] = Row(state="waiting")
    store.study("loss", rows)
    assert comparison(store, "loss").places() == {0: (2, 2), 2: (1, 1)}


def test_at_the_floor_the_rest_of_the_scores_decides(store: Store) -> None:
    store.study("loss", [Row([(10, 90)]), Row([(20, 90)]), Row([(20, 80)])])
    compared = comparison(store, "loss")
    assert {row.mean("multitask") for row in compared.rows} == {0}
    assert compared.is_at_floor
    assert compared.tau() == 1
    assert best("multitask", compared.ours) == {2}
    assert best("semseg", compared.ours) == {1, 2}
    assert best("depth", compared.ours) == {2}


def test_one_number_alone_is_not_the_best(store: Store) -> None:
    store.study("loss", [Row([(50, 40)]), Row(), Row()])
    assert best("semseg", comparison(store, "loss").ours) == set()


def test_rows_that_are_not_as_many_are_not_matched(store: Store) -> None:
    store.study("loss", [Row([(50, 40)], label="loss=l2"), Row([(50, 30)], label="loss=l1")])
    compared = comparison(store, "loss")
    assert compared.mismatch == (3, 2)
    assert [row.label for row in compared.rows] == ["loss=l2", "loss=l1"]
    assert all(row.report is None for row in compared.rows)
    assert compared.tau() is None


def test_street_scenes_are_never_the_reports_data(store: Store) -> None:
    store.study("loss", report_rows("loss"), data=STREETS)
    compared = comparison(store, "loss")
    assert not compared.is_comparable
    found = compared.circumstances[0][1]
    assert found.data == (
        "embedded street scenes (64 training images of 256 x 128), not Miniscapes, crops of 128 x 128"
    )
    assert (found.encoder, found.steps, found.precision, found.device) == ("resnet34", 128, "fp32", "NVIDIA Test GPU")


@pytest.mark.parametrize(("steps_per_epoch", "is_whole"), [(5000, True), (16, False), (4999, False)])
def test_a_part_of_miniscapes_is_not_miniscapes(store: Store, steps_per_epoch: int, is_whole: bool) -> None:
    store.steps_per_epoch = steps_per_epoch
    store.study("loss", report_rows("loss"), data=MINISCAPES)
    compared = comparison(store, "loss")
    assert compared.is_comparable == is_whole
    assert compared.circumstances[0][1].data.startswith(
        "Miniscapes, " if is_whole else "data laid out like Miniscapes of about"
    )


def test_data_sets_that_nobody_knows_are_not_miniscapes(store: Store) -> None:
    store.study("dilation", [Row([(60, 30)]), Row()])
    folder = next(store.outputs.glob("run-*"))
    write(folder / "run.json", {"name": "a", "params": {"data": "mine", "schedule.batch_size": "4"}})
    found = comparison(store, "dilation").circumstances[0][1]
    assert not found.is_miniscapes
    assert found.data.startswith("the data set mine of about 64 training images, not the report's")


def test_classes_depths_and_rules_are_those_that_the_runs_stored(store: Store) -> None:
    depth = {"statistics": {"min": 1.0, "max": 80.0}, "rules": {"cap": 50, "mean_over": "pixels"}}
    spec = {"name": "mine", "targets": {"semseg": {"names": ["road", "sky"]}, "depth": depth}}
    store.study("loss", [Row([(60, 30)]), Row([(61, 30)]), Row([(62, 30)], state="running")])
    first, second, third = sorted(store.outputs.glob("run-*"))
    write(first / "run.json", {"name": "a", "params": {"data": "mine", "data.size": "[320, 1056]"}})
    (third / "result.json").unlink()
    for folder in (first, second):
        result = json.loads((folder / "result.json").read_text())
        write(folder / "result.json", {**result, "spec": spec})
    compared = comparison(store, "loss")
    assert "read at 1056 x 320, crops of" in compared.circumstances[0][1].data
    assert compared.scored == "2 classes; depth 1 to 80 m; depth scored with cap 50, mean over pixels"
    assert compared.scored in caption(compared)
    depth["rules"] = {"cap": None, "mean_over": "images"}
    write(second / "result.json", {**json.loads((second / "result.json").read_text()), "spec": spec})
    told = comparison(store, "loss").scored
    assert told.startswith("DIFFERENT RULES in different rows: 2 classes")
    assert told.endswith("| 2 classes; depth 1 to 80 m; depth scored with mean over images")


def test_one_row_of_other_data_makes_a_table_incomparable(store: Store) -> None:
    store.steps_per_epoch = 5000
    store.study("loss", report_rows("loss"), data=MINISCAPES)
    odd = sorted(store.outputs.glob("run-*"))[1]
    write(odd / "run.json", {"name": "odd", "params": {"data": "streets", "data.width": "256"}})
    assert not comparison(store, "loss").is_comparable


def test_a_run_that_did_not_record_its_device_leaves_it_unknown(store: Store) -> None:
    store.study("dilation", [Row([(60, 30)]), Row()])
    folder = next(store.outputs.glob("run-*"))
    write_result(folder, device=None, memory="20.00 GiB at most, 25.0% of NVIDIA Test GPU")
    assert comparison(store, "dilation").circumstances[0][1].device is None


def test_before_the_first_run_the_sweeps_own_config_tells_the_data(store: Store) -> None:
    store.study("loss", [Row(state="waiting")] * 3)
    assert "not Miniscapes" in comparison(store, "loss").circumstances[0][1].data


def test_costs_are_means_and_the_largest_memory(store: Store) -> None:
    store.study("dilation", [Row([(60, 30), (60, 30)]), Row()])
    first, second = sorted(store.outputs.glob("run-*"))
    for folder, seconds, share in ((first, 100, 0.2), (second, 300, 0.3)):
        cost = {"seconds": seconds, "peak_memory_share": share, "parameters": 7, "images_per_second": seconds / 10}
        write_result(folder, **cost)
    costs = comparison(store, "dilation").rows[0].costs
    assert (costs.seconds, costs.memory_percent, costs.parameters, costs.images_per_second) == (200, 30, 7, 20)
    nothing = comparison(store, "dilation").rows[1].costs
    assert (nothing.seconds, nothing.memory_percent, nothing.parameters) == (None, None, None)


def test_validation_scores_do_not_stand_in_for_an_evaluation_that_is_still_to_come(store: Store) -> None:
    path = store.study("tta", report_rows("tta"), score="test")
    assert comparison(store, "tta").rows[0].values("semseg") == []
    path.write_text(path.read_text().replace('"evaluation": null', '"evaluation": "evaluations/test.json"'))
    assert comparison(store, "tta").rows[0].values("semseg") == [86.36]
    assert comparison(store, "tta").split == "test"


def test_another_split_is_not_comparable(store: Store) -> None:
    store.steps_per_epoch = 5000
    for score, same in ((None, True), ("val", True), ("test", False)):
        store.study("loss", report_rows("loss"), data=MINISCAPES, score=score)
        assert comparison(store, "loss").is_comparable == same


def test_the_run_that_a_row_is_at_tells_where_it_runs_and_has_no_score_yet(store: Store) -> None:
    store.study("dilation", [Row([(60, 30)], state="running"), Row()])
    folder = next(store.outputs.glob("run-*")).name
    store.study("dilation", [Row([], state="running", folder=folder), Row()], seeds=[3, 4])
    row = comparison(store, "dilation").rows[0]
    assert [(seed.run.seed, seed.run.status, seed.scores) for seed in row.seeds] == [(3, "running", {})]
    assert row.circumstances[0].encoder == "resnet34"
    assert row.state == "running"


def test_a_file_of_weights_is_called_by_its_name(store: Store) -> None:
    store.study("dilation", [Row([(60, 30)]), Row()])
    folder = next(store.outputs.glob("run-*"))
    write(folder / "run.json", {"name": "a", "params": {"encoder.weights": "/data/pretraining/best.pt"}})
    assert comparison(store, "dilation").circumstances[0][1].weights == "the file best.pt"


def test_an_evaluation_costs_its_own_time(store: Store) -> None:
    path = store.study("tta", report_rows("tta"))
    text = path.read_text()
    path.write_text(text.replace('"evaluation": null', '"evaluation": "evaluations/test.json"'))
    for folder in store.outputs.glob("run-*"):
        write_evaluation(folder / "evaluations" / "test.json", seconds=8.0, pictures=16)
    costs = comparison(store, "tta").rows[0].costs
    assert (costs.seconds, costs.images_per_second, costs.memory_percent) == (8, 2, None)


def test_steps_in_an_epoch_come_from_the_record(store: Store) -> None:
    store.study("dilation", [Row([(60, 30)]), Row()])
    folder = next(store.outputs.glob("run-*"))
    write_points(folder / "metrics.jsonl", [(20, {"train/epoch": 0.25})])
    assert comparison(store, "dilation").rows[0].seeds[0].store.steps_per_epoch == 80
