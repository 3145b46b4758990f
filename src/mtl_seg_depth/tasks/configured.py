"""The tasks of a data set, made from what it says of its targets and from the composed settings."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import TASKS, Task

__all__ = ["Depth", "Semseg", "configured_tasks", "read_specs"]


def configured_tasks(specs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Task]:
    """The tasks by name. UserError for a target that no task is defined for, and for settings that do not fit."""
    for name in specs:
        if name not in TASKS:
            raise UserError(f"the data have targets called {name}, and there are tasks {', '.join(TASKS)} alone")
    return {name: TASKS[name].configured(spec, settings) for name, spec in specs.items()}


def read_specs(stored: Any, place: str) -> dict[str, Any]:
    """The specs of targets out of a file, checked; UserError that names the `place` for anything else."""
    try:
        plain = TypeAdapter(dict[str, dict[str, Any]]).validate_python(stored)
        return {name: TypeAdapter(TASKS[name].spec_type).validate_python(spec) for name, spec in plain.items()}
    except (ValidationError, KeyError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"no task is called {error}"
        raise UserError(f"{place}: what it says of its data cannot be read ({reason})") from None
