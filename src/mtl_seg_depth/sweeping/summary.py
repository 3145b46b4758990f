"""A sweep's own record, beside the runs': sweep.json, a table, a plot, the best config, and the server's parent run.

<outputs>/sweeps/<study>/
  sweep.json           everything the report needs to know: see `records.results.SweepRecord`
  run.json, metrics.jsonl, result.json, artifacts/    as in a run folder, so that it is mirrored like one
                       artifacts/comparison.{csv,md,tex}: a grid's rows against one of them, to publish
  errors/              stack traces of trials that crashed
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from mtl_seg_depth.records.record import Record, now_ms
from mtl_seg_depth.records.results import Ending, RowState, Status, SweepRecord, SweepRow, SweepRun
from mtl_seg_depth.report import paper
from mtl_seg_depth.report.contest import contests
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.plan import Row, Sweep
from mtl_seg_depth.system import atomic, stored
from mtl_seg_depth.system.addresses import redact, redacted
from mtl_seg_depth.system.wording import duration, label

STATES: dict[TrialState, RowState] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def describe(sweep: Sweep, trials: Sequence[FrozenTrial]) -> SweepRecord:
    """How far a sweep got; `trials` are the newest attempts at its rows."""
    by_row = {number: _not_started(number, row) for number, row in enumerate(sweep.rows or ())}
    by_row |= {row.number: row for row in map(_of_trial, trials)}
    for number, planned in enumerate(sweep.rows or ()):
        belongs = {"reference": planned.reference, "references": dict(planned.references)}
        by_row[number] = by_row[number].model_copy(update=belongs)
    path = sweep.folder / "sweep.json"
    return SweepRecord(
        study=sweep.study,
        sweep=sweep.name,
        kind="search" if sweep.rows is None else "grid",
        started=stored.read(path, SweepRecord).started if path.exists() else now_ms(),
        updated=now_ms(),
        objective=sweep.objectives,
        directions=sweep.directions,
        overrides=[redact(override) for override in sweep.space.fixed if not override.startswith("sweeps=")],
        seeds=list(sweep.base.seeds or (sweep.base.seed,)),
        config=redacted(sweep.base.model_dump(mode="json")),
        rows=[by_row[number] for number in sorted(by_row)],
        baseline=sweep.baseline,
        selection=sweep.selection,
    )


def best_rows(described: SweepRecord) -> list[SweepRow]:
    """The best complete row, or those of the Pareto front where there are several objectives; never a reference.

    Of rows with equal values, such as multitask scores of 0, it is the one with the largest margin.
    """
    known = [row for row in described.rows if row.state == "complete" and row.reference is None]
    complete = [row for row in known if any(v is not None and math.isfinite(v) for v in row.values or ())]
    gains = {
        row.number: [headline.gain(*pair) for pair in zip(described.objective, row.values or (), strict=True)]
        for row in complete
    }
    if len(described.objective) > 1:  # what a network does not have is below whatever another has
        points = [[max(gain, -sys.float_info.max) for gain in gains[row.number]] for row in complete]
        return [complete[place] for place in headline.pareto_front(points)]
    scores = {row.number: mean_scores(row) for row in complete}
    tasks = {name for each in scores.values() for name in each} - {headline.MULTITASK.key}

    def rank(row: SweepRow) -> tuple[float, float]:
        return gains[row.number][0], headline.gain("margin", headline.margin(scores[row.number], tasks))

    scored = [row for row in complete if gains[row.number][0] > -math.inf]
    return sorted(scored, key=rank, reverse=True)[:1]


def publish(sweep: Sweep, trials: Sequence[FrozenTrial], *, over: Status | None = None) -> SweepRecord:
    """Write the sweep's record anew and send it to the tracking server; returns what `describe` does.

    `over` is how the sweep ended (finished, failed, interrupted), None while it runs.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(sweep.folder / "lock"):
        described = describe(sweep, trials)
        record = Record(sweep.folder)
        if not (sweep.folder / "run.json").exists():
            params = {name: redact(str(value)) for name, value in _params(sweep).items()}
            tags = {"sweep": sweep.name or "", "study": sweep.study}
            record.start(
                name=sweep.study, fingerprint="", experiment=sweep.base.tracking.experiment, params=params, tags=tags
            )
        complete = [row for row in described.rows if row.state == "complete"]
        for row in complete:
            record.log(row.number, {f"trial/{name}": value for name, value in _named(described, row).items()})
        best = best_rows(described)
        if best and len(sweep.objectives) == 1:
            values = {f"best/{name}": value for name, value in _named(described, best[0]).items()}
            record.log(len(complete), {"best/trial": best[0].number, **values})
        record.close()
        atomic.write_text(record.artifact_path("table.md"), as_markdown(described))
        if best:
            chosen = [row.model_dump(include={"params", "values", "runs"}) for row in best]
            atomic.write_text(record.artifact_path("best.yaml"), yaml.safe_dump(chosen, sort_keys=False))
        if over is not None:
            _compare(described, sweep.folder, record)
            _plot(described, record.artifact_path("plot.png"))
            stored.write(sweep.folder / "result.json", Ending(status=over))
        else:
            (sweep.folder / "result.json").unlink(missing_ok=True)
        stored.write(sweep.folder / "sweep.json", described)
    return described


