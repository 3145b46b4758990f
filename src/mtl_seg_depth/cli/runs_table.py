"""Runs in the terminal, two lines each: scores and cost, and below them what sets a run apart."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from mtl_seg_depth.inference.listing import Listed, age, differences, short_ids, size
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.system.wording import duration


def runs_table(runs: Sequence[Listed], among: Sequence[Listed]) -> Group:
    """Some runs in this order; `among` all those that an id tells them from and that they are compared with."""
    ids, apart = short_ids(among), differences(among)
    headlines = [each for each in shown() if any(f"val/{each.key}" in run.scores for run in among)]
    rows = [["id", *(f"{each.short} {each.arrow}" for each in headlines), "time", "age", "MB"]]
    for run in runs:
        scores = (run.scores.get(f"val/{each.key}") for each in headlines)
        cells = ["-" if value is None else f"{value:.2f}" for value in scores]
        took = "" if run.result is None else duration(run.result.cost.seconds)
        rows.append([ids[run.folder], *cells, took, age(run), f"{size(run) / 1e6:.0f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        Text.assemble(
            (row[0].ljust(widths[0]), "bold"), *(f"  {c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))
        )
        for row in rows
    ]
    parts: list[RenderableType] = [Text(lines[0].plain, "bold", no_wrap=True)]
    for run, line in zip(runs, lines[1:], strict=True):
        about = Text(run.card.name)
        if apart[run.folder]:
            about.append(f": {apart[run.folder]}", "dim")
        if run.status != "finished":
            about.append(f" ({run.status})", "yellow")
        parts += [line, Padding(about, (0, 0, 0, 2))]
    return Group(*parts)
