"""ResNets as tests train them: torchvision's own with one block a stage, and no stage wider than the first one.

Of ResNet18's 11 million parameters 0.3 are left, so that a tiny training takes a third of a second and its checkpoints
are megabytes: most of a test's time went into writing, reading and stepping weights that nothing was asked of. What is
said of a network itself is tested on the real one (the fixture `real_resnets`), and so is a command that a test starts
as a process of its own.
"""

from typing import Any

import pytest
from torch import nn
from torchvision.models import resnet

WIDEST = 64
BLOCKS = {
    "resnet18": resnet.BasicBlock,
    "resnet34": resnet.BasicBlock,
    "resnet50": resnet.Bottleneck,
    "resnet101": resnet.Bottleneck,
}


class SmallResNet(resnet.ResNet):
    """A ResNet whose stages have at most `WIDEST` channels, times four after a bottleneck."""

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **more: Any) -> nn.Sequential:
        return super()._make_layer(block, min(planes, WIDEST), *arguments, **more)


def install(patch: pytest.MonkeyPatch | None = None) -> None:
    """From here on, torchvision's ResNets are small in this process."""
    for name, block in BLOCKS.items():

        def make(*, zero_init_residual: bool = False, block: Any = block) -> SmallResNet:
            return SmallResNet(block, [1, 1, 1, 1], zero_init_residual=zero_init_residual)

        (patch or pytest.MonkeyPatch()).setattr(resnet, name, make)
