"""A table of the report beside the runs that repeat it: means over seeds, order, cost, and on what they were measured.

The order of rows is by the multitask score, and where that stands at its floor of 0, which it often does in short
trainings, by mean IoU less SI-log: the rule by which a training picks its best weights (`metrics.Scores.rank`).
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtl_seg_depth.config import flatten
from mtl_seg_depth.report.store import OVER, RunStore, Study, SweepRow, SweepRun, run_store
from mtl_seg_depth.report.tables import MEASURES, TRAINING_PICTURES, ReportRow, ReportTable

Rank = tuple[float, float]


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
        """Whether its loss was no longer finite."""
        return self.run.status == "diverged"

    def circumstances(self) -> Circumstances | None:
        """From the run folder; None where that says nothing yet."""
        params = self.store.card.get("params")
        return None if params is None else circumstances(params, self.store)


def circumstances(params: Mapping[str, str], store: RunStore) -> Circumstances:
    """What a run's parameters (dotted key -> text) and its result say."""
    result = store.result
    steps = result.get("steps", _number(params.get("steps")))
    # Under "data" stands the option's name in a run's card, and the class in a config; only street scenes have a width.
    kind = params.get("data", "unknown").rpartition(".")[2].lower()
    crop = params.get("data.crop_size", "[?, ?]").strip("[]").replace(", ", " x ")
    complete = False
    if "data.width" in params:
        size = f"{params['data.width']} x {params.get('data.height', '?')}"
        data = f"embedded street scenes ({params.get('data.train', '?')} training pictures of {size}), not Miniscapes"
    else:
        pictures = _training_pictures(params, store)
        complete = kind == "miniscapes" and pictures in (None, TRAINING_PICTURES)
        about = "" if pictures is None else f" of about {pictures} training pictures"
        other = "data laid out like Miniscapes" if kind == "miniscapes" else f"the data set {kind}"
        data = "Miniscapes" if complete else f"{other}{about}, not the report's"
    weights = params.get("encoder.weights", "unknown")
    memory = result.get("cost", {}).get("memory", "").rpartition("% of ")[2]
    return Circumstances(
        data=f"{data}, crops of {crop}",
        is_miniscapes=complete,
        encoder=params.get("encoder.name", "unknown"),
        weights=f"the file {Path(weights).name}" if "/" in weights else weights,
        precision=params.get("precision", "unknown"),
        steps=steps,
        device={"": None, "the machine's memory": "CPU"}.get(memory, memory),
    )


def _training_pictures(params: Mapping[str, str], store: RunStore) -> int | None:
    """How many pictures an epoch has, to within a batch; None before anything is logged.

    The report's number where its own number of batches fits.
    """
    batch = _number(params.get("schedule.batch_size"))
    per_epoch = store.steps_per_epoch
    if not per_epoch or not batch:
        return None
    return TRAINING_PICTURES if per_epoch == TRAINING_PICTURES // batch else per_epoch * batch


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


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
        """Over the seeds; None where there is no score."""
        values = self.values(measure)
        return statistics.fmean(values) if values else None

    def deviation(self, measure: str) -> float | None:
        """Standard deviation over the seeds (n - 1); None for fewer than two."""
        values = self.values(measure)
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def is_lost(self) -> bool:
        """Whether every seed diverged before it had a score."""
        return bool(self.seeds) and all(seed.diverged and not seed.scores for seed in self.seeds)

    @property
    def rank(self) -> Rank | None:
        """Ours, higher is better."""
        return rank({measure.key: self.mean(measure.key) for measure in MEASURES})

    @property
    def report_rank(self) -> Rank | None:
        """The report's, higher is better."""
        return rank(self.report.scores) if self.report else None

    @cached_property
    def circumstances(self) -> list[Circumstances]:
        """Of every seed whose folder tells."""
        return [found for seed in self.seeds if (found := seed.circumstances()) is not None]

    @property
    def costs(self) -> Costs:
        """From the runs' results; for a row of evaluations, what the evaluation took."""
        taken = [seed.store.result.get("cost", {}) for seed in self.seeds if seed.scores]
        seconds = [cost["seconds"] for cost in taken if "seconds" in cost]
        memory = [100 * cost["peak_memory_share"] for cost in taken if "peak_memory_share" in cost]
        speed = [cost["images_per_second"] for cost in taken if "images_per_second" in cost]
        if any(seed.run.evaluation for seed in self.seeds):
            scored = [seed.store.evaluation for seed in self.seeds]
            seconds = [evaluation["seconds"] for evaluation in scored if "seconds" in evaluation]
            speed = [evaluation["pictures"] / evaluation["seconds"] for evaluation in scored if evaluation]
            memory = []  # that of the training would say nothing
        return Costs(
            seconds=statistics.fmean(seconds) if seconds else None,
            memory_percent=max(memory, default=None),
            parameters=next((cost["parameters"] for cost in taken if "parameters" in cost), None),
            images_per_second=statistics.fmean(speed) if speed else None,
        )

    @property
    def is_open(self) -> bool:
        """Whether running the sweep again would add anything; a training that diverged would diverge again."""
        if self.ours is None or self.ours.state in ("waiting", "running"):
            return True
        return self.ours.state == "failed" and not any(seed.diverged for seed in self.seeds)

    @property
    def state(self) -> str:
        """What a reader has to know before believing the numbers; empty where they are complete."""
        if self.ours is None:
            return "not run yet"
        over = sum(bool(seed.scores) or seed.diverged for seed in self.seeds)
        diverged = sum(seed.diverged for seed in self.seeds)
        parts = []
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


