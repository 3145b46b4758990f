"""Pretrained encoder weights: torchvision's ImageNet ones, or a state-dict file. Nothing in a file is executed."""

import logging
import pickle
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights, resnet

from mtl_seg_depth.errors import UserError

log = logging.getLogger(__name__)

IMAGENET = {"imagenet": "IMAGENET1K_V1", "imagenet_v2": "IMAGENET1K_V2"}
"""Our names of torchvision's weights. V1 is what `pretrained=True` meant, and so what the report used."""


def load_pretrained(net: resnet.ResNet, name: str, weights: str) -> None:
    """Load `imagenet`, `imagenet_v2` or a state-dict file (.safetensors or .pth) into a torchvision ResNet, in place.

    The classifier is left as it is. The log says how many tensors were taken, and which of the net's stayed fresh
    and which of the file's were of no use.

    Raises:
        UserError: no such weights or file, no network and nothing cached, or tensors that do not fit this encoder.
    """
    if weights in IMAGENET:
        state, origin = _imagenet(name, weights)
    else:
        state, origin = _read_state_dict(Path(weights)), weights
    wanted = {key: value for key, value in net.state_dict().items() if not key.startswith("fc.")}
    taken = {key: state[key] for key in wanted if key in state}
    misfits = [key for key, value in taken.items() if value.shape != wanted[key].shape]
    if misfits or len(taken) < len(wanted) / 2:
        example = misfits[0] if misfits else next(key for key in wanted if key not in state)
        raise UserError(
            f"encoder.weights: {origin} does not hold a {name}: {len(misfits)} tensors have another shape and "
            f"{len(wanted) - len(taken)} of {len(wanted)} are missing, {example} for one"
        )
    net.load_state_dict(taken, strict=False)
    fresh = sorted(wanted.keys() - taken.keys())
    unused = sorted(key for key in state.keys() - taken.keys() if not key.startswith("fc."))
    log.info(
        "encoder weights from %s: %d tensors taken, fresh: %s, unused: %s",
        origin,
        len(taken),
        ", ".join(fresh) or "none",
        ", ".join(unused) or "none",
    )


def _imagenet(name: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """torchvision's weights through its own API: progress bar, cache folder, checked hash."""
    available = get_model_weights(name)
    try:
        entry: WeightsEnum = available[IMAGENET[weights]]
    except KeyError:
        raise UserError(
            f"encoder.weights={weights}: torchvision has only {', '.join(available.__members__)} for {name}"
        ) from None
    try:
        state = entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, ConnectionError, TimeoutError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise UserError(
            f"encoder.weights={weights} is not cached and {entry.url} is out of reach "
            f"({getattr(error, 'reason', error)}).\nFetch it where there is a network and put it here: "
            f"{folder / Path(entry.url).name}\nor name the file: encoder.weights=<path>; "
            "or start from random weights: encoder.weights=none"
        ) from error
    return dict(state), f"{name} {entry.name}"


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pth file, loaded without unpickling code."""
    if not path.is_file():
        raise UserError(
            f"encoder.weights: there is no file {path}; it takes none, {', '.join(IMAGENET)} or a state-dict file"
        )
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"encoder.weights: {path} is no state dict of plain tensors ({str(error).splitlines()[0]})"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"encoder.weights: {path} is no state dict: it should map names to tensors alone")
    return state
