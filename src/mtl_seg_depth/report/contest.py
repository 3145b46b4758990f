"""A sweep's rows against one of them and against every task trained alone: numbers that can be published.

Every number is over seeds and has its interval, every difference is taken seed by seed, and what is said of it says no
more than the seeds can show; see `scoring.statistics`. delta_m is taken for each seed against the references of the
same seed, in both of the field's conventions; see `scoring.delta`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl_seg_depth.records.results import Selection, SweepRecord, SweepRow
from mtl_seg_depth.records.selection import mean_of_last
from mtl_seg_depth.report.comparison import circumstances
from mtl_seg_depth.report.store import RunStore, run_store
from mtl_seg_depth.scoring import delta
from mtl_seg_depth.scoring.statistics import Difference, Estimate, estimate, holm, mean_ranks, paired, verdict
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks import HEADLINES, Headline, compared

SELECTIONS: tuple[Selection, ...] = ("best", "last", "mean_of_last_10")


@dataclass(frozen=True)
class Entry:
    """A row by one measure."""

    values: Mapping[int, float]
    """By seed."""
    over: Estimate
    lead: Difference | None
    """On the baseline, above 0 where it is better; None for the baseline itself and for references."""
    p: float
    """Of the lead, adjusted for all rows that are compared by this measure."""
    comparisons: int
    """How many those are."""

    @property
    def verdict(self) -> str:
        """What may be said of the lead; empty if there is none."""
        return "" if self.lead is None else verdict(self.lead, self.p, self.comparisons)


@dataclass(frozen=True)
class Method:
    """A row of the sweep with everything that is known of it."""

    row: int
    """Its number."""
    name: str
    is_reference: bool
    entries: Mapping[str, Entry]
    """By the measure's key."""
    rank: float
    """The mean over scores of its rank among the rows that are no references; nan where it lacks one."""


@dataclass(frozen=True)
class Contest:
    """A sweep's rows by one selection of their scores."""

    selection: Selection
    measures: tuple[Headline, ...]
    """The tasks' scores, then delta_m in both conventions if there are references."""
    tasks: delta.Tasks
    """The scores that delta_m and ranks are over."""
    methods: tuple[Method, ...]
    baseline: str
    seeds: tuple[int, ...]
    data: str
    """On what it was measured, in words."""

    @property
    def decisive(self) -> Headline:
        """The measure of the verdict where there is room for one: delta_m over metrics, or else the first score."""
        return delta.OVER_METRICS if delta.OVER_METRICS in self.measures else self.measures[0]

    @property
    def comparisons(self) -> int:
        """How many rows are compared with the baseline."""
        return sum(method.name != self.baseline and not method.is_reference for method in self.methods)


def contests(study: SweepRecord, outputs: Path, problems: list[str]) -> list[Contest]:
    """The rows that have scores by every selection there is, that of the sweep first; none without a baseline's scores.

    Weights that a sweep scores on a split after training are the best, so there is no other selection then.
    """
    if study.baseline is None:
        return []
    stores = {
        row.number: {run.seed: run_store(outputs, run, problems) for run in row.runs if run.folder is not None}
        for row in study.rows
    }
    told = [store for of_row in stores.values() for store in of_row.values() if store.card and store.card.params]
    data = _data(told) if told else "unknown data"
    is_evaluated = study.config.get("score") is not None
    order: list[Selection] = [study.selection, *(each for each in SELECTIONS if each != study.selection)]
    if is_evaluated:
        order = ["best"]
    found = []
    for selection in order:
        scores = {
            number: {seed: _selected(store, selection, is_evaluated, problems) for seed, store in of_row.items()}
            for number, of_row in stores.items()
        }
        found.append(_contest(study, selection, scores, data))
    return [each for each in found if each is not None]


def _selected(store: RunStore, selection: Selection, is_evaluated: bool, problems: list[str]) -> dict[str, float]:
    """A run's scores by name; empty for one that did not finish, or whose record is damaged, which is told."""
    try:
        return selected(store, selection, is_evaluated)
    except UserError as error:
        problems.append(f"the scores of a run were left out: {redact(str(error))}")
        return {}


def selected(store: RunStore, selection: Selection, is_evaluated: bool = False) -> dict[str, float]:
    """A run's scores by name; empty for one that did not finish. UserError for a record that is damaged."""
    if store.result is None or store.result.status != "finished":
        return {}
    if is_evaluated:
        return {} if store.evaluation is None else dict(store.evaluation.scores)
    result = store.result
    if selection == "mean_of_last_10":
        scores = result.mean_of_last_10 if result.averaged else mean_of_last(store.points()).scores
    else:
        scores = result.best if selection == "best" else result.last
    return {name.removeprefix("val/"): value for name, value in scores.items()}


Scores = Mapping[int, Mapping[int, Mapping[str, float]]]
"""By row, seed and name."""


