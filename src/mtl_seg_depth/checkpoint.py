"""Checkpoints: `last` to continue exactly, `best` to use. Whole or absent, and nothing in them is executed."""

from pathlib import Path
from typing import Any

import torch

from mtl_seg_depth import atomic, tensors
from mtl_seg_depth.errors import UserError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values to `path`, whole or not at all; what was there before stays until then."""
    with atomic.replacing(path) as temporary:
        torch.save(state, temporary)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save` wrote, tensors on `device`. Raises UserError for a file that is damaged or holds code."""
    state = tensors.read(path, device)
    if not isinstance(state, dict):
        raise UserError(f"{path} is no checkpoint of ours: it holds a {type(state).__name__}")
    return state
