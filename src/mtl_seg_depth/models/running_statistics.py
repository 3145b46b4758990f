"""What BatchNorm layers remember of batches."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def running_statistics_untouched(network: nn.Module) -> Iterator[None]:
    """Normalise by the batch's own statistics, as training does, without adding them to the running ones.

    A second pass over a batch would otherwise count it twice in what validation normalises by.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    tracking = [layer.track_running_stats for layer in layers]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer, track in zip(layers, tracking, strict=True):
            layer.track_running_stats = track
