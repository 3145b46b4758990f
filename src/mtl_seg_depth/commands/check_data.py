"""Look at a data set before training on it: python check_data.py data=miniscapes data.root=<folder>."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def check_data(config: dict[str, Any]) -> int:
    """Inspect what the config's data says; 0 if its files are whole, else 1, and 3 for a doubt if it is strict."""
    from rich.console import Console

    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.data.check import InspectionSettings, inspect, print_inspection, verify_packs
    from mtl_seg_depth.nodes import build
    from mtl_seg_depth.system.errors import UserError

    settings = parse_as(InspectionSettings, config)
    picture = None if settings.picture is None else Path(settings.picture)
    if picture is not None and (picture.suffix != ".png" or not picture.resolve().parent.is_dir()):
        raise UserError(f"picture={picture}: a file ending in .png, in a folder that exists")
    console = Console(markup=False)
    data = build("data", settings.data)
    data.prepare()
    inspection = inspect(data, images=settings.images)
    print_inspection(console, inspection)
    packs_whole = not settings.verify or verify_packs(console, data)
    if picture is not None:
        from mtl_seg_depth.drawing.data_sheet import draw_sheet

        draw_sheet(data, picture, leave_out={error.path for error in inspection.damaged})
    if inspection.damaged or not packs_whole:
        return 1
    return 3 if settings.strict and inspection.alarms else 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(check_data, config="check_data", root=root)
