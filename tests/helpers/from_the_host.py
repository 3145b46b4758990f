"""A step is captured only if nothing in it comes from the host."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NothingFromTheHost(TorchDispatchMode):
    """Refuses tensors made of host values in the middle of a step: on a GPU each is a copy that the host waits for."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "lift_fresh" not in str(function), "a tensor was made of host values"
        return function(*args, **(kwargs or {}))


class OneDevice(NothingFromTheHost):
    """Refuses, besides, operations on tensors of two devices, and copies from one to another."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(function, types, args, kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device for tensor in tensors}
        assert len(devices) < 2, f"{function} is on {devices}"
        return result
