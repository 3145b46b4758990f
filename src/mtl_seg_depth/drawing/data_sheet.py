"""A sheet of images with their targets, to see whether a data set is what one believes it is."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.files import IMAGE, Entry
from mtl_seg_depth.drawing.legend import legend
from mtl_seg_depth.drawing.sheet import save, sheet, stacked
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.task import TASKS, Image


def draw_sheet(
    data: DataSet,
    path: Path,
    *,
    split: str = "train",
    leave_out: Collection[Entry] = frozenset(),
    count: int = 4,
) -> None:
    """Write an image file of up to `count` images spread evenly over a split, none of them in `leave_out`.

    A row shows an image and its targets in the tasks' colours. Raises UserError if there is nothing to draw.
    """
    tasks = {name: TASKS[name](spec) for name, spec in data.spec.targets.items()}  # type: ignore[call-arg]
    files, _ = data.scan(split)
    complete = [dict(zip(files.paths, paths, strict=True)) for paths in zip(*files.paths.values(), strict=True)]
    allowed = [each for each in complete if not any(path in leave_out for path in each.values())]
    if not allowed:
        raise UserError(f"{files.root / files.split} holds no undamaged image to draw")
    positions = np.linspace(0, len(allowed) - 1, min(count, len(allowed))).round().astype(int)
    rows: list[dict[str, Image]] = []
    for position in positions:
        row: dict[str, Image] = {}
        for kind, file in allowed[position].items():
            pixels = files.readers[kind](file)
            if kind == IMAGE:
                row["image"] = pixels
            else:
                codes = torch.from_numpy(pixels.astype(np.int32)).unsqueeze(0)
                row[kind] = tasks[kind].paint(tasks[kind].target(codes)[0].numpy())
        rows.append(row)
    drawn = sheet(rows, width=480)
    below = legend({kind: tasks[kind] for kind in rows[0] if kind in tasks}, drawn.width)
    save(stacked(drawn, below), path)
