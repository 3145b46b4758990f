"""A page to try a network on: python demo.py run=<id>."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def demo(config: dict[str, Any]) -> int:
    """Show the page until Ctrl-C."""
    from mtl_seg_depth.demo.show import show

    return show(config)


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(demo, config="demo", root=root)
