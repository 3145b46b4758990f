"""Files of pretrained weights. Nothing in a file is executed."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mtl_seg_depth.system import tensors
from mtl_seg_depth.system.errors import UserError

log = logging.getLogger(__name__)

State = dict[str, Tensor]


def read_state_dict(
    path: Path, encoder_of: Callable[[State], State] = dict, names: str = "none, a state-dict file"
) -> State:
    """The tensors of a .safetensors or .pth file, loaded without unpickling code.

    Args:
        path: the file; it may be the best.pt of a run.
        encoder_of: picks the encoder's tensors, under their own names, out of all tensors of a run's network.
        names: what else could have been asked for, for the message about a file that is not there.

    Raises UserError for a file that is not there, is damaged or holds something else.
    """
    if not path.is_file():
        raise UserError(f"encoder.weights: there is no file {path}; it takes {names} or the best.pt of a run")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else tensors.read(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"encoder.weights: {path} is no .safetensors file ({tensors.reason(error)})") from error
    if isinstance(state, dict) and isinstance(state.get("network"), dict):
        state = encoder_of(state["network"])
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(f"encoder.weights: {path} is no state dict: it should map names to tensors alone")
    return state


def take(net: nn.Module, wanted: Mapping[str, Tensor], state: State, origin: str, ignored: str) -> None:
    """Load those tensors of a state dict that are wanted, and log what was taken, what stays fresh and what is unused.

    Tensors whose names begin with `ignored`, a classifier's, are not worth a word.
    """
    if next(net.parameters()).is_meta:  # a net of shapes alone: that they fit was all there is to know
        return
    taken = {key: state[key] for key in wanted if key in state}
    net.load_state_dict(taken, strict=False)
    fresh = sorted(wanted.keys() - taken.keys())
    unused = sorted(key for key in state.keys() - taken.keys() if not key.startswith(ignored))
    log.info(
        "encoder weights from %s: %d tensors taken, fresh: %s, unused: %s",
        origin,
        len(taken),
        ", ".join(fresh) or "none",
        ", ".join(unused) or "none",
    )
