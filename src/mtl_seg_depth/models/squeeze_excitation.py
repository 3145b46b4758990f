"""Squeeze-and-excitation: scale every channel by what the whole image says of it."""

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Channel attention over [B, C, H, W]: global average, two linear layers with bias, ReLU, sigmoid, scale.

    Source: Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, section 3.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scale features [B, C, H, W] channel by channel; the shape stays."""
        scale: Tensor = self.excite(features.mean(dim=(2, 3)))
        return features * scale[:, :, None, None]
