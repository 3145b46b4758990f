"""Small JSON files that are read back, maybe on another machine and from other people: one door for all of them.

What a file may hold is said by a type. It is compared with that before anything is done with it, and a file of any
other content is one message: text that is no JSON, nested too deeply, too large, or of another shape.
"""

import errno
import functools
import json
import os
import reprlib
import stat
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError

LARGEST = 64 << 20
"""Bytes of a file that is read; a sweep of ten thousand trials has some ten million."""

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Score = Annotated[float, Field(allow_inf_nan=True)]
"""What was measured, and may have come out as nan or infinite; every other number is finite."""


STORED = ConfigDict(extra="ignore", frozen=True, protected_namespaces=(), allow_inf_nan=False)
"""Of every model of such a file: a key that a newer writer added is left alone, and numbers are finite."""


Model = TypeVar("Model")


def read(path: Path, model: type[Model], called: str | None = None) -> Model:
    """What a file holds. Raises UserError for one that cannot be read or is not what it should be.

    A link is not followed: what is stored in a folder lies in it. `called` is what the message calls the file.
    """
    called = called or str(path)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{called} is damaged, or not ours: it is no plain file")
            if status.st_size > LARGEST:
                raise UserError(f"{called}: {status.st_size} bytes are more than any file of ours has ({LARGEST})")
            data = file.read()
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror or error
        raise UserError(f"{called} cannot be read: {reason}") from error
    return parse(data, model, called)


def find(path: Path, model: type[Model]) -> Model | None:
    """What a file holds; None for one that is missing or damaged, where others will do or it can be made anew."""
    try:
        return read(path, model)
    except UserError:
        return None


def parse(data: bytes, model: type[Model], place: str) -> Model:
    """What such a file, or a line of it, says; `place` tells the reader of the UserError where it stands."""
    try:
        checked: Model = _adapter(model).validate_json(data)  # type: ignore[arg-type]  # a type is hashable
        return checked
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " if part == first["loc"][-1] else f"{part}." for part in first["loc"])
        found = first["input"]
        plain = isinstance(found, str | int | float) and first["type"] != "json_invalid"
        shown = f", not {reprlib.repr(found)}" if plain else ""
        raise UserError(f"{place} is damaged, or not ours: {where}{first['msg']}{shown}") from error


def write(path: Path, content: BaseModel) -> None:
    """Write one of these files, whole or not at all."""
    text = json.dumps(content.model_dump(), indent=2, ensure_ascii=False)
    atomic.write_bytes(path, text.encode(errors="replace") + b"\n")  # a name of a file need not be unicode


@functools.cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)