def rank(scores: Mapping[str, float | None]) -> Rank | None:
    """The multitask score, then mean IoU less SI-log; a missing score adds nothing, None without multitask."""
    multitask = scores.get("multitask")
    return None if multitask is None else (multitask, (scores.get("semseg") or 0.0) - (scores.get("depth") or 0.0))


@dataclass(frozen=True)
class Comparison:
    """A table of the report, or a sweep that the report does not have, with everything known of its rows.

    Attributes:
        table: of the report; None for a sweep of our own.
        study: the sweep; None where it was not started.
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
    def has_ours(self) -> bool:
        """Whether any row has a score."""
        return any(row.rank is not None for row in self.rows)

    @cached_property
    def circumstances(self) -> list[tuple[Row, Circumstances]]:
        """Of every run that tells, or of the sweep's shared config before there is one."""
        found = [(row, circumstance) for row in self.rows for circumstance in row.circumstances]
        if found or self.study is None or not self.study.config:
            return found
        params = {key.removesuffix("._target_"): str(value) for key, value in flatten(self.study.config)}
        return [(self.rows[0], circumstances(params, RunStore()))] if self.rows else []

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

    def best(self, measure: str, of: Callable[[Row], Mapping[str, float | None]]) -> set[int]:
        """Indices of the rows with the best score; empty with fewer than two to choose from.

        Equals share it, but multitask scores at the floor are told apart as the module says.
        """
        direction = next(m for m in MEASURES if m.key == measure)
        keys: dict[int, Rank] = {}
        for index, row in enumerate(self.rows):
            scores = of(row)
            value = scores.get(measure)
            if value is not None:
                order = rank(scores) if measure == "multitask" else None
                keys[index] = order or (value if direction.higher_is_better else -value, 0.0)
        return {index for index, key in keys.items() if key == max(keys.values())} if len(keys) > 1 else set()

    @cached_property
    def compared(self) -> list[int]:
        """Indices of the rows that have a multitask score in the report and of ours."""
        return [i for i, row in enumerate(self.rows) if row.rank is not None and row.report_rank is not None]

    def places(self) -> dict[int, tuple[int, int]]:
        """For each compared row its place in the report's order and in ours, the best 1, equals sharing theirs."""
        report = _places([self.rows[i].report_rank for i in self.compared])
        ours = _places([self.rows[i].rank for i in self.compared])
        return dict(zip(self.compared, zip(report, ours, strict=True), strict=True))

    def tau(self) -> float | None:
        """Kendall's tau-b between the report's order of the compared rows and ours; None where there is no order."""
        from scipy.stats import kendalltau

        places = list(self.places().values())
        if len(places) < 2:
            return None
        tau = float(kendalltau([report for report, _ in places], [ours for _, ours in places]).statistic)
        return None if math.isnan(tau) else tau

    @property
    def is_at_floor(self) -> bool:
        """Whether two of our rows have a multitask score of 0, so that the tie-breaker had to tell them apart."""
        return sum(row.mean("multitask") == 0 for row in self.rows) > 1


def _places(ranks: Sequence[Rank | None]) -> list[int]:
    known = [found for found in ranks if found is not None]
    return [1 + sum(other > found for other in known) for found in known]


def compare(
    table: ReportTable | None, study: Study | None, outputs: Path, problems: list[str], others: tuple[str, ...] = ()
) -> Comparison:
    """Put a sweep's rows beside the report's, by their order; where the numbers of rows differ, the sweep's alone.

    What cannot be read on the way is told in `problems`.
    """
    if study is None:
        assert table is not None
        return Comparison(table, None, tuple(Row(_label(row), row, None, ()) for row in table.rows))
    matches = table is not None and len(study.rows) == len(table.rows)
    reports: Sequence[ReportRow | None] = table.rows if table and matches else [None] * len(study.rows)
    rows = tuple(
        Row(
            label=_label(report) if report else ours.label,
            report=report,
            ours=ours,
            seeds=tuple(
                Seed(run, run_store(outputs, run, problems), study.scored_split is not None)
                for run in _runs(ours, study.seeds)
            ),
            wanted=max(len(study.seeds), len(ours.runs)),
        )
        for report, ours in zip(reports, study.rows, strict=True)
    )
    mismatch = None if table is None or matches else (len(table.rows), len(study.rows))
    return Comparison(table, study, rows, mismatch, others)


def _runs(row: SweepRow, seeds: Sequence[int]) -> list[SweepRun]:
    """A row's finished runs, and the one that it is at."""
    runs = list(row.runs)
    if row.folder is not None and row.folder not in {run.folder for run in runs}:
        seed = seeds[len(runs)] if len(runs) < len(seeds) else 0
        runs.append(SweepRun(seed=seed, folder=row.folder, status=row.state))
    return runs


def _label(row: ReportRow) -> str:
    return ", ".join(row.values)


def data_names(comparison: Comparison) -> list[str]:
    """The data sets of a comparison's runs, each once."""
    return list(dict.fromkeys(found.data for _, found in comparison.circumstances))
