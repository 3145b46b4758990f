"""Writing street scenes to disk, in the layout of Miniscapes."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from mtl_seg_depth.data.filling import Place, fill, write_image
from mtl_seg_depth.data.miniscapes import DEPTH_CODEC
from mtl_seg_depth.data.streets.render import SPLITS, Conditions, render_scene
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import follow_parent
from mtl_seg_depth.system.machine import usable_cores

MOST_PROCESSES: Final = 16
"""However many cores there are: each has an interpreter of its own, which takes memory."""

GENERATOR_VERSION: Final = 1
"""Raised whenever the pictures change, so that a folder written by an older generator is not taken for current."""


def write_streets(
    root: Path,
    *,
    counts: Mapping[str, int],
    height: int,
    width: int,
    seed: int,
    workers: int | None = None,
    conditions: Conditions = "fair",
) -> None:
    """Fills `root` with `counts` street scenes per split: `<split>/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png}`.

    A complete folder is left as it is and an unfinished one is continued, so the call can be repeated at any time;
    two processes that call it at once do not get in each other's way. Pictures depend on `seed` and their place
    only, not on the number of `workers` (default: one per CPU that this process may use), and on the `conditions`
    that `render_scene` knows.

    Raises `UserError` if the folder holds something else, cannot be written to, or lacks the space.
    """
    unknown = sorted(set(counts) - set(SPLITS))
    if unknown:
        raise UserError(f"There is no split {', '.join(unknown)}; street scenes come in {', '.join(SPLITS)}.")
    asked = {
        "generator": "streets",
        "version": GENERATOR_VERSION,
        "seed": seed,
        "counts": {split: counts.get(split, 0) for split in SPLITS},
        "height": height,
        "width": width,
        **({} if conditions == "fair" else {"conditions": conditions}),
    }
    write = partial(_write_scene, root, seed, height, width, conditions)
    mapped = partial(_mapped, workers or min(MOST_PROCESSES, usable_cores()))
    fill(root, asked, write, called="street scenes", mapped=mapped)


def _write_scene(root: Path, seed: int, height: int, width: int, conditions: Conditions, place: Place) -> None:
    scene = render_scene(seed, *place, height, width, conditions=conditions)
    write_image(root, place, {"rgb": scene.rgb, "semseg": scene.semseg, "depth": DEPTH_CODEC.encode(scene.depth)})


@contextmanager
def _mapped(workers: int, scenes: int) -> Iterator[Any]:
    """A `map` over processes (or over this one alone); leaving it early ends the processes."""
    workers = min(workers, max(1, scenes // 4))
    if workers == 1:
        yield map
        return
    # Forking a process that runs torch's threads can lock up; fresh interpreters cannot.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)
    try:
        yield partial(pool.map, chunksize=2)
    finally:
        # On Ctrl-C the scenes under way are finished, those that wait are dropped.
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """Prepares a worker: the parent alone handles Ctrl-C, which a terminal sends to all, and none outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    follow_parent(parent.join, lambda: os._exit(1))
