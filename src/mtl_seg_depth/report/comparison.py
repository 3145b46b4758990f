"""A table of the report beside the runs that repeat it: means over seeds, order, cost, and on what they were measured.

The order of rows is that of `scoring.headline`: by the multitask score, and if that stands at its floor of 0, which it
often does in short trainings, by the margin.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtl_seg_depth.data.spec import in_words
from mtl_seg_depth.records.results import SweepRow, SweepRun
from mtl_seg_depth.report.store import OVER, RunStore, Study, run_store
from mtl_seg_depth.report.tables import PARAMETERS, TITLES, TRAINING_PICTURES, ReportRow, ReportTable
from mtl_seg_depth.scoring.headline import MARGIN, MULTITASK, Rank, gain, margin, shown
from mtl_seg_depth.tasks import HEADLINES


@dataclass(frozen=True)
class Circumstances:
    """On what a training was done, as far as it changes what its scores mean."""

    data: str
    is_miniscapes: bool
    """The report's own data set, as far as can be told: a part of it or another one in its layout is not."""
    encoder: str
    weights: str
    precision: str
    steps: int | None
    device: str | None
    """None for a run that did not record it."""
    scored: str = ""
    """What the data set said of classes, depths and rules; empty while the run is not over, or was never told."""


@dataclass(frozen=True)
class Seed:
    """One seed's training of a row."""

    run: SweepRun
    store: RunStore
    is_evaluated: bool = False
    """Whether its scores are those of an evaluation after the training, and not of the validation in it."""

    @property
    def scores(self) -> dict[str, float]:
        """Its scores, those alone that exist; empty while it is not over."""
        waits = self.is_evaluated and self.run.evaluation is None
        if self.run.status not in OVER or self.run.scores is None or waits:
            return {}
        return {key: value for key, value in self.run.scores.items() if value is not None and math.isfinite(value)}

    @property
    def diverged(self) -> bool:
        """Whether its loss was no longer finite, or a score is not."""
        scores = (self.run.scores or {}).values()
        return self.run.status == "diverged" or not all(math.isfinite(value) for value in scores if value is not None)


def circumstances(params: Mapping[str, str], store: RunStore) -> Circumstances:
    """What a run's parameters (dotted key -> text) and its result say."""
    result = store.result
    steps = result.steps if result else _number(params.get("steps"))
    # Under "data" stands the option's name in a run's card, and the class in a config; only street scenes have a width.
    kind = params.get("data", "unknown").rpartition(".")[2].lower()
    crop = params.get("data.crop_size", "[?, ?]").strip("[]").replace(", ", " x ")
    complete = False
    if "data.width" in params:
        size = f"{params['data.width']} x {params.get('data.height', '?')}"
        data = f"embedded street scenes ({params.get('data.train', '?')} training images of {size}), not Miniscapes"
    else:
        pictures = _training_pictures(params, store)
        complete = kind == "miniscapes" and pictures in (None, TRAINING_PICTURES)
        about = "" if pictures is None else f" of about {pictures} training images"
        other = "data laid out like Miniscapes" if kind == "miniscapes" else f"the data set {kind}"
        data = "Miniscapes" if complete else f"{other}{about}, not the report's"
    if params.get("data.size", "None") != "None":
        data += f", read at {' x '.join(reversed(params['data.size'].strip('[]').split(', ')))}"
    weights = params.get("encoder.weights", "unknown")
    return Circumstances(
        data=f"{data}, crops of {crop}",
        is_miniscapes=complete,
        encoder=params.get("encoder.name", "unknown"),
        weights=f"the file {Path(weights).name}" if "/" in weights else weights,
        precision=params.get("precision", "unknown"),
        steps=steps,
        device=result.cost.device if result else None,
        scored=in_words(result.spec) if result else "",
    )


def _training_pictures(params: Mapping[str, str], store: RunStore) -> int | None:
    """How many images an epoch has, to within a batch; None before anything is logged.

    The report's number where its own number of batches fits.
    """
    batch = _number(params.get("schedule.batch_size"))
    per_epoch = store.steps_per_epoch
    if not per_epoch or not batch:
        return None
    return TRAINING_PICTURES if per_epoch == TRAINING_PICTURES // batch else per_epoch * batch


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


@dataclass(frozen=True)
class Costs:
    """What a row took: means over its seeds, the largest memory."""

    seconds: float | None
    memory_percent: float | None
    parameters: int | None
    images_per_second: float | None


