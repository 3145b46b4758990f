"""What a sweep shows in the terminal: what would run, and what came of it."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.config import fingerprint
from mtl_seg_depth.records.results import RowState, SweepRecord
from mtl_seg_depth.report.contest import Contest, Entry, contests
from mtl_seg_depth.report.paper import SELECTED, decided
from mtl_seg_depth.runs.contents import SPLITS
from mtl_seg_depth.runs.pace import Pace
from mtl_seg_depth.scoring import delta
from mtl_seg_depth.sweeping.plan import Sweep
from mtl_seg_depth.sweeping.plot import PICTURES
from mtl_seg_depth.sweeping.standing import best_rows, best_values, columns, is_best, ranked, score
from mtl_seg_depth.sweeping.summary import AT_FLOOR, counted, decided_by_margin, time_of
from mtl_seg_depth.system.wording import duration

WITHOUT_SCORE: tuple[RowState, ...] = ("failed", "impossible")
"""States of rows that ended, or never began, and have nothing to compare."""

MOST_ROWS = 40
"""Of the table at the end; a file has them all."""


def show_plan(sweep: Sweep, n_trials: int, console: Console) -> None:
    """What would run: every trial with what is finished of it, and how long the rest takes."""
    if sweep.rows is None:
        varied = ", ".join(sweep.space.distributions)
        console.print(f"{sweep.study}: a search of {n_trials} trials over {varied}", highlight=False)
        return
    pace = Pace(Path(sweep.base.paths.outputs))
    table = Table(box=None, pad_edge=False)
    for title in ("trial", "steps", "trained", "left"):
        table.add_column(title, justify="left" if title == "trial" else "right")
    left, unknown, counted = 0.0, False, set()
    for row in sweep.rows:
        if row.settings is None:
            table.add_row(row.label, "", Text("cannot run", "yellow"), "")
            continue
        missing = [seed for seed in row.seeds if not row.is_trained(seed)]
        seconds = pace.seconds(row.settings, row.steps)
        for seed in missing:
            key = (fingerprint(row.of_seed(seed)), *row.data.values())  # rows may share a training
            if key not in counted:
                left, unknown = left + (seconds or 0.0), unknown or seconds is None
                counted.add(key)
        trained = f"{len(row.seeds) - len(missing)} of {len(row.seeds)}"
        time_left = "" if not missing else "?" if seconds is None else duration(seconds * len(missing))
        # Steps that fit into minutes are counted when a training begins.
        steps = str(row.steps) if row.settings.schedule.minutes is None else ""
        table.add_row(row.label, steps, trained, time_left)
    console.print(f"{sweep.study}: {len(sweep.rows)} trials", highlight=False)
    console.print(table)
    guess = "no finished run here tells how long" if unknown else f"about {duration(left)}, by the runs finished here"
    console.print(f"left: {guess}", highlight=False)
    if any(row.settings and not row.data.keys() >= set(SPLITS) for row in sweep.rows):
        said = "The data are not packed yet: what was trained before counts if it was on the same data."
        console.print(said, soft_wrap=True)


def _show_contest(contest: Contest, console: Console) -> None:
    """The rows against one of them, in 80 columns: scores, delta_m with half its interval, and what is shown."""
    wide = [each for each in contest.measures if each in delta.BOTH] or [contest.decisive]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"against {contest.baseline}", overflow="fold", max_width=14)
    for each in contest.measures:
        table.add_column(f"{each.short} {each.arrow}", justify="right", max_width=13 if each in wide else 7)
    table.add_column(f"by {contest.decisive.short}", max_width=12)
    words = {"better": Text("better", "green"), "worse": Text("worse", "red")}
    words |= {each: Text(each) for each in ("baseline", "reference")}
    for method in contest.methods:
        cells = [_in_short(method.entries.get(each.key), each in wide) for each in contest.measures]
        table.add_row(method.name, *cells, words.get(decided(contest, method), Text("≈")))
    console.print(table)
    seeds = "1 seed, which shows nothing" if len(contest.seeds) == 1 else f"{len(contest.seeds)} seeds"
    console.print(
        f"{seeds}; ± is half the 95 % t interval; scores {SELECTED[contest.selection]}; ≈: no difference can be shown "
        f"(paired t-test, Holm over {contest.comparisons} rows, 5 %)",
        highlight=False,
    )


def _in_short(entry: Entry | None, with_interval: bool) -> str:
    """A mean with four digits, or with one decimal and half its interval."""
    if entry is None:
        return "-"
    if not with_interval or math.isnan(entry.over.half):
        return f"{entry.over.mean:.4g}"
    return f"{entry.over.mean:.1f} ± {entry.over.half:.1f}"


def show_end(described: SweepRecord, folder: Path, again: Sequence[str], console: Console) -> None:
    """The table, what failed and why, where there is more to see, and the commands `again` that train the best rows."""
    best, shown, values = {row.number for row in best_rows(described)}, columns(described), best_values(described)
    table = Table(title=described.study, title_justify="left", box=None, pad_edge=False)
    table.add_column("trial", overflow="fold")
    for each in shown:
        table.add_column(f"{each.short} {each.arrow}", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("")  # what is not complete
    rows = ranked(described)
    for row in rows[:MOST_ROWS]:
        scores = {each.key: score(row, each.key) for each in shown}
        cells = [
            Text("-" if math.isnan(value) else f"{value:.2f}", "bold" if is_best(row, value, values.get(key)) else "")
            for key, value in scores.items()
        ]
        state = row.state if row.state != "complete" else "reference" if row.reference else ""
        table.add_row(Text(row.label, "bold" if row.number in best else ""), *cells, time_of(row) or "-", state)
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"and {len(rows) - MOST_ROWS} more in {folder / 'artifacts' / 'table.md'}", soft_wrap=True)
    if decided_by_margin(described):
        console.print(AT_FLOOR, highlight=False)
    problems: list[str] = []
    if several := contests(described, folder.parents[1], problems):
        _show_contest(several[0], console)
    for problem in dict.fromkeys(problems):
        console.print(problem, style="yellow", highlight=False, soft_wrap=True)
    bad = [row for row in described.rows if row.state in WITHOUT_SCORE]
    console.print(counted(described), highlight=False)
    for row in bad:
        console.print(Text.assemble((row.label, "red"), f": {row.reason}"), soft_wrap=True)
    _show_next(folder, again, console)


def _show_next(folder: Path, again: Sequence[str], console: Console) -> None:
    """Where to look, and the command that trains the best again, or where those of a Pareto front are."""
    pictures = [path for name in PICTURES if (path := folder / "artifacts" / f"{name}.png").exists()]
    for number, path in enumerate(pictures):
        console.print(f"{'see:' if not number else '':9}{path}", highlight=False, soft_wrap=True)
    console.print("compare: make studies, make ui, python report.py", highlight=False)
    if len(again) == 1:
        console.print(f"best:    {again[0]} rerun=true", highlight=False, soft_wrap=True)
    elif again:
        console.print(
            f"best:    {len(again)} rows; {folder / 'artifacts' / 'best.yaml'} has the command of each", soft_wrap=True
        )
