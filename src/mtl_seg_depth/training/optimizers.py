"""Optimisers by the names people call them; the learning rate comes from its own group, step by step."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn, optim

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]
"""Parameters, or groups of them with settings of their own."""


def sgd(
    parameters: Parameters, momentum: float = 0.9, weight_decay: float = 1e-4, nesterov: bool = False
) -> optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return optim.SGD(parameters, lr=0.0, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)


def adam(
    parameters: Parameters, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-4
) -> optim.Optimizer:
    """Adam with weight decay as an L2 penalty (Kingma & Ba, 2015): the report's."""
    return optim.Adam(parameters, lr=0.0, betas=_pair(betas), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(
    parameters: Parameters, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2
) -> optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""
    return optim.AdamW(parameters, lr=0.0, betas=_pair(betas), eps=eps, weight_decay=weight_decay, fused=True)


def _pair(betas: Sequence[float]) -> tuple[float, float]:
    if len(betas) != 2:
        raise ValueError(f"betas are two numbers, not {list(betas)}")
    return betas[0], betas[1]