def _contest(study: SweepRecord, selection: Selection, scores: Scores, data: str) -> Contest | None:
    rows = [row for row in study.rows if any(scores[row.number].values())]
    there = {name for row in rows for each in scores[row.number].values() for name in each}
    headlines = {task: [each for each in compared(task) if each.key in there] for task in HEADLINES}
    own = [each for of_task in headlines.values() for each in of_task]
    tasks = {task: {each.key: each.higher_is_better for each in of_task} for task, of_task in headlines.items()}
    tasks = {task: metrics for task, metrics in tasks.items() if metrics}
    baseline = next((row for row in rows if row.number == study.baseline), None)
    if baseline is None or not own:
        return None
    values = {row.number: _values(row, scores, own, tasks) for row in rows}
    measures = [*own, *(each for each in delta.BOTH if any(each.key in values[row.number] for row in rows))]
    leads = {each.key: _leads(each, rows, baseline, values) for each in measures}
    entries: dict[int, dict[str, Entry]] = {row.number: {} for row in rows}
    for each in measures:
        adjusted = dict(zip(leads[each.key], holm([lead.p for lead in leads[each.key].values()]), strict=True))
        comparisons = sum(not math.isnan(p) for p in adjusted.values())
        for number, of_row in values.items():
            if by_seed := of_row.get(each.key):
                over, lead = estimate(list(by_seed.values())), leads[each.key].get(number)
                entries[number][each.key] = Entry(by_seed, over, lead, adjusted.get(number, math.nan), comparisons)
    competing = [row for row in rows if row.reference is None]
    means = [{key: entry.over.mean for key, entry in entries[row.number].items()} for row in competing]
    directions = {each.key: each.higher_is_better for each in own}
    ranks = dict(zip((row.number for row in competing), mean_ranks(means, directions), strict=True))
    methods = [
        Method(
            row=row.number,
            name=name_of(row),
            is_reference=row.reference is not None,
            entries=entries[row.number],
            rank=ranks.get(row.number, math.nan),
        )
        for row in rows
    ]
    seeds = sorted({seed for row in rows for seed, each in scores[row.number].items() if each})
    return Contest(selection, tuple(measures), tasks, tuple(methods), name_of(baseline), tuple(seeds), data)


def _leads(
    measure: Headline, rows: list[SweepRow], baseline: SweepRow, values: Mapping[int, Mapping[str, dict[int, float]]]
) -> dict[int, Difference]:
    """By row, its lead on the baseline; of rows that compete and have the measure."""

    def gains(row: SweepRow) -> dict[int, float]:
        return {seed: measure.gain(value) for seed, value in values[row.number].get(measure.key, {}).items()}

    others = [row for row in rows if row.reference is None and row is not baseline and gains(row)]
    return {row.number: paired(gains(row), gains(baseline)) for row in others}


def _values(row: SweepRow, scores: Scores, own: list[Headline], tasks: delta.Tasks) -> dict[str, dict[int, float]]:
    """A row's finite values by measure and seed; measures that no seed has are left out."""
    found: dict[str, dict[int, float]] = {}
    for seed, of_seed in scores[row.number].items():
        known = {each.key: of_seed[each.key] for each in own if each.key in of_seed}
        if row.reference is not None:
            known = {key: value for key, value in known.items() if key in tasks[row.reference]}
        alone: dict[str, float] = {}
        for task, number in row.references.items():
            reference = scores.get(number, {}).get(seed, {})
            alone |= {key: reference[key] for key in tasks.get(task, {}) if key in reference}
        of_row = {task: metrics for task, metrics in tasks.items() if task in row.references}
        if of_row and all(key in known and key in alone for metrics in of_row.values() for key in metrics):
            known[delta.OVER_METRICS.key] = delta.over_metrics(known, alone, of_row)
            known[delta.OVER_TASKS.key] = delta.over_tasks(known, alone, of_row)
        for key, value in known.items():
            if math.isfinite(value):
                found.setdefault(key, {})[seed] = value
    return found


def _data(stores: Sequence[RunStore]) -> str:
    """On what runs were trained, and with what: once where all have the same, else what there is."""
    params = [store.card.params for store in stores if store.card]
    found = [circumstances(each, store) for each, store in zip(params, stores, strict=True)]

    def several(values: Iterable[str]) -> str:
        return " or ".join(dict.fromkeys(value for value in values if value))

    parts = [f"encoder {several(f'{each.encoder} (weights: {each.weights})' for each in found)}"]
    minutes = {each.get("schedule.minutes", "None") for each in params}
    if len(minutes) == 1 and minutes != {"None"}:
        parts.append(f"{minutes.pop().removesuffix('.0')} minutes each")
    if steps := [each.steps for each in found if each.steps]:
        least, most = min(steps), max(steps)
        parts.append(f"{least} steps" if least == most else f"{least} to {most} steps")
    parts.append(several(each.precision for each in found))
    if device := several(each.device or "" for each in found):
        parts.append(f"on {device}")
    return f"{several(each.data for each in found)}; {', '.join(parts)}"


def name_of(row: SweepRow) -> str:
    """What a row is called in a table: the value alone where one thing varies."""
    if row.reference is not None:
        return f"{next(iter(row.params.values()), row.reference)} alone"
    return next(iter(row.params.values())) if len(row.params) == 1 else row.label
