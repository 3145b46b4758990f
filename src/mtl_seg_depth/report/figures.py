"""The report's figures, drawn from our runs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from mtl_seg_depth.records.record import Point
from mtl_seg_depth.report.comparison import Comparison, Row, Seed, data_names
from mtl_seg_depth.report.drawing import Drawing, Line, Panel, draw
from mtl_seg_depth.report.panels import beside
from mtl_seg_depth.report.searches import finished, pareto_front
from mtl_seg_depth.report.store import Study, SweepRow
from mtl_seg_depth.report.tables import MEASURES, report_figures
from mtl_seg_depth.system.errors import UserError

LOSSES = {"semseg": "segmentation", "depth": "depth"}


class MissingFigureError(Exception):
    """A figure that cannot be drawn yet; the message says why."""


@dataclass(frozen=True)
class Traced:
    """One run of a row, with what it logged."""

    row: Row
    seed: Seed
    points: list[Point]

    @property
    def name(self) -> str:
        """The row's values in words."""
        return self.row.label

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and finite values of one metric."""
        found = [(p.step, p.metrics[key]) for p in self.points if math.isfinite(p.metrics.get(key, math.nan))]
        return [float(step) for step, _ in found], [value for _, value in found]

    def total(self, prefix: str, weighted: bool) -> tuple[list[float], list[float]]:
        """Steps and sums of the tasks' losses, each times its weight where the run logged one and it is asked for."""
        steps, sums = [], []
        for point in self.points:
            losses = {k.removeprefix(prefix): v for k, v in point.metrics.items() if k.startswith(prefix)}
            if losses:
                weights = {task: point.metrics.get(f"train/weight/{task}", 1.0) if weighted else 1.0 for task in losses}
                total = sum(weights[task] * loss for task, loss in losses.items())
                if math.isfinite(total):
                    steps.append(float(point.step))
                    sums.append(total)
        return steps, sums


def trace(comparison: Comparison, index: int) -> Traced:
    """The first seed of a row that logged anything; MissingFigureError where there is none."""
    row = comparison.rows[index]
    for seed in row.seeds:
        if seed.store.logged:
            return Traced(row, seed, seed.store.logged)
    raise MissingFigureError(f"{row.label} has not been run yet")


def report_drawings(comparisons: Mapping[str, Comparison]) -> dict[str, list[Drawing]]:
    """Every figure of the report, by the table that its runs belong to; missing ones say why."""
    shows = report_figures()
    drawings: dict[str, list[Drawing]] = {}
    for number, (table, make) in FIGURES.items():
        name, title = f"figure_{number:02}", f"Figure {number}: {shows[number]}"
        comparison = comparisons[table]
        try:
            if comparison.mismatch is not None:
                raise MissingFigureError("which row of the sweep belongs to which of the report cannot be told")
            drawing = make(comparison, name, title)
        except (MissingFigureError, UserError) as error:
            drawing = Drawing(name, title, "", missing=f"Not drawn: {error}.")
        drawings.setdefault(table, []).append(drawing)
    return drawings


def training_loss(comparison: Comparison, name: str, title: str, *, rows: Sequence[int]) -> Drawing:
    """The weighted sum of the tasks' losses against the step; for one row the tasks' own as well."""
    lines = []
    traced = [trace(comparison, row) for row in rows]
    for run in traced:
        steps, total = run.total("train/loss/", weighted=True)
        lines.append(Line(run.name if len(traced) > 1 else "weighted sum", steps, total, _colour(run)))
        if len(traced) == 1:
            for offset, (task, word) in enumerate(LOSSES.items(), start=1):
                lines.append(Line(word, *run.series(f"train/loss/{task}"), _colour(run) + offset, thin=True))
    _require(lines, "no losses were logged yet")
    lost = [run.name for run in traced if run.seed.diverged]
    more = f" The training of {', '.join(lost)} diverged where its line ends." if lost else ""
    told = f"Means between log points, on a logarithmic scale. {_origin(comparison, traced)}{more}"
    return draw(name, title, told, [Panel("step", "training loss", lines, log_y=True)])


def validation_scores(comparison: Comparison, name: str, title: str, *, by_epoch: bool) -> Drawing:
    """The three scores of every row against the step or the epoch."""
    traced = list(_traced(comparison))
    panels = []
    for measure in MEASURES:
        lines = []
        for run in traced:
            steps, values = run.series(f"val/{measure.key}")
            per_epoch = run.seed.store.steps_per_epoch or 1
            x = [step / per_epoch for step in steps] if by_epoch else steps
            lines.append(Line(run.name, x, values, comparison.rows.index(run.row), marker="."))
        _require(lines, "no validation was logged yet")
        panels.append(Panel("epoch" if by_epoch else "step", measure.title, lines))
    columns = " and ".join(comparison.table.vary).replace("_", " ") if comparison.table else "row"
    return draw(name, title, f"Lines are {columns}. {_origin(comparison, traced)}", panels)


def device_memory(comparison: Comparison, name: str, title: str) -> Drawing:
    """The GPU's memory in use over time, that of the busiest GPU; without a GPU the machine's."""
    sampled = [(run, list(run.seed.store.points("system.jsonl"))) for run in _traced(comparison)]
    keys = {key for _, points in sampled for point in points for key in point.metrics}
    gpus = sorted(key for key in keys if key.startswith("system/gpu_") and key.endswith("_memory_usage_percentage"))
    candidates = gpus or sorted(keys & {"system/system_memory_usage_percentage"})
    lines = []
    for run, points in sampled:
        series = [[point.metrics.get(key, math.nan) for point in points] for key in candidates]
        known = [values for values in series if values and not any(map(math.isnan, values))]
        if known:
            busiest = max(known, key=max)
            minutes = [(point.time - points[0].time) / 60_000 for point in points]
            lines.append(Line(run.name, minutes, busiest, comparison.rows.index(run.row)))
    _require(lines, "memory over time was not recorded; tracking.system_metrics=true with a tracking.uri records it")
    what = "GPU memory in use, %" if gpus else "memory of the machine in use, %"
    note = "" if gpus else "These runs had no GPU: this is the machine's memory, with everything else that ran on it. "
    return draw(name, title, note + _origin(comparison, [run for run, _ in sampled]), [Panel("minutes", what, lines)])


