"""Train one network, or many: python train.py model=branched loss=berhu."""

import math
from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def train(config: dict[str, Any]) -> float | list[float] | int:
    """Train what the config says; the objective in a sweep, the exit code alone."""
    from rich.console import Console

    from mtl_seg_depth.cli.command import origin
    from mtl_seg_depth.cli.console import show_result
    from mtl_seg_depth.cli.scorecard import show_evaluation
    from mtl_seg_depth.config import parse
    from mtl_seg_depth.inference.evaluation import evaluate_run
    from mtl_seg_depth.runs.run import run
    from mtl_seg_depth.system import installation, torchrun
    from mtl_seg_depth.system.addresses import redact
    from mtl_seg_depth.system.errors import UserError
    from mtl_seg_depth.system.interruption import AGAIN, Interrupted

    settings = parse(config)
    console = Console(markup=False, quiet=torchrun.rank() > 0)
    try:
        if cli.in_sweep_of_ours():
            from mtl_seg_depth.sweeping.trial import run_trial

            return run_trial(settings, console, origin())
        if settings.seeds is not None:
            raise UserError(f"seeds={list(settings.seeds)} is for sweeps; a training has seed={settings.seeds[0]}")
        if settings.dry_run:
            from mtl_seg_depth.runs.dry_run import dry_run

            dry_run(settings, console)
            return 0
        result = run(settings, console, origin())
    except Interrupted as stop:
        if cli.in_sweep():
            raise KeyboardInterrupt from stop
        console.print(str(stop), style="yellow")
        return AGAIN
    if cli.in_sweep():
        return float(result.best.get("val/multitask", math.nan))
    if torchrun.rank() > 0:
        return 0 if result.status == "finished" else 1
    uri, of_make_ui = settings.tracking.uri, f"sqlite:///{settings.paths.root}/mlflow.db"
    pages = "mtl-ui" if installation.is_installed() else "make ui"
    show_result(console, result, compare=pages if uri == of_make_ui else uri and f"in {redact(uri)}")
    if settings.score is not None and result.checkpoint:
        show_evaluation(console, evaluate_run(settings, result.folder, console))
    return 0 if result.status == "finished" else 1


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(train, config="train", root=root)
