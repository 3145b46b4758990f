"""Random numbers as functions of the step: drawn on the device, captured with a step, the same after a checkpoint."""

from typing import TypeVar

import torch
from torch import Tensor

Key = TypeVar("Key", int, Tensor)


def hashed(key: Key) -> Key:
    """32 bits for an integer: Mueller's hash, https://stackoverflow.com/a/12996028."""
    for _ in range(2):
        key = ((key ^ (key >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return key ^ (key >> 16)


def orders(step: Tensor, size: int) -> Tensor:
    """Random permutations [size, size] of 0 .. size - 1, in rows; a function of the step, whatever the device."""
    key = step * size**2 + torch.arange(size**2, device=step.device)
    return hashed(key).view(size, size).argsort(dim=1, stable=True)


def uniform(seed: int, step: Tensor, size: int) -> Tensor:
    """Numbers [size] from 0 to 1, both excluded; a function of seed and step, whatever the device."""
    key = torch.arange(size, dtype=torch.int32, device=step.device)
    key ^= hashed(hashed(seed) + step).to(torch.int32)
    for _ in range(2):  # `hashed` in place and in 32 bits, whose sign comes along in a shift: there may be millions
        key ^= (key >> 16) & 0xFFFF
        key *= 0x45D9F3B
    key ^= (key >> 16) & 0xFFFF
    return (((key >> 9) & 0x7FFFFF) + 0.5) * 2.0**-23
