"""A sweep's own record, beside the runs': sweep.json, a table, a plot, the best config, and the server's parent run.

<outputs>/sweeps/<study>/
  sweep.json           everything the report needs to know: see `describe`
  run.json, metrics.jsonl, result.json, artifacts/    as in a run folder, so that it is mirrored like one
  errors/              stack traces of trials that crashed
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from mtl_seg_depth.records.record import Record, now_ms
from mtl_seg_depth.sweeping.plan import Row, Sweep
from mtl_seg_depth.sweeping.trial import objective_value
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.wording import duration
from mtl_seg_depth.tracking import redact

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def describe(sweep: Sweep, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """How far a sweep got, as plain values; `trials` are the newest attempts at its rows."""
    by_row = {number: _not_started(row) for number, row in enumerate(sweep.rows or ())}
    by_row |= {trial.user_attrs["row"]: _of_trial(trial) for trial in trials}
    rows = [{"number": number, **by_row[number]} for number in sorted(by_row)]
    path = sweep.folder / "sweep.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    return {
        "version": 1,
        "study": sweep.study,
        "sweep": sweep.name,
        "kind": "search" if sweep.rows is None else "grid",
        "started": known.get("started") or now_ms(),
        "updated": now_ms(),
        "objective": sweep.objectives,
        "directions": sweep.directions,
        "overrides": [redact(override) for override in sweep.space.fixed if not override.startswith("sweeps=")],
        "seeds": list(sweep.base.seeds or (sweep.base.seed,)),
        "config": json.loads(redact(json.dumps(sweep.base.model_dump(mode="json")))),
        "rows": rows,
    }


def best_rows(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The best complete row, or those of the Pareto front where there are several objectives.

    Of rows with equal values, such as multitask scores of 0, it is the one with the largest margin.
    """
    signs = [1 if direction == "maximize" else -1 for direction in described["directions"]]
    complete = [row for row in described["rows"] if row["state"] == "complete"]
    if len(signs) == 1:
        rank = {
            row["number"]: (signs[0] * row["values"][0], objective_value("margin", mean_scores(row)))
            for row in complete
        }
        return sorted(complete, key=lambda row: rank[row["number"]], reverse=True)[:1]
    points = {row["number"]: [s * v for s, v in zip(signs, row["values"], strict=True)] for row in complete}

    def beaten(point: list[float]) -> bool:
        return any(
            all(a >= b for a, b in zip(other, point, strict=True)) and other != point for other in points.values()
        )

    return [row for row in complete if not beaten(points[row["number"]])]


def publish(sweep: Sweep, trials: Sequence[FrozenTrial], *, over: str | None = None) -> dict[str, Any]:
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
        for row in described["rows"]:
            if row["state"] == "complete":
                named = dict(zip(sweep.objectives, row["values"], strict=True))
                record.log(row["number"], {f"trial/{name}": value for name, value in named.items()})
        best = best_rows(described)
        if best and len(sweep.objectives) == 1:
            record.log(
                sum(row["state"] == "complete" for row in described["rows"]),
                {
                    "best/trial": best[0]["number"],
                    **{f"best/{name}": value for name, value in zip(sweep.objectives, best[0]["values"], strict=True)},
                },
            )
        record.close()
        atomic.write_text(record.artifact_path("table.md"), as_markdown(described))
        if best:
            chosen = [{"params": row["params"], "values": row["values"], "runs": row["runs"]} for row in best]
            atomic.write_text(record.artifact_path("best.yaml"), yaml.safe_dump(chosen, sort_keys=False))
        if over is not None:
            _plot(described, record.artifact_path("plot.png"))
            atomic.write_json(sweep.folder / "result.json", {"status": over})
        else:
            (sweep.folder / "result.json").unlink(missing_ok=True)
        atomic.write_json(sweep.folder / "sweep.json", described)
    return described


def as_markdown(described: Mapping[str, Any]) -> str:
    """The sweep's table."""
    best = {row["number"] for row in best_rows(described)}
    lines = ["| trial | state | multitask | mIoU, % | SI-log x 100 |", "|---|---|---|---|---|"]
    for row in described["rows"]:
        scores = mean_scores(row)
        cells = [f"{scores[name]:.2f}" if name in scores else "" for name in ("multitask", "semseg", "depth")]
        if row["number"] in best:
            cells = [f"**{cell}**" if cell else "" for cell in cells]
        state = row["state"] + (f": {row['reason']}" if row["reason"] else "")
        lines.append(f"| {_cell(row['label'])} | {_cell(state)} | {' | '.join(cells)} |")
    return f"# {described['study']}\n\n" + "\n".join(lines) + "\n"


