"""A sweep's rows against one of them: every number of comparison.csv again, from the runs' records, in plain Python."""

import csv
import io
import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Any

import pytest
from helpers.report_store import settings
from scipy import stats

from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.report import paper
from mtl_seg_depth.report.contest import contests
from mtl_seg_depth.report.page import read_report, render_html

HIGHER = {"semseg": True, "pixel_accuracy": True, "depth_errors/mae": False, "depth_errors/abs_rel": False}
OF = {"semseg": ("semseg", "pixel_accuracy"), "depth": ("depth_errors/mae", "depth_errors/abs_rel")}
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


def quantile(count: int) -> float:
    """Of Student's t at 97.5 %, which is elementary for 1 and 2 degrees of freedom."""
    return math.tan(math.pi * 0.475) if count == 2 else 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))


def cumulative(t: float, count: int) -> float:
    return 0.5 + math.atan(t) / math.pi if count == 2 else 0.5 + t / (2 * math.sqrt(2 + t * t))


def summary(values: list[float]) -> tuple[float, float, float, float]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = quantile(len(values)) * deviation / math.sqrt(len(values))
    return mean, deviation, mean - half, mean + half


def power(effect: float, count: int, level: float) -> float:
    """Of the two-sided t-test, integrated over the deviation that is estimated (Simpson's rule over a chi-square)."""
    freedom, normal = count - 1, NormalDist()
    limit, shift = float(stats.t.ppf(1 - level / 2, freedom)), effect * math.sqrt(count)

    def part(v: float) -> float:
        if v == 0:
            return 0.0
        half = freedom / 2
        density = math.exp((half - 1) * math.log(v) - v / 2 - math.lgamma(half) - half * math.log(2))
        edge = limit * math.sqrt(v / freedom)
        return density * (normal.cdf(shift - edge) + normal.cdf(-shift - edge))

    steps, end = 2000, freedom + 12 * math.sqrt(2 * freedom) + 20
    weights = [1, *([4, 2] * (steps // 2 - 1)), 4, 1]
    return sum(w * part(i * end / steps) for i, w in enumerate(weights)) * end / steps / 3


def delta_m(scores: Mapping[str, float], alone: Mapping[str, float]) -> dict[str, float]:
    relative = {key: (scores[key] - alone[key]) / alone[key] * (1 if HIGHER[key] else -1) for key in HIGHER}
    tasks = [sum(relative[key] for key in keys) / len(keys) for keys in OF.values()]
    return {
        "delta_m/over_metrics": -100 * sum(relative.values()) / len(relative),
        "delta_m/over_tasks": 100 * sum(tasks) / len(tasks),
    }


def test_every_number_of_the_csv_comes_out_again_from_the_records(study: SweepRecord, tmp_path: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(paper.as_csv(contests(study, tmp_path, [])))))
    assert [line["selection"] for line in lines if line["measure"] == "mean_rank"] == [
        selection for selection in ("mean_of_last_10", "best", "last") for _ in range(3)
    ]
    better = HIGHER | {"delta_m/over_metrics": False, "delta_m/over_tasks": True}
    for selection in ("best", "last", "mean_of_last_10"):
        values: dict[str, dict[str, dict[int, float]]] = {name: {} for name in NAMES}
        for number, name in enumerate(NAMES):
            for seed in SEEDS.get(name, (0, 1, 2)):
                scores = scores_of(tmp_path / f"run-{number}-{seed}", selection)
                if len(scores) == 4:
                    alone = [scores_of(tmp_path / f"run-{task}-{seed}", selection) for task in (0, 1)]
                    scores |= delta_m(scores, alone[0] | alone[1])
                for key, value in scores.items():
                    values[name].setdefault(key, {})[seed] = value
        found = {(line["method"], line["measure"]): line for line in lines if line["selection"] == selection}
        assert len(found) == 2 * 2 + 3 * 7
        for (name, key), line in found.items():
            if key == "mean_rank":
                ranks = []
                for score, higher in HIGHER.items():
                    means = {other: fmean(values[other][score].values()) for other in NAMES[2:]}
                    ranks.append(1 + sorted(means, key=lambda other: means[other], reverse=higher).index(name))
                assert float(line["mean"]) == pytest.approx(fmean(ranks))
                continue
            own, sign = values[name][key], 1 if better[key] else -1
            numbers = [float(line[column]) for column in ("mean", "deviation", "low", "high")]
            assert numbers == pytest.approx(summary(list(own.values())))
            assert int(line["n"]) == len(own)
            if name in ("equal", *NAMES[:2]):
                assert line["lead"] == line["verdict"] == ""
                continue
            p_values = {}
            for other in ("mgda", "cagrad"):
                gaps = [sign * (value - values["equal"][key][seed]) for seed, value in values[other][key].items()]
                mean, deviation, low, high = summary(gaps)
                share = cumulative(mean / deviation * math.sqrt(len(gaps)), len(gaps))
                p_values[other] = 2 * min(share, 1 - share)
                if other == name:
                    assert [float(line[column]) for column in ("lead", "lead_low", "lead_high")] == pytest.approx(
                        [mean, low, high]
                    )
                    assert float(line["probability_better"]) == pytest.approx(share)
                    assert int(line["pairs"]) == len(gaps)
                    if line["more_seeds"] == "":
                        assert abs(mean) / deviation < 0.04, "more than ten thousand"
                        continue
                    more = int(line["more_seeds"]) + len(gaps)
                    assert power(abs(mean) / deviation, more, 0.025) >= 0.8 - 1e-4
                    if more - 1 > len(gaps):
                        assert power(abs(mean) / deviation, more - 1, 0.025) < 0.8 + 1e-4
            smaller, larger = sorted(p_values.values())
            adjusted = {smaller: min(1, 2 * smaller), larger: min(1, max(2 * smaller, larger))}[p_values[name]]
            assert float(line["p_holm"]) == pytest.approx(adjusted)
            shown = line["verdict"] in ("better", "worse")
            assert shown == (adjusted < 0.05)


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


def test_the_report_page_has_the_contest_in_the_sweeps_section(study: SweepRecord, tmp_path: Path) -> None:
    (tmp_path / "outputs").symlink_to(tmp_path)
    (tmp_path / "sweeps" / "s").mkdir(parents=True)
    (tmp_path / "sweeps" / "s" / "sweep.json").write_text(study.model_dump_json())
    document = read_report(settings(tmp_path))
    section = next(section for section in document.sections if "s" in section.title.split())
    table = section.tables[0]
    contest, *_ = contests(study, tmp_path, [])
    assert [column.title for column in table.columns[:2]] == ["method", "mIoU, % ↑"]
    assert [row[0].text for row in table.rows] == list(NAMES)
    assert table.rows[4][1].text == paper.number(contest.methods[4].entries["semseg"], contest.measures[0])
    assert {row[-1].text for row in table.rows[:3]} == {"reference", "baseline"}
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
