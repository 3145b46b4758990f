"""Free what runs that are over left on the disk: python prune.py, then python prune.py dry_run=false."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def prune(config: dict[str, Any]) -> int:
    """Show, and with `dry_run=false` remove, the checkpoints to continue from of runs that are over."""
    from rich.console import Console

    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.runs.pruning import PruneSettings, prune
    from mtl_seg_depth.system import installation

    console = Console(markup=False)
    settings = parse_as(PruneSettings, config)
    freed = prune(settings)
    for each in freed:
        console.print(f"{each.bytes / 1e6:9.1f} MB  {each.folder}", highlight=False, soft_wrap=True)
    total = f"{sum(each.bytes for each in freed) / 1e6:.1f} MB in {len(freed)} runs that are over"
    more = f"; {installation.command('prune')} dry_run=false removes them" if settings.dry_run and freed else ""
    told = f"{'Checkpoints that nothing needs: ' if settings.dry_run else 'Freed: '}{total}{more}"
    console.print(told, highlight=False, soft_wrap=True)
    return 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(prune, config="prune", root=root)
