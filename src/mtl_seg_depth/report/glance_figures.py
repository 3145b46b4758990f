"""The plots of a glance: rows by rank with their intervals, and scores against cost."""

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from mtl_seg_depth.report import paper
from mtl_seg_depth.report.comparison import Comparison, Row
from mtl_seg_depth.report.contest import Contest, Method
from mtl_seg_depth.report.drawing import COLOURS, INK, Drawing, bare, rendered
from mtl_seg_depth.report.findings import Judgement, Verdict
from mtl_seg_depth.report.store import Study
from mtl_seg_depth.report.table import heading
from mtl_seg_depth.scoring import delta
from mtl_seg_depth.scoring.headline import MARGIN, margin, pareto_front
from mtl_seg_depth.tasks import Headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = {"better": ("^", "#1b9e77"), "worse": ("v", "#d1495b"), "baseline": ("D", "#2f7fc1")}
"""Marker and colour by what is said of a row against the baseline; told apart by shape, too."""

OPEN = ("o", "#808080")
"""Of rows of which nothing can be said."""

MARKERS = "osD^vP*X"
"""Of tables, in this order."""

ALONE = "each task alone"

FAR = 3.0
"""Interquartile ranges beyond the quartiles after which a row's place is written and not drawn."""


def mark(contest: Contest, method: Method) -> tuple[str, str]:
    """Marker and colour of a row."""
    return MARKS.get(paper.decided(contest, method), OPEN)


def forest(name: str, contest: Contest, methods: Sequence[Method], measures: Sequence[Headline]) -> Drawing:
    """Every row's mean with its interval and seeds, the best on top by the first measure."""
    first = measures[0]
    order = sorted(methods, key=lambda method: gain(method, first), reverse=True)

    def paint(figure: "Figure") -> None:
        columns = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
        for axes, measure in zip(columns, measures, strict=True):
            _draw_forest(axes, contest, order, measure)
        columns[0].set_yticks(range(len(order)), [short(method.name) for method in order])
        columns[0].set_ylim(len(order) - 0.4, -0.6)

    seeds = f"{len(contest.seeds)} seeds" if len(contest.seeds) > 1 else "one seed"
    told = [
        f"Large marks are means over {seeds}, lines their 95 % intervals, small dots the seeds. ▲ is shown to be "
        f"better than {contest.baseline} (◆), ▼ to be worse, ● neither."
    ]
    if delta.OVER_METRICS in measures:
        told.append("0 is what each task alone reaches.")
    if any(_is_far(method, measure, order) for measure in measures for method in order):
        told.append("Rows too far out to be drawn stand at the edge with an arrow.")
    title = f"Ranked by {first.short}"
    size = (3.0 + 2.4 * len(measures), 0.9 + 0.19 * len(order))
    return rendered(f"{name}_ranked", title, " ".join(told), size, paint, len(measures))


def gain(method: Method, measure: Headline) -> float:
    """A row's mean, turned so that higher is better; the worst there is without one."""
    entry = method.entries.get(measure.key)
    return -math.inf if entry is None else measure.gain(entry.over.mean)


def ranked(methods: Sequence[Method], measure: Headline) -> list[Method]:
    """Those that have the measure, the best mean first."""
    known = [method for method in methods if measure.key in method.entries]
    return sorted(known, key=lambda method: gain(method, measure), reverse=True)


def _draw_forest(axes: "Axes", contest: Contest, order: Sequence[Method], measure: Headline) -> None:
    bare(axes)
    axes.set_title(paper.heading(measure), fontsize=9, loc="left")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    right = axes.get_yaxis_transform()
    if measure in delta.BOTH:
        axes.axvline(0, color=INK, linewidth=0.9, linestyle="--", alpha=0.7)
    for place, method in enumerate(order):
        entry = method.entries.get(measure.key)
        if entry is None:
            axes.text(1.02, place, "–", transform=right, va="center", fontsize=8)
            continue
        shape, colour = mark(contest, method)
        over, digits = entry.over, paper.decimals(measure)
        written = f"{over.mean:.{digits}f}".replace("-", "−")
        axes.text(1.02, place, written, transform=right, va="center", fontsize=8)
        if _is_far(method, measure, order):
            edge = 0.99 if over.mean > _middle(measure, order) else 0.01
            axes.plot(edge, place, ">" if edge > 0.5 else "<", color=colour, transform=right, markersize=4)
            continue
        if not math.isnan(over.half):
            axes.plot([over.low, over.high], [place, place], color=colour, linewidth=1.5)
        if len(entry.values) > 1:
            axes.plot(list(entry.values.values()), [place] * len(entry.values), ".", color=colour, markersize=3.5)
        axes.plot(over.mean, place, shape, color=colour, markersize=6)
    _limit(axes, measure, order)


def _means(measure: Headline, order: Sequence[Method]) -> list[float]:
    return sorted(method.entries[measure.key].over.mean for method in order if measure.key in method.entries)


