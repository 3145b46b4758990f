"""Gradient checkpointing: what lies inside a block is computed again for the backward pass instead of being kept."""

import functools
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mtl_seg_depth.models.running_statistics import running_statistics_repeated


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Let these blocks keep nothing but their inputs in training, in place; their names and weights stay.

    The result is the same bit for bit: the second pass drops what the first one dropped, and leaves no trace in the
    running statistics. Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    for block in blocks:
        kind: Any = type(block)
        block.__class__ = _recomputing(kind)  # as torch.nn.utils.parametrize does


@functools.cache
def _recomputing(kind: Any) -> type[nn.Module]:
    """A subclass of a kind of module that is recomputed."""

    def forward(self: nn.Module, *inputs: Any, **more: Any) -> Any:
        once = functools.partial(kind.forward, self, **more)
        if not (self.training and torch.is_grad_enabled()):
            return once(*inputs)
        return checkpoint(
            once,
            *inputs,
            use_reentrant=False,
            preserve_rng_state=is_random(self),
            context_fn=lambda: (nullcontext(), running_statistics_repeated(self)),
        )

    return type(kind.__name__, (kind,), {"forward": forward, "__doc__": kind.__doc__, "is_recomputed": True})


def restores_random_numbers(network: nn.Module) -> bool:
    """Whether any block is recomputed and draws random numbers: their state is saved, and restored for the second
    pass."""
    return any(getattr(block, "is_recomputed", False) and is_random(block) for block in network.modules())


def is_random(network: nn.Module) -> bool:
    """Whether anything in it draws random numbers in training: dropout or drop path (stochastic depth)."""
    shares = (
        module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "drop_prob", None)
        for module in network.modules()
    )
    return any(isinstance(share, int | float) and share > 0 for share in shares)
