"""A bottleneck and a decoder for each task, on one encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.network import Network, Predictions


class Branched(Network):
    """One encoder; every task has its own bottleneck and decoder, all fed by the same skips.

    Arguments as in `Network`. Source: the report's section 2.
    """

    def __init__(self, encoder: Encoder, outputs: Mapping[str, int], **network: Any) -> None:
        super().__init__(encoder, outputs, **network)
        self.bottlenecks = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for task, channels in self.outputs.items():
            bottleneck = self.make_bottleneck()
            self.bottlenecks[task] = bottleneck
            self.decoders[task] = self.make_decoder(bottleneck, channels)

    def branch(self, task: str, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """One task's decoder features and prediction."""
        bottleneck = self.bottlenecks[task](self.deepest(features))
        refined, prediction = self.decoders[task](bottleneck, self.skips(features))
        return refined, prediction

    def decode(self, features: Sequence[Tensor]) -> Predictions:
        """Every task's prediction from its own branch."""
        return {task: [self.branch(task, features)[1]] for task in self.outputs}
