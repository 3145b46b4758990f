"""Pretrained encoder weights: torchvision's ImageNet ones, a state-dict file, or another run's best.pt.

Nothing in a file is executed.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights, resnet

from mtl_seg_depth.models.state_dicts import read_state_dict, take
from mtl_seg_depth.system import tensors
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage

IMAGENET = {"imagenet": "IMAGENET1K_V1", "imagenet_v2": "IMAGENET1K_V2"}
"""Our names of torchvision's weights. V1 is what `pretrained=True` meant, and so what the report used."""


def load_pretrained(net: resnet.ResNet, name: str, weights: str) -> None:
    """Load `imagenet`, `imagenet_v2` or a file into a torchvision ResNet, in place.

    A file is a state dict with torchvision's names (.safetensors or .pth), or the best.pt of a run: its encoder.

    The classifier is left as it is. The log says how many tensors were taken, and which of the net's stayed fresh
    and which of the file's were of no use.

    Raises:
        UserError: no such weights or file, no network and nothing cached, or tensors that do not fit this encoder.
    """
    if weights in IMAGENET:
        state, origin = _imagenet(name, weights)
    else:
        names = f"none, {', '.join(IMAGENET)}, a state-dict file"
        state, origin = read_state_dict(Path(weights), _encoder_of, names), weights
    wanted = {key: value for key, value in net.state_dict().items() if not key.startswith("fc.")}
    taken = {key: state[key] for key in wanted if key in state}
    misfits = [key for key, value in taken.items() if value.shape != wanted[key].shape]
    other_blocks = sorted(_blocks(wanted) ^ _blocks(state))
    if misfits or other_blocks or len(taken) < len(wanted) / 2:
        example = [*misfits, *other_blocks, *(key for key in wanted if key not in state)][0]
        raise UserError(
            f"encoder.weights: {origin} does not hold a {name}: {len(misfits)} tensors have another shape, "
            f"{len(wanted) - len(taken)} of {len(wanted)} are missing and {len(other_blocks)} blocks are in only one "
            f"of the two; {example} for one"
        )
    take(net, wanted, state, origin, ignored="fc.")


def content_digest(weights: str) -> str | None:
    """Of the file that the weights come from; None for those that have a name, and for a file that is not there."""
    path = Path(weights)
    if weights in ("none", "pretrained", "installed", *IMAGENET) or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blocks(keys: Iterable[str]) -> set[str]:
    """The residual blocks among tensor names, such as `layer3.5`: how many there are tells the ResNets apart."""
    return {".".join(key.split(".")[:2]) for key in keys if key.startswith("layer")}


def _encoder_of(network: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder of a checkpoint of ours, under torchvision's names and without squeeze-and-excitation."""
    state = {}
    for key, value in network.items():
        name = re.sub(r"^encoder\.stages\.(\d)\.", lambda stage: f"layer{int(stage[1]) + 1}.", key)
        name = name.replace("encoder.stem.0.", "conv1.").replace("encoder.stem.1.", "bn1.")
        # Squeeze-and-excitation stands behind a block's last norm: bn2.0 is the norm then, and bn2.1 what follows.
        name = re.sub(r"^(layer\d\.\d+\.bn[23])\.0\.", r"\1.", name)
        excitation = re.match(r"layer\d\.\d+\.bn[23]\.1\.", name)
        if name.startswith(("conv1.", "bn1.", "layer")) and not excitation:
            state[name] = value
    return state


def _imagenet(name: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """torchvision's weights through its own API: progress bar, cache folder, checked hash."""
    available: dict[str, WeightsEnum] = {entry.name: entry for entry in get_model_weights(name)}
    if IMAGENET[weights] not in available:
        raise UserError(f"encoder.weights={weights}: torchvision has only {', '.join(available)} for {name}")
    entry = available[IMAGENET[weights]]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    try:
        state = entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, ConnectionError, TimeoutError) as error:
        raise UserError(
            f"encoder.weights={weights} is not cached and {entry.url} is out of reach "
            f"({getattr(error, 'reason', error)}).\nFetch it where there is a network and put it here: "
            f"{cached}\nor name the file: encoder.weights=<path>; "
            "or start from random weights: encoder.weights=none"
        ) from error
    except Exception as error:  # a damaged file can make torch raise nearly anything
        if is_shortage(error):
            raise
        raise UserError(
            f"encoder.weights={weights}: {cached} cannot be written, or is damaged ({tensors.reason(error)}); "
            "delete it, and it is downloaded again"
        ) from error
    return dict(state), f"{name} {entry.name}"
