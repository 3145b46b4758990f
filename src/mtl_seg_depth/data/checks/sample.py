"""A sample of a data set's images, small, with what their files say before any class or range is applied to it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.files import IMAGE, DamagedFileError, Entry, FileReader, SplitFiles
from mtl_seg_depth.data.patterns import order
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.reading.resizing import nearest
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.machine import usable_cores
from mtl_seg_depth.tasks.depth.codec import DepthSpec
from mtl_seg_depth.tasks.semseg.classes import Classes

MOST: Final = 192
"""Images that are looked at."""
RUN: Final = 8
"""Of them follow each other in the order of their names, so that shifted pairs are found."""
WIDTH: Final = 320
"""Pixels; the width that a larger image is looked at in."""

LEAST: Final = (48, 96)
"""Height and width, below which nothing is said."""

UNKNOWN: Final = -1
"""A colour that is not in the table of classes."""


@dataclass(frozen=True)
class Look:
    """One image and its targets in one small size.

    Attributes:
        image: uint8 [H, W, 3].
        stored: what stands in the file of labels, int64 [H, W]; classes for masks of colours. None without.
        metres: float64 [H, W], whatever the configured range; nan where there is none. None without depth.
        focal: focal length in image widths of the camera that depth is read with; None where nothing says it.
    """

    image: NDArray[np.uint8]
    stored: NDArray[np.int64] | None
    metres: NDArray[np.float64] | None
    focal: float | None

    def upturned(self) -> "Look":
        """Upside down."""
        stored = None if self.stored is None else self.stored[::-1]
        metres = None if self.metres is None else self.metres[::-1]
        return replace(self, image=self.image[::-1], stored=stored, metres=metres)


@dataclass(frozen=True)
class Sample:
    """What checks look at.

    Attributes:
        looks: in the order of the images' names.
        classes: None without labels.
        table: the class of what is stored in the files of labels.
        ids: what is stored are ids, not colours.
        depth: None without depth.
        encoding: what stored depths are read as: `metres`, `disparity` or `inverse`.
        has_unit: metres are metres.
    """

    looks: Sequence[Look]
    classes: Classes | None = None
    table: Mapping[int, int] | None = None
    ids: bool = True
    depth: DepthSpec | None = None
    encoding: str = "metres"
    has_unit: bool = True

    def read_as(self, table: Mapping[int, int]) -> "Sample":
        """With other classes for what is stored."""
        return replace(self, table=table)

    def upturned(self) -> "Sample":
        """With everything turned upside down."""
        return replace(self, looks=[each.upturned() for each in self.looks])

    @cached_property
    def labels(self) -> list[NDArray[np.int64] | None]:
        """Classes of every look, int64 [H, W]; those that are ignored, and what is not in the table, are -1."""
        assert self.table is not None or self.classes is None
        return [None if look.stored is None else self._classes(look.stored) for look in self.looks]

    def _classes(self, stored: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.table is not None and self.classes is not None
        values, places = np.unique(stored, return_inverse=True)
        found = [self.table.get(int(value), UNKNOWN) for value in values]
        known = [each if 0 <= each < len(self.classes) else UNKNOWN for each in found]
        return np.array(known, np.int64)[places].reshape(stored.shape)

    def masks(self, *names: str) -> list[NDArray[np.bool_] | None]:
        """Of every look, where a class of one of these names is; None for a look without labels."""
        ids = [] if self.classes is None else [i for i, name in enumerate(self.classes.names) if name.lower() in names]
        return [None if labels is None else np.isin(labels, ids) for labels in self.labels]

    def named(self, *names: str) -> bool:
        """Whether there is a class of one of these names."""
        return self.classes is not None and any(name.lower() in names for name in self.classes.names)


def take(data: DataSet, *, progress: bool = True) -> Sample:
    """Read a sample of all splits; what cannot be read is left out, as the inspection names it."""
    splits = []
    for split in data.splits:
        try:
            splits.append(data.scan(split)[0])
        except UserError:
            continue
    pool = [
        (files, {kind: paths[row] for kind, paths in files.paths.items()})
        for files in splits
        for row in range(len(files.ids))
    ]
    pool.sort(key=lambda each: order((str(each[1][IMAGE]),)))
    chosen = [pool[row] for row in _rows(len(pool))]
    labels = _target(data, Classes)
    depth = _target(data, DepthSpec)
    readers: dict[str, FileReader] = {}
    for files in splits:
        readers |= files.readers
    size = _size(chosen)

    def look(each: tuple[SplitFiles, dict[str, Entry]]) -> Look | None:
        files, entries = each
        image = _read(files.readers[IMAGE], entries[IMAGE])
        if image is None:
            return None
        small = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))
        stored = metres = focal = None
        if labels in entries:
            stored = _or_none(lambda: _stored_labels(files.readers[labels], entries[labels]))
        if depth in entries:
            reader = files.readers[depth]
            metres = _or_none(lambda: _metres(reader, entries[depth], data.spec.targets[depth]))
            if isinstance(reader, DepthReader) and metres is not None:
                focal = reader.focal(entries[depth])
        return Look(
            small,
            None if stored is None else nearest(stored, size).astype(np.int64),
            None if metres is None else nearest(metres, size).astype(np.float64),
            focal,
        )

    with ThreadPoolExecutor(data.workers or usable_cores()) as executor:
        console = Console(stderr=True, quiet=not progress, markup=False)
        found = executor.map(look, chosen)
        shown = track(found, "sample", total=len(chosen), console=console, transient=True, disable=not progress)
        looks = [each for each in shown if each is not None]
    classes = data.spec.targets.get(labels)
    reader = readers.get(labels)
    return Sample(
        looks,
        classes,
        None if classes is None else _table(reader, classes),
        not (isinstance(reader, LabelReader) and reader.colours),
        data.spec.targets.get(depth),
        _encoding(readers.get(depth), data.spec.targets.get(depth)),
        data.METRIC,
    )


def _rows(count: int) -> list[int]:
    """All, or runs of neighbours spread evenly."""
    if count <= MOST:
        return list(range(count))
    starts = np.linspace(0, count - RUN, MOST // RUN).round().astype(int)
    return [int(start) + step for start in starts for step in range(RUN)]


def _target(data: DataSet, kind: type) -> str:
    """The first target whose spec is of this type; a name that no target has if there is none."""
    return next((name for name, spec in data.spec.targets.items() if isinstance(spec, kind)), "")


def _size(chosen: Sequence[tuple[SplitFiles, Mapping[str, Entry]]]) -> tuple[int, int]:
    """Height and width to look at all of them in: the stored shape of the first that can be read."""
    for files, entries in chosen:
        try:
            width, height = files.readers[IMAGE].size(entries[IMAGE])
        except UserError:
            continue
        smaller = min(width, files.size[0] if files.size else width, WIDTH)
        return max(1, round(height * smaller / width)), smaller
    return 1, 1


def _or_none(read: Callable[[], Any]) -> Any:
    """What is read; None for what is damaged."""
    try:
        return read()
    except DamagedFileError:
        return None


def _read(reader: FileReader, entry: Entry) -> Any:
    return _or_none(lambda: reader(entry))


def _stored_labels(reader: FileReader, entry: Entry) -> NDArray[Any]:
    """Ids as they are stored, or the classes of colours."""
    if not isinstance(reader, LabelReader):
        return reader(entry)
    stored = reader.stored(entry)
    if not reader.colours:
        return stored
    values, places = np.unique(stored, return_inverse=True)
    table = dict(reader.table)
    return np.array([table.get(int(value), UNKNOWN) for value in values])[places].reshape(stored.shape)


def _table(reader: FileReader | None, classes: Classes) -> dict[int, int]:
    if isinstance(reader, LabelReader) and not reader.colours:
        return dict(reader.table)
    return {each: each for each in range(len(classes))}


def _metres(reader: FileReader, entry: Entry, spec: DepthSpec) -> NDArray[Any]:
    return reader.metres(entry) if isinstance(reader, DepthReader) else spec.codec.table()[reader(entry)]


def large_enough(sample: Sample) -> bool:
    """Whether anything can be seen."""
    return (
        bool(sample.looks) and sample.looks[0].image.shape[0] >= LEAST[0] and sample.looks[0].image.shape[1] >= LEAST[1]
    )


def _encoding(reader: FileReader | None, spec: DepthSpec | None) -> str:
    if isinstance(reader, DepthReader):
        return reader.kind
    return "metres" if spec is None or spec.codec.scale == "metres" else "inverse"
