"""Look at a data set before training on it.

Every file is decoded once. Damage does not stop the inspection: it is listed by file, and makes the exit code 1.
Statistics are exact, because they are taken from the counts of all stored codes. What `checks` says of a sample of the
images follows; a verdict that asks for a look makes the exit code 3 where checks are to be strict.
"""

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.config import Paths, Section
from mtl_seg_depth.data.checks import Verdict, examine, leaks
from mtl_seg_depth.data.checks.leaks import Glance, glance
from mtl_seg_depth.data.checks.verdict import LOOK
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.files import IMAGE, DamagedFileError, Entry
from mtl_seg_depth.data.packed import packs_of, verify
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.nodes import Node
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.machine import usable_cores
from mtl_seg_depth.tasks.depth.codec import DepthSpec
from mtl_seg_depth.tasks.semseg.classes import Classes

_TRIED: Final = 3
"""Files of a kind that have to be unusable, one after the other, for the rest to be left out."""
_LISTED: Final = 50
"""Damaged files that are named."""
_BARS: Final = 10
"""Of a histogram."""
_STYLES: Final = {"ok": "green", LOOK: "bold red", "not checked": "dim"}


class InspectionSettings(Section):
    """What `check_data.py` composes."""

    data: Node
    images: int | None
    picture: str | None
    strict: bool
    verify: bool
    paths: Paths


class MeasuredDepth(NamedTuple):
    """Mean, standard deviation (of the population), least and greatest of the valid depths, in metres."""

    mean: float
    std: float
    min: float
    max: float


@dataclass(frozen=True)
class SplitInspection:
    """What the files of one split hold.

    `images` counts those whose files are all there; `sizes` counts files by (width, height). `counts` are the pixels of
    every stored code by target, int64 [2 ** bits], over the files that can be read. `glances` are what is kept of the
    images, to find them in another split.
    """

    spec: DataSpec
    images: int
    sizes: Counter[tuple[int, int]]
    counts: dict[str, NDArray[np.int64]]
    damaged: tuple[DamagedFileError, ...]
    glances: tuple[Glance, ...] = ()

    def class_shares(self, target: str) -> NDArray[np.float64]:
        """Each class's share of the labelled pixels of a target with classes, float64 [C]; nan without labels."""
        counts = self.counts[target][: len(self.spec.targets[target])]
        return counts / _or_nan(counts.sum())

    def ignored_share(self, target: str) -> float:
        """The share of pixels that count for nothing; nan without labels."""
        spec = self.spec.targets[target]
        code = spec.ignore_index if isinstance(spec, Classes) else 0
        return float(self.counts[target][code] / _or_nan(self.counts[target].sum()))

    def outside_share(self, target: str) -> float:
        """The share of a target's depths that lie beyond the configured range."""
        spec = self.spec.targets[target]
        stored, valid = (~np.isnan(table) for table in (spec.codec.table(), spec.table()))
        counts = self.counts[target][: len(stored)]
        return float(counts[stored & ~valid].sum() / max(1, counts[stored].sum()))

    def depth(self, target: str) -> MeasuredDepth | None:
        """Statistics over every valid pixel of a target of depths; None if there is none."""
        table = self.spec.targets[target].codec.table().astype(np.float64)
        seen = np.flatnonzero(self.counts[target])
        seen = seen[~np.isnan(table[seen])]
        if not len(seen):
            return None
        counts, metres = self.counts[target][seen], table[seen]
        mean = float(np.average(metres, weights=counts))
        variance = float(np.average((metres - mean) ** 2, weights=counts))
        return MeasuredDepth(mean, math.sqrt(variance), float(metres.min()), float(metres.max()))


