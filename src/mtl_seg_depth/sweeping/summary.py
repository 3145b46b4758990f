"""A sweep's own record, beside the runs': sweep.json, a table, a plot, the best config, and the server's parent run.

<outputs>/sweeps/<study>/
  sweep.json           everything the report needs to know: see `records.results.SweepRecord`
  run.json, metrics.jsonl, result.json, artifacts/    as in a run folder, so that it is mirrored like one
                       artifacts/comparison.{csv,md,tex}: a grid's rows against one of them, to publish
  errors/              stack traces of trials that crashed
"""

import math
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
from mtl_seg_depth.sweeping.plot import comparable, draw, importances
from mtl_seg_depth.sweeping.queue import noted
from mtl_seg_depth.sweeping.standing import all_at_floor, best_rows, best_values, columns, is_best, ranked, score
from mtl_seg_depth.system import atomic, stored
from mtl_seg_depth.system.addresses import redact, redacted
from mtl_seg_depth.system.wording import duration, label

ID = 6
"""Letters of a run's fingerprint that `run=` takes for it."""

AT_FLOOR = "The multitask score is at its floor of 0 in every row, so they are ranked by margin: mean IoU less SI-log."

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
        trials=sweep.trials,
    )


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
            fields = [row.model_dump(include={"params", "values", "runs"}) for row in best]
            chosen = [{"command": each, **of} for each, of in zip(commands(sweep, trials, best), fields, strict=True)]
            atomic.write_text(
                record.artifact_path("best.yaml"), yaml.safe_dump(chosen, sort_keys=False, width=math.inf)
            )
        if over is not None:
            _compare(described, sweep.folder, record)
            searched = comparable(described, trials)
            described = described.model_copy(update={"importance": importances(searched)})
            draw(described, searched, record.artifact_path("plot.png").parent)
            stored.write(sweep.folder / "result.json", Ending(status=over))
        else:
            (sweep.folder / "result.json").unlink(missing_ok=True)
        stored.write(sweep.folder / "sweep.json", described)
    return described


def commands(sweep: Sweep, trials: Sequence[FrozenTrial], rows: Sequence[SweepRow]) -> list[str]:
    """What trains each of some rows by itself; `trials` are the newest attempts at all rows."""
    by_row = {noted(trial)["row"]: trial.params for trial in trials}
    return [sweep.command(by_row[row.number]) for row in rows]


def _compare(described: SweepRecord, folder: Path, record: Record) -> None:
    """What the rows are to one of them, as files to publish; nothing before that one has a score.

    What of them cannot be read is told where the same is shown, by `shown.show_end`.
    """
    found = contests(described, folder.parents[1], [])
    if found:
        atomic.write_text(record.artifact_path("comparison.csv"), paper.as_csv(found))
        atomic.write_text(record.artifact_path("comparison.md"), paper.as_markdown(described, found[0]))
        atomic.write_text(record.artifact_path("comparison.tex"), paper.as_latex(described, found[0]))


def as_markdown(described: SweepRecord) -> str:
    """The sweep's table, the best row first; of each score the best value is bold."""
    best, shown, values = {row.number for row in best_rows(described)}, columns(described), best_values(described)
    headings = ["trial", "state", *(each.heading for each in shown), "time", "runs"]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in ranked(described):
        scores = {each.key: score(row, each.key) for each in shown}
        cells = [_bold(_number(value), is_best(row, value, values.get(key))) for key, value in scores.items()]
        name = _bold(_cell(row.label), row.number in best)
        runs = ", ".join(run.fingerprint[:ID] for run in row.runs if run.fingerprint)
        lines.append(f"| {' | '.join([name, _cell(with_reason(row.state, row.reason)), *cells, time_of(row), runs])} |")
    below = f"\n{AT_FLOOR}\n" if decided_by_margin(described) else ""
    return f"# {described.study}\n\n" + "\n".join(lines) + f"\n{below}"


def decided_by_margin(described: SweepRecord) -> bool:
    """Whether the rows are compared by a multitask score that is at its floor in all of them."""
    return described.objective == [headline.MULTITASK.key] and all_at_floor(described)


def time_of(row: SweepRow) -> str:
    """How long a row's trainings took, all seeds together; empty if that is not known."""
    return "" if row.seconds is None else duration(row.seconds)


def with_reason(state: str, reason: str | None) -> str:
    """A state, and the reason where there is one: `failed: no room`, but `pruned after step 4`."""
    return f"{state}: {reason}" if reason and not reason.startswith(state) else reason or state


def counted(described: SweepRecord) -> str:
    """The rows by state, and how many are left: `2 complete, 1 running, 3 left`."""
    states = (*STATES.values(), "impossible")
    counts = {state: sum(row.state == state for row in described.rows) for state in states}
    left = counts.pop("waiting") + described.unborn
    return ", ".join([*(f"{count} {state}" for state, count in counts.items() if count), f"{left} left"])


def progress(described: SweepRecord) -> str:
    """How far a sweep is, in a line: trials by state, the best so far, and how long the rest takes at this pace."""
    rows, parts = described.rows, [counted(described)]
    if best := best_rows(described):
        values, by_margin = _named(described, best[0]), decided_by_margin(described)
        if by_margin:
            values["margin"] = score(best[0], "margin")
        scores = ", ".join(f"{headline.objectives()[key].short} {value:.2f}" for key, value in values.items())
        parts.append(f"best{' by margin' if by_margin else ''} {best[0].label}: {scores}")
    times = [row.ended - row.started for row in rows if row.started and row.ended]
    running = sum(row.state == "running" for row in rows)
    to_go = running + sum(row.state == "waiting" for row in rows) + described.unborn
    if times and to_go:
        seconds = sum(times) / len(times) / 1000 * to_go / max(1, running)
        parts.append(f"about {duration(seconds)} to go")
    return ", ".join(parts)


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
    attributes = noted(trial)
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
        seconds=attributes.get("seconds"),
        runs=[SweepRun.model_validate(run) for run in attributes.get("runs", [])],
    )


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _ms(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else ""


def _bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if text and is_best else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
