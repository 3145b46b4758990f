"""What a training shows in the terminal at its end."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.columns import Columns
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from mtl_seg_depth.data.spec import in_words
from mtl_seg_depth.inference.listing import SHORTEST_ID
from mtl_seg_depth.records.folder import RunFolder
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.system import installation
from mtl_seg_depth.system.wording import duration


def show_result(console: Console, result: RunResult, compare: str | None) -> None:
    """Print a run's result: scores beside the baseline, classes from worst to best, cost, where things are."""
    best, baseline = result.best, result.baseline
    if result.status == "diverged":
        told = f" at step {result.steps}: its loss or predictions are not finite."
        console.print(Text.assemble(("Diverged", "bold red"), told))
    if best:
        console.print(_scores(best, baseline, result.best_step))
        show_classes(console, best, "val/iou/")
    cost = result.cost
    told = in_words(result.spec)
    about = {
        **({"data": f"{result.spec.get('name', 'unknown')}: {told}"} if told else {}),
        "time": f"{duration(cost.seconds)}, {cost.data_share:.1%} of it waiting for data",
        "speed": f"{cost.images_per_second:.1f} images/s, validation included",
        "memory": cost.memory,
        "parameters": f"{cost.parameters:,}".replace(",", " "),
    }
    facts = {
        "best weights": _near(result.best_weights) if result.best_weights else "none",
        "run folder": f"{_near(result.folder)} ({RunFolder(result.folder).size / 1e6:.1f} MB)",
        "fingerprint": result.fingerprint,
    }
    if compare:
        facts["compare runs"] = compare
    facts |= _next_commands(result) if result.best_weights else {}
    if console.is_terminal:
        table = Table.grid(Column(style="bold", width=12), Column(), padding=(0, 1))
        for row in about.items():
            table.add_row(*row)
        console.print(table, highlight=False)
        about = {}
    for name, value in (about | facts).items():  # no table: a path or a command that is broken in two cannot be copied
        console.print(Text.assemble((f"{name:13}", "bold"), value), highlight=False, soft_wrap=True)


def _next_commands(result: RunResult) -> dict[str, str]:
    """What to do with a run, by what it is for, as lines for a shell."""
    curves, run = result.folder / "artifacts" / "curves.png", f"run={result.fingerprint[:SHORTEST_ID]}"
    return {
        **({"curves": _near(curves)} if curves.is_file() else {}),
        "predict": f"{_here('predict')} {run} input=<photos>",
        "evaluate": f"{_here('evaluate')} {run} split=test",
        "export": f"{_here('export')} {run} format=onnx",
    }


def _here(name: str) -> str:
    """A command as it runs from here, whether or not its environment is activated."""
    if not installation.is_installed():
        return f"{_near(Path(sys.executable))} {name}.py"
    command = installation.command(name)
    beside = Path(sys.executable).parent / command
    return command if shutil.which(command) or not beside.exists() else _near(beside)


def _scores(best: Mapping[str, float], baseline: Mapping[str, float], step: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("validation split")
    table.add_column(f"best, step {step}", justify="right", style="bold")
    table.add_column("most frequent class, mean depth", justify="right")
    for each in shown():
        if f"val/{each.key}" in best:
            values = (scores.get(f"val/{each.key}") for scores in (best, baseline))
            table.add_row(each.heading, *("-" if value is None else f"{value:.2f}" for value in values))
    return table


def show_classes(console: Console, scores: Mapping[str, float], prefix: str) -> None:
    """Print IoU in % by class, those scores whose names begin with `prefix`, in as many columns as fit, if any."""
    iou = {key.removeprefix(prefix): value for key, value in scores.items() if key.startswith(prefix)}
    cells = [Text(f"{name} {value:.1f}") for name, value in sorted(iou.items(), key=lambda item: item[1])]
    if cells:
        title = Text("IoU by class, from worst to best, %", style="bold")
        console.print(Group(title, Columns(cells, padding=(0, 3)), Text()))


def _near(path: Path) -> str:
    """The path as seen from here, where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)
