"""What BatchNorm layers remember of batches."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def running_statistics_untouched(network: nn.Module) -> Iterator[None]:
    """Normalise by the batch's own statistics, as training does, without adding them to the running ones.

    A second pass over a batch would otherwise count it twice in what validation normalises by.
    """
    layers = _layers(network)
    tracking = [layer.track_running_stats for layer in layers]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer, track in zip(layers, tracking, strict=True):
            layer.track_running_stats = track


@contextmanager
def running_statistics_repeated(network: nn.Module) -> Iterator[None]:
    """The same by the very operations of the first pass, as gradient checkpointing wants to see them again.

    A momentum of 0 leaves running statistics as they are; counters are put back.
    """
    layers = [layer for layer in _layers(network) if layer.training and layer.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    counters = [layer.num_batches_tracked for layer in layers if layer.num_batches_tracked is not None]
    before = [counter.clone() for counter in counters]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        with torch.no_grad():
            for counter, count in zip(counters, before, strict=True):
                counter.copy_(count)


def _layers(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
