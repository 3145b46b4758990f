"""Checkpoints: `last` to continue exactly, `best` to use. Whole or absent, and nothing in them is executed.

A checkpoint is what `torch.save` writes (so that `torch.load` reads it), followed by a line with the SHA-256 digest of
it: torch itself reads a flipped bit of a tensor without a word. The digest is taken of what is meant to be written, and
compared with what the file gives back before the file takes its name, and again every time it is loaded.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from mtl_seg_depth.records.results import Digests
from mtl_seg_depth.system import atomic, installation, tensors
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage
from mtl_seg_depth.system.stored import Count, Score

_SEAL = b"\nsha256 of the above: "
_SEAL_BYTES = len(_SEAL) + 2 * hashlib.sha256().digest_size + 1


class DamagedCheckpointError(UserError):
    """A file that is not what was once written to it."""


def save(path: Path, state: dict[str, Any], previous: Path | None = None) -> None:
    """Write tensors and plain values to `path`, whole or not at all; what was there before stays until then.

    Args:
        path: the file.
        state: what to keep.
        previous: where to keep the file that `path` was before.

    Raises OSError if the disk is full, or gives back something else than was written.
    """
    with atomic.replacing(path) as temporary:
        with temporary.open("wb") as file:
            _write(file, state)
            os.fsync(file.fileno())
        try:
            _verify(temporary)
        except DamagedCheckpointError as error:
            raise OSError(None, "the disk does not give back what was written to it", str(path)) from error
        if previous is not None and path.exists():
            path.replace(previous)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save` wrote, tensors on `device`.

    Raises DamagedCheckpointError for a file of which any byte is another, and UserError for one that holds code.
    """
    try:
        _verify(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    state = tensors.read(path, device)
    if not isinstance(state, dict):
        raise UserError(f"{path} is no checkpoint of ours: it holds a {type(state).__name__}")
    return state


class Best(BaseModel):
    """What is in the file of the best weights."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    config: dict[str, Any]
    network: dict[str, torch.Tensor]
    identity: dict[str, str]
    step: Count
    scores: dict[str, Score]
    rank: tuple[Score, Score]
    spec: dict[str, Any] | None = None
    """Of its data; files from before it was kept have none."""
    image_size: tuple[Count, Count] | None = None
    """Height and width of what it was trained on; files from before it was kept have none."""

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Of every weight."""
        return {name: value.shape for name, value in self.network.items()}


def load_best(path: Path, device: torch.device) -> Best:
    """Read best weights; UserError as in `load`, and for a checkpoint that holds something else."""
    saved = load(path, device)
    if "config" not in saved and "optimizer" in saved:
        raise UserError(f"{path} is a checkpoint to continue from, and has no config: name the run's best.pt")
    with content_told(path):
        return Best.model_validate(saved)


@contextmanager
def content_told(path: Path) -> Iterator[None]:
    """Raise UserError, with the file's name, for whatever the content of a file makes go wrong where it is used.

    Its checksum says that it is whole, not that it is a checkpoint of ours: anything may be in it.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is no checkpoint of ours: {where}: {first['msg']}") from error
    except UserError as error:
        raise UserError(f"{path} is no checkpoint of ours, or of another version: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_shortage(error):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} is no checkpoint of ours, or of another version: {reason}") from error


def identity(path: Path) -> dict[str, Any]:
    """Whose checkpoint it is, read without its tensors and without its checksum; empty if that cannot be read."""
    return _glance(path, "identity")


def scores(path: Path) -> dict[str, float]:
    """What best weights scored, read in the same way; empty if that cannot be read."""
    return {str(name): value for name, value in _glance(path, "scores").items() if isinstance(value, float)}


def _glance(path: Path, key: str) -> dict[str, Any]:
    if path.is_symlink():
        return {}
    try:
        state = tensors.read(path, mapped=True)
    except UserError:
        return {}
    found = state.get(key) if isinstance(state, dict) else None
    return found if isinstance(found, dict) else {}


def require_identity(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise UserError unless a checkpoint is of this run; what an older one does not know of itself counts as equal."""
    different = [key for key, value in wanted.items() if found.get(key, value) != value]
    if different:
        raise UserError(
            f"{path} was made with another {' and another '.join(different)}: it is not of this run; "
            f"{installation.command('train')} resume=false trains anew beside it"
        )


DATA_KEYS = {"train": "training data", "val": "validation data", "weights": "file of initial weights"}
"""What a digest is called in a checkpoint's identity."""


def as_identity(digests: Mapping[str, str]) -> dict[str, str]:
    """The digests of a run's data, as they stand in a checkpoint's identity."""
    return {DATA_KEYS[split]: digest for split, digest in digests.items() if split in DATA_KEYS}


def digests(identity: Mapping[str, Any]) -> Digests:
    """The digests of the data that a checkpoint belongs to; those of before lack some."""
    return {split: str(identity[key]) for split, key in DATA_KEYS.items() if key in identity}


class _Hashing(io.RawIOBase):
    """A file that is written from front to back, the digest of what went into it, and why that failed."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write and hash; torch makes a RuntimeError of what is raised here, so the reason is kept."""
        self.sha.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise


def _write(file: BinaryIO, state: dict[str, Any]) -> None:
    sealed = _Hashing(file)
    try:
        torch.save(state, sealed)  # type: ignore[arg-type]  # write and flush are what it asks of a file
    except Exception:
        if sealed.error is not None:
            raise sealed.error from None
        raise
    file.write(_SEAL + sealed.sha.hexdigest().encode() + b"\n")
    file.flush()


def _verify(path: Path) -> None:
    """Raise DamagedCheckpointError unless the file's last line is the digest of all before it."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - _SEAL_BYTES
        if left <= 0:
            raise DamagedCheckpointError(f"{path} is damaged: it is cut short, or no checkpoint of ours")
        while left and (data := file.read(min(left, 1 << 20))):
            sha.update(data)
            left -= len(data)
        seal = file.read()
    if not seal.startswith(_SEAL):
        raise DamagedCheckpointError(f"{path} is damaged: it does not end with its checksum, or no checkpoint of ours")
    if seal != _SEAL + sha.hexdigest().encode() + b"\n":
        raise DamagedCheckpointError(f"{path} is damaged: its content is not what its checksum says")
