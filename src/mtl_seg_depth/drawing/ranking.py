"""A sweep's rows by rank: every score in a column of its own, drawn to its own scale, with its value beside it."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mtl_seg_depth.scoring.statistics import estimate
from mtl_seg_depth.system.wording import one_line
from mtl_seg_depth.tasks.headline import Headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST, OTHER, APART, FAILED = "#0072b2", "#4a5560", "#b0671a", "#b3261e"
"""Colours of the best row, of the others, of rows that are there to be compared with, and of failed ones."""

MOST_ROWS = 60
"""That are drawn."""

COLUMN, LABELS, LINE, GAP = 2.5, 3.0, 0.15, 0.17
"""Inches: the width of a score's column and of the rows' labels, the height of one of their lines and between rows."""

_WRAPPED_AT, _MOST_LINES = 40, 3
"""Letters in a line of a label, and lines."""


@dataclass(frozen=True)
class Ranked:
    """A row of the drawing; of every score its values by key, one for each seed."""

    label: str
    values: dict[str, list[float]]
    state: Literal["complete", "pruned", "failed"] = "complete"
    """A pruned row was ended before its time, so its scores are those of less training; a failed one has none."""
    best: bool = False
    reference: bool = False
    """It is no competitor, but what the others are compared with."""

    @property
    def colour(self) -> str:
        """Of all that is drawn of it."""
        if self.state == "failed":
            return FAILED
        return APART if self.reference else BEST if self.best else OTHER

    @property
    def weight(self) -> str:
        """Of its letters."""
        return "bold" if self.best else "normal"


def ranking(title: str, scores: Sequence[Headline], rows: Sequence[Ranked]) -> "Figure":
    """The rows from top to bottom, a column for each score; the first `MOST_ROWS` of them.

    A dot is the mean of a row's seeds, which are small dots; the bar through it is the 95 % t interval of the mean,
    with an arrow where it goes on beyond the axis. Hollow dots are rows that were pruned, crosses rows that failed.
    """
    from matplotlib.figure import Figure

    drawn = rows[:MOST_ROWS]
    labels = [_wrapped(row.label) for row in drawn]
    heights = [GAP + LINE * (1 + label.count("\n")) for label in labels]
    places = [sum(heights[:index]) + height / 2 for index, height in enumerate(heights)]
    figure = Figure(figsize=(LABELS + COLUMN * len(scores), 1.2 + max(GAP, sum(heights))), layout="constrained")
    more = f" (the first {MOST_ROWS} of {len(rows)} rows)" if len(rows) > MOST_ROWS else ""
    figure.suptitle(_wrapped(title, 100) + more, x=0.01, ha="left")
    columns = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, score in zip(columns, scores, strict=True):
        _draw(axes, score, drawn, places)
    columns[0].set_yticks(places, labels)
    for tick, row in zip(columns[0].get_yticklabels(), drawn, strict=True):
        tick.set(color=row.colour, fontweight=row.weight)
    columns[0].set_ylim(max(GAP, sum(heights)), 0)
    told = {
        "dot: mean of the seeds (small dots), bar: its 95 % interval, arrow: beyond the axis": any(
            len(v) > 1 for row in drawn for v in row.values.values()
        ),
        "hollow: pruned": any(row.state == "pruned" for row in drawn),
        "cross: failed": any(row.state == "failed" for row in drawn),
        "brown: trains one task by itself": any(row.reference for row in drawn),
    }
    figure.supxlabel("; ".join(text for text, applies in told.items() if applies), x=0.01, ha="left", fontsize=8)
    return figure


def _draw(axes: "Axes", score: Headline, rows: Sequence[Ranked], places: Sequence[float]) -> None:
    axes.set_title(score.heading, fontsize=9, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False, labelsize=8)
    axes.grid(axis="y", color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=4)
    there = [[] if row.state == "failed" else row.values.get(score.key, []) for row in rows]
    found = [[value for value in values if math.isfinite(value)] for values in there]
    low, high = _limits([value for values in found for value in values])
    axes.set_xlim(low, high)
    beside = axes.get_yaxis_transform()
    for place, row, values in zip(places, rows, found, strict=True):
        if row.state == "failed":
            axes.plot(0.5, place, "x", color=row.colour, transform=beside)
        written = f"{estimate(values).mean:.2f}" if values else "failed" if row.state == "failed" else "-"
        axes.text(1.03, place, written, transform=beside, va="center", fontsize=8, color=row.colour, weight=row.weight)
        if not values:
            continue
        over = estimate(values)
        if len(values) > 1:
            ends = [max(over.low, low), min(over.high, high)]
            axes.plot(ends, [place, place], color=row.colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
            for beyond, end, arrow in ((over.low < low, low, "<"), (over.high > high, high, ">")):
                if beyond:
                    axes.plot(end, place, arrow, color=row.colour, markersize=6, clip_on=False)
            axes.plot(values, [place] * len(values), ".", color=row.colour, markersize=6)
        face = "white" if row.state == "pruned" else row.colour
        axes.plot(over.mean, place, "o", color=row.colour, markersize=7, markerfacecolor=face)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Of an axis: all values with room around them; intervals of two seeds would leave the dots none."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = 0.3 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def _wrapped(text: str, width: int = _WRAPPED_AT) -> str:
    return "\n".join(
        textwrap.wrap(one_line(text), width, max_lines=_MOST_LINES, placeholder=" …", break_on_hyphens=False)
    )
