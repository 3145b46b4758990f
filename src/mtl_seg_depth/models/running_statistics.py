"""What BatchNorm layers remember of batches."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatisticsUntouched:
    """While entered, as often as need be, a network's BatchNorm works as in training without a trace of it.

    A second pass over a batch would otherwise count it twice in what validation normalises by. It saves for its
    gradients just what the first pass did.
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]

    def __enter__(self) -> None:
        """Let the running statistics be copies."""
        self._kept = [dict(layer._buffers) for layer in self.layers]
        for layer in self.layers:
            for name, value in layer._buffers.items():
                layer._buffers[name] = None if value is None else value.clone()

    def __exit__(self, *_: object) -> None:
        """Let them be what they were."""
        for layer, buffers in zip(self.layers, self._kept, strict=True):
            layer._buffers.update(buffers)