def progress(described: Mapping[str, Any]) -> str:
    """How far a sweep is, in a line: trials by state, the best so far, and how long the rest takes at this pace."""
    rows = described["rows"]
    counts = {state: sum(row["state"] == state for row in rows) for state in STATES.values()}
    left = counts.pop("waiting")
    parts = [f"{count} {state}" for state, count in counts.items() if count] + [f"{left} left"]
    if best := best_rows(described):
        parts.append(f"best {best[0]['label']}: " + ", ".join(f"{value:.2f}" for value in best[0]["values"]))
    times = [row["ended"] - row["started"] for row in rows if row["started"] and row["ended"]]
    if times and left + counts["running"]:
        seconds = sum(times) / len(times) / 1000 * (left + counts["running"]) / max(1, counts["running"])
        parts.append(f"about {duration(seconds)} to go")
    return ", ".join(parts)


def mean_scores(row: Mapping[str, Any]) -> dict[str, float]:
    """A row's headline scores, each the mean over the seeds that have it."""
    names = {name for run in row["runs"] for name in run["scores"]}
    having = {name: [run["scores"][name] for run in row["runs"] if name in run["scores"]] for name in names}
    return {name: sum(values) / len(values) for name, values in having.items()}


def _params(sweep: Sweep) -> dict[str, Any]:
    varied = {f"varies/{name}": ", ".join(map(str, _choices(sweep, name))) for name in sweep.space.distributions}
    return {"objective": ", ".join(sweep.objectives), "fixed": " ".join(sweep.space.fixed), **varied}


def _choices(sweep: Sweep, name: str) -> Sequence[Any]:
    distribution = sweep.space.distributions[name]
    choices: Sequence[Any] | None = getattr(distribution, "choices", None)
    return choices if choices is not None else [f"{distribution.low} to {distribution.high}"]  # type: ignore[attr-defined]


def _not_started(row: Row) -> dict[str, Any]:
    return {
        "label": row.label,
        "params": {name: str(value) for name, value in row.values.items()},
        "state": "waiting" if row.problem is None else "impossible",
        "reason": row.problem,
        "values": None,
        "attempt": 0,
        "started": None,
        "ended": None,
        "folder": None,
        "runs": [],
    }


def _of_trial(trial: FrozenTrial) -> dict[str, Any]:
    attributes = trial.user_attrs
    return _not_started(Row(trial.params, None, None, 0)) | {
        "state": STATES[trial.state],
        "reason": attributes.get("reason"),
        "values": trial.values if trial.state == TrialState.COMPLETE else None,
        "attempt": attributes["attempt"],
        "started": _ms(trial.datetime_start),
        "ended": _ms(trial.datetime_complete),
        "folder": attributes.get("folder"),
        "runs": attributes.get("runs", []),
    }


def _ms(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plot(described: Mapping[str, Any], path: Path) -> None:
    """The scores of every trial side by side, or the Pareto front."""
    from matplotlib.figure import Figure

    rows = [row for row in described["rows"] if mean_scores(row)]
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(rows)) if len(described["objective"]) == 1 else (6, 5))
    axes = figure.add_subplot()
    best = {row["number"] for row in best_rows(described)}
    colours = ["#0072b2" if row["number"] in best else "#9aa5b1" for row in rows]
    if len(described["objective"]) == 1:
        values = [row["values"][0] if row["values"] else 0.0 for row in rows]
        axes.barh([row["label"] for row in rows], values, color=colours)
        axes.invert_yaxis()
        axes.set_xlabel(described["objective"][0])
    else:
        done = [row for row in rows if row["values"]]
        chosen = ["#0072b2" if row["number"] in best else "#9aa5b1" for row in done]
        axes.scatter([row["values"][0] for row in done], [row["values"][1] for row in done], c=chosen)
        axes.set_xlabel(described["objective"][0])
        axes.set_ylabel(described["objective"][1])
    axes.set_title(described["study"])
    axes.spines[["top", "right"]].set_visible(False)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
