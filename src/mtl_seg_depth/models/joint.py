"""One decoder for all tasks."""

from typing import Any

from torch import Tensor

from mtl_seg_depth.models.encoder import ResNetEncoder
from mtl_seg_depth.models.network import TASK_CHANNELS, Network, Predictions


class Joint(Network):
    """Encoder, bottleneck and decoder shared by both tasks; the last 1x1 predicts 19 + 1 channels.

    Arguments as in `Network`. Source: the report's sections 1.1 to 1.3.
    """

    def __init__(self, encoder: ResNetEncoder, **network: Any) -> None:
        super().__init__(encoder, **network)
        self.bottleneck = self.make_bottleneck()
        self.decoder = self.make_decoder(self.bottleneck, sum(TASK_CHANNELS.values()))

    def decode(self, fine: Tensor, deepest: Tensor) -> Predictions:
        """Split one prediction of 20 channels among the tasks."""
        _, prediction = self.decoder(self.bottleneck(deepest), fine)
        parts = prediction.split(list(TASK_CHANNELS.values()), dim=1)
        return {task: [part] for task, part in zip(TASK_CHANNELS, parts, strict=True)}