@dataclass(frozen=True)
class Row:
    """A row of the report and our runs of it; either may be missing."""

    label: str
    report: ReportRow | None
    ours: SweepRow | None
    seeds: tuple[Seed, ...]
    wanted: int = 1
    """With how many seeds the sweep trains it."""

    def values(self, measure: str) -> list[float]:
        """Our score with every seed that has one."""
        return [seed.scores[measure] for seed in self.seeds if measure in seed.scores]

    def mean(self, measure: str) -> float | None:
        """Over the seeds; None if there is no score."""
        values = self.values(measure)
        return statistics.fmean(values) if values else None

    def deviation(self, measure: str) -> float | None:
        """Standard deviation over the seeds (n - 1); None for fewer than two."""
        values = self.values(measure)
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def means(self) -> dict[str, float]:
        """The mean of every score there is."""
        return {score.key: mean for score in shown() if (mean := self.mean(score.key)) is not None}

    @property
    def reported(self) -> dict[str, float]:
        """The report's scores, if the row is one of its."""
        return self.report.scores if self.report else {}

    @property
    def diverged(self) -> bool:
        """Whether a seed diverged: the row's scores are shown, but are neither placed nor the best."""
        return any(seed.diverged for seed in self.seeds)

    @property
    def is_reference(self) -> bool:
        """Whether it trains one task alone for the others to be compared with."""
        return self.ours is not None and self.ours.reference is not None

    @property
    def is_lost(self) -> bool:
        """Whether every seed diverged."""
        return bool(self.seeds) and all(seed.diverged for seed in self.seeds)

    @cached_property
    def circumstances(self) -> list[Circumstances]:
        """Of every seed whose folder tells."""
        stores = [seed.store for seed in self.seeds]
        return [circumstances(store.card.params, store) for store in stores if store.card and store.card.params]

    @property
    def fingerprints(self) -> set[str]:
        """Of its trainings."""
        return {seed.run.fingerprint for seed in self.seeds}

    @property
    def chosen(self) -> dict[str, str]:
        """The parameters of its trainings, and the views that it is scored with; empty before it has begun."""
        begun = next((seed for seed in self.seeds if seed.store.card and seed.store.card.params), None)
        if begun is None or begun.store.card is None:
            return {}
        views = begun.store.evaluation.tta if begun.store.evaluation else None
        return {**begun.store.card.params, **({"tta": str(views)} if views or not begun.is_evaluated else {})}

    @property
    def costs(self) -> Costs:
        """From the runs' results; for a row of evaluations, what the evaluation took."""
        taken = [seed.store.result.cost for seed in self.seeds if seed.scores and seed.store.result]
        seconds = [cost.seconds for cost in taken]
        memory = [100 * cost.peak_memory_share for cost in taken]
        speed = [cost.images_per_second for cost in taken]
        if any(seed.run.evaluation for seed in self.seeds):
            scored = [seed.store.evaluation for seed in self.seeds if seed.store.evaluation]
            seconds = [evaluation.seconds for evaluation in scored]
            speed = [evaluation.pictures / evaluation.seconds for evaluation in scored]
            memory = []  # that of the training would say nothing
        return Costs(
            seconds=statistics.fmean(seconds) if seconds else None,
            memory_percent=max(memory, default=None),
            parameters=next((cost.parameters for cost in taken), None),
            images_per_second=statistics.fmean(speed) if speed else None,
        )

    @property
    def is_open(self) -> bool:
        """Whether running the sweep again would add anything; a training that diverged would diverge again."""
        if self.ours is None or self.ours.state in ("waiting", "running"):
            return True
        return self.ours.state == "failed" and not self.diverged

    @property
    def state(self) -> str:
        """What a reader has to know before believing the numbers; empty if they are complete."""
        if self.ours is None:
            return "not run yet"
        over = sum(bool(seed.scores) or seed.diverged for seed in self.seeds)
        diverged = sum(seed.diverged for seed in self.seeds)
        parts: list[str] = []
        if self.ours.state in ("failed", "pruned", "impossible"):
            parts.append(self.ours.state)
        elif self.ours.state != "complete":
            name = {"waiting": "not run yet"}.get(self.ours.state, self.ours.state)
            parts.append(f"{name}, {over} of {self.wanted} seeds done" if over else name)
        if diverged and not (self.ours.reason and over == 1):
            parts.append("diverged" if self.wanted == 1 else f"{diverged} of {self.wanted} seeds diverged")
        if self.ours.reason:
            parts.append(self.ours.reason)
        return ": ".join(parts)


