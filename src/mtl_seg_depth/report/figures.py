"""The report's figures, drawn from our runs."""

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

from mtl_seg_depth.report.comparison import Comparison, Row, Seed
from mtl_seg_depth.report.drawing import Drawing, Line, Panel, draw
from mtl_seg_depth.report.searches import best_trials, finished, value_titles
from mtl_seg_depth.report.store import LOSS, WEIGHT, Study
from mtl_seg_depth.report.table import heading
from mtl_seg_depth.report.tables import report_figures
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks import HEADLINES

LARGEST_PANEL = (1600, 1200)
"""Pixels of each of two panels that stand in one figure, or the page would be too large."""


class MissingFigureError(Exception):
    """A figure that cannot be drawn yet; the message says why."""


@dataclass(frozen=True)
class Traced:
    """A row and the run of it that is drawn."""

    row: Row
    seed: Seed

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and finite values of one metric."""
        return _finite(zip(*self.seed.store.series.get(key, ((), ())), strict=True))

    def weighted_sum(self) -> tuple[list[float], list[float]]:
        """Steps and sums of the tasks' losses, each times its weight if the run logged one."""
        sums: dict[float, float] = {}
        series = self.seed.store.series
        for key in (key for key in series if key.startswith(LOSS)):
            weights = dict(zip(*series.get(WEIGHT + key.removeprefix(LOSS), ((), ())), strict=True))
            for step, loss in zip(*series[key], strict=True):
                sums[step] = sums.get(step, 0.0) + weights.get(step, 1.0) * loss
        return _finite(sums.items())


