"""A bottleneck and a decoder for each task, on one encoder."""

from typing import Any

from torch import Tensor, nn

from mtl_seg_depth.models.encoder import ResNetEncoder
from mtl_seg_depth.models.network import TASK_CHANNELS, Network, Predictions


class Branched(Network):
    """One encoder; every task has its own bottleneck and decoder, all fed by the same stride-4 features.

    Arguments as in `Network`. Source: the report's section 2.
    """

    def __init__(self, encoder: ResNetEncoder, **network: Any) -> None:
        super().__init__(encoder, **network)
        self.bottlenecks = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for task in self.tasks:
            bottleneck = self.make_bottleneck()
            self.bottlenecks[task] = bottleneck
            self.decoders[task] = self.make_decoder(bottleneck, TASK_CHANNELS[task])

    def branch(self, task: str, fine: Tensor, deepest: Tensor) -> tuple[Tensor, Tensor]:
        """One task's decoder features and prediction at stride 4."""
        features, prediction = self.decoders[task](self.bottlenecks[task](deepest), fine)
        return features, prediction

    def decode(self, fine: Tensor, deepest: Tensor) -> Predictions:
        """Every task's prediction from its own branch."""
        return {task: [self.branch(task, fine, deepest)[1]] for task in self.tasks}
