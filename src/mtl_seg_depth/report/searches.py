"""What a search found: its best trials, and those that no other trial beats in everything."""

import math
import statistics
from collections import Counter
from dataclasses import dataclass

from mtl_seg_depth.records.results import SweepRow
from mtl_seg_depth.report.comparison import Circumstances, circumstances, tasks_of
from mtl_seg_depth.report.store import RunStore, Study
from mtl_seg_depth.report.table import Cell, Column, Table, heading
from mtl_seg_depth.scoring.headline import MARGIN, gain, margin, objectives, pareto_front

SHOWN = 10
"""Trials in the table of a search with one objective."""


@dataclass(frozen=True)
class Trial:
    """A complete trial with a finite value for every objective."""

    row: SweepRow
    values: list[float]
    gains: tuple[float, ...]
    """The values, turned so that higher is better, then the margin: it tells multitask scores of 0 apart."""


def finished(study: Study) -> list[Trial]:
    """Those trials that are over and have all values."""
    means = [_means(row) for row in study.rows]
    tasks, signs = tasks_of(means), [1 if direction == "maximize" else -1 for direction in study.directions]
    found = []
    for row, scores in zip(study.rows, means, strict=True):
        values = [value for value in row.values or () if value is not None and math.isfinite(value)]
        if row.state == "complete" and len(values) == len(signs):
            gains = [sign * value for sign, value in zip(signs, values, strict=True)]
            found.append(Trial(row, values, (*gains, gain(MARGIN.key, margin(scores, tasks)))))
    return found


def _means(row: SweepRow) -> dict[str, float]:
    """Each score's mean over the seeds that have it."""
    known = [{key: value for key, value in (run.scores or {}).items() if value is not None} for run in row.runs]
    return {key: statistics.fmean(each[key] for each in known if key in each) for scores in known for key in scores}


def best_trials(study: Study) -> list[Trial]:
    """The best first; for several objectives the Pareto front, the best of the first objective first."""
    trials = finished(study)
    if len(study.objective) > 1:
        trials = [trials[index] for index in pareto_front([trial.gains[:-1] for trial in trials])]
        return sorted(trials, key=lambda trial: trial.gains, reverse=True)
    return sorted(trials, key=lambda trial: trial.gains, reverse=True)[:SHOWN]


def value_titles(study: Study) -> list[str]:
    """Each objective as a heading; a name that is not known here stands as it is, with the study's own direction."""
    known, arrows = objectives(), {"maximize": "↑", "minimize": "↓"}
    return [
        heading(known[name]) if name in known else f"{name} {arrows.get(direction, '')}"
        for name, direction in zip(study.objective, study.directions, strict=True)
    ]


def search_table(study: Study) -> Table:
    """The best trials with what they tried."""
    columns = [Column("trial", numeric=True), Column("what it tried", wraps=True)]
    columns += [Column(title, numeric=True) for title in value_titles(study)]
    columns.append(Column("seeds", numeric=True))
    rows = []
    several = len(study.objective) > 1
    for place, trial in enumerate(best_trials(study)):
        values = [Cell(f"{value:.2f}", bold=several or place == 0) for value in trial.values]
        rows.append((Cell(str(trial.row.number)), Cell(trial.row.label), *values, Cell(str(len(trial.row.runs)))))
    which = "The Pareto front: trials that none beats in everything" if several else "The best trials"
    found = _circumstances(study)
    fixed = f"; fixed besides the sweep: {' '.join(study.told_overrides)}" if study.told_overrides else ""
    told = f"{found.data}; encoder {found.encoder}; precision {found.precision}{fixed}." if found else "unknown."
    return Table(tuple(columns), tuple(rows), f"{which}. Data: {told}")


def search_notes(study: Study) -> list[str]:
    """How many trials came to what."""
    counts = Counter(row.state for row in study.rows)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: -item[1]))
    trials = "1 trial" if len(study.rows) == 1 else f"{len(study.rows)} trials"
    notes = [f"{trials}: {told}." if study.rows else "No trial has started yet."]
    if study.rows and not finished(study):
        notes.append("No trial is complete yet.")
    return notes


def search_data(study: Study) -> str | None:
    """Short for the data it searched on; None if that is not known."""
    found = _circumstances(study)
    return None if found is None else "Miniscapes" if found.is_miniscapes else "not Miniscapes"


def _circumstances(study: Study) -> Circumstances | None:
    return circumstances(study.params, RunStore()) if study.config else None
