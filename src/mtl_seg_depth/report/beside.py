"""A published table and our runs of its recipe, row by row: published | ours | their difference in deviations.

Ours are the mean over seeds of the mean of each training's last ten validations, which is what these tables print. A
difference is in standard deviations of our seeds: how far the published number is out of what a seed changes.
"""

import math
from collections.abc import Mapping, Sequence

from mtl_seg_depth.report.comparison import Comparison
from mtl_seg_depth.report.published import Ours, Published, published
from mtl_seg_depth.report.table import Cell, Column, Table
from mtl_seg_depth.scoring.statistics import Estimate, estimate

Measures = Mapping[str, Estimate]
"""Ours of one row, by the published metric; without those that no seed has."""


def published_table(comparison: Comparison) -> Table | None:
    """The published table that a sweep repeats, with ours beside it; None for a sweep that repeats none."""
    sweep = comparison.study.sweep if comparison.study else None
    found = next((each for each in published().values() if each.ours and each.ours.sweep == sweep), None)
    if found is None or found.ours is None:
        return None
    measured = _measured(comparison, found, found.ours)
    metrics = {metric: way for ways in found.tasks.values() for metric, way in ways.items()}
    places = {metric: 2 if found.rows[0].scores[metric] >= 1 else 5 for metric in metrics}
    titles = {metric: f"{metric} {'↑' if way == 'higher' else '↓'}" for metric, way in metrics.items()}
    delta = f"delta_m {'↓' if found.delta == 'metrics' else '↑'}"
    groups = ("published", "ours, mean ± std (n)", "ours − published, in our std")
    columns = [Column("method")]
    columns += [Column(title, group, numeric=True) for group in groups[:2] for title in (*titles.values(), delta)]
    columns += [Column(title, groups[2], numeric=True) for title in titles.values()]
    printed = {row.method: row for row in found.rows}
    alone = measured.get(found.rows[0].method, {})
    rows = []
    for method in dict.fromkeys((*printed, *measured)):
        row, ours = printed.get(method), measured.get(method, {})
        theirs = row.scores if row else {}
        cells = [_cell(f"{theirs[metric]:.{places[metric]}f}" if theirs else None) for metric in metrics]
        cells.append(_cell(None if row is None or row.delta is None else _signed(row.delta)))
        cells += [_cell(_in_words(ours.get(metric), places[metric])) for metric in metrics]
        whole = all(metric in ours and metric in alone for metric in metrics)
        cells.append(_cell(_signed(found.delta_of(_means(ours), _means(alone))) if whole else None))
        cells += [_cell(_in_deviations(theirs.get(metric), ours.get(metric))) for metric in metrics]
        rows.append((Cell(method), *cells))
    sources = ", ".join(dict.fromkeys(row.source for row in found.rows))
    recipe = ", ".join(f"{key} {value}" for key, value in found.recipe.items())
    return Table(
        tuple(columns),
        tuple(rows),
        f"Published: {found.title} ({sources}); {recipe}. Ours: the mean of each training's last ten validations.",
    )


def _measured(comparison: Comparison, table: Published, ours: Ours) -> dict[str, Measures]:
    """Ours by the published method, and by the value in the sweep for a method that the table does not have."""
    by_value: dict[str, list[Mapping[str, float | None]]] = {}
    for row in comparison.rows:
        value = row.ours.params.get(ours.vary) if row.ours else None
        if value is not None:
            results = [seed.store.result for seed in row.seeds if seed.scores and not seed.diverged]
            by_value[value] = [result.mean_of_last_10 for result in results if result is not None]

    def estimates(value: str, metrics: Sequence[str]) -> dict[str, Estimate]:
        found = {}
        for metric in metrics:
            scores = (each.get(ours.scores[metric]) for each in by_value.get(value, []))
            if known := [score for score in scores if score is not None and math.isfinite(score)]:
                found[metric] = estimate(known)
        return found

    alone: dict[str, Estimate] = {}
    for task, value in ours.alone.items():
        alone |= estimates(value, list(table.tasks[task]))
    methods = {value: method for method, value in ours.methods.items()}
    others = [value for value in by_value if value not in ours.alone.values()]
    found = {methods.get(value, value): estimates(value, list(ours.scores)) for value in others}
    return {table.rows[0].method: alone, **found}


def _means(measures: Measures) -> dict[str, float]:
    return {metric: each.mean for metric, each in measures.items()}


def _cell(text: str | None) -> Cell:
    return Cell("–", muted=True) if text is None else Cell(text)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _in_words(measured: Estimate | None, places: int) -> str | None:
    if measured is None:
        return None
    spread = "" if math.isnan(measured.deviation) else f" ± {measured.deviation:.{places}f}"
    return f"{measured.mean:.{places}f}{spread} ({measured.count})"


def _in_deviations(theirs: float | None, measured: Estimate | None) -> str | None:
    """None with fewer than two seeds, and where they all agree."""
    if theirs is None or measured is None or not measured.deviation > 0:
        return None
    return _signed((measured.mean - theirs) / measured.deviation)
