"""A step is captured only if nothing in it comes from the host."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class NothingFromTheHost(TorchDispatchMode):
    """Refuses tensors made of host values in the middle of a step: on a GPU each is a copy that the host waits for."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "lift_fresh" not in str(function), "a tensor was made of host values"
        return function(*args, **(kwargs or {}))