def _middle(measure: Headline, order: Sequence[Method]) -> float:
    means = _means(measure, order)
    return means[len(means) // 2]


def _is_far(method: Method, measure: Headline, order: Sequence[Method]) -> bool:
    """Whether drawing a row to scale would leave no room for the others."""
    means, entry = _means(measure, order), method.entries.get(measure.key)
    if entry is None or len(means) < 6:
        return False
    low, high = means[len(means) // 4], means[(3 * len(means)) // 4]
    reach = FAR * max(high - low, 1e-9)
    return not low - reach <= entry.over.mean <= high + reach


def _limit(axes: "Axes", measure: Headline, order: Sequence[Method]) -> None:
    """An axis for the rows that are drawn, at most their spread wider than their means: an interval may be cut off."""
    near = [method for method in order if measure.key in method.entries and not _is_far(method, measure, order)]
    entries = [method.entries[measure.key] for method in near]
    values = [value for entry in entries for value in entry.values.values()]
    values += [0.0] if measure in delta.BOTH else []
    spread = max(max(values) - min(values), 1e-9)
    known = [end for entry in entries for end in (entry.over.low, entry.over.high) if not math.isnan(end)]
    low = max(min([*values, *known]), min(values) - spread)
    high = min(max([*values, *known]), max(values) + spread)
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.locator_params(axis="x", nbins=5)


VERDICTS = {
    Verdict.HELD: MARKS["better"],
    Verdict.SAME_WAY: ("^", OPEN[1]),
    Verdict.FAILED: MARKS["worse"],
    Verdict.OTHER_WAY: ("v", OPEN[1]),
}
"""Marker and colour of a finding's verdict; else `OPEN`."""


def findings_forest(judgements: Sequence[Judgement]) -> Drawing | None:
    """Every finding of the report that was judged: its lead there and with us; None if none was."""
    judged = [each for each in judgements if each.our_lead is not None and not math.isnan(each.our_lead.mean)]
    if not judged:
        return None

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import FuncFormatter

        axes = figure.subplots()
        bare(axes)
        axes.axvline(0, color=INK, linewidth=0.9, linestyle="--", alpha=0.7)
        for place, each in enumerate(judged):
            assert each.our_lead is not None
            shape, colour = VERDICTS.get(each.verdict, OPEN)
            axes.plot(each.report_gap, place - 0.18, "|", color=INK, markersize=8, markeredgewidth=2)
            if not math.isnan(each.our_lead.half):
                axes.plot([each.our_lead.low, each.our_lead.high], [place + 0.1] * 2, color=colour, linewidth=1.5)
            axes.plot(each.our_lead.mean, place + 0.1, shape, color=colour, markersize=6)
        axes.set_yticks(range(len(judged)), [fill(each.finding.statement, 44) for each in judged], fontsize=8)
        axes.set_ylim(len(judged) - 0.4, -0.6)
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("lead as the report found it, points (logarithmic beyond ±1)")
        axes.tick_params(length=0)

    told = (
        "Upright bars: the report's lead, on Miniscapes. Marks: ours, ▲ the same way, ▼ the other way, coloured where "
        "seeds show it; lines are 95 % intervals over pairs of seeds. Right of 0 is as the report found it."
    )
    return rendered("findings", "The report's findings, with us", told, (6.4, 0.9 + 0.34 * len(judged)), paint)


def cost(name: str, contest: Contest, measure: Headline, of_row: Mapping[int, Row]) -> Drawing | None:
    """A measure against the time of a training, and parameters where rows differ in them; None without any time."""
    points = []
    for method in contest.methods:
        row, entry = of_row.get(method.row), method.entries.get(measure.key)
        if not method.is_reference and row is not None and row.costs.seconds and entry is not None:
            points.append((method, row.costs.seconds, (row.costs.parameters or 0) / 1e6, entry.over.mean))
    if len(points) < 2:
        return None
    longest = max(seconds for _, seconds, _, _ in points)
    unit, divisor = _unit(longest)
    alone = [row.costs.seconds for each in contest.methods if each.is_reference and (row := of_row.get(each.row))]
    taken = [(method, seconds / divisor, mean) for method, seconds, _, mean in points]
    sizes = [(method, size, mean) for method, _, size, mean in points]
    several = len({round(size, 3) for _, size, _ in sizes}) > 1

    def paint(figure: "Figure") -> None:
        columns = figure.subplots(1, 2 if several else 1, squeeze=False, sharey=True)[0]
        both = None
        if measure in delta.BOTH and alone and None not in alone:
            both = (sum(each for each in alone if each) / divisor, 0.0)
        _draw_cost(columns[0], contest, measure, taken, both)
        columns[0].set_xlabel(f"time of a training, {unit}")
        columns[0].set_ylabel(paper.heading(measure))
        if several:
            _draw_cost(columns[1], contest, measure, sizes, None)
            columns[1].set_xlabel("parameters, millions")

    results = [seed.store.result for row in of_row.values() for seed in row.seeds if seed.store.result]
    devices = sorted({result.cost.device for result in results if result.cost.device})
    where = f", on {' and '.join(devices)}" if devices else ""
    told = f"Means over seeds, validation included{where}. "
    told += "The line is the Pareto front: nothing is both better and cheaper than what lies on it; better is up."
    size = (2.9 * (2 if several else 1) + (2.3 if not several else 0), 3.4)
    return rendered(f"{name}_cost", f"{measure.short} against cost", told, size, paint, 2 if several else 1)


def _unit(seconds: float) -> tuple[str, float]:
    """The unit for times of up to so many seconds, and its length."""
    return ("h", 3600.0) if seconds >= 7200 else ("min", 60.0) if seconds >= 120 else ("s", 1.0)


def importance(study: Study) -> Drawing:
    """How much each parameter of a search mattered."""
    order = sorted(study.importance, key=lambda name: study.importance[name])

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        bare(axes)
        axes.barh([short(name) for name in order], [study.importance[name] for name in order], color=COLOURS[0])
        axes.tick_params(length=0)
        axes.set_xlabel("share")

    told = "Shares of what tells the best trials from the others, by Optuna's PED-ANOVA; complete trials alone."
    size = (5.2, 0.9 + 0.26 * len(order))
    return rendered(f"{study.anchor}_importance", "What mattered", told, size, paint)


Point = tuple[Method, float, float]


def _draw_cost(
    axes: "Axes", contest: Contest, measure: Headline, points: Sequence[Point], alone: tuple[float, float] | None
) -> None:
    bare(axes)
    order = [method for method, _, _ in points]
    drawn = [point for point in points if not _is_far(point[0], measure, order)]
    front = [drawn[index] for index in pareto_front([(-x, measure.gain(y)) for _, x, y in drawn])]
    front.sort(key=lambda point: point[1])
    if len(front) > 1:
        axes.step([x for _, x, _ in front], [y for _, _, y in front], where="post", color=INK, linewidth=1, alpha=0.5)
    for method, x, y in drawn:
        shape, colour = mark(contest, method)
        axes.plot(x, y, shape, color=colour, markersize=6)
    named = {method.name: (x, y) for method, x, y in front}
    named |= {method.name: (x, y) for method, x, y in drawn if method.name == contest.baseline}
    if len(drawn) <= 8:
        named |= {method.name: (x, y) for method, x, y in drawn}
    if alone is not None:
        axes.plot(*alone, "s", color=INK, markersize=6)
        named[ALONE] = alone
    axes.margins(0.12)
    if not measure.higher_is_better:
        axes.invert_yaxis()
    _label(axes, named)
    axes.locator_params(nbins=6)


def _label(axes: "Axes", named: Mapping[str, tuple[float, float]]) -> None:
    """Names beside points, each moved up until it lies on none that was written before."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    line = 0.055 * (top - bottom)
    written: list[tuple[float, float]] = []
    for text, (x, y) in sorted(named.items(), key=lambda item: item[1][1] * math.copysign(1, top - bottom)):
        to_the_left = (x - left) / (right - left) > 0.6
        at = y
        while any(abs(at - other) < abs(line) and abs(x - place) < 0.35 * (right - left) for place, other in written):
            at += line
        written.append((x, at))
        axes.annotate(
            short(text),
            (x, at),
            xytext=(-6 if to_the_left else 6, 7),  # above the line of the front
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            va="center",
            fontsize=8,
        )


def short(name: str) -> str:
    """A row's name where there is little room."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def all_costs(comparisons: Sequence[Comparison]) -> Drawing | None:
    """Every row of several tables: margin against the time of a training; None with fewer than two rows."""
    rows = {(each.id, row.label): (row.costs.seconds, margin(row.means, each.tasks), row.costs.parameters)
            for each in comparisons for row, scores in zip(each.rows, each.ours, strict=True) if scores}  # fmt: skip
    points = [(name, seconds, value) for name, (seconds, value, _) in rows.items() if seconds and math.isfinite(value)]
    if len(points) < 2:
        return None
    unit, divisor = _unit(max(seconds for _, seconds, _ in points))
    tables = list(dict.fromkeys(name[0] for name, _, _ in points))

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        bare(axes)
        front = sorted((seconds, value, name) for name, seconds, value in points)
        front = [front[index] for index in sorted(pareto_front([(-x, y) for x, y, _ in front]))]
        axes.step([x / divisor for x, _, _ in front], [y for _, y, _ in front], where="post", color=INK, linewidth=1,
                  alpha=0.5)  # fmt: skip
        for index, table in enumerate(tables):
            own = [(seconds / divisor, value) for name, seconds, value in points if name[0] == table]
            axes.plot(*zip(*own, strict=True), MARKERS[index % len(MARKERS)], color=COLOURS[index % len(COLOURS)],
                      markersize=5, label=table)  # fmt: skip
        axes.margins(0.12)
        _label(axes, {f"{name[0]}: {name[1]}": (x / divisor, y) for x, y, name in front[-4:]})
        axes.set_xlabel(f"time of a training, {unit}")
        axes.set_ylabel(heading(MARGIN))
        figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8)

    told = "Means over seeds, of all tables' rows. The line is the Pareto front: no row is both better and cheaper."
    return rendered("findings_cost", "Margin against cost", told, (5.2, 3.8), paint)
