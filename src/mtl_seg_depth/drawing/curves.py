"""How a training went, as an image: losses, learning rate and scores over its steps, the best step marked."""

import math
from collections.abc import Mapping, Sequence

from PIL import Image as Pillow
from PIL import ImageDraw

from mtl_seg_depth.drawing.legend import GAP, LINE, font
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.tasks.headline import Headline

Curve = Sequence[tuple[int, float]]
"""Values by step, ascending."""

PANEL = (420, 220)
"""Pixels of a pair of axes, without what stands around it."""
MARGIN = (62, 26)
"""Pixels left of it and below it, for numbers."""
COLUMNS = 2
COLOURS = ("#2f7fc1", "#d95f02", "#1b9e77", "#b0589f", "#a6761d", "#808080")


def curves(points: Mapping[str, Curve], best_step: int | None) -> Pillow.Image:
    """The curves of a run's record: a panel of losses, one of the learning rate, one of each score.

    Args:
        points: by the name that the record has for it; those of other names are left out.
        best_step: of the best weights, drawn as a line; None without any.
    """
    losses = {name.rpartition("/")[2]: curve for name, curve in points.items() if name.startswith("train/loss/")}
    panels = {"training loss": losses, "learning rate": {"": points.get("train/learning_rate", ())}}
    panels |= {_title(each): {"": points.get(f"val/{each.key}", ())} for each in shown()}
    panels = {title: drawn for title, lines in panels.items() if (drawn := _finite(lines))}
    width, height = PANEL[0] + MARGIN[0] + 2 * GAP, PANEL[1] + MARGIN[1] + LINE + 2 * GAP
    rows = max(1, -(-len(panels) // COLUMNS))
    canvas = Pillow.new("RGB", (COLUMNS * width, rows * height), "white")
    last = max((curve[-1][0] for lines in panels.values() for curve in lines.values()), default=1)
    for index, (title, lines) in enumerate(panels.items()):
        corner = (index % COLUMNS * width + GAP, index // COLUMNS * height + GAP)
        _draw(ImageDraw.Draw(canvas), corner, title, lines, max(1, last), best_step)
    return canvas


def _title(score: Headline) -> str:
    """In words: the font has no arrows."""
    better = "higher" if score.higher_is_better else "lower"
    return f"validation {score.title}{f', {score.unit}' if score.unit else ''} ({better} is better)"


def _finite(lines: Mapping[str, Curve]) -> dict[str, Curve]:
    finite = {name: [(step, value) for step, value in curve if math.isfinite(value)] for name, curve in lines.items()}
    return {name: curve for name, curve in finite.items() if curve}


def _draw(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: str,
    lines: Mapping[str, Curve],
    last: int,
    best_step: int | None,
) -> None:
    left, top = corner[0] + MARGIN[0], corner[1] + LINE
    right, bottom = left + PANEL[0], top + PANEL[1]
    values = [value for curve in lines.values() for _, value in curve]
    ticks = _ticks(min(values), max(values))
    low, high = min(ticks[0], *values), max(ticks[-1], *values)

    def place(step: float, value: float) -> tuple[float, float]:
        return left + step / last * (right - left), bottom - (value - low) / (high - low) * (bottom - top)

    draw.text((left, corner[1]), title, "black", font(15))
    for tick in ticks:
        y = place(0, tick)[1]
        draw.line((left, y, right, y), "#dddddd")
        draw.text((left - 6, y), f"{tick:.4g}", "black", font(12), anchor="rm")
    for step in _ticks(0, last):
        if step <= last:
            draw.text((place(step, low)[0], bottom + 4), f"{step:.0f}", "black", font(12), anchor="ma")
    if best_step is not None:
        x = place(best_step, low)[0]
        draw.line((x, top, x, bottom), "#808080")
        draw.text((x, bottom - 3), f" best {best_step} ", "#606060", font(12), anchor="ld" if x < right - 80 else "rd")
    for index, (name, curve) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        if len(curve) > 1:
            draw.line([place(*point) for point in curve], colour, 2)
        else:
            x, y = place(*curve[0])
            _dot(draw, x, y, colour)
        if best_step is not None and title.startswith("validation") and best_step in dict(curve):
            _dot(draw, *place(best_step, dict(curve)[best_step]), colour)
        draw.text((right, top + index * LINE), name, colour, font(14), anchor="ra")
    draw.rectangle((left, top, right, bottom), outline="#808080")


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, colour: str) -> None:
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), colour)


def _ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers that span a range."""
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    first = math.floor(low / step)
    count = max(1, math.ceil(high / step - 1e-9) - first)
    return [(first + index) * step for index in range(count + 1)]
