"""What runs there are, with what sets them apart and their scores: python runs.py."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def runs(config: dict[str, Any]) -> int:
    """Show every run in a table."""
    from rich.console import Console

    from mtl_seg_depth.cli.runs_table import runs_table
    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.inference.listing import RunsSettings, best_first, list_runs

    settings = parse_as(RunsSettings, config)
    console = Console(highlight=False, markup=False)
    outputs = Path(settings.paths.outputs)
    found = list_runs(outputs)
    shown = best_first(found) if settings.sort == "best" else found
    if not found:
        console.print(f"no run in {outputs}", soft_wrap=True)
        return 0
    console.print(runs_table(shown[: settings.most], found))
    hidden = len(found) - len(shown[: settings.most])
    if hidden:
        console.print(f"and {hidden} more: most=null shows them all")
    console.print("run=<id>, run=latest and run=best name one in other commands")
    return 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(runs, config="runs", root=root)
