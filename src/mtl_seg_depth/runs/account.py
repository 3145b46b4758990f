"""What a run's folder has to look at when its training is over; drawn of what is recorded, once.

artifacts/curves.png    losses, learning rate and scores, with the best step marked
artifacts/batch.png     the first training batch: augmented views, with what the network is to say of them
metrics.csv             everything logged, a row a step
"""

import csv
import io
from collections.abc import Iterable, Mapping

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.drawing.curves import curves
from mtl_seg_depth.drawing.sheet import save, sheet
from mtl_seg_depth.records.record import Point, Record
from mtl_seg_depth.system import atomic
from mtl_seg_depth.tasks.task import Image, Task

MOST_VIEWS = 8
"""Of the batch."""


def draw_account(record: Record, batch: Batch, tasks: Mapping[str, Task], best_step: int | None) -> None:
    """Write these files, in place of those of before; `best_step` is None without best weights."""
    points = list(record.points())
    by_name: dict[str, dict[int, float]] = {}
    for point in points:
        for name, value in point.metrics.items():
            by_name.setdefault(name, {})[point.step] = value
    drawn = curves({name: sorted(values.items()) for name, values in by_name.items()}, best_step)
    save(drawn, record.artifact_path("curves.png"))
    save(sheet(_views(batch, tasks)), record.artifact_path("batch.png"))
    atomic.write_text(record.folder / "metrics.csv", as_csv(points))


def as_csv(points: Iterable[Point]) -> str:
    """A row for each step and a column for each name, in the order in which they were first logged."""
    rows: dict[int, dict[str, float]] = {}
    for point in points:
        rows.setdefault(point.step, {}).update(point.metrics)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step, **rows[step]} for step in sorted(rows))
    return text.getvalue()


def _views(batch: Batch, tasks: Mapping[str, Task]) -> list[dict[str, Image]]:
    """For each view the image and the targets, by caption."""
    images = (batch.image[:MOST_VIEWS].permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype("uint8")
    targets = {name: batch.targets[name][:MOST_VIEWS].cpu().numpy() for name in tasks}
    return [
        {"image": image, **{name: task.paint(targets[name][index]) for name, task in tasks.items()}}
        for index, image in enumerate(images)
    ]
