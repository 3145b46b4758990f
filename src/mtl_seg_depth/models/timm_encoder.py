"""timm's networks as encoders: convolutional and hierarchical ones as they are, plain vision transformers through a
neck."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.padding import cut, pad_by_multiples, pad_to_multiple
from mtl_seg_depth.models.reassembly import Reassembly
from mtl_seg_depth.models.recomputing import recompute as recompute_blocks
from mtl_seg_depth.models.timm_weights import load_timm_weights
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest

STRIDES = (4, 8, 16, 32)
"""Of the features that are made of a plain vision transformer."""
OUTPUT_STRIDES: dict[tuple[bool, ...], int] = {
    (False, False, False): 32,
    (False, False, True): 16,
    (False, True, True): 8,
}
"""By which of the last three stages dilate."""
DEEPEST = 32
"""Stride of the deepest features where nothing dilates."""
WINDOWS = (8, 16, 32)
"""Pixels a side that a token may stand for; others are made 16 by resizing the image."""


class TimmEncoder(Encoder):
    """A network of timm without its classifier; the image is normalised as the network's own configuration says.

    Images of any size: their last row and column are repeated until the network's deepest stride or its patches divide
    both sides, and features are cut to the sizes of the contract. Windowed attention and absolute
    position embeddings are interpolated as timm does it (`dynamic_img_size`).

    A plain vision transformer has tokens of one stride. Those after each quarter of its blocks, normalised by its last
    norm, become a pyramid (see `Reassembly`), whose deepest stride is the output stride. One with patches of 14 pixels
    sees the image resized by 14/16, so that a token stands for 16 pixels and strides stay powers of two.

    Args:
        name: timm's name of the network, perhaps with that of its weights: `convnext_tiny.fb_in22k_ft_in1k`.
        replace_stride_with_dilation: for each of the last three stages, whether it dilates instead of striding.
        weights: `none`, `pretrained`, `installed` or a file (see `load_timm_weights`).
        freeze: train everything but the network; the neck of a plain vision transformer is trained.
        recompute: gradient checkpointing: less memory for more time, and the same result.
        drop_path: stochastic depth: the share of residual branches that are dropped in training in the last block,
            rising to it from 0 (Huang et al., ECCV 2016).
    """

    def __init__(
        self,
        name: str,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        weights: str = "none",
        freeze: bool = False,
        recompute: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path is a share within 0..1; not {drop_path}")
        output_stride = OUTPUT_STRIDES.get(tuple(replace_stride_with_dilation))
        if output_stride is None:
            raise ValueError("timm's networks have an output stride of 8, 16 or 32: dilation=os8, os16 or os32")
        net = _network(name, output_stride, drop_path)
        infos: list[dict[str, Any]] = list(net.feature_info)
        reductions = [info["reduction"] for info in infos]
        self.neck: Reassembly | None = None
        if len(set(reductions)) == 1 and len(reductions) > 1:
            self.patch: int = reductions[0]
            self.window = self.patch if self.patch in WINDOWS else 16
            self.strides = [min(stride, output_stride) for stride in STRIDES]
            count = len(self.strides)
            self.indices = [math.ceil((place + 1) * len(infos) / count) - 1 for place in range(count)]
            width = infos[-1].get("num_chs_norm", infos[-1]["num_chs"])
            self.neck = Reassembly(width, self.window, self.strides)
            self.out_channels = self.neck.out_channels
        else:
            self.patch = self.window = max(reductions)
            self.strides = reductions
            self.indices = list(range(len(infos)))
            self.out_channels = [info["num_chs"] for info in infos]
        blocks = _blocks(net, infos) if recompute else []
        net.prune_intermediate_layers(self.indices, prune_norm=self.neck is None, prune_head=True)
        if weights != "none":
            load_timm_weights(net, name, weights)
        self.net = net
        self.mean, self.std = (_three(net.pretrained_cfg[key]) for key in ("mean", "std"))
        if recompute:
            blocks = [block for block in blocks if block in set(net.modules())]
            if not blocks:
                raise ValueError(f"recompute=true: timm does not say what {name} is built of; take recompute=false")
            recompute_blocks(blocks)
        if freeze:
            self.freeze(net)
        if net.pretrained_cfg.get("fixed_input_size") and not next(net.parameters()).is_meta:
            self._require_sizes(name)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of every stride."""
        height, width = image.shape[-2:]
        image = pad_to_multiple(image, self.window)
        if self.patch != self.window:
            rows, columns = (side // self.window * self.patch for side in image.shape[-2:])
            image = F.interpolate(image, size=(rows, columns), mode="bilinear", align_corners=False)
        features: list[Tensor] = self.net.forward_intermediates(
            image, indices=self.indices, norm=self.neck is not None, output_fmt="NCHW", intermediates_only=True
        )
        if self.neck is not None:
            features = self.neck(features)
        return [
            cut(feature, (height + stride - 1) // stride, (width + stride - 1) // stride)
            for feature, stride in zip(features, self.strides, strict=True)
        ]

    def layerwise_parameters(self) -> list[list[nn.Parameter]]:
        """The network's, as timm counts them; a neck is no part of them."""
        from timm.models import group_parameters

        if not hasattr(self.net, "group_matcher"):
            return [list(self.net.parameters())]
        parameters = dict(self.net.named_parameters())
        groups = group_parameters(self.net, self.net.group_matcher(coarse=False))
        return [[parameters[name] for name in groups[number]] for number in sorted(groups)]

    def undecayed(self) -> list[nn.Parameter]:
        """Those that timm says so of."""
        names = self.net.no_weight_decay() if hasattr(self.net, "no_weight_decay") else set()
        return [parameter for name, parameter in self.net.named_parameters() if name in names]

    def _require_sizes(self, name: str) -> None:
        """ValueError if the network takes images of its own size alone, which its configuration does not say surely."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                self(torch.zeros(1, 3, 45, 67))
        except Exception as error:  # whatever a network does with what it does not expect
            wanted = " x ".join(map(str, self.net.pretrained_cfg["input_size"][1:]))
            what = str(error).partition("\n")[0]
            raise ValueError(f"{name} takes images of {wanted} pixels alone, and no others ({what})") from error
        self.train(training)


def _network(name: str, output_stride: int, drop_path: float) -> Any:
    """timm's network, with random weights; ValueError for a name or an option that it does not have."""
    try:
        import timm
        from timm.layers.conv2d_same import Conv2dSame
    except ImportError:
        raise UserError("encoder: these networks are timm's: pip install 'mtl_seg_depth[timm]'") from None

    architecture, _, tag = name.partition(".")
    if ":" in name or not timm.is_model(architecture):
        close = nearest(architecture, timm.list_models())
        hint = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() has all of them"
        raise ValueError(f"timm has no network {architecture!r}; {hint}")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ValueError(f"timm has no weights {name!r}; of {architecture} there are {', '.join(tags) or 'none'}")
    with torch.device("meta"):
        outline: Any = timm.create_model(name)
    if not hasattr(outline, "forward_intermediates"):
        raise ValueError(f"{name} is a network that timm has no features of")
    known = inspect.signature(type(outline).__init__).parameters
    options: dict[str, Any] = {}
    if "dynamic_img_size" in known:
        options["dynamic_img_size"] = True
    if "drop_path_rate" in known:
        options["drop_path_rate"] = drop_path
    elif drop_path:
        raise ValueError(f"{name} has no paths to drop; take drop_path=0")
    reductions = [info["reduction"] for info in outline.feature_info]
    if len(set(reductions)) > 1 and max(reductions) != DEEPEST:
        strides = ", ".join(map(str, reductions))
        raise ValueError(f"{name} has features of strides {strides}; encoders end with stride {DEEPEST}")
    if len(set(reductions)) > 1 and output_stride != DEEPEST:
        undilated = f"{name} has no stages that dilate instead of striding; take dilation=os{DEEPEST}"
        if "output_stride" not in known:
            raise ValueError(undilated)
        options["output_stride"] = output_stride
        try:
            with torch.device("meta"):
                timm.create_model(name, **options)
        except AssertionError:
            raise ValueError(undilated) from None
    net: Any = timm.create_model(name, **options)
    pad_by_multiples(net, Conv2dSame)
    return net


def _blocks(net: nn.Module, infos: Sequence[dict[str, Any]]) -> list[nn.Module]:
    """The blocks of a network's stages, or the stages where they have no list of blocks."""
    found: dict[nn.Module, None] = {}
    known = dict(net.named_modules())
    for info in infos:
        stage = known.get(info["module"])
        if stage is None:  # not all that timm says of its features is so
            continue
        parent: nn.Module = known[info["module"].rpartition(".")[0]]
        for each in _listed(parent) or [stage]:
            found |= dict.fromkeys(_listed(getattr(each, "blocks", each)) or [each])
    return [block for block in found if any(True for _ in block.parameters())]


def _listed(module: object) -> list[nn.Module]:
    """The modules of a list of them; none of anything else."""
    return list(module) if isinstance(module, nn.Sequential | nn.ModuleList) else []


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
