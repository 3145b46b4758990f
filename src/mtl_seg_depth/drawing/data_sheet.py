"""A sheet of pictures with their labels and depth, to see whether a data set is what one believes it is."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mtl_seg_depth.data.miniscapes import READERS, SplitFiles
from mtl_seg_depth.system.atomic import replacing
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import MAX_DEPTH, MIN_DEPTH, depth_of_code
from mtl_seg_depth.tasks.semseg.labels import LABELS, palette

_TICKS = (4, 10, 30, 100, 300)  # metres


def draw_sheet(files: SplitFiles, path: Path, *, leave_out: Collection[Path] = frozenset(), count: int = 4) -> None:
    """Write an image file of up to `count` pictures spread evenly over a split, none of them in `leave_out`.

    A row shows a picture, its labels in the colours of Cityscapes and its depth on a logarithmic scale.
    """
    samples = _spread(files, leave_out, count)
    if not samples:
        raise UserError(f"{files.root / files.split} holds no undamaged picture to draw")
    height, width = READERS["rgb"](samples[0]["rgb"]).shape[:2]
    columns = len(samples[0])
    figure = Figure(figsize=(5 * columns, 5 * height / width * len(samples) + 1.5), layout="constrained")
    axes = figure.subplots(len(samples), columns, squeeze=False)
    scale = LogNorm(MIN_DEPTH, MAX_DEPTH)
    colours = colormaps["viridis_r"].with_extremes(bad="lightgrey")
    for row, sample in zip(axes, samples, strict=True):
        for axis, (kind, file) in zip(row, sample.items(), strict=True):
            pixels = READERS[kind](file)
            if kind == "depth":
                axis.imshow(depth_of_code()[pixels], cmap=colours, norm=scale, interpolation="nearest")
            else:
                axis.imshow(palette()[pixels] if kind == "semseg" else pixels, interpolation="nearest")
            axis.set_title(f"{files.split}/{kind}/{file.name}", fontsize=9)
            axis.set_axis_off()
    if columns > 1:
        bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes[:, -1], location="bottom", shrink=0.8)
        bar.set_ticks(_TICKS, labels=[f"{metres} m" for metres in _TICKS])
        bar.set_label("depth; grey where not valid")
        entries = [(label.name, "#" + bytes(label.colour).hex()) for label in LABELS]
        patches = [Patch(color=colour, label=name) for name, colour in (*entries, ("ignored", "black"))]
        figure.legend(handles=patches, loc="outside lower center", ncols=10, fontsize=8, frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _spread(files: SplitFiles, leave_out: Collection[Path], count: int) -> list[dict[str, Path]]:
    """The files of the chosen pictures, by kind."""
    kinds = files.by_kind
    pictures = [dict(zip(kinds, paths, strict=True)) for paths in zip(*kinds.values(), strict=True)]
    allowed = [picture for picture in pictures if not any(path in leave_out for path in picture.values())]
    positions = np.linspace(0, len(allowed) - 1, min(count, len(allowed))).round().astype(int)
    return [allowed[position] for position in positions]