def validation_loss(comparison: Comparison, name: str, title: str) -> Drawing:
    """The unweighted sum of the validation losses; of runs that recorded none, the validation scores instead."""
    traced = list(_traced(comparison))
    lines = [
        Line(_pretrained(run), *run.total("val/loss/", weighted=False), comparison.rows.index(run.row), marker=".")
        for run in traced
    ]
    if any(line.x for line in lines):
        told = f"Unweighted sum of both tasks' losses. {_origin(comparison, traced)}"
        return draw(name, title, told, [Panel("step", "validation loss", lines)])
    panels = []
    for measure in MEASURES[1:]:
        lines = [
            Line(_pretrained(run), *run.series(f"val/{measure.key}"), comparison.rows.index(run.row), marker=".")
            for run in traced
        ]
        _require(lines, "no validation was logged yet")
        panels.append(Panel("step", measure.title, lines))
    told = f"These runs did not record validation losses: the validation scores instead. {_origin(comparison, traced)}"
    return draw(name, title, told, panels)


def before_and_after(comparison: Comparison, name: str, title: str) -> Drawing:
    """Validation pictures as the table's two rows see them."""
    found = []
    for row in comparison.rows[:2]:
        panel = next((panel for seed in row.seeds if (panel := seed.store.panel()) is not None), None)
        if panel is None:
            raise MissingFigureError(f"{row.label} has no panel of validation pictures yet")
        found.append(panel)
    image = beside(*found)
    if image is None:
        raise MissingFigureError("the panels of the two rows do not show the same pictures")
    data = "; ".join(data_names(comparison))
    return Drawing(name, title, f"Validation pictures of {data}.", image=image, suffix=".jpg")


FIGURES: dict[int, tuple[str, Callable[[Comparison, str, str], Drawing]]] = {
    1: ("adam_lr", partial(training_loss, rows=[4])),
    2: ("adam_lr", partial(training_loss, rows=[1])),
    3: ("adam_lr", partial(training_loss, rows=[4, 5])),
    4: ("epochs_batch", partial(validation_scores, by_epoch=False)),
    5: ("epochs_batch", partial(validation_scores, by_epoch=True)),
    6: ("epochs_batch", device_memory),
    9: ("pretrained", validation_loss),
    10: ("dilation", before_and_after),
    11: ("aspp_skip", before_and_after),
}
"""The report's figures that have numbers behind them: the table that each belongs to, and how it is drawn."""


def search_drawings(study: Study) -> list[Drawing]:
    """The course of a search, and for two objectives its Pareto front."""
    rows = finished(study)
    if not rows:
        return []
    panels = []
    for index, name in enumerate(study.objective):
        numbers = [float(row.number) for row in rows]
        values = [_value(row, index) for row in rows]
        lines = [Line("trials", numbers, values, 0, marker="o")]
        if len(study.objective) == 1:
            better = max if study.directions[0] == "maximize" else min
            lines.append(Line("best so far", numbers, list(accumulate(values, better)), 1))
        panels.append(Panel("trial", name, lines))
    title = f"Values by trial, {study.sweep or study.study}"
    drawings = [draw(f"{study.anchor}_trials", title, "Complete trials alone.", panels)]
    if len(study.objective) == 2:
        front = pareto_front(study)
        points = Line("trials", [_value(row, 0) for row in rows], [_value(row, 1) for row in rows], 0, marker="o")
        line = Line("Pareto front", [_value(row, 0) for row in front], [_value(row, 1) for row in front], 1, marker=".")
        title = f"Pareto front, {study.sweep or study.study}"
        goals = [f"{name} {direction}d" for name, direction in zip(study.objective, study.directions, strict=True)]
        panel = Panel(study.objective[0], study.objective[1], [points, line])
        drawings.append(draw(f"{study.anchor}_pareto", title, f"{' and '.join(goals)}.", [panel]))
    return drawings


def _value(row: SweepRow, index: int) -> float:
    """Of a finished trial."""
    value = (row.values or [])[index]
    assert value is not None
    return value


def _traced(comparison: Comparison) -> Iterator[Traced]:
    """Every row that has a run; MissingFigureError where none has."""
    any_run = False
    for index, row in enumerate(comparison.rows):
        if row.seeds and any(seed.store.path is not None for seed in row.seeds):
            any_run = True
            yield trace(comparison, index)
    if not any_run:
        raise MissingFigureError("none of its rows has been run yet")


def _pretrained(run: Traced) -> str:
    return "ImageNet weights" if run.row.report and run.row.report.says["pretrained"] else "not pretrained"


def _colour(run: Traced) -> int:
    """One learning rate has one colour in all figures."""
    return {"1e-4": 0, "1e-1": 3, "1e-5": 1}.get(run.name, 0)


def _require(lines: Sequence[Line], why: str) -> None:
    if not any(line.x for line in lines):
        raise MissingFigureError(why)


def _origin(comparison: Comparison, traced: Sequence[Traced]) -> str:
    """Whose numbers these are."""
    seeds = sorted({run.seed.run.seed for run in traced})
    told = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    return f"Our runs with {told}: {'; '.join(data_names(comparison))}."
