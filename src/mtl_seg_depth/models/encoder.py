"""The contract of an encoder: decoders ask nothing else of it."""

from collections.abc import Sequence

from torch import Tensor, nn


class Encoder(nn.Module):
    """Maps normalised images [B, 3, H, W] to features of several strides, from the finest to the deepest.

    Feature i is [B, out_channels[i], ceil(H / strides[i]), ceil(W / strides[i])]. The deepest one may have the stride
    of the one before it, where it dilates instead.

    Attributes:
        out_channels: of every feature.
        strides: of every feature, none smaller than the one before.
        mean, std: of red, green and blue in 0..1, by which images are normalised: `(image - mean) / std`.
    """

    out_channels: Sequence[int]
    strides: Sequence[int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of every stride."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")
