"""What every network of the suite shares: image in, a list of full-size predictions for every task out."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.aspp import ASPP, Projection
from mtl_seg_depth.models.blocks import upsample
from mtl_seg_depth.models.decoder import Decoder, PyramidDecoder
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation

Predictions = dict[str, list[Tensor]]
"""Per task its raw predictions [B, channels, H, W], the last one scored."""

Skip = bool | Literal["all"]
"""Which features decoders get beside the bottleneck: the fine ones, none, or those of all scales."""


class Network(nn.Module):
    """Base of the architectures: normalises the image, encodes it, and brings predictions to full size.

    A subclass implements `decode`, on whichever of the encoder's features it wants; `fine` and `deepest` pick those of
    DeepLabv3+. The networks take images in 0..1, so that training, prediction and export cannot disagree about
    normalisation.

    Args:
        encoder: gives features of several strides and states their channels.
        outputs: the channels of every task's raw prediction, by the task's name.
        aspp: atrous spatial pyramid pooling on the deepest features, or only a 1x1 projection.
        skip: let the fine features into the decoder; `all` for those of every scale from there on.
        atrous_rates: of the pyramid's 3x3 convolutions, any number of them.
        aspp_se: squeeze-and-excitation after each pyramid.
        decoder_se: squeeze-and-excitation before the last 1x1 of each decoder.
        width: the channels of bottlenecks and decoders, 256 in DeepLabv3+; less is faster. Raises ValueError below 1.
    """

    FINEST_STRIDE = 4
    """Of the features that decoders work at: no finer, even if the encoder has some."""
    SMALLEST_SIDE = 32
    """Pixels: below this the deepest features would be padding alone."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: Encoder,
        outputs: Mapping[str, int],
        aspp: bool = True,
        skip: Skip = True,
        atrous_rates: Sequence[int] = (3, 6, 9),
        aspp_se: bool = False,
        decoder_se: bool = False,
        width: int = 256,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width takes whole numbers from 1, not {width}")
        if aspp_se and not aspp:
            raise ValueError("aspp_se=true puts squeeze-and-excitation after the ASPP: it needs aspp=true")
        if not isinstance(skip, bool) and skip != "all":
            raise ValueError(f"skip is true, false or all; not {skip!r}")
        self.encoder = encoder
        self.outputs = dict(outputs)
        self.aspp = aspp
        self.skip = skip
        self.atrous_rates = atrous_rates
        self.aspp_se = aspp_se
        self.decoder_se = decoder_se
        self.width = width
        self.fine_index = next(
            (index for index, stride in enumerate(encoder.strides) if stride >= self.FINEST_STRIDE),
            len(encoder.strides) - 1,
        )
        self.last_skip = max(self.fine_index, len(encoder.strides) - 2) if skip == "all" else self.fine_index
        self.register_buffer("mean", torch.tensor(encoder.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(encoder.std).view(1, 3, 1, 1), persistent=False)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it predicts."""
        return tuple(self.outputs)

    def fine(self, features: Sequence[Tensor]) -> Tensor:
        """The features that decoders work at: of stride 4, or the next one if the encoder has none of that."""
        return features[self.fine_index]

    def skips(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        """What a decoder gets beside the bottleneck: the fine features, or all from them on but the deepest."""
        return features[self.fine_index : self.last_skip + 1]

    def deepest(self, features: Sequence[Tensor]) -> Tensor:
        """What bottlenecks are made for."""
        return features[-1]

    def decode(self, features: Sequence[Tensor]) -> Predictions:
        """Predictions [B, channels, h, w], of any one size, from all features of the encoder."""
        raise NotImplementedError(f"{type(self).__name__} has no decode()")

    def coarse(self, image: Tensor) -> Predictions:
        """Predictions of any one size from normalised images: those that `decode` makes of the encoder's features."""
        return self.decode(self.encoder(image))

    def forward(self, image: Tensor) -> Predictions:
        """Predictions of the image's size from images [B, 3, H, W] in 0..1."""
        height, width = image.shape[-2:]
        if min(height, width) < self.SMALLEST_SIDE:
            raise ValueError(
                f"the network takes images of at least {self.SMALLEST_SIDE} x {self.SMALLEST_SIDE} pixels, "
                f"not {width} x {height}"
            )
        coarse = self.coarse((image - self.mean) / self.std)
        return {task: [upsample(p, (height, width)) for p in coarse[task]] for task in self.outputs}

    def make_bottleneck(self) -> nn.Sequential:
        """A new ASPP or projection, as configured, from the deepest features to `width` channels."""
        in_channels = self.encoder.out_channels[-1]
        if not self.aspp:
            return nn.Sequential(Projection(in_channels, self.width))
        pyramid = ASPP(in_channels, self.atrous_rates, self.width)
        return nn.Sequential(pyramid, *([SqueezeExcitation(pyramid.out_channels)] if self.aspp_se else []))

    def make_decoder(self, bottleneck: nn.Sequential, channels: int) -> Decoder | PyramidDecoder:
        """A new decoder, as configured, from a bottleneck of `make_bottleneck` to a prediction of `channels`."""
        in_channels = bottleneck[0].out_channels
        assert isinstance(in_channels, int)
        if self.skip == "all":
            of_skips = self.encoder.out_channels[self.fine_index : self.last_skip + 1]
            return PyramidDecoder(in_channels, channels, of_skips, se=self.decoder_se, out_channels=self.width)
        skip_channels = self.encoder.out_channels[self.fine_index] if self.skip else None
        return Decoder(in_channels, channels, skip_channels, se=self.decoder_se, out_channels=self.width)
