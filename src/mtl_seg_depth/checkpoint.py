"""Checkpoints: `last` to continue exactly, `best` to use. Whole or absent, and nothing in them is executed."""

import pickle
from pathlib import Path
from typing import Any

import torch

from mtl_seg_depth import atomic
from mtl_seg_depth.errors import UserError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values to `path`, whole or not at all; what was there before stays until then."""
    with atomic.replacing(path) as temporary:
        torch.save(state, temporary)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save` wrote, tensors on `device`. Raises UserError for a file that is damaged or holds code."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged or no checkpoint of ours ({reason})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is no checkpoint of ours: it holds a {type(state).__name__}")
    return state