@dataclass(frozen=True)
class Inspection:
    """What a data set holds, split by split, beside what it says of itself."""

    root: Path
    spec: DataSpec
    splits: dict[str, SplitInspection]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def alarms(self) -> list[Verdict]:
        """The verdicts that ask for a look."""
        return [verdict for verdict in self.verdicts if verdict.mark == LOOK]

    @property
    def damaged(self) -> list[DamagedFileError]:
        """Every file that cannot be used, with the reason."""
        return [error for split in self.splits.values() for error in split.damaged]

    def of_type(self, kind: type) -> list[str]:
        """The targets whose spec is of this type."""
        return [name for name, spec in self.spec.targets.items() if isinstance(spec, kind)]

    def warnings(self) -> list[str]:
        """What is worth knowing before training, in plain words; damage is not repeated here."""
        found = []
        for name, split in self.splits.items():
            for target in self.of_type(Classes):
                names = self.spec.targets[target].names
                if split.ignored_share(target) == 1:
                    found.append(f"{name}: every pixel is ignored; are its labels train ids?")
                elif missing := [names[label] for label in np.flatnonzero(split.class_shares(target) == 0)]:
                    found.append(f"{name}: no pixel of {', '.join(missing)}")
            for target in self.of_type(DepthSpec):
                if split.ignored_share(target) > 0.5:
                    found.append(f"{name}: {split.ignored_share(target):.0%} of the pixels have no valid depth")
                if outside := split.outside_share(target):
                    valid = self.spec.targets[target].statistics
                    found.append(
                        f"{name}: {outside:.2%} of the depths are nearer than data.depth_min={valid.min:g} or farther "
                        f"than data.depth_max={valid.max:g}, and count for nothing"
                    )
        for target in self.of_type(DepthSpec):
            expected = self.spec.targets[target].statistics
            measured = self.splits["train"].depth(target)
            pairs = ((measured.mean, expected.mean), (measured.std, expected.std)) if measured else ()
            if measured and any(there is None or abs(here - there) > 0.05 * there for here, there in pairs):
                found.append(
                    f"the training split's depth has the mean {measured.mean:.4f} m and the deviation "
                    f"{measured.std:.4f} m, configured are {_or_null(expected.mean)} and {_or_null(expected.std)}; "
                    f"set data.depth_mean={measured.mean:.4f} data.depth_std={measured.std:.4f}"
                )
        return found


def inspect(data: DataSet, *, images: int | None = None, progress: bool = True) -> Inspection:
    """Decode every file of a data set and count what it holds, in `data.workers` threads, one per core by default.

    With `images`, so many of each split, spread evenly. Raises UserError only if its root is not a folder; every other
    fault is part of the result.
    """
    if images is not None and images < 1:
        raise UserError(f"images={images}: at least 1 of each split, or null for all")
    if not data.root.is_dir():
        raise UserError(f"{data.root} is not a folder; set data.root=<folder> to where the data is")
    splits = {split: _inspect_split(data, split, images, progress) for split in data.splits}
    glances = {name: split.glances for name, split in splits.items()}
    sequences = {
        name: {sequence for each in seen if (sequence := data.sequence(each.entry)) is not None}
        for name, seen in glances.items()
    }
    verdicts = [*examine(data, progress=progress), *leaks.check(glances, sequences)]
    return Inspection(data.root, data.spec, splits, tuple(verdicts))


def _inspect_split(data: DataSet, split: str, images: int | None, progress: bool) -> SplitInspection:
    sizes: dict[Entry, tuple[int, int]] = {}
    try:
        files, damaged = data.scan(split)
    except DamagedFileError as error:
        nothing = {name: np.zeros(2**16, np.int64) for name in data.spec.targets}
        return SplitInspection(data.spec, 0, Counter(), nothing, (error,))
    if not files.ids:
        damaged.append(DamagedFileError(data.root / split / IMAGE, "holds no images"))
    bits = {kind: files.readers[kind].bits if kind in files.readers else 8 for kind in data.spec.targets}
    counts = {kind: np.zeros(2**of_kind, np.int64) for kind, of_kind in bits.items()}

    def read(kind: str, path: Entry) -> _Read | DamagedFileError:
        try:
            pixels = files.readers[kind](path)
        except DamagedFileError as error:
            return error
        size = (pixels.shape[1], pixels.shape[0])
        if kind in counts:
            return _Read(size, np.bincount(pixels.ravel(), minlength=len(counts[kind])), None)
        return _Read(size, None, glance(path, pixels) if kind == IMAGE else None)

    tasks = []
    for kind, paths in files.paths.items():
        chosen = paths if images is None else [paths[row] for row in _spread(len(paths), images)]
        first = [each for path in chosen[:_TRIED] if isinstance(each := read(kind, path), DamagedFileError)]
        if len(first) == _TRIED < len(chosen):  # a mistake about all of them: thousands of messages would say the same
            damaged += first
            rest = f"the {len(chosen) - _TRIED} others were not read, as these {_TRIED} cannot be used"
            damaged.append(DamagedFileError(first[0].path, f"{kind} of the {split} split: {rest}"))
        else:
            tasks += [(kind, path) for path in chosen]
    glances = []
    with ThreadPoolExecutor(data.workers or usable_cores()) as executor:
        results = executor.map(read, *zip(*tasks, strict=True)) if tasks else iter(())
        console = Console(stderr=True, quiet=not progress, markup=False)
        shown = track(results, split, total=len(tasks), console=console, transient=True, disable=not progress)
        for (kind, path), result in zip(tasks, shown, strict=True):
            if isinstance(result, DamagedFileError):
                damaged.append(result)
                continue
            sizes[path] = result.size
            if result.counts is not None:
                counts[kind] += result.counts
            if result.glance is not None:
                glances.append(result.glance)
    by_size = Counter(sizes.values())
    for path, size in sizes.items():
        usual = by_size.most_common(1)[0][0]
        if size != usual:
            reason = f"is {size[0]} x {size[1]} pixels, but most of the split is {usual[0]} x {usual[1]}"
            damaged.append(DamagedFileError(path, reason))
    return SplitInspection(data.spec, len(files.ids), by_size, counts, tuple(damaged), tuple(glances))


