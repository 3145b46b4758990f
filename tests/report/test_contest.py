"""A sweep's rows against one of them: every number of comparison.csv again, from the runs' records, in plain Python."""

import csv
import io
import json
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from helpers.recomputing import HIGHER, OF, check_lines
from helpers.report_store import settings

from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.report import paper
from mtl_seg_depth.report.contest import contests
from mtl_seg_depth.report.page import read_report, render_html

LEVELS = {"semseg": 40.0, "pixel_accuracy": 80.0, "depth_errors/mae": 5.0, "depth_errors/abs_rel": 0.25}
NAMES = ("semseg alone", "depth alone", "equal", "mgda", "cagrad")
SEEDS = {"mgda": (0, 2)}
VALIDATIONS = 12


def write_run(folder: Path, tasks: tuple[str, ...], generator: random.Random, gain: float, *, old: bool) -> None:
    """A run's record and result, as trainings leave them, or as they did before the mean was kept."""
    folder.mkdir(parents=True)
    validations = [
        {f"val/{key}": LEVELS[key] * (1 + gain + generator.gauss(0, 0.02)) for task in tasks for key in OF[task]}
        for _ in range(VALIDATIONS)
    ]
    lines = [
        {"step": 4 * number, "time": number, "metrics": {**scores, "best/step": 4.0}}
        for number, scores in enumerate(validations, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mean = {key: fmean(each[key] for each in validations[-10:]) for key in validations[0]}
    cost = {
        "seconds": 1.0, "data_share": 0.1, "images_per_second": 1.0, "parameters": 1, "peak_memory_bytes": 1,
        "peak_memory_share": 0.1, "memory": "", "device": "CPU",
    }  # fmt: skip
    result = {
        "status": "finished", "fingerprint": "", "steps": 48, "best_step": 4, "best": validations[0],
        "last": validations[-1], "cost": cost, **({} if old else {"mean_of_last_10": mean, "averaged": 10}),
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    params = {"data": "streets", "data.width": "256", "data.height": "128", "data.train": "128", "encoder.name": "tiny"}
    (folder / "run.json").write_text(json.dumps({"name": folder.name, "params": params}))


@pytest.fixture
def study(tmp_path: Path) -> SweepRecord:
    generator, rows = random.Random(0), []
    for number, name in enumerate(NAMES):
        task = name.partition(" ")[0] if name.endswith("alone") else None
        runs = []
        for seed in SEEDS.get(name, (0, 1, 2)):
            tasks = ("semseg", "depth") if task is None else (task,)
            write_run(tmp_path / f"run-{number}-{seed}", tasks, generator, 0.01 * number, old=name == "mgda")
            runs.append({"seed": seed, "folder": f"run-{number}-{seed}", "status": "finished", "scores": {}})
        more: dict[str, Any] = {"reference": task, "params": {"alone": task}}
        if task is None:
            more = {"references": {"semseg": 0, "depth": 1}, "params": {"task_weights": name}}
        rows.append({"number": number, "label": f"task_weights={name}", "state": "complete", "runs": runs, **more})
    account = {"study": "s", "kind": "grid", "started": 0, "updated": 0, "objective": ["margin"], "rows": rows}
    more = {"directions": ["maximize"], "seeds": [0, 1, 2], "baseline": 2, "selection": "mean_of_last_10"}
    return SweepRecord.model_validate({**account, **more})


def scores_of(folder: Path, selection: str) -> dict[str, float]:
    """From the record alone."""
    points = [json.loads(line)["metrics"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    used = {"best": points[:1], "last": points[-1:], "mean_of_last_10": points[-10:]}[selection]
    return {key: fmean(point[f"val/{key}"] for point in used) for key in HIGHER if f"val/{key}" in points[0]}


def test_every_number_of_the_csv_comes_out_again_from_the_records(study: SweepRecord, tmp_path: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(paper.as_csv(contests(study, tmp_path, [])))))
    assert [line["selection"] for line in lines if line["measure"] == "mean_rank"] == [
        selection for selection in ("mean_of_last_10", "best", "last") for _ in range(3)
    ]
    for selection in ("best", "last", "mean_of_last_10"):
        scores = {
            name: {seed: scores_of(tmp_path / f"run-{number}-{seed}", selection) for seed in SEEDS.get(name, (0, 1, 2))}
            for number, name in enumerate(NAMES)
        }
        own = [line for line in lines if line["selection"] == selection]
        assert check_lines(own, scores, "equal", NAMES[:2]) == 2 * 2 + 3 * 7


def test_markdown_and_latex_say_how_the_numbers_came_about(study: SweepRecord, tmp_path: Path) -> None:
    contest, *_ = contests(study, tmp_path, [])
    markdown, latex = paper.as_markdown(study, contest), paper.as_latex(study, contest)
    for said in (
        "3 seeds (0, 1, 2)", "95 %", "averaged over the last ten validations", "validation split", "street scenes",
        "Holm", "CAGrad", "DB-MTL", "mean IoU, pixel accuracy, absolute error, relative error",
    ):  # fmt: skip
        assert said in markdown
    assert markdown.count("| reference |") == 2
    assert "| equal |" in markdown
    assert "| baseline |" in markdown
    for said in (r"\toprule", r"\midrule", r"\bottomrule", r"semseg alone &", r"$\Delta$m (metrics), \% $\downarrow$"):
        assert said in latex
    assert not set(latex) - set(map(chr, range(32, 127))) - {"\n"}, "LaTeX of any age takes it"
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {7}


def test_what_rows_do_not_share_is_said_of_none_alone(study: SweepRecord, tmp_path: Path) -> None:
    shared = contests(study, tmp_path, [])[0].data
    assert "encoder tiny (weights: unknown), 48 steps, unknown, on CPU" in shared
    for number, (encoder, steps) in enumerate([("tiny", 48), ("tiny", 48), ("tiny", 48), ("small", 20), ("tiny", 90)]):
        for path in tmp_path.glob(f"run-{number}-*"):
            card, result = (json.loads((path / name).read_text()) for name in ("run.json", "result.json"))
            card["params"] |= {"encoder.name": encoder, "schedule.minutes": "3.0"}
            (path / "run.json").write_text(json.dumps(card))
            (path / "result.json").write_text(json.dumps({**result, "steps": steps}))
    several = contests(study, tmp_path, [])[0].data
    assert several.startswith("embedded street scenes (128 training images of 256 x 128)")
    said = "encoder tiny (weights: unknown) or small (weights: unknown), 3 minutes each, 20 to 90 steps, unknown, on"
    assert said in several


def test_the_report_page_has_the_contest_in_the_sweeps_section(study: SweepRecord, tmp_path: Path) -> None:
    (tmp_path / "outputs").symlink_to(tmp_path)
    (tmp_path / "sweeps" / "s").mkdir(parents=True)
    (tmp_path / "sweeps" / "s" / "sweep.json").write_text(study.model_dump_json())
    document = read_report(settings(tmp_path))
    section = next(section for section in document.sections if "s" in section.title.split())
    table = section.tables[0]
    contest, *_ = contests(study, tmp_path, [])
    assert [column.title for column in table.columns[:3]] == ["method", "against equal, by Δm (metrics)", "mIoU, % ↑"]
    assert [row[0].text for row in table.rows] == list(NAMES)
    assert table.rows[4][2].text == paper.number(contest.methods[4].entries["semseg"], contest.measures[0])
    assert {row[1].text for row in table.rows[:3]} == {"reference", "baseline"}
    assert table.caption == paper.caption(study, contest)
    assert "no difference can be shown" in render_html(document)


def test_a_damaged_record_costs_that_run_alone_and_is_told(study: SweepRecord, tmp_path: Path) -> None:
    """mgda's runs are from before the mean was kept: theirs is taken from the record."""
    (tmp_path / "run-3-2" / "metrics.jsonl").write_text("no point\n")
    problems: list[str] = []
    contest, *_ = contests(study, tmp_path, problems)
    assert [sorted(method.entries["semseg"].values) for method in contest.methods[2:]] == [[0, 1, 2], [0], [0, 1, 2]]
    assert contest.methods[3].entries["semseg"].verdict == "nothing can be shown with 1 seed"
    assert len(problems) == 1, problems
    assert "run-3-2/metrics.jsonl" in problems[0]


def test_a_sweep_without_a_baseline_or_without_its_scores_is_no_contest(study: SweepRecord, tmp_path: Path) -> None:
    assert contests(study.model_copy(update={"baseline": None}), tmp_path, []) == []
    assert contests(study, tmp_path / "elsewhere", []) == []