def _compare(described: SweepRecord, folder: Path, record: Record) -> None:
    """What the rows are to one of them, as files to publish; nothing before that one has a score.

    What of them cannot be read is told where the same is shown, by `shown.show_end`.
    """
    found = contests(described, folder.parents[1], [])
    if found:
        atomic.write_text(record.artifact_path("comparison.csv"), paper.as_csv(found))
        atomic.write_text(record.artifact_path("comparison.md"), paper.as_markdown(described, found[0]))
        atomic.write_text(record.artifact_path("comparison.tex"), paper.as_latex(described, found[0]))


def score_cells(row: SweepRow) -> list[str]:
    """A row's headline scores for a table, in the order of `headline.shown`; empty for one that is missing."""
    scores = mean_scores(row)
    return [f"{scores[each.key]:.2f}" if each.key in scores else "" for each in headline.shown()]


def as_markdown(described: SweepRecord) -> str:
    """The sweep's table."""
    best = {row.number for row in best_rows(described)}
    headings = ["trial", "state", *(each.heading for each in headline.shown())]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in described.rows:
        cells = [f"**{cell}**" if cell and row.number in best else cell for cell in score_cells(row)]
        state = row.state + (f": {row.reason}" if row.reason else "")
        lines.append(f"| {_cell(row.label)} | {_cell(state)} | {' | '.join(cells)} |")
    return f"# {described.study}\n\n" + "\n".join(lines) + "\n"


def progress(described: SweepRecord) -> str:
    """How far a sweep is, in a line: trials by state, the best so far, and how long the rest takes at this pace."""
    rows = described.rows
    counts = {state: sum(row.state == state for row in rows) for state in STATES.values()}
    left = counts.pop("waiting")
    parts = [f"{count} {state}" for state, count in counts.items() if count] + [f"{left} left"]
    if best := best_rows(described):
        values = _named(described, best[0]).values()
        parts.append(f"best {best[0].label}: " + ", ".join(f"{value:.2f}" for value in values))
    times = [row.ended - row.started for row in rows if row.started and row.ended]
    if times and left + counts["running"]:
        seconds = sum(times) / len(times) / 1000 * (left + counts["running"]) / max(1, counts["running"])
        parts.append(f"about {duration(seconds)} to go")
    return ", ".join(parts)


def mean_scores(row: SweepRow) -> dict[str, float]:
    """A row's headline scores, each the mean over the seeds that have it."""
    found: dict[str, list[float]] = {}
    for run in row.runs:
        for name, value in (run.scores or {}).items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _named(described: SweepRecord, row: SweepRow) -> dict[str, float]:
    """A complete row's values by objective."""
    pairs = zip(described.objective, row.values or (), strict=True)
    return {name: math.nan if value is None else value for name, value in pairs}


def _params(sweep: Sweep) -> dict[str, Any]:
    varied = {f"varies/{name}": ", ".join(map(str, _choices(sweep, name))) for name in sweep.space.distributions}
    return {"objective": ", ".join(sweep.objectives), "fixed": " ".join(sweep.space.fixed), **varied}


def _choices(sweep: Sweep, name: str) -> Sequence[Any]:
    distribution = sweep.space.distributions[name]
    choices: Sequence[Any] | None = getattr(distribution, "choices", None)
    return choices if choices is not None else [f"{distribution.low} to {distribution.high}"]  # type: ignore[attr-defined]


def _not_started(number: int, row: Row) -> SweepRow:
    state: RowState = "waiting" if row.problem is None else "impossible"
    return SweepRow(number=number, label=row.label, params=_texts(row.values), state=state, reason=row.problem)


def _of_trial(trial: FrozenTrial) -> SweepRow:
    attributes = trial.user_attrs
    return SweepRow(
        number=attributes["row"],
        label=label(trial.params),
        params=_texts(trial.params),
        state=STATES[trial.state],
        reason=attributes.get("reason"),
        values=trial.values if trial.state == TrialState.COMPLETE else None,
        attempt=attributes["attempt"],
        started=_ms(trial.datetime_start),
        ended=_ms(trial.datetime_complete),
        folder=attributes.get("folder"),
        runs=[SweepRun.model_validate(run) for run in attributes.get("runs", [])],
    )


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _ms(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plot(described: SweepRecord, path: Path) -> None:
    """The scores of every trial side by side, or the Pareto front."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    one = len(described.objective) == 1
    competing = [row for row in described.rows if row.reference is None]
    rows = [row for row in competing if (mean_scores(row) if one else row.values)]
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(rows)) if one else (6, 5))
    axes = figure.add_subplot()
    best = {row.number for row in best_rows(described)}
    colours = ["#0072b2" if row.number in best else "#9aa5b1" for row in rows]
    # Matplotlib leaves out what is nan, and refuses what is infinite: a value that does not exist.
    points = [[v if v is not None and math.isfinite(v) else math.nan for v in row.values or (0.0,)] for row in rows]
    axes.set_xlabel(described.objective[0])
    if one:
        axes.barh([row.label for row in rows], [point[0] for point in points], color=colours)
        axes.invert_yaxis()
    else:
        axes.scatter([point[0] for point in points], [point[1] for point in points], c=colours)
        axes.set_ylabel(described.objective[1])
    axes.spines[["top", "right"]].set_visible(False)
    # Ticks are made when they are drawn. A name with dollars is no formula.
    with rc_context({"text.parse_math": False}), atomic.replacing(path) as temporary:
        axes.set_title(described.study)
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
