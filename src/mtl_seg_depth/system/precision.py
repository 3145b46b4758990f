"""Number formats: what the network computes in, and where a device does which faster."""

from dataclasses import dataclass
from typing import Literal

import torch

Name = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Precision:
    """fp32 throughout (products in TF32 on a GPU), or bf16 autocast with fp32 weights, losses and optimiser."""

    name: Name

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context to run the network in."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.name == "bf16")


def native(device: torch.device) -> Name:
    """The faster format of a device: bf16 where it multiplies that in hardware, fp32 elsewhere."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"
