"""Branched, and then the tasks tell each other what they saw."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.gate import Gate
from mtl_seg_depth.models.network import Predictions

GateSharing = Literal["shared", "per_task"]


class Distilled(Branched):
    """Branched, with a second prediction from each task's features plus the other tasks' gated features.

    `gate="shared"` sends all messages through one gate module, as the report's authors did; `"per_task"` gives
    each sender its own, as the report's formula has it. Other arguments as in `Network`.

    Source: Xu et al., PAD-Net, CVPR 2018; the report's section 3.
    """

    def __init__(
        self, encoder: Encoder, outputs: Mapping[str, int], gate: GateSharing = "shared", **network: Any
    ) -> None:
        super().__init__(encoder, outputs, **network)
        if gate not in get_args(GateSharing):
            raise ValueError(f"gate is {' or '.join(get_args(GateSharing))}, not {gate!r}")
        width = next(iter(self.decoders.values())).out_channels
        assert isinstance(width, int)
        shared = Gate(width)
        self.gates = nn.ModuleDict({task: shared if gate == "shared" else Gate(width) for task in self.outputs})
        self.refined = nn.ModuleDict({task: nn.Conv2d(width, channels, 1) for task, channels in self.outputs.items()})

    def decode(self, features: Sequence[Tensor]) -> Predictions:
        """Two predictions per task: before and after the exchange."""
        branches = {task: self.branch(task, features) for task in self.outputs}
        messages = {task: self.gates[task](refined) for task, (refined, _) in branches.items()}
        predictions = {}
        for task, (refined, first) in branches.items():
            received = sum(message for sender, message in messages.items() if sender != task)
            predictions[task] = [first, self.refined[task](refined + received)]
        return predictions
