"""A page to try a network on: python demo.py run=<id>."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def demo(config: dict[str, Any]) -> int:
    """Show the page until Ctrl-C."""
    from mtl_seg_depth.demo.show import show

    return show(config)


if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in there.
    cli.start(demo, config="demo", root=Path(__file__).resolve().parent)