def tasks_of(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The tasks that any of the rows has a score of."""
    return [task for task in HEADLINES if any(task in scores for scores in rows)]


def ranks(rows: Sequence[Mapping[str, float]]) -> list[Rank]:
    """Of each row's scores: the multitask score as it is recorded, then the margin of all tasks that any row has."""
    tasks = tasks_of(rows)
    return [
        (gain(MULTITASK.key, scores.get(MULTITASK.key)), gain(MARGIN.key, margin(scores, tasks))) for scores in rows
    ]


def best(key: str, rows: Sequence[Mapping[str, float]]) -> set[int]:
    """Indices of the rows with the best score; empty with fewer than two to choose from.

    Equals share it, but equal multitask scores are told apart by the margin.
    """
    order = ranks(rows) if key == MULTITASK.key else [(gain(key, scores.get(key)), 0.0) for scores in rows]
    known = {index: order[index] for index, scores in enumerate(rows) if key in scores}
    return {index for index, place in known.items() if place == max(known.values())} if len(known) > 1 else set()


@dataclass(frozen=True)
class Comparison:
    """A table of the report, or a sweep that the report does not have, with everything known of its rows.

    Attributes:
        table: of the report; None for a sweep of our own.
        study: the sweep; None if it was not started.
        rows: the report's rows beside ours, or ours alone where they do not match.
        mismatch: how many rows the report has and how many the sweep, where these are not as many.
        others: names of the sweep's studies that are not shown.
    """

    table: ReportTable | None
    study: Study | None
    rows: tuple[Row, ...]
    mismatch: tuple[int, int] | None = None
    others: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The anchor of its section, and the name of the sweep if it is the report's."""
        if self.table is not None:
            return self.table.id
        assert self.study is not None
        return self.study.anchor

    @property
    def matches(self) -> bool:
        """Whether each row is one of the report's."""
        return self.table is not None and self.mismatch is None

    @property
    def has_ours(self) -> bool:
        """Whether any row has a score."""
        return any(row.means for row in self.rows)

    @cached_property
    def circumstances(self) -> list[tuple[Row, Circumstances]]:
        """Of every run that tells, or of the sweep's shared config before there is one."""
        found = [(row, circumstance) for row in self.rows for circumstance in row.circumstances]
        if found or self.study is None or not self.study.config:
            return found
        return [(row, circumstances(self.study.params, RunStore())) for row in self.rows[:1]]

    @property
    def data(self) -> list[str]:
        """The data sets of all runs, each once."""
        return list(dict.fromkeys(found.data for _, found in self.circumstances))

    @property
    def scored(self) -> str:
        """By what classes, depths and rules all runs are scored, as far as their folders tell."""
        told = list(dict.fromkeys(found.scored for _, found in self.circumstances if found.scored))
        return told[0] if len(told) == 1 else f"DIFFERENT RULES in different rows: {' | '.join(told)}" if told else ""

    @property
    def devices(self) -> str:
        """What the runs ran on, in words; empty if none of them recorded it."""
        return " and ".join(dict.fromkeys(found.device for _, found in self.circumstances if found.device))

    @property
    def is_comparable(self) -> bool:
        """Whether all runs had the report's data, so that absolute numbers mean the same."""
        same_data = bool(self.circumstances) and all(found.is_miniscapes for _, found in self.circumstances)
        return same_data and (self.table is None or self.split == self.table.split)

    @property
    def split(self) -> str:
        """What our runs are scored on."""
        if self.study is None or not self.study.config:
            return self.table.split if self.table is not None else "val"
        return self.study.scored_split or "val"

    @cached_property
    def ours(self) -> list[dict[str, float]]:
        """Our mean scores of every row that counts for the order and the best: one that diverged, one that was not
        tested, and a reference have none."""
        counts = [not (row.diverged or row.is_reference or i in self.untested) for i, row in enumerate(self.rows)]
        return [row.means if does else {} for row, does in zip(self.rows, counts, strict=True)]

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks that ours are compared by."""
        return tasks_of(self.ours)

    @cached_property
    def compared(self) -> list[int]:
        """Indices of the rows that have a multitask score in the report and of ours."""
        return [i for i, row in enumerate(self.rows) if MULTITASK.key in row.reported and MULTITASK.key in self.ours[i]]

    def not_varied(self, one: int, other: int) -> list[str]:
        """In what the report's two rows differ and ours do not, as people call it; empty while either has not begun."""
        if self.table is None or self.mismatch:
            return []
        rows = mine, theirs = self.rows[one], self.rows[other]
        if not (mine.report and theirs.report and mine.chosen and theirs.chosen):
            return []

        def is_same(key: str) -> bool:
            known = {name for name in PARAMETERS[key] for row in rows if name in row.chosen}
            same = bool(known) and all(mine.chosen.get(name) == theirs.chosen.get(name) for name in known)
            return same or (key != "tta" and mine.fingerprints == theirs.fingerprints)

        varied = [key for key in self.table.vary if mine.report.says[key] != theirs.report.says[key]]
        return [TITLES.get(key, key) for key in varied if is_same(key)]

    @cached_property
    def untested(self) -> dict[int, list[str]]:
        """Rows of ours that do not differ from another in what the report's rows differ in, by index: in what.

        An override of the whole sweep does that, such as `encoder.name=resnet18` to a table that compares encoders.
        """
        indices = range(len(self.rows))
        same = {
            one: [what for other in indices if other != one for what in self.not_varied(one, other)] for one in indices
        }
        return {one: list(dict.fromkeys(whats)) for one, whats in same.items() if whats}

    def places(self) -> dict[int, tuple[int, int]]:
        """For each compared row its place in the report's order and in ours, the best 1, equals sharing theirs."""
        report = _places([self.rows[i].reported for i in self.compared])
        ours = _places([self.ours[i] for i in self.compared])
        return dict(zip(self.compared, zip(report, ours, strict=True), strict=True))

    def tau(self) -> float | None:
        """Kendall's tau-b between the report's order of the compared rows and ours; None if there is no order."""
        from scipy.stats import kendalltau

        places = list(self.places().values())
        if len(places) < 2:
            return None
        tau = float(kendalltau([report for report, _ in places], [ours for _, ours in places]).statistic)
        return None if math.isnan(tau) else tau

    def state(self, index: int) -> str:
        """What a reader has to know of a row before believing its numbers; empty if there is nothing."""
        told = [self.rows[index].state]
        if index in self.untested:
            told.append(f"not tested: another row has the same {' and '.join(self.untested[index])}")
        return "; ".join(filter(None, told))

    @property
    def is_at_floor(self) -> bool:
        """Whether two of our rows have a multitask score of 0, so that the margin had to tell them apart."""
        return sum(scores.get(MULTITASK.key) == 0 for scores in self.ours) > 1


def _places(rows: Sequence[Mapping[str, float]]) -> list[int]:
    order = ranks(rows)
    return [1 + sum(other > place for other in order) for place in order]


def compare(
    table: ReportTable | None, study: Study | None, outputs: Path, problems: list[str], others: tuple[str, ...] = ()
) -> Comparison:
    """Put a sweep's rows beside the report's, by their order; where the numbers of rows differ, the sweep's alone.

    What cannot be read on the way is told in `problems`.
    """
    if study is None:
        assert table is not None
        return Comparison(table, None, tuple(Row(row.label, row, None, ()) for row in table.rows))
    found = [row for row in study.rows if table is None or row.reference is None]
    matches = table is not None and len(found) == len(table.rows)
    reports: Sequence[ReportRow | None] = table.rows if table and matches else [None] * len(found)
    rows = tuple(
        Row(
            label=report.label if report else ours.label,
            report=report,
            ours=ours,
            seeds=tuple(
                Seed(run, run_store(outputs, run, problems), study.scored_split is not None)
                for run in _runs(ours, study.seeds)
            ),
            wanted=max(len(study.seeds), len(ours.runs)),
        )
        for report, ours in zip(reports, found, strict=True)
    )
    mismatch = None if table is None or matches else (len(table.rows), len(found))
    return Comparison(table, study, rows, mismatch, others)


def _runs(row: SweepRow, seeds: Sequence[int]) -> list[SweepRun]:
    """A row's finished runs, and the one that it is at."""
    runs = list(row.runs)
    if row.folder is not None and row.folder not in {run.folder for run in runs}:
        seed = seeds[len(runs)] if len(runs) < len(seeds) else 0
        runs.append(SweepRun(seed=seed, folder=row.folder, status=row.state))
    return runs
