"""Figures that stand on light and dark pages alike: text and axes take the colour of the text around them."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn with this colour, a thing takes that of the page's text; on white it is as good as black."""

COLOURS = ("#2f7fc1", "#d95f02", "#1b9e77", "#b0589f", "#a6761d", "#808080")
"""Of lines, in this order. Told apart by colour-blind people, and legible on white and on black."""

STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)))
"""Of lines, in this order, for who sees no colours or reads on paper."""

MOST_POINTS = 400
"""In a line; longer ones are averaged in blocks, or the page would be megabytes."""


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    thin: bool = False
    marker: str = ""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    x_title: str
    y_title: str
    lines: Sequence[Line]
    log_y: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: drawn (`svg` for the page, `image` as a file), or missing and why.

    Attributes:
        name: of its file, without the ending.
        suffix: of its file, ".png" or ".jpg".
        panels: how many pairs of axes stand side by side.
    """

    name: str
    title: str
    caption: str
    svg: str | None = None
    image: bytes | None = None
    suffix: str = ".png"
    panels: int = 1
    missing: str | None = None


def draw(name: str, title: str, caption: str, panels: Sequence[Panel]) -> Drawing:
    """Panels side by side, under one legend of all the labels there are."""

    def paint(figure: "Figure") -> None:
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_panel(axes, panel)
        _draw_legend(figure, all_axes)

    size = (3.3 * len(panels) if len(panels) > 1 else 5.2, 2.9)
    return rendered(name, title, caption, size, paint, len(panels))


def rendered(
    name: str, title: str, caption: str, size: tuple[float, float], paint: Callable[["Figure"], None], panels: int = 1
) -> Drawing:
    """A figure of so many inches, as `paint` fills it, in the style of the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",  # text stays text: smaller, and in the page's own font
        "svg.hashsalt": name,  # the same bytes every time, and no id twice in a page
        "font.size": 9.5,
        "text.parse_math": False,  # a name with dollars is no formula
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": INK,
        "grid.alpha": 0.12,
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        svg = _svg(figure, f"{title}. {caption}")
        figure.set_layout_engine("none")  # it is laid out by now, and doing so again takes as long as drawing
        png = _png(figure)
        return Drawing(name, title, caption, svg=svg, image=png, panels=panels)


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for line in panel.lines:
        x, y = thinned(line.x), thinned(line.y)
        axes.plot(
            x,
            y,
            label=line.label,
            color=COLOURS[line.colour % len(COLOURS)],
            linestyle=STYLES[line.colour % len(STYLES)] if line.marker != "o" else "",
            linewidth=0.9 if line.thin else 1.8,
            marker=line.marker or ("." if len(x) == 1 else None),
            markersize=5,
        )
    axes.set(xlabel=panel.x_title, ylabel=panel.y_title)
    if panel.log_y and all(value > 0 for line in panel.lines for value in line.y):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    bare(axes)
    axes.locator_params(axis="x", nbins=6)


def bare(axes: "Axes") -> None:
    """Nothing but a light grid and two spines, on whatever lies behind."""
    axes.grid(visible=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)


def _draw_legend(figure: "Figure", all_axes: Sequence["Axes"]) -> None:
    handles: dict[str, Any] = {}
    for axes in all_axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if len(handles) > 1:
        columns = min(len(handles), 4)
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=columns, frameon=False)


def thinned(values: Sequence[float]) -> list[float]:
    """The same course in at most `MOST_POINTS` values, each the mean of a block."""
    block = -(-len(values) // MOST_POINTS)
    if block <= 1:
        return list(values)
    blocks = [values[start : start + block] for start in range(0, len(values), block)]
    return [sum(part) / len(part) for part in blocks]


def _svg(figure: "Figure", description: str) -> str:
    """As an element to stand inside a page."""
    from xml.sax.saxutils import quoteattr

    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # "axes_1" in every figure: ids are for once in a page
    text = re.sub(r"font: ([^;\"]*?)'[^\"]*?(?=[;\"])", r"font: \1system-ui, sans-serif", text)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2]
    head = f'<svg role="img" aria-label={quoteattr(description)} viewBox="0 0 {width} {height}" '
    return (
        head
        + 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        + text[text.index(">") + 1 :]
    )


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, facecolor="white", metadata={"Software": None})
    return file.getvalue()
