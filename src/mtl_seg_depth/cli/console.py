"""What a training shows in the terminal: one live line while it runs, a short table at the end."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.scoring.metrics import Scores
from mtl_seg_depth.system.wording import duration


class LiveLine:
    """Observer of a training: a live line on a terminal, one plain line a validation elsewhere."""

    def __init__(self, console: Console, steps: int, steps_per_epoch: int, done: int, headline: str = "") -> None:
        self.console = console
        self.headline = headline
        self.steps_per_epoch = steps_per_epoch
        self.epochs = -(-steps // steps_per_epoch)
        self.losses = ""
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(self._epoch(done), total=steps, completed=done, status="")

    def __enter__(self) -> Self:
        """Show the line."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self.progress.stop()

    def on_losses(self, step: int, losses: dict[str, float], images_per_second: float) -> None:
        """Move the line on."""
        self.losses = " ".join(f"{task} {loss:.3f}" for task, loss in losses.items())
        self.progress.update(
            self.task,
            completed=step,
            description=self._epoch(step - 1),
            status=f"step {step}  loss {self.losses}  {images_per_second:.0f} images/s",
        )

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:
        """Leave one line standing for every validation."""
        parts = [
            self._epoch(step - 1).removeprefix(self.headline),
            f"loss {self.losses}",
            f"validation multitask {scores.multitask:.2f}",
        ]
        if scores.semseg is not None:
            parts.append(f"mIoU {scores.semseg:.2f} %")
        if scores.depth is not None:
            parts.append(f"SI-log {scores.depth:.2f}")
        line = "  ".join(parts) + ("  [green]best so far[/]" if is_best else "")
        self.console.print(line, highlight=False, soft_wrap=True)

    def _epoch(self, step: int) -> str:
        return f"{self.headline}epoch {step // self.steps_per_epoch + 1:>2}/{self.epochs}"


ARROWS = {"semseg": ("mean IoU, % ↑", 2), "depth": ("SI-log RMSE x 100 ↓", 2), "multitask": ("multitask ↑", 2)}


def show_result(console: Console, result: RunResult, ui_command: str | None) -> None:
    """Print a run's result: scores beside the baseline, classes from worst to best, cost, where things are."""
    best, baseline = result.best, result.baseline
    if result.status == "diverged":
        console.print(f"[bold red]Diverged[/] at step {result.steps}: the loss is no longer finite.")
    if best:
        console.print(_scores(best, baseline, result.best_step))
        classes = {key.rpartition("/")[2]: value for key, value in best.items() if key.startswith("val/iou/")}
        if classes:
            console.print(_classes(classes))
    cost = result.cost
    facts = {
        "time": f"{duration(cost.seconds)}, {cost.data_share:.1%} of it waiting for data",
        "speed": f"{cost.images_per_second:.1f} images/s, validation included",
        "memory": cost.memory,
        "parameters": f"{cost.parameters:,}".replace(",", " "),
        "best weights": _near(result.best_weights) if result.best_weights else "none",
        "run folder": _near(result.folder),
        "fingerprint": result.fingerprint,
    }
    if ui_command:
        facts["compare runs"] = ui_command
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(str(value), overflow="fold"))
    console.print(table)


def _scores(best: Mapping[str, float], baseline: Mapping[str, float], step: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("validation split")
    table.add_column(f"best, step {step}", justify="right", style="bold")
    table.add_column("most frequent class, mean depth", justify="right")
    for key, (title, digits) in ARROWS.items():
        if f"val/{key}" in best:
            values = (scores.get(f"val/{key}") for scores in (best, baseline))
            table.add_row(title, *("-" if value is None else f"{value:.{digits}f}" for value in values))
    return table


def _classes(iou: Mapping[str, float]) -> Group:
    """IoU of the classes from worst to best, in as many columns as fit."""
    from rich.columns import Columns

    ordered = sorted(iou.items(), key=lambda item: item[1])
    cells = [Text(f"{name} {value:.1f}") for name, value in ordered]
    return Group(Text("IoU by class, from worst to best, %", style="bold"), Columns(cells, padding=(0, 3)), Text())


def _near(path: Path) -> str:
    """The path as seen from here, where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)
