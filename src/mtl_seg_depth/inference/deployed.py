"""A trained network as other programs use it: a picture in, classes and metres out; what is said of it, and checked."""

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_seg_depth.inference.trained import Trained
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.nodes import PACKAGE
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.norms import DepthNorm
from mtl_seg_depth.tasks.semseg.labels import LABELS

TOLERANCE = 1e-3
"""How far a copy may be from the network it was made of: of the depth, of the largest logit, of a probability.

Two runtimes add up a convolution in different orders; a hundred times that is a different network.
"""

CHECKED_SIZES = ((1, 32, 32), (2, 65, 97), (1, 127, 61))
"""Batch, height and width of the pictures on which a copy is compared: the smallest, and odd ones both ways."""


class Deployed(nn.Module):
    """A network with everything around it that a user would otherwise have to know.

    Maps rgb float32 [B, 3, H, W] in 0..1 (8-bit values divided by 255; the ImageNet normalisation is inside), H and W
    at least 32, to a dictionary, in this order and for the tasks that the network has:

    - `semseg`: int64 [B, H, W], the train id of the likeliest class, 0..18;
    - `depth`: float32 [B, H, W], metres within the valid range;
    - `probabilities`, where asked for: float32 [B, 19, H, W], the classes' softmax. At full size they are 19 numbers a
      pixel, most of what the network computes; whoever needs only classes should not have to carry them.
    """

    def __init__(self, network: Network, depth_norm: DepthNorm, probabilities: bool = False) -> None:
        super().__init__()
        if probabilities and "semseg" not in network.tasks:
            raise UserError("probabilities=true: this network predicts no classes")
        self.network = network
        self.depth_norm = depth_norm
        self.probabilities = probabilities

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Classes and metres of a batch of pictures."""
        outputs = self.network(rgb)
        answer = {}
        if "semseg" in outputs:
            answer["semseg"] = outputs["semseg"][-1].argmax(dim=1)
        if "depth" in outputs:
            answer["depth"] = self.depth_norm.to_metres(outputs["depth"][-1])
        if self.probabilities:
            answer["probabilities"] = outputs["semseg"][-1].softmax(dim=1)
        return answer

    @property
    def outputs(self) -> tuple[str, ...]:
        """The keys of the answer, in its order."""
        return (
            *(task for task in ("semseg", "depth") if task in self.network.tasks),
            *["probabilities"][: self.probabilities],
        )


def describe(trained: Trained, deployed: Deployed) -> dict[str, Any]:
    """What a copy says of itself, as plain values: where it comes from, what it takes and gives, how good it is."""
    statistics = trained.depth_norm.statistics
    low, high = statistics.min, statistics.max
    about = {
        "semseg": "int64 [batch, height, width]: the class's train id, an index into `classes`",
        "depth": f"float32 [batch, height, width]: metres, {low:g} to {high:g}",
        "probabilities": "float32 [batch, 19, height, width]: softmax over `classes`",
    }
    return {
        "package": f"{PACKAGE} {importlib.metadata.version(PACKAGE)}",
        "run": trained.folder.name if trained.folder else "",
        "fingerprint": trained.fingerprint,
        "step": trained.step,
        "scores": trained.scores,
        "input": f"rgb: float32 [batch, 3, height, width], red, green, blue in 0..1, "
        f"height and width at least {Network.SMALLEST_SIDE}",
        "normalisation": "8-bit values divided by 255, nothing else: the ImageNet mean and deviation are inside, and "
        f"so is the way back from {type(trained.depth_norm).__name__} normalised depth to metres",
        "outputs": {name: about[name] for name in deployed.outputs},
        "classes": [label.name for label in LABELS],
        "colours": [label.colour for label in LABELS],
        "depth_range_metres": [low, high],
    }


def as_text(description: Mapping[str, Any]) -> dict[str, str]:
    """A description for places that hold only text: text stays, everything else becomes JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}


@dataclass(frozen=True)
class Agreement:
    """How far a copy was from the network, at most, over all checked pictures."""

    pixels: int
    labels: int | None
    """Pixels of another class than the network's, all of them ties; None without classes."""
    metres: float | None
    """None without depth."""
    probability: float | None
    """None without probabilities."""

    def __str__(self) -> str:
        """One line for people."""
        sizes = ", ".join(f"{width} x {height}" for _, height, width in CHECKED_SIZES)
        parts = []
        if self.labels is not None:
            parts.append(f"{self.labels} of {self.pixels} classes differ")
        if self.metres is not None:
            parts.append(f"depth differs by at most {self.metres:.2g} m")
        if self.probability is not None:
            parts.append(f"probabilities by at most {self.probability:.2g}")
        return f"against the network, on pictures of {sizes}: {', '.join(parts)}"


@torch.no_grad()
def compare(deployed: Deployed, copy: Callable[[Tensor], Mapping[str, Tensor]], resolution: float = 0.0) -> Agreement:
    """Compare a copy with the network it was made of, on pictures of several sizes.

    Args:
        deployed: the network, in evaluation mode on the CPU.
        copy: takes and gives what `Deployed` does.
        resolution: metres between two depths that the copy can tell apart.

    Raises:
        UserError: the copy is farther off than `TOLERANCE`. A class may differ only where two of them tie.
    """
    generator = torch.Generator().manual_seed(0)
    worst: dict[str, list[float]] = {"semseg": [], "depth": [], "probabilities": []}
    pixels = 0
    for batch, height, width in CHECKED_SIZES:
        blocks = torch.randint(0, 256, (batch, 3, height // 8, width // 8), generator=generator) / 255
        rgb = F.interpolate(blocks, (height, width))  # 8-bit colours, so that a copy that takes PNGs can be asked too
        got, outputs = copy(rgb), deployed.network(rgb)
        pixels += batch * height * width
        if "semseg" in outputs:
            logits = outputs["semseg"][-1]
            lead = logits.amax(dim=1) - logits.gather(1, got["semseg"].unsqueeze(1)).squeeze(1)
            _require("class", "logits", lead / logits.abs().amax().clamp(min=1), (height, width))
            worst["semseg"].append((got["semseg"] != logits.argmax(dim=1)).sum().item())
        if "depth" in outputs:
            metres = deployed.depth_norm.to_metres(outputs["depth"][-1])
            off = (got["depth"] - metres).abs()
            _require("depth", "of the depth", (off - resolution).clamp(min=0) / metres, (height, width))
            worst["depth"].append(off.max().item())
        if deployed.probabilities:
            off = (got["probabilities"] - logits.softmax(dim=1)).abs()
            _require("probability", "of 1", off, (height, width))
            worst["probabilities"].append(off.max().item())
    return Agreement(
        pixels=pixels,
        labels=int(sum(worst["semseg"])) if worst["semseg"] else None,
        metres=max(worst["depth"], default=None),
        probability=max(worst["probabilities"], default=None),
    )


def _require(what: str, of: str, off: Tensor, size: tuple[int, int]) -> None:
    largest = off.max().item()
    if not largest <= TOLERANCE:  # nan is refused as well
        raise UserError(
            f"the exported network is not the trained one: on a picture of {size[1]} x {size[0]} its {what} is off by "
            f"{largest:.2g} {of}, more than {TOLERANCE:g}; nothing was written"
        )
