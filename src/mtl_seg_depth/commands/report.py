"""The report's tables and figures beside our own runs: python report.py."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def report(config: dict[str, Any]) -> int:
    """Write the page of what the store holds now."""
    from rich.console import Console

    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.report.page import ReportSettings, write_report

    console = Console(markup=False)
    written = write_report(parse_as(ReportSettings, config))
    console.print(written.document.lede, highlight=False, soft_wrap=True)
    for problem in written.document.problems:
        console.print(problem, style="yellow", highlight=False, soft_wrap=True)
    console.print(f"{written.html}\n{written.markdown}", highlight=False, soft_wrap=True)
    return 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(report, config="report", root=root)
