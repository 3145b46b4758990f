"""How the rows of a sweep stand to each other: which are best, in what order, and by which scores they are shown."""

import math
import sys
from collections.abc import Iterable

from mtl_seg_depth.records.results import RowState, SweepRecord, SweepRow
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.scoring.headline import MARGIN, MULTITASK
from mtl_seg_depth.tasks.headline import Headline

_ORDER: tuple[RowState, ...] = ("complete", "pruned", "running", "waiting", "failed", "impossible")


def best_rows(described: SweepRecord) -> list[SweepRow]:
    """The best complete row, or those of the Pareto front where there are several objectives; never a reference.

    Of rows with equal values, such as multitask scores of 0, it is the one with the largest margin.
    """
    complete = [row for row in competing(described) if any(map(_is_number, row.values or ()))]
    gains = {row.number: _gains(described, row) for row in complete}
    if len(described.objective) > 1:  # what a network does not have is below whatever another has
        points = [[max(gain, -sys.float_info.max) for gain in gains[row.number]] for row in complete]
        return [complete[place] for place in headline.pareto_front(points)]
    scored = [row for row in complete if gains[row.number][0] > -math.inf]
    return _by_rank(described, scored)[:1]


def ranked(described: SweepRecord) -> list[SweepRow]:
    """All rows: complete ones from the best to the worst, references, pruned ones, and those without a score."""
    front = {row.number for row in best_rows(described)}

    def place(row: SweepRow) -> tuple[int, bool, bool]:
        return _ORDER.index(row.state), row.reference is not None, row.number not in front

    return sorted(_by_rank(described, described.rows), key=place)


def competing(described: SweepRecord) -> list[SweepRow]:
    """The complete rows that may be the best."""
    return [row for row in described.rows if row.state == "complete" and row.reference is None]


def compared(described: SweepRecord) -> list[Headline]:
    """What the rows are compared by: the objectives, then the tasks' own scores.

    The margin stands in place of a multitask score that is at its floor in every row.
    """
    replaced = {MULTITASK: MARGIN} if all_at_floor(described) else {}
    objectives = [headline.objectives()[key] for key in described.objective]
    there = {key for row in competing(described) for key in mean_scores(row)} - {MULTITASK.key}
    tasks = [each for each in headline.shown() if each.key in there]
    return list(dict.fromkeys([*(replaced.get(each, each) for each in objectives), *tasks]))


def columns(described: SweepRecord) -> list[Headline]:
    """What a table of the rows shows: what they are compared by, and the multitask score that has something to say,
    with the margin for rows where it is at its floor."""
    first, others = compared(described)[: len(described.objective)], list(headline.shown())
    if all_at_floor(described):
        others.remove(MULTITASK)
    elif any(_is_at_floor(mean_scores(row)) for row in described.rows):
        others.insert(1, MARGIN)
    return list(dict.fromkeys([*first, *others]))


def all_at_floor(described: SweepRecord) -> bool:
    """Whether no complete row has a multitask score above its floor of 0, while there are margins to compare."""
    scores = [mean_scores(row) for row in competing(described)]
    return (
        bool(scores) and all(each.get(MULTITASK.key, 0.0) == 0.0 for each in scores) and any(map(_is_at_floor, scores))
    )


def best_values(described: SweepRecord) -> dict[str, float]:
    """The best value of each score, over the rows that may be the best."""
    found: dict[str, float] = {}
    for each in columns(described):
        values = [value for row in competing(described) if math.isfinite(value := score(row, each.key))]
        if values:
            found[each.key] = max(values, key=each.gain)
    return found


def is_best(row: SweepRow, value: float, best: float | None) -> bool:
    """Whether a row's score is the best, given that."""
    return value == best and row.state == "complete" and row.reference is None


def score(row: SweepRow, key: str) -> float:
    """A row's mean of one score over its seeds; nan if there is none."""
    return headline.value(key, mean_scores(row))


def scores_by_seed(row: SweepRow, key: str) -> list[float]:
    """One score of a row for each seed that has it."""
    return [v for run in row.runs if math.isfinite(v := headline.value(key, run.scores or {}))]


def mean_scores(row: SweepRow) -> dict[str, float]:
    """A row's headline scores, each the mean over the seeds that have it."""
    found: dict[str, list[float]] = {}
    for run in row.runs:
        for name, value in (run.scores or {}).items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _by_rank(described: SweepRecord, rows: Iterable[SweepRow]) -> list[SweepRow]:
    """The best first: by the first objective, then by the margin over the tasks that there are."""
    tasks = {name for row in competing(described) for name in mean_scores(row)} - {MULTITASK.key}

    def rank(row: SweepRow) -> tuple[float, float]:
        margin = headline.margin(mean_scores(row), tasks)
        return next(iter(_gains(described, row)), -math.inf), headline.gain(MARGIN.key, margin)

    return sorted(rows, key=rank, reverse=True)


def _gains(described: SweepRecord, row: SweepRow) -> list[float]:
    """A complete row's values, turned so that higher is better."""
    return [headline.gain(*pair) for pair in zip(described.objective, row.values or (), strict=False)]


def _is_at_floor(scores: dict[str, float]) -> bool:
    """Whether the margin says what the multitask score does not."""
    return scores.get(MULTITASK.key) == 0.0 and math.isfinite(headline.value(MARGIN.key, scores))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
