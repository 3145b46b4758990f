"""ResNet18 as tests train it: torchvision's own, no stage of it wider than the first one.

Layers, strides and names are the same. Of 11 million parameters 0.7 are left, so that a tiny training takes a third of
a second and its checkpoints are megabytes: most of a test's time went into writing, reading and stepping weights that
nothing was asked of. What is said of the network itself is tested on the real one (tests/models), and so is what the
command line does (the processes that tests start; those of helpers/killing.py and helpers/sweep_killing.py are narrow).
"""

from typing import Any

import pytest
from torch import nn
from torchvision.models import resnet

WIDEST = 64


class NarrowResNet(resnet.ResNet):
    """A ResNet with at most `WIDEST` channels in every stage."""

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **more: Any) -> nn.Sequential:
        return super()._make_layer(block, min(planes, WIDEST), *arguments, **more)


def resnet18(*, zero_init_residual: bool = False) -> NarrowResNet:
    return NarrowResNet(resnet.BasicBlock, [2, 2, 2, 2], zero_init_residual=zero_init_residual)


def install(patch: pytest.MonkeyPatch | None = None) -> None:
    """From here on, resnet18 is narrow in this process."""
    (patch or pytest.MonkeyPatch()).setattr(resnet, "resnet18", resnet18)
