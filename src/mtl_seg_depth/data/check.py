"""Look at a data set before training on it.

Every file is decoded once. Damage does not stop the inspection: it is listed by file, and makes the exit code 1.
Statistics are exact, because they are taken from the counts of the 256 label values and disparity codes.
"""

import math
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mtl_seg_depth.data.miniscapes import READERS, SPLITS, DamagedFileError, scan_split
from mtl_seg_depth.data.packed import packs_of, verify
from mtl_seg_depth.drawing.data_sheet import draw_sheet
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import INVALID_CODE, DepthStatistics, depth_of_code
from mtl_seg_depth.tasks.semseg.labels import CLASS_NAMES, IGNORE_INDEX, NUM_CLASSES


class MeasuredDepth(NamedTuple):
    """Mean, standard deviation (of the population), least and greatest of the valid depths, in metres."""

    mean: float
    std: float
    min: float
    max: float


@dataclass(frozen=True)
class SplitInspection:
    """What the files of one split hold.

    `pictures` counts those whose files are all there; `sizes` counts files by (width, height). `label_counts` and
    `code_counts` are the pixels of every label and disparity code, int64 [256], over the files that can be read.
    """

    pictures: int
    sizes: Counter[tuple[int, int]]
    label_counts: NDArray[np.int64]
    code_counts: NDArray[np.int64]
    damaged: tuple[DamagedFileError, ...]

    @property
    def class_shares(self) -> NDArray[np.float64]:
        """Each class's share of the labelled pixels, float64 [19]; nan without labels."""
        counts = self.label_counts[:NUM_CLASSES]
        return counts / _or_nan(counts.sum())

    @property
    def ignored_share(self) -> float:
        """The share of pixels without a class; nan without labels."""
        return float(self.label_counts[IGNORE_INDEX] / _or_nan(self.label_counts.sum()))

    @property
    def invalid_share(self) -> float:
        """The share of pixels without a valid depth; nan without depth."""
        return float(self.code_counts[INVALID_CODE] / _or_nan(self.code_counts.sum()))

    @property
    def depth(self) -> MeasuredDepth | None:
        """Statistics over every valid pixel; None where there is none."""
        seen = np.flatnonzero(self.code_counts)
        seen = seen[seen != INVALID_CODE]
        if not len(seen):
            return None
        counts, metres = self.code_counts[seen], depth_of_code()[seen].astype(np.float64)
        mean = float(np.average(metres, weights=counts))
        variance = float(np.average((metres - mean) ** 2, weights=counts))
        return MeasuredDepth(mean, math.sqrt(variance), float(metres.min()), float(metres.max()))


@dataclass(frozen=True)
class Inspection:
    """What a data set holds, split by split, and the depth statistics that are `expected` of its training split."""

    root: Path
    splits: dict[str, SplitInspection]
    expected: DepthStatistics | None

    @property
    def damaged(self) -> list[DamagedFileError]:
        """Every file that cannot be used, with the reason."""
        return [error for split in self.splits.values() for error in split.damaged]

    def warnings(self) -> list[str]:
        """What is worth knowing before training, in plain words; damage is not repeated here."""
        found = []
        for name, split in self.splits.items():
            missing = [CLASS_NAMES[label] for label in np.flatnonzero(split.class_shares == 0)]
            if missing:
                found.append(f"{name}: no pixel of {', '.join(missing)}")
            if split.invalid_share > 0.5:
                found.append(f"{name}: {split.invalid_share:.0%} of the pixels have no valid depth")
        measured = self.splits["train"].depth
        if self.expected is not None and measured is not None:
            pairs = ((measured.mean, self.expected.mean), (measured.std, self.expected.std))
            if any(abs(here - there) > 0.05 * there for here, there in pairs):
                found.append(
                    f"the training split's depth has the mean {measured.mean:.4f} m and the deviation "
                    f"{measured.std:.4f} m, configured are {self.expected.mean} and {self.expected.std}; "
                    f"set data.depth_mean={measured.mean:.4f} data.depth_std={measured.std:.4f}"
                )
        return found


