"""From the tokens of a plain vision transformer, which are all of one stride, to features of several strides."""

from collections.abc import Sequence

from torch import Tensor, nn


class Reassembly(nn.Module):
    """Token maps [B, width, h, w] of `stride`, one for each of `strides` -> features [B, out_channels[i], ...].

    Each map is projected to its channels by a 1x1 and resampled to its stride: by a transposed convolution where that
    is finer, by a 3x3 convolution that strides where it is coarser. Earlier blocks make finer features. Channels halve
    from the width towards the finest, those of DPT for ViT-B.

    Source: Ranftl, Bochkovskiy & Koltun, Vision Transformers for Dense Prediction, ICCV 2021, section 3, without the
    readout token; the fusion that follows there is what a decoder does with skips from all scales.
    """

    def __init__(self, width: int, stride: int, strides: Sequence[int]) -> None:
        super().__init__()
        count = len(strides)
        self.out_channels = [max(1, width >> (count - 1 - place)) for place in range(count)]
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, channels, 1), _resample(channels, stride, wanted))
            for channels, wanted in zip(self.out_channels, strides, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Features of every stride, the finest first."""
        return [step(tokens) for step, tokens in zip(self.steps, maps, strict=True)]


def _resample(channels: int, stride: int, wanted: int) -> nn.Module:
    if wanted < stride:
        factor = stride // wanted
        return nn.ConvTranspose2d(channels, channels, factor, stride=factor)
    if wanted > stride:
        return nn.Conv2d(channels, channels, 3, stride=wanted // stride, padding=1)
    return nn.Identity()
