"""A trained network as other programs use it: an image in, classes and metres out; what is said of it, and checked."""

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
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Task

TOLERANCE = 1e-3
"""How far a copy may be from the network it was made of: of the depth, of the largest logit, of a probability.

Two runtimes add up a convolution in different orders; a hundred times that is a different network.
"""

CHECKED_SIZES = ((1, 32, 32), (2, 65, 97), (1, 127, 61))
"""Batch, height and width of the images on which a copy is compared: the smallest, and odd ones both ways."""


class Deployed(nn.Module):
    """A network with everything around it that a user would otherwise have to know.

    Maps images float32 [B, 3, H, W] in 0..1 (8-bit values divided by 255; the encoder's normalisation is inside), H
    and W at least 32, to a dictionary, in this order and for the tasks that the network has:

    - `semseg`: int64 [B, H, W], the id of the likeliest class;
    - `depth`: float32 [B, H, W], metres within the valid range;
    - `probabilities`, where asked for: float32 [B, C, H, W], the classes' softmax. At full size they are C numbers a
      pixel, most of what the network computes; whoever needs only classes should not have to carry them.
    """

    def __init__(self, network: Network, tasks: Mapping[str, Task], probabilities: bool = False) -> None:
        super().__init__()
        if probabilities and not any(isinstance(task, Semseg) for task in tasks.values()):
            raise UserError("probabilities=true: this network predicts no classes")
        self.network = network
        self.tasks = dict(tasks)
        self.probabilities = probabilities

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Predictions of a batch of images; exported files call them by the argument's name."""
        outputs = self.network(rgb)
        answer = {name: task.decode(outputs[name][-1]) for name, task in self.tasks.items()}
        if self.probabilities:
            answer["probabilities"] = outputs["semseg"][-1].softmax(dim=1)
        return answer

    @property
    def outputs(self) -> tuple[str, ...]:
        """The keys of the answer, in its order."""
        return (*self.tasks, *["probabilities"][: self.probabilities])


def describe(trained: Trained, deployed: Deployed) -> dict[str, Any]:
    """What a copy says of itself, as plain values: where it comes from, what it takes and gives, how good it is."""
    about = {}
    more: dict[str, Any] = {"ranges": {}}
    norm = ""
    for name, task in deployed.tasks.items():
        if isinstance(task, Semseg):
            about[name] = "int64 [batch, height, width]: the class's train id, an index into `classes`"
            about["probabilities"] = f"float32 [batch, {task.channels}, height, width]: softmax over `classes`"
            more |= {"classes": list(task.classes.names), "colours": [list(c) for c in task.classes.colours]}
        elif isinstance(task, Depth):
            low, high = task.norm.statistics.min, task.norm.statistics.max
            about[name] = f"float32 [batch, height, width]: metres, {low:g} to {high:g}"
            more["ranges"][name] = [low, high]
            norm = f", and so is the way back from {type(task.norm).__name__} normalised depth to metres"
    return {
        "package": f"{PACKAGE} {importlib.metadata.version(PACKAGE)}",
        "run": trained.folder.name if trained.folder else "",
        "fingerprint": trained.fingerprint,
        "step": trained.step,
        "scores": trained.scores,
        "input": f"rgb: float32 [batch, 3, height, width], red, green, blue in 0..1, "
        f"height and width at least {Network.SMALLEST_SIDE}",
        "normalisation": f"8-bit values divided by 255, nothing else: the encoder's normalisation is inside{norm}",
        "outputs": {name: about.get(name, "[batch, height, width, ...]") for name in deployed.outputs},
        **more,
    }


def as_text(description: Mapping[str, Any]) -> dict[str, str]:
    """A description for places that hold only text: text stays, everything else becomes JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}


@dataclass(frozen=True)
class Agreement:
    """How far a copy was from the network, at most, over all checked images."""

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
        return f"against the network, on images of {sizes}: {', '.join(parts)}"


@torch.no_grad()
def compare(deployed: Deployed, copy: Callable[[Tensor], Mapping[str, Tensor]], resolution: float = 0.0) -> Agreement:
    """Compare a copy with the network it was made of, on images of several sizes.

    Args:
        deployed: the network, in evaluation mode on the CPU.
        copy: takes and gives what `Deployed` does.
        resolution: metres between two depths that the copy can tell apart.

    Raises:
        UserError: the copy is farther off than `TOLERANCE`. A class may differ only where two of them tie.
    """
    generator = torch.Generator().manual_seed(0)
    worst: dict[str, list[float]] = {}
    pixels = 0
    for batch, height, width in CHECKED_SIZES:
        blocks = torch.randint(0, 256, (batch, 3, height // 8, width // 8), generator=generator) / 255
        image = F.interpolate(blocks, (height, width))  # 8-bit colours, so that a copy that takes PNGs can be asked too
        got, outputs = copy(image), deployed.network(image)
        pixels += batch * height * width
        for name, task in deployed.tasks.items():
            raw, size = outputs[name][-1], (height, width)
            if isinstance(task, Semseg):
                lead = raw.amax(dim=1) - raw.gather(1, got[name].unsqueeze(1)).squeeze(1)
                _require("class", "logits", lead / raw.abs().amax().clamp(min=1), size)
                worst.setdefault("labels", []).append((got[name] != raw.argmax(dim=1)).sum().item())
                if deployed.probabilities:
                    off = (got["probabilities"] - raw.softmax(dim=1)).abs()
                    _require("probability", "of 1", off, size)
                    worst.setdefault("probability", []).append(off.max().item())
            else:
                expected = task.decode(raw)
                off = (got[name] - expected).abs()
                _require(name, f"of the {name}", (off - resolution).clamp(min=0) / expected.abs().clamp(min=1e-6), size)
                if isinstance(task, Depth):
                    worst.setdefault("metres", []).append(off.max().item())
    return Agreement(
        pixels=pixels,
        labels=int(sum(worst["labels"])) if "labels" in worst else None,
        metres=max(worst.get("metres", []), default=None),
        probability=max(worst.get("probability", []), default=None),
    )


def _require(what: str, of: str, off: Tensor, size: tuple[int, int]) -> None:
    largest = off.max().item()
    if not largest <= TOLERANCE:  # nan is refused as well
        raise UserError(
            f"the exported network is not the trained one: on an image of {size[1]} x {size[0]} its {what} is off by "
            f"{largest:.2g} {of}, more than {TOLERANCE:g}; nothing was written"
        )
