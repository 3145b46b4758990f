"""Who watches a training: a line in the terminal, and images of what the network sees."""

import math
from collections.abc import Iterable
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.drawing.confusion import confusion
from mtl_seg_depth.drawing.legend import legend
from mtl_seg_depth.drawing.sheet import panel_rows, save, sheet, stacked
from mtl_seg_depth.records.record import Record
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.scoring.scores import Scores


class _TwoLines(Progress):
    """A bar, and text below it."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, no_wrap=True, overflow="ellipsis")


class LiveLine:
    """Observer of a training: a live bar with the last losses and the best scores on a terminal, and everywhere a
    line a validation that stays. On a terminal of 80 columns none of them wraps where there are two tasks.
    """

    def __init__(self, console: Console, steps: int, steps_per_epoch: int, done: int, headline: str = "") -> None:
        self.console = console
        self.headline = headline
        self.steps_per_epoch = steps_per_epoch
        self.epochs = -(-steps // steps_per_epoch)
        self.steps = steps
        self.losses = self.best = ""
        self.progress = _TwoLines(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("left", markup=False),
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
            status=f"step {step}/{self.steps}  {images_per_second:.0f} images/s",
        )
        self._show_below()

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:
        """Leave one line standing for every validation; losses are not in it if they are to be seen below the bar."""
        told = [
            f"{each.short} {scores.headlines[each.key]:.2f}{f' {each.unit}' if each.unit else ''}"
            for each in shown(scores.measured)
        ]
        multitask, margin = scores.rank
        by_margin = multitask == 0.0 and math.isfinite(margin)
        told += [f"margin {margin:.2f}"] if by_margin else []
        epoch = self._epoch(step - 1).removeprefix(self.headline)
        live = self.console.is_terminal
        line = Text("  ".join([epoch, *([] if live else [f"loss {self.losses}", "validation"]), *told]))
        if is_best:
            self.best = f"best {'margin ' if by_margin else ''}{margin if by_margin else multitask:.2f} at step {step}"
            mark = f"  best so far{' by margin' if by_margin else ''}"
            line.append("  best" if live and line.cell_len + len(mark) > self.console.width else mark, "green")
        self._show_below()
        self.console.print(line, soft_wrap=not live)

    def _show_below(self) -> None:
        self.progress.below = "  ".join(filter(None, [f"loss {self.losses}" if self.losses else "", self.best]))

    def _epoch(self, step: int) -> str:
        return f"{self.headline}epoch {step // self.steps_per_epoch + 1:>2}/{self.epochs}"


class Panels:
    """Observer that draws: a panel of fixed validation images every time, the confusion matrix of the best."""

    def __init__(self, record: Record, predictor: Predictor, val: ScoringBatches, count: int) -> None:
        self.record = record
        self.predictor = predictor
        total = len(val.split)
        rows = [round(i * (total - 1) / max(1, count - 1)) for i in range(min(count, total))]
        self.batch = val.rows(rows) if rows else None

    def on_losses(self, step: int, losses: dict[str, float], images_per_second: float) -> None:
        """Nothing to draw."""

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:
        """Draw what the network sees now."""
        if self.batch is not None:
            rows = panel_rows(self.batch, self.predictor(self.batch.image), self.predictor.tasks)
            drawn = sheet(rows)
            below = legend(self.predictor.tasks, drawn.width, errors=True)
            save(stacked(drawn, below), self.record.artifact_path(f"panels/step_{step:06}.png"))
        if is_best and scores.confusion is not None:
            save(confusion(scores.confusion), self.record.artifact_path("confusion.png"))
