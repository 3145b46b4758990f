"""Score a trained run on a split: python evaluate.py run=<id> split=test tta=multiscale."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def evaluate(config: dict[str, Any]) -> float | int:
    """Evaluate what the config says; the multitask score in a sweep, the exit code alone."""
    from rich.console import Console

    from mtl_seg_depth.cli.scorecard import show_evaluation
    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.inference import evaluation

    console = Console(markup=False)
    result = evaluation.evaluate(parse_as(evaluation.EvaluationSettings, config), console)
    if result is not None and not cli.in_sweep():
        show_evaluation(console, result)
    return float(result.scores["multitask"]) if result is not None and cli.in_sweep() else 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(evaluate, config="evaluate", root=root)
