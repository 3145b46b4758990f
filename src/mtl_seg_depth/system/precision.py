"""Number formats: what the network computes in, and where a device does which faster."""

import functools
import hashlib
import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, PositiveFloat
from torch.nn import functional as F

from mtl_seg_depth.system import atomic, stored
from mtl_seg_depth.system.stored import STORED

Name = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Precision:
    """fp32 throughout (products in TF32 on a GPU), or bf16 autocast with fp32 weights, losses and optimiser."""

    name: Name

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context to run the network in."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.name == "bf16")


def native(device: torch.device) -> Name:
    """The faster format of a device. On a GPU bf16 where it multiplies that in hardware; a CPU is asked, see `measure`:
    some have instructions for bf16 and are slower with them."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if not _multiplies_bf16():
        return "fp32"
    seconds = _remembered()
    return "bf16" if seconds.bf16 * CLEARLY < seconds.fp32 else "fp32"


CLEARLY = 1.1
"""By what factor bf16 has to be faster on a CPU."""


class Seconds(BaseModel):
    """What the same work takes in either format."""

    model_config = STORED
    fp32: PositiveFloat
    bf16: PositiveFloat


def measure() -> Seconds:
    """Seconds of a convolution and a matrix product, forward and backward, in either format.

    The least of many short ones, in turns and on one thread: what else the machine does makes some of them longer.
    """
    image = torch.full((1, 128, 32, 32), 0.5).contiguous(memory_format=torch.channels_last).requires_grad_()
    kernel, matrix = (torch.full(shape, 0.01, requires_grad=True) for shape in ((128, 128, 3, 3), (384, 384)))

    def once(name: Name) -> float:
        began = time.perf_counter()
        with torch.enable_grad(), Precision(name).autocast(torch.device("cpu")):
            results = F.conv2d(image, kernel, padding=1), matrix @ matrix
        torch.autograd.backward(results, [torch.ones_like(each) for each in results])
        return time.perf_counter() - began

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fp32, bf16 = once("fp32"), once("bf16")  # with what is done once in a process
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            fp32, bf16 = min(fp32, once("fp32")), min(bf16, once("bf16"))
    finally:
        torch.set_num_threads(threads)
    return Seconds(fp32=fp32, bf16=bf16)


def _remembered() -> Seconds:
    """What was measured on this machine before, kept in the user's cache folder; or measured now."""
    known: dict[str, Seconds] = {}
    machine = _machine()
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtl_seg_depth"
        path = folder / "precision.json"
        known = stored.find(path, dict[str, Seconds]) or {}
        if machine not in known:
            known[machine] = measure()
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write_json(path, {name: each.model_dump() for name, each in known.items()})
    except (OSError, RuntimeError):  # no home, or none to write to: measured in every process
        pass
    return known.get(machine) or measure()


@functools.cache
def _machine() -> str:
    """What the answer depends on."""
    about = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.*)", about.read_text() if about.exists() else "", re.MULTILINE)
    able = sorted(name for name, value in torch.cpu.get_capabilities().items() if value is True)
    digest = hashlib.sha256(" ".join(able).encode()).hexdigest()[:8]
    name = models[0] if models else platform.processor()
    return f"{name} ({digest}), torch {torch.__version__}"


def _multiplies_bf16() -> bool:
    """Whether this CPU has any instruction for it; without, it is emulated, which is not worth a measurement."""
    return any(value for name, value in torch.cpu.get_capabilities().items() if "bf16" in name)
