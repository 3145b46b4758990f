"""One encoder, and for each task an attention that picks from its features."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_seg_depth.models.blocks import conv_bn_relu
from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.network import Predictions


class MTAN(Branched):
    """The multi-task attention network: every task masks the shared features, stage by stage, and decodes what is left.

    A task's mask at a stage is made of the stage's shared features and of what the task picked at the stage before; it
    is within 0..1 for every channel and pixel, and multiplies the shared features. What was picked reaches the next
    stage through a block that all tasks share, and a max pooling if that stage is coarser. The encoder and these
    blocks are shared; masks and decoders are the tasks' own.

    It is built on features alone, so that it fits any encoder whose strides are multiples of each other, and for that
    it differs from the paper: there a mask is made of a stage's first features (for ResNets, its second last) and
    applied to the last; here it is made of the last too. As in the authors' network for ResNets, attention begins at
    stride 4, and the shared blocks are bottlenecks. The decoders are those of `branched`, where the paper has attention
    again; their fine features are masked by the task as well.

    Arguments as in `Network`.

    Source: Liu, Johns & Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, section 3; Liu et al.,
    Auto-Lambda, TMLR 2022, for ResNets.
    """

    def __init__(self, encoder: Encoder, outputs: Mapping[str, int], **network: Any) -> None:
        super().__init__(encoder, outputs, **network)
        widths, strides = encoder.out_channels[self.fine_index :], encoder.strides[self.fine_index :]
        self.factors = [coarser // finer for finer, coarser in itertools.pairwise(strides)]
        if any(coarser % finer for finer, coarser in itertools.pairwise(strides)):
            raise ValueError(
                f"between strides {', '.join(map(str, strides))} no max pooling leads from each to the next: mtan "
                "takes encoders whose strides are multiples of those before"
            )
        inputs = [widths[0], *(2 * width for width in widths[1:])]
        self.masks = nn.ModuleDict({task: nn.ModuleList(map(_mask, inputs, widths)) for task in self.outputs})
        self.blocks = nn.ModuleList(map(Bottleneck, widths, widths[1:]))

    def attend(self, task: str, features: Sequence[Tensor]) -> list[Tensor]:
        """All features, those from stride 4 on as one task's masks leave them."""
        masks = self.masks[task]
        assert isinstance(masks, nn.ModuleList)
        attended, picked = list(features), None
        for place, mask in enumerate(masks):
            index = self.fine_index + place
            shared = features[index]
            seen = shared if picked is None else torch.cat([shared, picked], dim=1)
            attended[index] = mask(seen) * shared
            if place < len(self.blocks):
                picked = F.max_pool2d(self.blocks[place](attended[index]), self.factors[place], ceil_mode=True)
        return attended

    def decode(self, features: Sequence[Tensor]) -> Predictions:
        """Every task's prediction from what it picked."""
        return {task: [self.branch(task, self.attend(task, features))[1]] for task in self.outputs}


def _mask(in_channels: int, out_channels: int) -> nn.Sequential:
    """[B, in, H, W] -> [B, out, H, W] within 0..1, by two 1x1 convolutions, the first to a quarter of the channels."""
    between = max(1, out_channels // 4)
    return nn.Sequential(
        conv_bn_relu(in_channels, between, 1),
        nn.Conv2d(between, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.Sigmoid(),
    )


class Bottleneck(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolutions, [B, in, H, W] -> [B, out, H, W], a quarter as wide within.

    Source: He et al., CVPR 2016, figure 5, with a projection for the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        between = max(1, out_channels // 4)
        self.residual = nn.Sequential(
            conv_bn_relu(in_channels, between, 1),
            conv_bn_relu(between, between, 3),
            nn.Conv2d(between, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Features of `out_channels`, the size stays."""
        return F.relu(self.residual(features) + self.shortcut(features))
