"""Miniscapes made of the set that it came from: images of 720 x 360, train ids, 8-bit codes of disparity.

The course that handed Miniscapes out has not said which images it took for which split, nor how it made them smaller.
So this is a set of the same images in the same format, and not that set.
"""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mtl_seg_depth.config import Paths, Section
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.files import IMAGE, SPLITS, SplitFiles, check_one_shape
from mtl_seg_depth.data.filling import Place, fill, write_image
from mtl_seg_depth.data.miniscapes import DEPTH_CODEC
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.rendered import Synscapes
from mtl_seg_depth.nodes import Node
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.machine import usable_cores

VERSION: Final = 1
"""Raised whenever the files become others, so that a folder that was begun before is not gone on with."""


class RemakingSettings(Section):
    """What `make_miniscapes.py` composes."""

    data: Node
    to: str
    paths: Paths


def make_miniscapes(source: DataSet, to: Path) -> dict[str, int]:
    """Write Synscapes, as its readers give it, in the layout of Miniscapes; the number of images in each split.

    Killed at any moment, the same call goes on. Raises UserError for a source that is another set or incomplete, for
    damaged files, and for a folder that holds something else, cannot be written to or lacks the space.
    """
    if not isinstance(source, Synscapes):
        raise UserError(f"data={type(source).__name__.lower()}: Miniscapes is made of data=synscapes")
    if set(source.splits) != set(SPLITS):
        raise UserError(f"data.splits has {', '.join(source.splits)}; Miniscapes has {', '.join(SPLITS)}")
    valid = source.depth.statistics
    if (valid.min, valid.max) != (DEPTH_CODEC.nearest, DEPTH_CODEC.farthest):
        raise UserError(
            f"data.depth_min={valid.min:g} data.depth_max={valid.max:g}: the codes of Miniscapes stand for "
            f"{DEPTH_CODEC.nearest:g} to {DEPTH_CODEC.farthest:g} m"
        )
    if source.size is None:
        raise UserError("data.size=null: Miniscapes has one size; data.size=[360,720] is that of the course")
    depth = source.readers["depth"]
    assert isinstance(depth, DepthReader)
    readers = {**source.readers, "depth": replace(depth, codec=DEPTH_CODEC)}
    files = {split: replace(source.files(split), readers=readers) for split in SPLITS}
    for split in SPLITS:
        if missing := [kind for kind in readers if kind not in files[split].paths]:
            raise UserError(f"the {split} split in {source.root} has no {' and no '.join(missing)}")
    counts = {split: len(files[split].ids) for split in SPLITS}
    asked = {
        "generator": "miniscapes",
        "version": VERSION,
        "images": _names(files),
        "counts": counts,
        "height": source.size[0],
        "width": source.size[1],
        "labels": source.shrink_labels,
        "beyond": source.beyond,
    }

    def make(place: Place) -> None:
        _make(to, files, place)

    workers = source.workers or usable_cores()

    @contextmanager
    def mapped(images: int) -> Iterator[Any]:  # noqa: ARG001
        pool = ThreadPoolExecutor(workers)  # decoding is outside the interpreter's lock
        try:
            yield pool.map
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    fill(to, asked, make, called="Miniscapes images", mapped=mapped)
    return counts


def _names(files: Mapping[str, SplitFiles]) -> str:
    """A digest of which images there are in which split; a file that was mended meanwhile is still the same image."""
    names = {
        split: [str(Path(str(each)).relative_to(of.root)) for each in of.paths[IMAGE]] for split, of in files.items()
    }
    return hashlib.sha256(repr(names).encode()).hexdigest()[:16]


def _make(to: Path, files: Mapping[str, SplitFiles], place: Place) -> None:
    """Read one image with its targets, and write them."""
    split, i = place
    paths = {kind: entries[i] for kind, entries in files[split].paths.items()}
    readers = files[split].readers
    sizes = [readers[kind].size(path) for kind, path in paths.items()]
    check_one_shape(list(paths.values()), sizes)
    pixels = {kind: readers[kind](path) for kind, path in paths.items()}
    write_image(to, place, {**pixels, "depth": pixels["depth"].astype(np.uint8)})  # the codes' 8 bits
