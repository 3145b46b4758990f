"""Look at a data set before training on it: python check_data.py data=miniscapes data.root=<folder>."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def check_data(config: dict[str, Any]) -> int:
    """Inspect what the config's data says; 0 where it is clean, 1 where files are damaged."""
    from rich.console import Console

    from mtl_seg_depth.data.check import check
    from mtl_seg_depth.nodes import build

    source = build("data", config["data"])
    source.prepare()
    picture = None if config["picture"] is None else Path(config["picture"])
    cache = source.cache if config["verify"] else None
    return check(Console(), source.root, source.depth, picture=picture, cache=cache)


if __name__ == "__main__":
    cli.start(check_data, config="check_data", root=Path(__file__).parent)
