"""What an optimiser trains at which share of the learning rate, and what of it decays."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, optim

from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.network import Network

Groups = list[dict[str, Any]]
Grouping = Callable[[float, float, bool], Groups]
"""Makes groups of encoder_scale, layer_decay and decay_norms."""


def parameter_groups(network: Network, encoder_scale: float, layer_decay: float, decay_norms: bool) -> Groups:
    """The trained parameters of a network in groups of one share of the learning rate each: their `lr_scale`.

    With nothing asked for there is one group, without an `lr_scale`. A group without weight decay says so.

    Args:
        network: parameters that are frozen are in no group.
        encoder_scale: share of the learning rate for what pretrained weights are for; see
            `Encoder.layerwise_parameters`.
        layer_decay: a layer of the encoder has this share of the rate of the next one, and the last one of
            `encoder_scale` (Clark et al., ELECTRA, ICLR 2020; Bao et al., BEiT, ICLR 2022).
        decay_norms: let weight decay pull at norms, biases and position embeddings as well. Without, it is for
            parameters of two dimensions or more that the encoder does not name in `undecayed`.
    """
    if not encoder_scale > 0:
        raise ValueError(f"encoder_scale, a share of the rate, is above 0; not {encoder_scale}: encoder.freeze=true")
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay, a share of the rate, is above 0 and at most 1; not {layer_decay}")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    scales: dict[Tensor, float] = {}
    undecayed: set[Tensor] = set()
    for encoder in (module for module in network.modules() if isinstance(module, Encoder)):
        layers = encoder.layerwise_parameters()
        for index, layer in enumerate(layers):
            scales |= dict.fromkeys(layer, encoder_scale * layer_decay ** (len(layers) - 1 - index))
        undecayed |= set(encoder.undecayed())
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for parameter in trained:
        decays = decay_norms or (parameter.ndim > 1 and parameter not in undecayed)
        groups.setdefault((scales.get(parameter, 1.0), decays), []).append(parameter)
    return [
        {"params": members}
        | ({} if len({scale for scale, _ in groups}) == 1 and scale == 1 else {"lr_scale": scale})
        | ({} if decays else {"weight_decay": 0.0})
        for (scale, decays), members in groups.items()
    ]


def set_rate(optimizer: optim.Optimizer, learning_rate: float | Tensor) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        scale = group.get("lr_scale")
        group["lr"] = learning_rate if scale is None else learning_rate * scale


def smallest_scale(optimizer: optim.Optimizer) -> float | None:
    """The smallest share of the learning rate that a group has; None if all have all of it."""
    return min((group["lr_scale"] for group in optimizer.param_groups if "lr_scale" in group), default=None)