def inspect(
    root: Path,
    expected: DepthStatistics | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Inspection:
    """Decode every file of a data set and count what it holds; `workers` threads, one per CPU core by default.

    Raises UserError only where `root` is not a folder; every other fault is part of the result.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; name the one that holds {', '.join(SPLITS)}")
    threads = workers or len(os.sched_getaffinity(0))
    return Inspection(root, {split: _inspect_split(root, split, threads, progress) for split in SPLITS}, expected)


def _inspect_split(root: Path, split: str, workers: int, progress: bool) -> SplitInspection:
    counts = {kind: np.zeros(256, np.int64) for kind in ("semseg", "depth")}
    sizes: dict[Path, tuple[int, int]] = {}
    try:
        files, damaged = scan_split(root, split)
    except DamagedFileError as error:
        return SplitInspection(0, Counter(), counts["semseg"], counts["depth"], (error,))
    if not files.ids:
        damaged.append(DamagedFileError(root / split / "rgb", "holds no pictures"))

    def read(kind: str, path: Path) -> tuple[tuple[int, int], NDArray[np.int64]] | DamagedFileError:
        try:
            pixels = READERS[kind](path)
        except DamagedFileError as error:
            return error
        counted = np.bincount(pixels.ravel(), minlength=256) if kind in counts else np.empty(0, np.int64)
        return (pixels.shape[1], pixels.shape[0]), counted

    tasks = [(kind, path) for kind, paths in files.by_kind.items() for path in paths]
    with ThreadPoolExecutor(workers) as executor:
        results = executor.map(read, *zip(*tasks, strict=True)) if tasks else iter(())
        console = Console(stderr=True, quiet=not progress)
        shown = track(results, split, total=len(tasks), console=console, transient=True, disable=not progress)
        for (kind, path), result in zip(tasks, shown, strict=True):
            if isinstance(result, DamagedFileError):
                damaged.append(result)
                continue
            sizes[path], counted = result
            if kind in counts:
                counts[kind] += counted
    by_size = Counter(sizes.values())
    for path, size in sizes.items():
        usual = by_size.most_common(1)[0][0]
        if size != usual:
            reason = f"is {size[0]} x {size[1]} pixels, but most of the split is {usual[0]} x {usual[1]}"
            damaged.append(DamagedFileError(path, reason))
    return SplitInspection(len(files.ids), by_size, counts["semseg"], counts["depth"], tuple(damaged))


def print_inspection(console: Console, inspection: Inspection) -> None:
    """Print an inspection as tables, then what is worth a warning, then every damaged file."""
    overview = Table(title=str(inspection.root), title_justify="left")
    for heading in ("", *inspection.splits, "configured"):
        overview.add_column(heading, justify="right" if heading else "left")
    splits = inspection.splits.values()
    depths = [split.depth for split in splits]
    expected = inspection.expected
    overview.add_row("pictures", *(str(split.pictures) for split in splits))
    overview.add_row("size", *(", ".join(f"{w} x {h}" for w, h in split.sizes) for split in splits))
    overview.add_row("damaged files", *(str(len(split.damaged)) for split in splits))
    overview.add_row("ignored pixels", *(_percent(split.ignored_share) for split in splits))
    overview.add_row("pixels without depth", *(_percent(split.invalid_share) for split in splits))
    for field in MeasuredDepth._fields:
        cells = ["-" if depth is None else f"{getattr(depth, field):.4f}" for depth in depths]
        configured = "-" if expected is None else f"{getattr(expected, field):.4f}"
        overview.add_row(f"depth {field}, m", *cells, configured)
    console.print(overview)

    classes = Table(title="share of the labelled pixels", title_justify="left")
    for heading in ("class", *inspection.splits):
        classes.add_column(heading, justify="left" if heading == "class" else "right")
    for label, name in enumerate(CLASS_NAMES):
        classes.add_row(name, *(_percent(split.class_shares[label]) for split in splits))
    console.print(classes)

    for warning in inspection.warnings():
        _print_line(console, f"warning: {warning}")
    for error in inspection.damaged:
        _print_line(console, f"damaged: {error}")


def _or_nan(total: np.int64) -> float:
    return float(total) if total else math.nan


def _print_line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)  # a path stays in one piece


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.2%}"


def check(
    console: Console,
    root: Path,
    expected: DepthStatistics | None,
    *,
    picture: Path | None = None,
    cache: Path | None = None,
) -> int:
    """Inspect a data set, print what it holds, and return the exit code: 0 where it is clean, 1 where it is damaged.

    Args:
        console: where to print.
        root: the folder with train/, val/ and test/.
        expected: configured statistics to compare the training split's depth with.
        picture: a PNG to draw some training pictures into.
        cache: folder with packs; those of this data set are read whole and compared with what was packed.

    Raises UserError for a missing root, and a picture that cannot be written.
    """
    if picture is not None and (picture.suffix != ".png" or not picture.resolve().parent.is_dir()):
        raise UserError(f"picture={picture}: a file ending in .png, in a folder that exists")
    inspection = inspect(root, expected)
    print_inspection(console, inspection)
    packs_whole = cache is None or _verify_packs(console, root, cache)
    if picture is not None:
        files, _ = scan_split(root, "train")
        draw_sheet(files, picture, leave_out={error.path for error in inspection.damaged})
    return 0 if packs_whole and not inspection.damaged else 1


def _verify_packs(console: Console, root: Path, cache: Path) -> bool:
    """Read every pack of a data set and report on it; whether all are as they were packed."""
    whole = True
    for folder in packs_of(root, cache):
        try:
            verify(folder)
        except UserError as error:
            whole = False
            _print_line(console, f"damaged: {error}")
        else:
            _print_line(console, f"as it was packed: {folder}")
    return whole
