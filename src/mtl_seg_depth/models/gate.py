"""The gated convolution that carries features from one task to the other."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """`conv3x3(x) * sigmoid(conv3x3(x))` over [B, channels, H, W], without bias; the gate's weights start at zero.

    At the start every gate is half open. Source: Xu et al., PAD-Net, CVPR 2018, equation 2, as the report builds it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.message = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.gate = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.gate.weight)

    def forward(self, features: Tensor) -> Tensor:
        """The message that these features send, same shape."""
        message: Tensor = self.message(features)
        return message * torch.sigmoid(self.gate(features))
