"""A folder in the layout of Miniscapes, filled once: the same call continues what was killed, and leaves what is whole.

<root>/<generator>.json                         what the folder is being filled with; written first
<root>/<split>/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png}
<root>/index.json                               the same as the first, once everything is there; written last
"""

import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from mtl_seg_depth.data.files import SPLITS
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError

INDEX: Final = "index.json"

_BYTES_PER_PIXEL: Final = 1.5
"""A generous bound on what the three files of an image take together; the smallest take a few kilobytes more."""
_BYTES_PER_IMAGE: Final = 12 * 1024
_FOLDERS: Final = {"rgb": "jpg", "semseg": "png", "depth": "png"}
_JPEG: Final[dict[str, Any]] = {"quality": 92, "subsampling": "4:4:4"}

Place = tuple[str, int]
"""A split and a number in it."""


def fill(
    root: Path,
    asked: Mapping[str, Any],
    make: Callable[[Place], None],
    *,
    called: str,
    mapped: Callable[[int], AbstractContextManager[Any]],
) -> None:
    """Have every image of a folder made that is not there yet; two processes at once do not get in each other's way.

    Args:
        root: the folder.
        asked: what it is to hold, as plain values; `generator`, `counts` by split, `height` and `width` among them.
        make: writes one image with `write_image`.
        called: what the images are, in messages.
        mapped: gives a `map` for so many images, which may work on several at once.

    Raises UserError if the folder holds something else, cannot be written to, or lacks the space.
    """
    parameters = f"{asked['generator']}.json"
    with _readable_errors(root, called):
        if _holds(root, INDEX, asked, called):
            return
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"):
            # The process that held the lock before us may have done the work.
            if _holds(root, INDEX, asked, called):
                return
            if not _holds(root, parameters, asked, called):
                _check_empty(root, called)
                _write_json(root / parameters, asked)
            places = _missing(root, asked, called)
            with mapped(len(places)) as run:
                print(f"Making {len(places)} {called} in {root}", flush=True)
                for _ in track(run(make, places), total=len(places), description=called, transient=True):
                    pass
            _write_json(root / INDEX, asked)


def write_image(root: Path, place: Place, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the files of one image: `rgb` uint8 [H, W, 3], `semseg` and `depth` uint8 [H, W]."""
    for folder, path in _paths(root, place).items():
        with atomic.replacing(path, sync=False) as temporary:
            Image.fromarray(arrays[folder]).save(temporary, **(_JPEG if path.suffix == ".jpg" else {}))


def _holds(root: Path, name: str, asked: Mapping[str, Any], called: str) -> bool:
    """Whether the folder's file `name` says that it holds what is asked; a `UserError` if it holds something else."""
    try:
        found = json.loads((root / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError:
        found = f"unreadable parameters in {name}"
    if found != asked:
        raise UserError(
            f"{root} holds other {called} than asked for.\n"
            f"  it holds: {_words(found)}\n  asked:    {_words(asked)}\n"
            "Ask for what it holds, name another folder, or delete this one."
        )
    return True


def _words(parameters: object) -> str:
    if not isinstance(parameters, Mapping):
        return str(parameters)
    return ", ".join(f"{key} {value}" for key, value in parameters.items())


def _check_empty(root: Path, called: str) -> None:
    present = sorted(path.name for path in root.iterdir() if path.name != ".lock" and not path.match(".*.tmp*"))
    if present:
        raise UserError(
            f"{root} is not empty, and not what this command began (it holds {', '.join(present[:5])}). "
            f"Name another folder for the {called}."
        )


def _missing(root: Path, asked: Mapping[str, Any], called: str) -> list[Place]:
    """Every image that is not complete yet, with the folders made for it; UserError if the disk is too small."""
    for split in SPLITS:
        for folder in _FOLDERS:
            (root / split / folder).mkdir(parents=True, exist_ok=True)
    atomic.clear_remains(root)
    counts: Mapping[str, int] = asked["counts"]
    # Before they are listed: an absurd number of them would fill the memory.
    lacking = sum(counts.values()) - sum(1 for _ in root.glob("*/*/*")) // len(_FOLDERS)
    per_image = int(asked["height"] * asked["width"] * _BYTES_PER_PIXEL + _BYTES_PER_IMAGE)
    _check_space(root, lacking * per_image, called)
    places = [(split, i) for split in SPLITS for i in range(counts[split])]
    return [place for place in places if not all(map(_is_there, _paths(root, place).values()))]


def _is_there(path: Path) -> bool:
    """Whether a file is written; a power cut can leave an empty one."""
    return path.exists() and path.stat().st_size > 0


def _paths(root: Path, place: Place) -> dict[str, Path]:
    split, i = place
    return {folder: root / split / folder / f"{i}.{suffix}" for folder, suffix in _FOLDERS.items()}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    atomic.write_text(path, json.dumps(content, indent=1) + "\n")


def _check_space(root: Path, needed: int, called: str) -> None:
    free = shutil.disk_usage(root).free
    if free < needed:
        raise UserError(
            f"Too little space for the {called} in {root}: about {needed} bytes are needed, {free} are free. "
            "Free some, name a folder on another disk, or ask for fewer or smaller ones."
        )


@contextmanager
def _readable_errors(root: Path, called: str) -> Iterator[None]:
    """Turns what the file system refuses into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk became full while {called} were written to {root}. Free some space and run the same "
                "command again: it continues where it stopped."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            name = f"{called[0].upper()}{called[1:]}"
            raise UserError(
                f"{name} cannot be written to {root}: {error.strerror}. Name a folder that can be written to."
            ) from error
        raise