def _finite(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    found = [(step, value) for step, value in points if math.isfinite(value)]
    return [step for step, _ in found], [value for _, value in found]


def trace(comparison: Comparison, index: int) -> Traced:
    """The first seed of a row that logged anything; MissingFigureError if there is none."""
    row = comparison.rows[index]
    for seed in row.seeds:
        if seed.store.series:
            return Traced(row, seed)
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
    traced = [trace(comparison, row) for row in rows]
    if len(traced) == 1:
        (run,) = traced
        lines = [Line("weighted sum", *run.weighted_sum(), 0)]
        own = [
            Line(task, *run.series(LOSS + task), colour, thin=True) for colour, task in enumerate(HEADLINES, start=1)
        ]
        lines += [line for line in own if line.x]
    else:
        lines = [Line(run.row.label, *run.weighted_sum(), colour) for colour, run in enumerate(traced)]
    _require(lines, "no losses were logged yet")
    lost = [run.row.label for run in traced if run.seed.diverged]
    more = f" The training of {', '.join(lost)} diverged where its line ends." if lost else ""
    told = f"Means between log points, on a logarithmic scale. {_origin(comparison, traced)}{more}"
    return draw(name, title, told, [Panel("step", "training loss", lines, log_y=True)])


def validation_scores(
    comparison: Comparison, name: str, title: str, *, by_epoch: bool = False, note: str = ""
) -> Drawing:
    """The scores of every row against the step or the epoch; the note opens the caption."""
    traced = _traced(comparison)
    panels = []
    for score in shown():
        lines = []
        for run in traced:
            steps, values = run.series(f"val/{score.key}")
            per_epoch = run.seed.store.steps_per_epoch or 1
            x = [step / per_epoch for step in steps] if by_epoch else steps
            lines.append(Line(run.row.label, x, values, comparison.rows.index(run.row), marker="."))
        if any(line.x for line in lines):
            panels.append(Panel("epoch" if by_epoch else "step", heading(score), lines))
    if not panels:
        raise MissingFigureError("no validation was logged yet")
    what = " and ".join(comparison.table.headings) if comparison.table else "row"
    return draw(name, title, f"{note}Lines are labelled by {what}. {_origin(comparison, traced)}", panels)


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
            lines.append(Line(run.row.label, minutes, busiest, comparison.rows.index(run.row)))
    _require(lines, "memory over time was not recorded; tracking.system_metrics=true with a tracking.uri records it")
    what = "GPU memory in use, %" if gpus else "memory of the machine in use, %"
    note = "" if gpus else "These runs had no GPU: this is the machine's memory, with everything else that ran on it. "
    return draw(name, title, note + _origin(comparison, [run for run, _ in sampled]), [Panel("minutes", what, lines)])


def before_and_after(comparison: Comparison, name: str, title: str) -> Drawing:
    """The panels of validation images of the table's two rows, one above the other."""
    before, after = comparison.rows[:2]
    image = _stacked([_panel(before), _panel(after)])
    shows = f"Above: before ({before.label}); below: after ({after.label})"
    told = f"Validation images of {'; '.join(comparison.data)}. {shows}."
    return Drawing(name, title, told, image=image, suffix=".jpg")


def _panel(row: Row) -> Path:
    for seed in row.seeds:
        if (panel := seed.store.panel()) is not None:
            return panel
    raise MissingFigureError(f"{row.label} has no panel of validation images yet")


def _stacked(paths: Sequence[Path]) -> bytes:
    """Images one above the other as one JPEG."""
    from PIL import Image

    try:
        pictures = [Image.open(path, formats=["PNG"]).convert("RGB") for path in paths]
    except OSError as error:
        raise MissingFigureError(f"a panel cannot be read: {error}") from error
    for each in pictures:
        each.thumbnail(LARGEST_PANEL)
    gap = 16
    width, height = max(each.width for each in pictures), sum(each.height + gap for each in pictures) - gap
    canvas, top = Image.new("RGB", (width, height), "white"), 0
    for each in pictures:
        canvas.paste(each, (0, top))
        top += each.height + gap
    file = io.BytesIO()
    canvas.save(file, format="JPEG", quality=75, optimize=True)
    return file.getvalue()


FIGURES: dict[int, tuple[str, Callable[[Comparison, str, str], Drawing]]] = {
    1: ("adam_lr", partial(training_loss, rows=[4])),
    2: ("adam_lr", partial(training_loss, rows=[1])),
    3: ("adam_lr", partial(training_loss, rows=[4, 5])),
    4: ("epochs_batch", validation_scores),
    5: ("epochs_batch", partial(validation_scores, by_epoch=True)),
    6: ("epochs_batch", device_memory),
    9: ("pretrained", partial(validation_scores, note="No validation loss is recorded: the scores instead. ")),
    10: ("dilation", before_and_after),
    11: ("aspp_skip", before_and_after),
}
"""The report's figures that have numbers behind them: the table that each belongs to, and how it is drawn."""


def search_drawings(study: Study) -> list[Drawing]:
    """The course of a search, and for two objectives its Pareto front."""
    trials, titles = finished(study), value_titles(study)
    if not trials:
        return []
    columns = list(zip(*(trial.values for trial in trials), strict=True))
    numbers = [float(trial.row.number) for trial in trials]
    panels = []
    for values, title in zip(columns, titles, strict=True):
        lines = [Line("trials", numbers, values, 0, marker="o")]
        if len(columns) == 1:
            better = max if study.directions[0] == "maximize" else min
            lines.append(Line("best so far", numbers, list(accumulate(values, better)), 1))
        panels.append(Panel("trial", title, lines))
    about = study.sweep or study.study
    drawings = [draw(f"{study.anchor}_trials", f"Values by trial, {about}", "Complete trials alone.", panels)]
    if len(columns) == 2:
        x, y = zip(*(trial.values for trial in best_trials(study)), strict=True)
        lines = [Line("trials", columns[0], columns[1], 0, marker="o"), Line("Pareto front", x, y, 1, marker=".")]
        told = "Those of the front are beaten by none in both."
        panel = Panel(titles[0], titles[1], lines)
        drawings.append(draw(f"{study.anchor}_pareto", f"Pareto front, {about}", told, [panel]))
    return drawings


def _traced(comparison: Comparison) -> list[Traced]:
    """Every row that has a run; MissingFigureError if none has."""
    begun = [i for i, row in enumerate(comparison.rows) if any(seed.store.path is not None for seed in row.seeds)]
    if not begun:
        raise MissingFigureError("none of its rows has been run yet")
    return [trace(comparison, index) for index in begun]


def _require(lines: Sequence[Line], why: str) -> None:
    if not any(line.x for line in lines):
        raise MissingFigureError(why)


def _origin(comparison: Comparison, traced: Sequence[Traced]) -> str:
    """Whose numbers these are."""
    seeds = sorted({run.seed.run.seed for run in traced})
    told = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    return f"Our runs with {told}: {'; '.join(comparison.data)}."