class _Read(NamedTuple):
    """What is kept of a file: width and height, pixels of every code, the image at a glance."""

    size: tuple[int, int]
    counts: NDArray[np.int64] | None
    glance: Glance | None


def _spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` rows, evenly."""
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()))


def print_inspection(console: Console, inspection: Inspection) -> None:
    """Print an inspection as tables, then what is worth a warning, then every damaged file."""
    splits = inspection.splits.values()
    overview = Table(title=Text(str(inspection.root)), title_justify="left")
    for heading in ("", *inspection.splits, "configured"):
        overview.add_column(heading, justify="right" if heading else "left")
    overview.add_row("images", *(str(split.images) for split in splits))
    overview.add_row("size", *(", ".join(f"{w} x {h}" for w, h in split.sizes) for split in splits))
    overview.add_row("damaged files", *(str(len(split.damaged)) for split in splits))
    for target in inspection.of_type(Classes):
        overview.add_row("ignored pixels", *(_percent(split.ignored_share(target)) for split in splits))
    for target in inspection.of_type(DepthSpec):
        overview.add_row("pixels without depth", *(_percent(split.ignored_share(target)) for split in splits))
        depths = [split.depth(target) for split in splits]
        for field in MeasuredDepth._fields:
            cells = ["-" if depth is None else f"{getattr(depth, field):.4f}" for depth in depths]
            configured = getattr(inspection.spec.targets[target].statistics, field)
            overview.add_row(f"depth {field}, m", *cells, "-" if configured is None else f"{configured:.4f}")
    console.print(overview)

    for target in inspection.of_type(Classes):
        classes = Table(title="share of the labelled pixels", title_justify="left")
        for heading in ("class", *inspection.splits):
            classes.add_column(heading, justify="left" if heading == "class" else "right")
        shares = [split.class_shares(target) for split in splits]
        for label, name in enumerate(inspection.spec.targets[target].names):
            classes.add_row(Text(name), *(_percent(share[label]) for share in shares))
        console.print(classes)

    for target in inspection.of_type(DepthSpec):
        _print_depth(console, inspection.splits["train"], target)
    for warning in inspection.warnings():
        _print_line(console, f"warning: {warning}")
    for error in inspection.damaged[:_LISTED]:
        _print_line(console, f"damaged: {error}")
    if len(inspection.damaged) > _LISTED:
        _print_line(console, f"damaged: and {len(inspection.damaged) - _LISTED} files more")
    _print_verdicts(console, inspection.verdicts)


def _print_depth(console: Console, train: SplitInspection, target: str) -> None:
    """The histogram of the training split's depths, and the overrides that say its statistics."""
    measured = train.depth(target)
    if measured is None:
        return
    metres = train.spec.targets[target].codec.table().astype(np.float64)[: len(train.counts[target])]
    counts = train.counts[target][: len(metres)]
    seen = ~np.isnan(metres)
    edges = np.geomspace(measured.min, max(measured.max, measured.min * 1.01) * (1 + 1e-9), _BARS + 1)
    shares = np.histogram(metres[seen], edges, weights=counts[seen])[0] / counts[seen].sum()
    histogram = Table(title="depth of the training split", title_justify="left", show_header=False, box=None)
    for near, far, share in zip(edges, edges[1:], shares, strict=False):
        bar = "\u2588" * round(40 * share / shares.max())
        histogram.add_row(f"{near:.3g} to {far:.3g} m", Text(f"{share:.1%}", justify="right"), bar)
    console.print(histogram)
    _print_line(console, f"to paste: data.depth_mean={measured.mean:.4f} data.depth_std={measured.std:.4f}")


def _print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """One row a check: its mark, what it is about, and what was measured."""
    table = Table(title="what it means, from a sample", title_justify="left", show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(min_width=10)
    table.add_column(overflow="fold")
    for verdict in verdicts:
        style = _STYLES[verdict.mark]
        table.add_row(Text(verdict.mark, style=style), Text(verdict.about), Text(verdict.words))
    console.print(table)


def _or_nan(total: np.int64) -> float:
    return float(total) if total else math.nan


def _or_null(configured: float | None) -> float | str:
    return "null" if configured is None else configured


def _print_line(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)  # a path stays in one piece


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.2%}"


def verify_packs(console: Console, data: DataSet) -> bool:
    """Read every pack of a data set and report on it; whether all are as they were packed."""
    whole = True
    for folder in packs_of(data.root, data.cache):
        try:
            verify(folder)
        except UserError as error:
            whole = False
            _print_line(console, f"damaged: {error}")
        else:
            _print_line(console, f"as it was packed: {folder}")
    return whole
