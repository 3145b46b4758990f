"""What a search found: its best trials, and those that no other trial beats in everything."""

import math
from collections import Counter
from collections.abc import Sequence

from mtl_seg_depth.config import flatten
from mtl_seg_depth.report.comparison import Circumstances, circumstances
from mtl_seg_depth.report.store import RunStore, Study, SweepRow
from mtl_seg_depth.report.table import Cell, Column, Table

SHOWN = 10
"""Trials in the table of a search with one objective."""


def finished(study: Study) -> list[SweepRow]:
    """Trials with a finite value for every objective."""
    wanted = len(study.objective)
    return [
        row
        for row in study.rows
        if row.state == "complete"
        and row.values is not None
        and len(row.values) == wanted
        and all(value is not None and math.isfinite(value) for value in row.values)
    ]


def goodness(study: Study, row: SweepRow) -> tuple[float, ...]:
    """A finished trial's values, turned so that higher is better."""
    assert row.values is not None
    return tuple(
        (value or 0.0) if direction == "maximize" else -(value or 0.0)
        for value, direction in zip(row.values, study.directions, strict=True)
    )


def pareto_front(study: Study) -> list[SweepRow]:
    """The finished trials that no other beats in one objective without losing in another, best of the first first."""
    rows = {row.number: goodness(study, row) for row in finished(study)}
    front = [row for row in finished(study) if not any(_beats(other, rows[row.number]) for other in rows.values())]
    return sorted(front, key=lambda row: rows[row.number], reverse=True)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def best_trials(study: Study) -> list[SweepRow]:
    """The best first; for several objectives the Pareto front."""
    if len(study.objective) > 1:
        return pareto_front(study)
    return sorted(finished(study), key=lambda row: (goodness(study, row), _margin(row)), reverse=True)[:SHOWN]


def _margin(row: SweepRow) -> float:
    """Mean IoU less SI-log, the mean over the seeds: tells trials apart whose multitask scores are all 0."""
    scores = [run.scores for run in row.runs if run.scores]
    return sum((each.get("semseg") or 0.0) - (each.get("depth") or 0.0) for each in scores) / max(len(scores), 1)


def search_table(study: Study) -> Table:
    """The best trials with what they tried."""
    columns = [Column("trial", numeric=True), Column("what it tried")]
    columns += [
        Column(f"{name} {'↑' if direction == 'maximize' else '↓'}", numeric=True)
        for name, direction in zip(study.objective, study.directions, strict=True)
    ]
    columns.append(Column("seeds", numeric=True))
    rows = []
    several = len(study.objective) > 1
    for place, row in enumerate(best_trials(study)):
        values = [Cell(f"{value:.2f}", bold=several or place == 0) for value in row.values or () if value is not None]
        rows.append((Cell(str(row.number)), Cell(row.label), *values, Cell(str(len(row.runs)))))
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
    """Short for the data it searched on; None where that is not known."""
    found = _circumstances(study)
    return None if found is None else "Miniscapes" if found.is_miniscapes else "not Miniscapes"


def _circumstances(study: Study) -> Circumstances | None:
    params = {key.removesuffix("._target_"): str(value) for key, value in flatten(study.config)}
    return circumstances(params, RunStore()) if params else None
