"""Whether classes lie where a street has them, and if not, which other reading of the labels would put them there."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.checks.sample import Sample
from mtl_seg_depth.data.checks.verdict import FEWEST, LOOK, Verdict, unchecked
from mtl_seg_depth.data.cityscapes_classes import CATEGORIES, CITYSCAPES, stored_labels
from mtl_seg_depth.tasks.semseg.classes import Classes

ABOUT: Final = "classes"

_BINS: Final = 24
"""Of rows."""
_LIKELIER: Final = 0.4
"""Nats a pixel by which another reading has to be likelier."""
_IGNORED: Final = math.log(0.05)
_SHIFTS: Final = (-3, -2, -1, 1, 2, 3)

_PLACES: Final[Mapping[str, tuple[float, float, float]]] = {
    "road": (0.36, 0.77, 0.15),
    "flat": (0.40, 0.76, 0.15),
    "sidewalk": (0.04, 0.66, 0.13),
    "building": (0.22, 0.28, 0.16),
    "construction": (0.23, 0.29, 0.17),
    "wall": (0.006, 0.46, 0.1),
    "fence": (0.006, 0.49, 0.1),
    "guard rail": (0.006, 0.49, 0.1),
    "pole": (0.012, 0.33, 0.16),
    "object": (0.018, 0.33, 0.16),
    "traffic light": (0.002, 0.3, 0.12),
    "traffic sign": (0.004, 0.35, 0.12),
    "vegetation": (0.15, 0.27, 0.17),
    "tree": (0.1, 0.25, 0.17),
    "nature": (0.16, 0.29, 0.18),
    "terrain": (0.01, 0.64, 0.14),
    "sky": (0.06, 0.12, 0.12),
    "person": (0.009, 0.49, 0.1),
    "human": (0.01, 0.49, 0.1),
    "rider": (0.002, 0.47, 0.1),
    "car": (0.1, 0.57, 0.12),
    "van": (0.01, 0.5, 0.12),
    "truck": (0.003, 0.44, 0.12),
    "bus": (0.003, 0.44, 0.12),
    "train": (0.003, 0.42, 0.12),
    "motorcycle": (0.001, 0.55, 0.1),
    "bicycle": (0.002, 0.54, 0.1),
    "vehicle": (0.12, 0.55, 0.13),
}
"""By class: share of the pixels, middle and deviation of its rows (0 the top, 1 the bottom), as the embedded scenes
have it, rounded, and with deviations that leave room for other cameras. A likelihood: only large mistakes count.
"""
_ANY: Final = (0.01, 0.5, 0.3)
_TELLING: Final = (("road", "flat"), ("sky",), ("vegetation", "nature", "tree"), ("building", "construction"))


@dataclass(frozen=True)
class _Reading:
    """Another reading of what is stored.

    Attributes:
        words: what the labels then look like.
        table: of what is stored.
        upturned: the whole image stands on its head.
    """

    words: str
    table: Mapping[int, int]
    upturned: bool = False


def check(sample: Sample) -> tuple[list[Verdict], Sample]:
    """The verdict on where classes lie, and the sample with the labels read as they are meant."""
    classes = sample.classes
    if classes is None:
        return [unchecked(ABOUT, "there are no labels")], sample
    names = {name.lower() for name in classes.names}
    if sum(any(each in names for each in group) for group in _TELLING) < 2:
        return [unchecked(ABOUT, "no road, sky, vegetation or building is among the classes")], sample
    looks = [look for look in sample.looks if look.stored is not None]
    if len(looks) < FEWEST:
        return [unchecked(ABOUT, f"{len(looks)} images have labels; it takes {FEWEST}")], sample
    assert sample.table is not None
    values = np.unique(np.concatenate([np.unique(look.stored) for look in looks if look.stored is not None]))
    counts = np.zeros((len(values), _BINS))
    for look in looks:
        assert look.stored is not None
        rows = np.arange(len(look.stored)) * _BINS // len(look.stored)
        place = np.searchsorted(values, look.stored)
        counts += np.bincount((place * _BINS + rows[:, None]).ravel(), minlength=counts.size).reshape(counts.shape)
    counts /= counts.sum()
    expected = _expected(classes)
    here = _likelihood(counts, values, sample.table, expected)
    best, likelihood = None, here + _LIKELIER
    for reading in _readings(sample):
        found = _likelihood(counts[:, ::-1] if reading.upturned else counts, values, reading.table, expected)
        if found > likelihood:
            best, likelihood = reading, found
    if best is not None:
        meant = _where(counts[:, ::-1] if best.upturned else counts, values, best.table, classes)
        words = f"{best.words}: as it is read, {_where(counts, values, sample.table, classes)}; read so, {meant}"
        meant_so = sample.read_as(best.table)
        return [Verdict(LOOK, ABOUT, words)], meant_so.upturned() if best.upturned else meant_so
    misplaced = _misplaced(counts, values, sample.table, classes)
    words = _where(counts, values, sample.table, classes)
    if misplaced:
        return [Verdict(LOOK, ABOUT, f"{misplaced}; are these the classes of a street? ({words})")], sample
    return [Verdict("ok", ABOUT, words)], sample


def _readings(sample: Sample) -> Iterator[_Reading]:
    """What people store by mistake."""
    classes, table = sample.classes, sample.table
    assert classes is not None and table is not None
    if sample.ids and classes in (CITYSCAPES, CATEGORIES):
        for train_ids, is_, read in ((True, "train ids", "label ids"), (False, "label ids", "train ids")):
            other = dict(stored_labels(train_ids=train_ids, categories=classes == CATEGORIES))
            if {key: value for key, value in other.items() if value < len(classes)} != {
                key: value for key, value in table.items() if value < len(classes)
            }:
                yield _Reading(f"the labels look like {is_}, read as {read}", other)
    for step in _SHIFTS:
        amount = f"{abs(step)} too {'high' if step > 0 else 'low'}"
        shifted = {
            key: (value - step) % len(classes) if 0 <= value < len(classes) else value for key, value in table.items()
        }
        yield _Reading(f"the labels look shifted: the class of every pixel is {amount} in the table", shifted)
        if sample.ids:
            moved = {key + step: value for key, value in table.items()}
            yield _Reading(f"the labels look shifted: ids in the files are {amount}", moved)
    backwards = {key: len(classes) - 1 - value if 0 <= value < len(classes) else value for key, value in table.items()}
    yield _Reading("the classes look as if their table was the other way round", backwards)
    yield _Reading("images and labels stand on their heads", table, upturned=True)


def _expected(classes: Classes) -> NDArray[np.float64]:
    """Log-likelihood of every class in every bin of rows, float64 [C, bins]."""
    rows = (np.arange(_BINS) + 0.5) / _BINS
    found = []
    for name in classes.names:
        share, middle, deviation = _PLACES.get(name.lower(), _ANY)
        density = np.exp(-0.5 * ((rows - middle) / deviation) ** 2) + 1e-3
        found.append(np.log(share * density / density.mean()))
    return np.stack(found)


def _likelihood(
    counts: NDArray[np.float64], values: NDArray[np.int64], table: Mapping[int, int], expected: NDArray[np.float64]
) -> float:
    """Mean over the pixels."""
    total = 0.0
    for value, of_value in zip(values.tolist(), counts, strict=True):
        label = table.get(value, -1)
        total += float((of_value * (expected[label] if 0 <= label < len(expected) else _IGNORED)).sum())
    return total


def _rows(
    counts: NDArray[np.float64], values: NDArray[np.int64], table: Mapping[int, int], labels: set[int]
) -> tuple[float, float]:
    """Share of all pixels, and the mean row, of classes."""
    of = counts[[table.get(value, -1) in labels for value in values.tolist()]].sum(axis=0)
    rows = (np.arange(_BINS) + 0.5) / _BINS
    return float(of.sum()), float((of * rows).sum() / of.sum()) if of.sum() else math.nan


def _where(counts: NDArray[np.float64], values: NDArray[np.int64], table: Mapping[int, int], classes: Classes) -> str:
    """In words: how much there is of the telling classes, and how far down."""
    told = []
    for group in _TELLING:
        for label, name in enumerate(classes.names):
            if name.lower() in group:
                share, row = _rows(counts, values, table, {label})
                told.append(f"{name} {share:.0%}" + (f" at {row:.0%} of the height" if share >= 0.005 else ""))
    ignored = 1 - _rows(counts, values, table, set(range(len(classes))))[0]
    return ", ".join([*told, f"ignored {ignored:.0%}"])


def _misplaced(
    counts: NDArray[np.float64], values: NDArray[np.int64], table: Mapping[int, int], classes: Classes
) -> str:
    """A class that lies where no street has it."""
    for label, name in enumerate(classes.names):
        share, row = _rows(counts, values, table, {label})
        if name.lower() in ("road", "flat") and share > 0.02 and row < 0.5:
            return f"{name} lies in the upper half, at {row:.0%} of the height"
        if name.lower() == "sky" and share > 0.02 and row > 0.5:
            return f"{name} lies in the lower half, at {row:.0%} of the height"
    return ""
