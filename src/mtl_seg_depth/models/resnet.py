"""torchvision's ResNets as encoders: features of every stride, with stages that dilate instead of striding."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torchvision.models import resnet

from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.recomputing import recompute as recompute_blocks
from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation
from mtl_seg_depth.models.weights import load_pretrained

Name = Literal["resnet18", "resnet34", "resnet50", "resnet101"]


class ResNetEncoder(Encoder):
    """A ResNet without its classifier: features of five strides, those of the stem and of the four stages.

    Not pretrained, torchvision's Kaiming initialisation (normal, fan out) stands.

    Args:
        name: the depth of the network.
        replace_stride_with_dilation: for each of the last three stages, whether it dilates instead of striding.
            All false is output stride 32, the last alone 16, the last two 8.
        weights: `none`, `imagenet` or a state-dict file (see `load_pretrained`).
        zero_init_residual: start the last BatchNorm weight of every block at zero.
        se: squeeze-and-excitation on every block's output before the residual sum. It starts fresh, also where
            the convolutions are pretrained.
        freeze: train everything but the encoder.
        recompute: gradient checkpointing of every residual block: less memory for more time, and the same result.

    Source: He et al., CVPR 2016; the dilation follows the report (see `_dilate`).
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        name: Name,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        weights: str = "none",
        zero_init_residual: bool = False,
        se: bool = False,
        freeze: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if name not in get_args(Name):
            raise ValueError(f"no encoder is called {name!r}; there are {', '.join(get_args(Name))}")
        if len(replace_stride_with_dilation) != 3:
            raise ValueError("replace_stride_with_dilation takes three flags, one for each of the last stages")
        if freeze and se:
            raise ValueError("freeze=true: squeeze-and-excitation starts fresh, and would stay random; take se=false")
        net: resnet.ResNet = getattr(resnet, name)(zero_init_residual=zero_init_residual)
        if weights != "none":
            load_pretrained(net, name, weights)

        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu)
        self.pool = net.maxpool
        stages = [net.layer1, net.layer2, net.layer3, net.layer4]
        self.stages = nn.ModuleList(stages)
        self.out_channels = [64, *(_last_norm(stage[-1])[1].num_features for stage in stages)]
        self.strides = [2, 4, *_dilate(stages[1:], replace_stride_with_dilation)]
        if se:
            for stage in stages:
                for block in stage:
                    attribute, norm = _last_norm(block)
                    setattr(block, attribute, nn.Sequential(norm, SqueezeExcitation(norm.num_features)))
        if recompute:
            recompute_blocks(block for stage in stages for block in stage)
        if freeze:
            self.freeze()

    def stage(self, index: int, before: Tensor) -> Tensor:
        """The stem, or a stage of residual blocks; the first of those begins with the max pooling."""
        if index == 0:
            stem: Tensor = self.stem(before)
            return stem
        blocks: Tensor = self.stages[index - 1](self.pool(before) if index == 1 else before)
        return blocks

    def layerwise_parameters(self) -> list[list[nn.Parameter]]:
        """The stem and the four stages."""
        return [list(part.parameters()) for part in (self.stem, *self.stages)]


def _last_norm(block: nn.Module) -> tuple[str, nn.BatchNorm2d]:
    """The BatchNorm whose output meets the residual, and its attribute's name."""
    attribute = "bn3" if isinstance(block, resnet.Bottleneck) else "bn2"
    norm = getattr(block, attribute)
    assert isinstance(norm, nn.BatchNorm2d)
    return attribute, norm


def _dilate(stages: Sequence[nn.Sequential], flags: Sequence[bool]) -> list[int]:
    """Replace the strides of the flagged stages by dilation, in place; returns the stride of each stage's output.

    Two things differ from torchvision. It forbids dilation in the blocks of ResNet18 and 34: here the second 3x3
    (`conv2`) alone is dilated. And the first block of a dilated stage always has rate 2, where torchvision keeps the
    rate of the stage before; the other blocks have the running rate, which doubles with every stage dilated.
    """
    strides = []
    stride, rate = 4, 1
    for stage, dilated in zip(stages, flags, strict=True):
        if dilated:
            rate *= 2
            for module in stage[0].modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)
        else:
            stride *= 2
        if rate > 1:
            for position, block in enumerate(stage):
                block_rate = 2 if dilated and position == 0 else rate
                assert isinstance(block, resnet.BasicBlock | resnet.Bottleneck)
                block.conv2.dilation = block.conv2.padding = (block_rate, block_rate)
        strides.append(stride)
    return strides
