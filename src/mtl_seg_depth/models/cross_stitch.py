"""An encoder for each task, and units that learn how much of each goes to the others."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.network import Predictions


class CrossStitch(Branched):
    """As many single networks as tasks, whose features are mixed linearly, channel by channel, after every stage.

    The encoders begin as copies of one, as those of single networks of one seed do. What is mixed goes to the next
    stage and to the decoders. Every encoder and every unit between two stages serves all tasks; the last unit has
    weights of each task's own.

    Two things differ from the paper. It puts units after some of AlexNet's layers; here they stand after every stage
    of the encoder, a ResNet's stem among them. And it starts from networks that were trained for one task each, and
    lets the units learn 100 to 1000 times as fast as the layers; here they have the rate and the weight decay of the
    whole network.

    Args:
        encoder: of which each task gets a copy; it has to have stages.
        outputs: the channels of every task's raw prediction, by the task's name.
        own: the share of a task's own features at the beginning; the other tasks' share the rest evenly.
        network: the other arguments of `Network`.

    Source: Misra et al., Cross-stitch Networks for Multi-task Learning, CVPR 2016, equation 1; `own` is 0.9 there.
    """

    def __init__(self, encoder: Encoder, outputs: Mapping[str, int], own: float = 0.9, **network: Any) -> None:
        if not encoder.has_stages:
            raise ValueError(
                "cross-stitch units stand between the stages of encoders, and "
                f"{type(encoder).__name__} can only be run as a whole: it has no stage()"
            )
        if not 0 <= own <= 1:
            raise ValueError(f"own is a share, within 0..1; not {own}")
        super().__init__(encoder, outputs, **network)
        del self.encoder  # of which there is one for each task
        self.encoders = nn.ModuleDict({task: _copied(encoder) for task in self.outputs})
        self.units = nn.ModuleList(CrossStitchUnit(self.tasks, channels, own) for channels in encoder.out_channels)

    def encode(self, image: Tensor) -> dict[str, list[Tensor]]:
        """Every task's features of every stride, mixed, from a normalised image."""
        features: dict[str, list[Tensor]] = {task: [] for task in self.outputs}
        before = dict.fromkeys(self.outputs, image)
        for index, unit in enumerate(self.units):
            before = dict(zip(before, unit([self.stage(task, index, x) for task, x in before.items()]), strict=True))
            for task, mixed in before.items():
                features[task].append(mixed)
        return features

    def stage(self, task: str, index: int, before: Tensor) -> Tensor:
        """One stage of a task's own encoder."""
        encoder = self.encoders[task]
        assert isinstance(encoder, Encoder)
        return encoder.stage(index, before)

    def coarse(self, image: Tensor) -> Predictions:
        """Every task's prediction from its own features."""
        return {task: [self.branch(task, own)[1]] for task, own in self.encode(image).items()}


def _copied(encoder: Encoder) -> Encoder:
    """A copy with tensors of its own, which are cloned rather than copied: that works without values as well."""
    own: dict[int, Any] = {
        id(each): nn.Parameter(each.detach().clone(), each.requires_grad) for each in encoder.parameters()
    }
    own |= {id(each): each.clone() for each in encoder.buffers()}
    return copy.deepcopy(encoder, own)


class CrossStitchUnit(nn.Module):
    """`mixed[t] = sum over s of weights[t][s] * features[s]` for features [B, channels, H, W] of every task.

    `weights` are [tasks, channels] for each task. They add up to 1 at the beginning, so that the scale stays.
    """

    def __init__(self, tasks: Sequence[str], channels: int, own: float) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        others = (1 - own) / (len(tasks) - 1) if len(tasks) > 1 else 0.0
        shares = torch.full((len(tasks), len(tasks)), others)
        shares.fill_diagonal_(1 - others * (len(tasks) - 1))
        # A parameter for each task and not one for all: after the last stage, each is reached by its task alone.
        self.weights = nn.ParameterDict(
            {task: row[:, None].repeat(1, channels) for task, row in zip(tasks, shares, strict=True)}
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Mix the features of all tasks; their number, shapes and type stay."""
        mixed = []
        for task in self.tasks:  # a ParameterDict has an order of its own
            first, *rest = (row[:, None, None] * each for row, each in zip(self.weights[task], features, strict=True))
            mixed.append(sum(rest, first).to(features[0].dtype))  # in bf16 training the weights stay fp32
        return mixed
