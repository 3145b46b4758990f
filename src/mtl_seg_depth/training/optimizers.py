"""Optimisers by the names people call them; the learning rate comes from its own group, step by step.

All of them take, of a network, `encoder_scale`, `layer_decay` and `decay_norms`: see `parameter_groups`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn, optim

from mtl_seg_depth.training.parameter_groups import Grouping

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]] | Grouping
"""Parameters, groups of them with settings of their own, or what makes groups of them."""


def sgd(
    parameters: Parameters,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    nesterov: bool = False,
    encoder_scale: float = 1.0,
    layer_decay: float = 1.0,
    decay_norms: bool = True,
) -> optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = _grouped(parameters, encoder_scale, layer_decay, decay_norms)
    return optim.SGD(groups, lr=0.0, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)


def adam(
    parameters: Parameters,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
    encoder_scale: float = 1.0,
    layer_decay: float = 1.0,
    decay_norms: bool = True,
) -> optim.Optimizer:
    """Adam with weight decay as an L2 penalty (Kingma & Ba, 2015): the report's."""
    groups = _grouped(parameters, encoder_scale, layer_decay, decay_norms)
    return optim.Adam(groups, lr=0.0, betas=_pair(betas), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(
    parameters: Parameters,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    encoder_scale: float = 1.0,
    layer_decay: float = 1.0,
    decay_norms: bool = True,
) -> optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""
    groups = _grouped(parameters, encoder_scale, layer_decay, decay_norms)
    return optim.AdamW(groups, lr=0.0, betas=_pair(betas), eps=eps, weight_decay=weight_decay, fused=True)


def _grouped(parameters: Parameters, encoder_scale: float, layer_decay: float, decay_norms: bool) -> Any:
    """What torch's optimisers take; ValueError for shares of what is no network."""
    if callable(parameters):
        return parameters(encoder_scale, layer_decay, decay_norms)
    if (encoder_scale, layer_decay, decay_norms) != (1.0, 1.0, True):
        raise ValueError("encoder_scale, layer_decay and decay_norms are for the parameters of a network")
    return parameters


def _pair(betas: Sequence[float]) -> tuple[float, float]:
    if len(betas) != 2:
        raise ValueError(f"betas are two numbers, not {list(betas)}")
    return betas[0], betas[1]
