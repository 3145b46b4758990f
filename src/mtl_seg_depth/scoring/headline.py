"""Every score that runs are chosen and compared by, and which of two runs is better: nobody else decides that.

`multitask` is the report's grade of all tasks together: what each headline score has beyond its pivot, added up. Short
trainings often stand at its floor of 0, where `margin` still tells two of them apart: the headline scores added up,
each turned so that higher is better (mean IoU less SI-log). A score that is missing or not finite is worse than any.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from mtl_seg_depth.tasks import HEADLINES
from mtl_seg_depth.tasks.headline import Headline

MULTITASK = Headline("multitask", "multitask", "multitask", "", higher_is_better=True)
MARGIN = Headline("margin", "margin", "margin", "", higher_is_better=True)

Rank = tuple[float, float]
"""The multitask score, then the margin; higher is better."""

WORST: Rank = (-math.inf, -math.inf)
"""Of what is never the best."""


def shown(tasks: Collection[str] | None = None) -> list[Headline]:
    """What tables show: the multitask score, then the tasks' own; of all tasks, or of some."""
    return [MULTITASK, *(headline for key, headline in HEADLINES.items() if tasks is None or key in tasks)]


def objectives() -> dict[str, Headline]:
    """What can be compared by, by name."""
    return {headline.key: headline for headline in (*shown(), MARGIN)}


def direction(key: str) -> Literal["maximize", "minimize"]:
    """Which way an objective is better, in Optuna's words."""
    return "maximize" if objectives()[key].higher_is_better else "minimize"


def picked(metrics: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    """The scores that `shown` names, out of all that is measured, without the prefix of their names there."""
    return {each.key: metrics[prefix + each.key] for each in shown() if prefix + each.key in metrics}


def in_words(metrics: Mapping[str, float], prefix: str = "val/") -> str:
    """The tasks' headline scores in one line, such as `mIoU 29.77 %, SI-log 36.32`; empty if there are none."""
    found = [(HEADLINES[key], score) for key, score in picked(metrics, prefix).items() if key in HEADLINES]
    return ", ".join(f"{each.short} {score:.2f}{each.unit and f' {each.unit}'}" for each, score in found)


def multitask(scores: Mapping[str, float | None]) -> float:
    """The multitask score of the tasks' headline scores: one that is missing or nan adds nothing, none makes up for an
    infinite one."""
    if any(score is not None and math.isinf(score) for key, score in scores.items() if key in HEADLINES):
        return -math.inf
    return sum((HEADLINES[key].points(value) for key, value in _finite(scores).items()), 0.0)


def margin(scores: Mapping[str, float | None], tasks: Iterable[str] | None = None) -> float:
    """The margin of some tasks' headline scores, of all by default; nan if any of them is missing or infinite."""
    known = _finite(scores)
    wanted = list(HEADLINES if tasks is None else tasks)
    if not wanted or any(task not in known for task in wanted):
        return math.nan
    return sum((HEADLINES[task].gain(known[task]) for task in wanted), 0.0)


def value(key: str, scores: Mapping[str, float | None]) -> float:
    """One objective, of scores as `picked` returns them; nan where it does not exist or is infinite."""
    if key == MARGIN.key:
        return margin(scores)
    found = scores.get(key)
    return found if found is not None and math.isfinite(found) else math.nan


def gain(key: str, found: float | None) -> float:
    """A value of an objective turned so that higher is better; -inf for one that is missing or not finite."""
    return objectives()[key].gain(found) if found is not None and math.isfinite(found) else -math.inf


def worst(key: str) -> float:
    """The value of an objective that any other is better than."""
    return -math.inf if objectives()[key].higher_is_better else math.inf


def rank(scores: Mapping[str, float | None], tasks: Iterable[str] | None = None) -> Rank:
    """For choosing the best of several trainings or validations of the same tasks (of all by default)."""
    of_all = margin(scores, tasks)
    return (multitask(scores), of_all) if math.isfinite(of_all) else WORST


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that no other beats, which is as good in everything and better in something.

    Higher is better; a point with a value that is not finite is never on the front.
    """
    known = [index for index, point in enumerate(points) if all(map(math.isfinite, point))]

    def beats(one: Sequence[float], other: Sequence[float]) -> bool:
        pairs = list(zip(one, other, strict=True))
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    return [index for index in known if not any(beats(points[other], points[index]) for other in known)]


def _finite(scores: Mapping[str, float | None]) -> dict[str, float]:
    """The tasks' scores that are numbers."""
    return {key: v for key, v in scores.items() if key in HEADLINES and v is not None and math.isfinite(v)}
