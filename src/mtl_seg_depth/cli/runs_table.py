"""Runs in the terminal, a row each."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.inference.listing import Listed, age, differences, short_ids, size
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.system.wording import duration


def runs_table(runs: Sequence[Listed], among: Sequence[Listed]) -> Table:
    """Some runs in this order; `among` all those that an id tells them from and that they are compared with."""
    ids, apart = short_ids(among), differences(among)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("id", no_wrap=True, style="bold")
    headlines = [each for each in shown() if any(f"val/{each.key}" in run.scores for run in among)]
    for each in headlines:
        table.add_column(f"{each.short} {each.arrow}", justify="right", no_wrap=True)
    for heading in ("time", "age", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("name: what differs", overflow="fold")
    for run in runs:
        scores = (run.scores.get(f"val/{each.key}") for each in headlines)
        took = "" if run.result is None else duration(run.result.cost.seconds)
        about = Text(run.card.name)
        if apart[run.folder]:
            about.append(f": {apart[run.folder]}", "dim")
        if run.status != "finished":
            about.append(f" ({run.status})", "yellow")
        cells = ["-" if value is None else f"{value:.2f}" for value in scores]
        table.add_row(ids[run.folder], *cells, took, age(run), f"{size(run) / 1e6:.0f}", about)
    return table
