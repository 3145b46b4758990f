"""Public names of a room that are loaded when they are asked for: importing the room alone loads none of its files."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazily(room: str, files: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a room: public name -> the file in the room that it lives in."""

    def attribute(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{room}.{files[name]}"), name)

    return attribute
