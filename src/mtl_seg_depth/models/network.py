"""What every network of the suite shares: picture in, a list of full-size predictions for every task out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.aspp import ASPP, Projection
from mtl_seg_depth.models.blocks import upsample
from mtl_seg_depth.models.decoder import Decoder
from mtl_seg_depth.models.encoder import ResNetEncoder
from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation
from mtl_seg_depth.tasks.semseg.labels import NUM_CLASSES

TASK_CHANNELS = {"semseg": NUM_CLASSES, "depth": 1}
"""Every task the suite knows and the channels that its prediction has."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Predictions = dict[str, list[Tensor]]
"""Per task its predictions, the last one scored: `semseg` logits [B, 19, H, W], `depth` normalised [B, H, W]."""


class Network(nn.Module):
    """Base of the architectures: normalises the picture, encodes it, and brings predictions to full size.

    A subclass states its `tasks` and implements `decode`. The networks take rgb in 0..1, so that training,
    prediction and export cannot disagree about normalisation.

    Args:
        encoder: gives features of several strides and states their channels.
        aspp: atrous spatial pyramid pooling on the deepest features, or only a 1x1 projection.
        skip: let stride-4 features into the decoder.
        atrous_rates: of the pyramid's 3x3 convolutions, any number of them.
        aspp_se: squeeze-and-excitation after each pyramid.
        decoder_se: squeeze-and-excitation before the last 1x1 of each decoder.
    """

    STRIDE_OF_FINE_FEATURES = 4
    SMALLEST_SIDE = 32
    """Pixels: below this the deepest features would be padding alone."""

    tasks: tuple[str, ...] = tuple(TASK_CHANNELS)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: ResNetEncoder,
        aspp: bool = True,
        skip: bool = True,
        atrous_rates: Sequence[int] = (3, 6, 9),
        aspp_se: bool = False,
        decoder_se: bool = False,
    ) -> None:
        super().__init__()
        if aspp_se and not aspp:
            raise ValueError("aspp_se=true puts squeeze-and-excitation after the ASPP: it needs aspp=true")
        self.encoder = encoder
        self.aspp = aspp
        self.skip = skip
        self.atrous_rates = atrous_rates
        self.aspp_se = aspp_se
        self.decoder_se = decoder_se
        self.fine = encoder.strides.index(self.STRIDE_OF_FINE_FEATURES)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def decode(self, fine: Tensor, deepest: Tensor) -> Predictions:
        """Predictions at stride 4, each [B, channels, H/4, W/4], from stride-4 and deepest features."""
        raise NotImplementedError(f"{type(self).__name__} has no decode()")

    def forward(self, rgb: Tensor) -> Predictions:
        """Predictions of the picture's size from rgb [B, 3, H, W] in 0..1."""
        height, width = rgb.shape[-2:]
        if min(height, width) < self.SMALLEST_SIDE:
            raise ValueError(
                f"the network takes pictures of at least {self.SMALLEST_SIDE} x {self.SMALLEST_SIDE} pixels, "
                f"not {width} x {height}"
            )
        features = self.encoder((rgb - self.mean) / self.std)
        coarse = self.decode(features[self.fine], features[-1])
        full = {task: [upsample(p, (height, width)) for p in coarse[task]] for task in self.tasks}
        return {task: [p.squeeze(1) for p in full[task]] if task == "depth" else full[task] for task in full}

    def make_bottleneck(self) -> nn.Sequential:
        """A new ASPP or projection, as configured, from the deepest features to 256 channels."""
        in_channels = self.encoder.out_channels[-1]
        if not self.aspp:
            return nn.Sequential(Projection(in_channels))
        pyramid = ASPP(in_channels, self.atrous_rates)
        return nn.Sequential(pyramid, *([SqueezeExcitation(pyramid.out_channels)] if self.aspp_se else []))

    def make_decoder(self, bottleneck: nn.Sequential, outputs: int) -> Decoder:
        """A new decoder, as configured, from a bottleneck of `make_bottleneck` to `outputs` channels."""
        in_channels = bottleneck[0].out_channels
        assert isinstance(in_channels, int)
        skip_channels = self.encoder.out_channels[self.fine] if self.skip else None
        return Decoder(in_channels, outputs, skip_channels, se=self.decoder_se)
