"""How much memory a process took, and what to say when there is no more."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

from mtl_seg_depth.system.errors import OutOfMemoryError


@dataclass(frozen=True)
class Peak:
    """The most memory that was in use; `device` is the GPU's name or "CPU", whose memory is the machine's."""

    bytes: int
    share: float
    device: str

    def __str__(self) -> str:
        """In words."""
        where = "the machine's memory" if self.device == "CPU" else self.device
        return f"{self.bytes / 2**30:.2f} GiB at most, {self.share:.1%} of {where}"


def peak(device: torch.device) -> Peak:
    """Of this process; on a GPU what it reserved since the statistics were reset, with the pool of a captured step."""
    if device.type == "cuda":
        most, total = torch.cuda.max_memory_reserved(device), torch.cuda.get_device_properties(device).total_memory
        return Peak(most, most / total, torch.cuda.get_device_name(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Peak(most, most / psutil.virtual_memory().total, "CPU")


SHORTAGES = (
    "can't allocate memory",
    "Cannot allocate memory",
    "error: out of memory",
    "_STATUS_ALLOC_FAILED",
    "bad_alloc",
)
"""What says so in an error that is of no class of its own: of torch's CPU allocator, the system, CUDA, the libraries
beside it (cuDNN, cuBLAS, ...), and C++."""


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, and nothing else: CUDA's other errors look much alike."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(words in str(error) for words in SHORTAGES)


@contextmanager
def shortage_told(what: str, device: torch.device) -> Iterator[None]:
    """Turn memory that is used up into a message: `what` was too large, how much there was, and what takes less."""
    try:
        yield
    except Exception as error:
        if not is_shortage(error):
            raise
        raise OutOfMemoryError(
            f"{what}: {device} is out of memory ({peak(device)}); take smaller ones, or precision=bf16. "
            "What was saved before is untouched"
        ) from error
