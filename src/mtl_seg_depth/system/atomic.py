"""Files that are whole or absent: written beside their place, synced to disk, then renamed onto it.

A reader never sees half a file, whenever the writer is killed. Several writers may write one path at once:
the last rename wins. A writer killed before its rename leaves a hidden `.<stem>.<random>.tmp<suffix>`, which
`clear_remains` takes away.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str], sync: bool = True) -> Iterator[Path]:
    """Yield a path to write to; once the block succeeds, the file written there takes the place of `path`.

    The yielded path lies in the same folder, which must exist, and has the same suffix (some writers go by
    it). The block must have closed the file. If the block raises, `path` is as it was before. Without `sync` a power
    cut may leave an empty file: for many small ones that can be made again, as each sync takes a disk some time.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        if sync:
            _sync(temporary)
        temporary.replace(path)
    except BaseException:  # an interrupt too must not leave the temporary file lying about
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        _sync(path.parent)  # the rename itself is on disk only when the folder is


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all (non-finite floats as NaN, Infinity)."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def clear_remains(folder: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in `folder` and below; only while nobody else writes there."""
    for remains in Path(folder).rglob(".*.tmp*"):
        remains.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
