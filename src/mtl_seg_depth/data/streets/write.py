"""Writing street scenes to disk, in the layout of Miniscapes."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from PIL import Image
from rich.progress import track

from mtl_seg_depth.data.miniscapes import DEPTH_CODEC
from mtl_seg_depth.data.streets.render import SPLITS, render_scene
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import follow_parent

GENERATOR_VERSION: Final = 1
"""Raised whenever the pictures change, so that a folder written by an older generator is not taken for current."""

PARAMETERS: Final = "streets.json"
"""What a folder is being filled with; written first."""
INDEX: Final = "index.json"
"""The same once the folder is complete; written last."""

_BYTES_PER_PIXEL: Final = 1.5
"""A generous bound on what the three files of a picture take together; the smallest take a few kilobytes more."""
_BYTES_PER_PICTURE: Final = 12 * 1024
_FOLDERS: Final = {"rgb": "jpg", "semseg": "png", "depth": "png"}

Picture = tuple[str, int]
"""A split and a number in it."""


def write_streets(
    root: Path, *, counts: Mapping[str, int], height: int, width: int, seed: int, workers: int | None = None
) -> None:
    """Fills `root` with `counts` street scenes per split: `<split>/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png}`.

    A complete folder is left as it is and an unfinished one is continued, so the call can be repeated at any time;
    two processes that call it at once do not get in each other's way. Pictures depend on `seed` and their place
    only, not on the number of `workers` (default: one per CPU that this process may use).

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
    }
    with _readable_errors(root):
        if _holds(root, INDEX, asked):
            return
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"):
            # The process that held the lock before us may have done the work.
            if _holds(root, INDEX, asked):
                return
            if not _holds(root, PARAMETERS, asked):
                _check_empty(root)
                _write_text(root / PARAMETERS, asked)
            _fill(root, asked, workers)
            _write_text(root / INDEX, asked)


def _holds(root: Path, name: str, asked: dict[str, Any]) -> bool:
    """Whether the folder's file `name` says that it holds what is asked; a `UserError` if it holds something else."""
    try:
        found = json.loads((root / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError:
        found = f"unreadable parameters in {name}"
    if found != asked:
        raise UserError(
            f"{root} holds other street scenes than asked for.\n"
            f"  it holds: {_words(found)}\n  asked:    {_words(asked)}\n"
            "Ask for what it holds, name another folder, or delete this one."
        )
    return True


def _words(parameters: object) -> str:
    if not isinstance(parameters, dict):
        return str(parameters)
    return ", ".join(f"{key} {value}" for key, value in parameters.items())


def _check_empty(root: Path) -> None:
    present = sorted(path.name for path in root.iterdir() if path.name != ".lock" and not path.name.endswith(".tmp"))
    if present:
        raise UserError(
            f"{root} is not empty and was not written by this generator (it holds {', '.join(present[:5])}). "
            "Name another folder for the street scenes."
        )


def _fill(root: Path, asked: dict[str, Any], workers: int | None) -> None:
    """Renders and writes every picture that is not complete yet."""
    for split in SPLITS:
        for folder in _FOLDERS:
            (root / split / folder).mkdir(parents=True, exist_ok=True)
    for left_over in root.glob("*/*/*.tmp"):
        left_over.unlink()
    height, width, seed = asked["height"], asked["width"], asked["seed"]
    # Before they are listed: an absurd number of them would fill the memory.
    lacking = sum(asked["counts"].values()) - sum(1 for _ in root.glob("*/*/*")) // len(_FOLDERS)
    _check_space(root, lacking * int(height * width * _BYTES_PER_PIXEL + _BYTES_PER_PICTURE))
    pictures = [(split, i) for split in SPLITS for i in range(asked["counts"][split])]
    missing = [picture for picture in pictures if not all(path.exists() for path in _paths(root, picture).values())]
    write = partial(_write_picture, root, seed, height, width)
    workers = min(workers or _usable_cpus(), max(1, len(missing) // 4))
    with _mapped(workers) as mapped:
        for _ in track(mapped(write, missing), total=len(missing), description=f"Street scenes to {root}"):
            pass


def _usable_cpus() -> int:
    """The CPUs that this process may use, where the system tells; at most 16, for each interpreter takes memory."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, usable)


@contextmanager
def _mapped(workers: int) -> Iterator[Any]:
    """A `map` over processes (or over this one alone); leaving it early ends the processes."""
    if workers == 1:
        yield map
        return
    # Forking a process that runs torch's threads can lock up; fresh interpreters cannot.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)
    try:
        yield partial(pool.map, chunksize=2)
    finally:
        # On Ctrl-C the pictures under way are finished, those that wait are dropped.
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """Prepares a worker: the parent alone handles Ctrl-C, which a terminal sends to all, and none outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    follow_parent(parent.join, lambda: os._exit(1))


def _paths(root: Path, picture: Picture) -> dict[str, Path]:
    split, i = picture
    return {folder: root / split / folder / f"{i}.{suffix}" for folder, suffix in _FOLDERS.items()}


def _write_picture(root: Path, seed: int, height: int, width: int, picture: Picture) -> None:
    scene = render_scene(seed, *picture, height, width)
    images: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb": (Image.fromarray(scene.rgb), {"format": "JPEG", "quality": 92, "subsampling": "4:4:4"}),
        "semseg": (Image.fromarray(scene.semseg), {"format": "PNG"}),
        "depth": (Image.fromarray(DEPTH_CODEC.encode(scene.depth)), {"format": "PNG"}),
    }
    for folder, path in _paths(root, picture).items():
        image, options = images[folder]
        with _put(path) as temporary:
            image.save(temporary, **options)


@contextmanager
def _put(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` once it is written, so that no half-written file has a final name."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_text(path: Path, content: dict[str, Any]) -> None:
    with _put(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _check_space(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needed:
        raise UserError(
            f"Too little space for the street scenes in {root}: about {needed} bytes are needed, {free} are free. "
            "Free some, name a folder on another disk, or ask for fewer or smaller ones."
        )


@contextmanager
def _readable_errors(root: Path) -> Iterator[None]:
    """Turns what the file system refuses into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk became full while street scenes were written to {root}. Free some space and run the same "
                "command again: it continues where it stopped."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"Street scenes cannot be written to {root}: {error.strerror}. Name a folder that can be written to."
            ) from error
        raise
