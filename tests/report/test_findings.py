"""Findings are judged from numbers: by means, by the spread over seeds, and not at all where there are none."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.report_store import TABLES, Row, Store, report_rows, settings

from mtl_seg_depth.report.comparison import compare
from mtl_seg_depth.report.findings import FINDINGS, Finding, Judgement, Lead, Verdict, judge, summary
from mtl_seg_depth.report.page import write_report
from mtl_seg_depth.report.store import read_studies
from mtl_seg_depth.report.tables import PARAMETERS

HELPS = Finding("dilation", "it helps", (Lead(1, 0),))


def judged(tmp_path: Path, rows: Sequence[Row], finding: Finding = HELPS) -> Judgement:
    store = Store(tmp_path / "outputs")
    store.made = len(list(store.outputs.glob("run-*")))
    if finding.table == "tta":
        rows = [replace(row, chosen=row.chosen or {"evaluated": str(number)}) for number, row in enumerate(rows)]
    store.study(finding.table, rows, score="test" if finding.table == "tta" else None)
    study = read_studies(store.outputs)[0][0]
    return judge(finding, compare(TABLES[finding.table], study, store.outputs, []))


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.statement)
def test_every_finding_is_one_that_the_report_made(tmp_path: Path, finding: Finding) -> None:
    scores = [row.scores for row in TABLES[finding.table].rows]
    for step in finding.steps:
        if step.measure == "multitask":
            assert scores[step.better]["multitask"] > scores[step.worse]["multitask"]
    if finding.table != "epochs_batch":  # whose mean IoU and SI-log the report does not give
        judgement = judged(tmp_path, report_rows(finding.table), finding)
        assert judgement.verdict is Verdict.SAME_WAY
        assert judgement.report_gap > 0
        assert judgement.our_gap == pytest.approx(judgement.report_gap, abs=0.002)


def test_there_is_a_finding_for_every_table() -> None:
    assert {finding.table for finding in FINDINGS} == set(TABLES)


@pytest.mark.parametrize(
    ("without", "with_", "verdict"),
    [
        ([(60, 30), (61, 30)], [(70, 30), (71, 30)], Verdict.HELD),
        ([(70, 30), (71, 30)], [(60, 30), (61, 30)], Verdict.FAILED),
        ([(60, 30), (64, 30)], [(61, 30), (65, 30)], Verdict.WITHIN_SPREAD),  # lead 1, spread 4
        ([(60, 30)], [(70, 30), (71, 30)], Verdict.SAME_WAY),
        ([(70, 30)], [(60, 30)], Verdict.OTHER_WAY),
        ([], [(60, 30)], Verdict.NOT_RUN),
        ([(10, 90), (11, 90)], [(30, 90), (31, 90)], Verdict.HELD),  # both at the floor of the multitask score
        ([(30, 90), (31, 90)], [(10, 90), (11, 90)], Verdict.FAILED),
        ([(10, 90), (20, 90)], [(12, 90), (22, 90)], Verdict.WITHIN_SPREAD),
    ],
)
def test_a_difference_is_weighed_against_the_spread(
    tmp_path: Path, without: list[tuple[float, float]], with_: list[tuple[float, float]], verdict: Verdict
) -> None:
    assert judged(tmp_path, [Row(without), Row(with_)]).verdict is verdict


def test_the_spread_is_that_of_a_difference_of_two_single_trainings(tmp_path: Path) -> None:
    # Variances over seeds of 2 and 2: the spread is 2, whatever the number of seeds.
    assert judged(tmp_path, [Row([(60, 30), (62, 30)]), Row([(62.9, 30), (64.9, 30)])]).verdict is Verdict.HELD
    assert judged(tmp_path, [Row([(60, 30), (62, 30)]), Row([(61.9, 30), (63.9, 30)])]).verdict is Verdict.WITHIN_SPREAD


def test_a_row_that_diverged_with_every_seed_is_worse_than_any_score(tmp_path: Path) -> None:
    lost = Row([None, None], state="failed", statuses=["diverged", "diverged"])
    assert judged(tmp_path, [lost, Row([(10, 90), (10, 90)])]).verdict is Verdict.HELD
    assert judged(tmp_path, [Row([(10, 90), (10, 90)]), lost]).verdict is Verdict.FAILED
    once = Row([None], state="failed", statuses=["diverged"])
    assert judged(tmp_path, [once, Row([(10, 90)])]).verdict is Verdict.SAME_WAY
    assert judged(tmp_path, [lost, lost]).verdict is Verdict.NOT_RUN


def test_one_step_that_fails_decides_and_one_that_is_missing_leaves_it_open(tmp_path: Path) -> None:
    best = Finding("loss", "berHu is best", (Lead(2, 0), Lead(2, 1)))
    good, bad, better = [(60, 30), (61, 30)], [(50, 30), (51, 30)], [(70, 30), (71, 30)]
    assert judged(tmp_path, [Row(good), Row(bad), Row(better)], best).verdict is Verdict.HELD
    failed = judged(tmp_path, [Row(good), Row(), Row(bad)], best)
    assert failed.verdict is Verdict.FAILED
    assert failed.decisive == Lead(2, 0)
    assert failed.our_gap == pytest.approx(-10)
    assert judged(tmp_path, [Row(good), Row(), Row(better)], best).verdict is Verdict.NOT_RUN


def test_less_is_better_for_depth(tmp_path: Path) -> None:
    finding = Finding("dilation", "depth", (Lead(1, 0, "depth"),))
    assert judged(tmp_path, [Row([(60, 30)]), Row([(60, 20)])], finding).our_gap == 10
    assert judged(tmp_path, [Row([(60, 20)]), Row([(60, 30)])], finding).verdict is Verdict.OTHER_WAY


def test_rows_that_cannot_be_matched_judge_nothing(tmp_path: Path) -> None:
    assert judged(tmp_path, [Row([(60, 30)])]).verdict is Verdict.UNMATCHED


SE = next(finding for finding in FINDINGS if finding.table == "squeeze_excitation")
VIEWS = next(finding for finding in FINDINGS if finding.table == "tta")


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.statement)
def test_rows_that_do_not_differ_in_what_a_finding_varies_judge_nothing(tmp_path: Path, finding: Finding) -> None:
    table, rows = TABLES[finding.table], report_rows(finding.table)
    for key in table.vary:
        if all(row.says[key] == table.rows[0].says[key] for row in table.rows):
            continue
        same = dict.fromkeys(PARAMETERS[key], "the same") if key != "tta" else {"evaluated": "the same"}
        found = judged(tmp_path / key, [replace(row, chosen=same) for row in rows], finding)
        assert found.verdict is Verdict.NOT_VARIED
        assert found.our_gap is None
        sentence, verdicts = summary([found])
        assert sentence == "Of 1 findings of the report, 1 could not be judged, as our rows do not differ in it."
        assert verdicts == [("Not the report's comparison", [finding.statement])]


def test_the_page_says_in_what_the_rows_do_not_differ(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    rows = [replace(row, chosen={"encoder.name": "resnet18"}) for row in report_rows("squeeze_excitation")]
    store.study("squeeze_excitation", rows, encoder="resnet18")
    text = write_report(settings(tmp_path)).markdown.read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"| {SE.statement}"))
    assert "not the report's comparison" in line
    assert "the same encoder in both rows" in line


def test_views_that_are_not_evaluated_at_all_are_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    store.study("tta", report_rows("tta"), score=None)
    study = read_studies(store.outputs)[0][0]
    assert judge(VIEWS, compare(TABLES["tta"], study, store.outputs, [])).verdict is Verdict.NOT_VARIED


def test_one_training_in_two_rows_is_no_comparison(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    path = store.study("loss", report_rows("loss"))
    account = json.loads(path.read_text())
    for row in account["rows"]:
        row["runs"][0]["fingerprint"] = "ab" * 8
    path.write_text(json.dumps(account))
    study = read_studies(store.outputs)[0][0]
    berhu = next(finding for finding in FINDINGS if finding.table == "loss")
    assert judge(berhu, compare(TABLES["loss"], study, store.outputs, [])).verdict is Verdict.NOT_VARIED


def test_the_summary_counts_every_finding_once_and_warns_of_single_seeds(tmp_path: Path) -> None:
    held = judged(tmp_path, [Row([(60, 30), (61, 30)]), Row([(70, 30), (71, 30)])])
    same = judged(tmp_path, [Row([(60, 30)]), Row([(70, 30)])])
    sentence, verdicts = summary([held, same, same])
    assert sentence == (
        "Of 3 findings of the report, 1 held and 2 pointed the same way with a single seed. "
        "A single seed cannot tell an effect from noise: those are directions, not results."
    )
    assert verdicts == [("Held", ["it helps"]), ("Same way, one seed", ["it helps", "it helps"])]
    assert summary([held])[0] == "Of 1 findings of the report, 1 held."
