"""Make Miniscapes of its public source: python make_miniscapes.py data.root=<Synscapes> to=<folder>."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def make(config: dict[str, Any]) -> int:
    """Write what is not there yet, and say what to do with it."""
    from rich.console import Console

    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.data.remaking import RemakingSettings, make_miniscapes
    from mtl_seg_depth.nodes import build
    from mtl_seg_depth.system import installation

    settings = parse_as(RemakingSettings, config)
    folder = Path(settings.to).expanduser()
    counts = make_miniscapes(build("data", settings.data), folder)
    there = " + ".join(map(str, counts.values()))
    fewer = "" if sum(counts.values()) == 25_000 else "; the course had 20000 + 2500 + 2500"
    console = Console(markup=False)
    console.print(f"{there} images for train, val and test in {folder}{fewer}", highlight=False, soft_wrap=True)
    console.print(
        f"{installation.command('check_data')} data=miniscapes data.root={folder}", highlight=False, soft_wrap=True
    )
    return 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(make, config="make_miniscapes", root=root)
