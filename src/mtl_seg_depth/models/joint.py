"""One decoder for all tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.network import Network, Predictions


class Joint(Network):
    """Encoder, bottleneck and decoder shared by all tasks; the last 1x1 predicts the channels of all of them.

    Arguments as in `Network`. Source: the report's sections 1.1 to 1.3.
    """

    def __init__(self, encoder: Encoder, outputs: Mapping[str, int], **network: Any) -> None:
        super().__init__(encoder, outputs, **network)
        self.bottleneck = self.make_bottleneck()
        self.decoder = self.make_decoder(self.bottleneck, sum(self.outputs.values()))

    def decode(self, features: Sequence[Tensor]) -> Predictions:
        """Split one prediction among the tasks."""
        _, prediction = self.decoder(self.bottleneck(self.deepest(features)), self.skips(features))
        parts = prediction.split(list(self.outputs.values()), dim=1)
        return {task: [part] for task, part in zip(self.outputs, parts, strict=True)}
