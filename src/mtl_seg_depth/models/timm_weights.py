"""Pretrained weights of timm's networks: the hub's, those that a package ships, a file, or another run's best.pt.

Nothing in a file is executed.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.models.installed_weights import installed_state_dict
from mtl_seg_depth.models.state_dicts import State, read_state_dict, take
from mtl_seg_depth.system import tensors
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage

OF_A_RUN = "encoder.net."
"""What a run's checkpoint puts before the names of timm's tensors."""


def load_timm_weights(net: Any, name: str, weights: str) -> None:
    """Load `pretrained`, `installed` or a file into a timm network without a classifier, in place.

    `pretrained` are the weights that the network's name says, such as `.fb_in22k_ft_in1k`, or timm's first choice. A
    file is a state dict (.safetensors or .pth) with timm's names or those that timm translates, or the best.pt of a
    run: its encoder.

    Raises:
        UserError: no such weights or file, no network and nothing cached, or tensors that do not fit this network.
    """
    if weights in ("imagenet", "imagenet_v2"):
        raise UserError(
            f"encoder.weights={weights} is torchvision's, and {name} is timm's: it takes none, pretrained, installed, "
            "a state-dict file or the best.pt of a run"
        )
    if weights == "pretrained":
        state, origin = _from_hub(net.pretrained_cfg, name)
    elif weights == "installed":
        state, origin = installed_state_dict(name.partition(".")[0])
    else:
        names = "none, pretrained, installed, a state-dict file"
        state, origin = read_state_dict(Path(weights), _encoder_of, names), weights
    wanted = net.state_dict()
    if not _fits(wanted, state):
        state = _translated(state, name, origin)
        if not _fits(wanted, state):
            raise UserError(f"encoder.weights: {origin} does not hold a {name}: {_difference(wanted, state)}")
    take(net, wanted, state, origin, ignored=_classifier(net))


def _encoder_of(network: State) -> State:
    """The encoder of a checkpoint of ours."""
    return {key.removeprefix(OF_A_RUN): value for key, value in network.items() if key.startswith(OF_A_RUN)}


def _fits(wanted: State, state: State) -> bool:
    """Whether a state dict has every wanted tensor in its shape; counters, which old files lack, aside."""
    return all(
        key.endswith("num_batches_tracked") or (key in state and state[key].shape == value.shape)
        for key, value in wanted.items()
    )


def _difference(wanted: State, state: State) -> str:
    missing = [key for key in wanted if key not in state]
    misfits = [key for key, value in wanted.items() if key in state and state[key].shape != value.shape]
    example = next(iter([*misfits, *missing]), "")
    return (
        f"{len(misfits)} tensors have another shape and {len(missing)} of {len(wanted)} are missing; {example} for one"
    )


def _translated(state: State, name: str, origin: str) -> State:
    """What timm makes of a file of other names or sizes, such as those that a network's authors published."""
    import timm

    given = {"state_dict": state, "file": None, "url": None, "hf_hub_id": None, "custom_load": False}
    try:
        with torch.device("cpu"):
            net = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=given)
    except Exception as error:  # names and shapes that are none of its own can make timm raise nearly anything
        if is_shortage(error):
            raise
        what = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"encoder.weights: {origin} does not hold a {name} ({what})") from error
    translated: dict[str, Tensor] = net.state_dict()
    return translated


def _classifier(net: nn.Module) -> str:
    """What the names of the classifier's tensors begin with."""
    name = getattr(net, "pretrained_cfg", {}).get("classifier")
    first = name[0] if isinstance(name, list | tuple) and name else name
    return str(first or "head").partition(".")[0]


def _from_hub(config: dict[str, Any], name: str) -> tuple[State, str]:
    """The weights of a network's configuration, from the hub's cache or the hub: with its progress bar, as safetensors
    alone."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from safetensors.torch import load_file

    repository = config.get("hf_hub_id")
    if not repository:
        raise UserError(f"encoder.weights=pretrained: there are no weights for {name}; take encoder.weights=none")
    repository, _, revision = str(repository).partition("@")
    file = config.get("hf_hub_filename") or "model.safetensors"
    if not file.endswith(".safetensors"):
        file = "model.safetensors"
    place: dict[str, Any] = {"repo_id": repository, "filename": file, "revision": revision or None}
    try:
        try:
            path = hf_hub_download(**place, local_files_only=True)
        except FileNotFoundError:  # which is what a file that is not cached raises
            get_hf_file_metadata(hf_hub_url(**place))  # offline this fails at once, and a download after a minute
            path = hf_hub_download(**place)
        state: State = load_file(path)
    except Exception as error:  # of the network, of the hub, of the disk, of a damaged file
        if is_shortage(error):
            raise
        raise UserError(
            f"encoder.weights=pretrained: {file} of the hub's repository {repository} is not cached or damaged, and "
            f"out of reach ({tensors.reason(error)}).\nFetch it where there is a network, and name the file: "
            "encoder.weights=<path>/model.safetensors; or start from random weights: encoder.weights=none"
        ) from error
    return state, f"the hub's {repository}"
