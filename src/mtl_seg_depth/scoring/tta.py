"""Test-time augmentation: one picture predicted in several views, the predictions brought together again.

A view is the picture at another scale, or mirrored. Seen at scale s an object has s times as many pixels, as if it
stood s times nearer; so the depth that the network finds there, times s, is the depth in the picture.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth.models.network import Network
from mtl_seg_depth.scoring.predictor import Predict, Predictor
from mtl_seg_depth.tasks.semseg.labels import NUM_CLASSES

MULTISCALE = (0.75, 1.0, 1.5)
"""The scales of the option `multiscale`."""


class AveragedViews:
    """Every scale, mirrored as well where `flip` says so, each with the same weight.

    Segmentation is the class of the highest mean probability, or the class that most views vote for; where votes are
    even, that of the first view. Depth is the geometric mean: averaged as a logarithm, its zoom undone, within the
    valid range. With scale 1 alone this is plain prediction, to the bit and at no cost.

    Args:
        scales: of the picture's sides, above 0, each once. A scale that would make a side shorter than the network
            takes counts as the smallest one that does not.
        flip: predict each scale mirrored too.
        semseg: how classes are combined.
        undo_zoom: false averages depths as they were seen. Right for a network that goes by the place of things in
            the picture, which a zoom leaves as it is, and not by their size.
    """

    def __init__(
        self,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        semseg: Literal["probabilities", "votes"] = "probabilities",
        undo_zoom: bool = True,
    ) -> None:
        self.scales = _checked(scales)
        self.flip = flip
        self.semseg = semseg
        self.undo_zoom = undo_zoom

    @property
    def name(self) -> str:
        """What scores taken this way are called: `none`, `multiscale_flip`, `scales_1_1.5_votes`, ..."""
        scales = "multiscale" if self.scales == MULTISCALE else "_".join(["scales", *(f"{s:g}" for s in self.scales)])
        parts = [scales] if self.scales != (1.0,) else []
        parts += ["flip"] if self.flip else []
        parts += ["votes"] if parts and self.semseg == "votes" else []
        parts += ["zoomed"] if self.scales != (1.0,) and not self.undo_zoom else []
        return "_".join(parts) or "none"

    def around(self, predictor: Predictor) -> Predict:
        """The predictor with this augmentation; the predictor itself where there is nothing to augment."""
        if self.name == "none":
            return predictor
        return lambda rgb: self._predict(predictor, rgb)

    @torch.inference_mode()
    def _predict(self, predictor: Predictor, rgb: Tensor) -> dict[str, Tensor]:
        size = (rgb.shape[-2], rgb.shape[-1])
        valid = predictor.depth_norm.statistics
        ballot = Votes() if self.semseg == "votes" else Probabilities()
        logarithms: list[Tensor] = []
        for scale in self.scales:
            scaled = workable_size(size, scale)
            zoom = math.sqrt(scaled[0] * scaled[1] / (size[0] * size[1])) if self.undo_zoom else 1.0
            seen = resize(rgb, scaled)
            for mirrored in (False, True) if self.flip else (False,):
                outputs = predictor.outputs(seen.flip(-1) if mirrored else seen)
                if mirrored:
                    outputs = {task: output.flip(-1) for task, output in outputs.items()}
                if "semseg" in outputs:
                    ballot.add(resize(outputs["semseg"].float(), size))
                if "depth" in outputs:
                    # Limited after the zoom is undone: 2.5 m at scale 2 are 5 m.
                    metres = (predictor.depth_norm.decode(outputs["depth"].float()) * zoom).clamp(valid.min, valid.max)
                    logarithms.append(resize(metres.log().unsqueeze(1), size).squeeze(1))
        prediction = {}
        if ballot.total is not None:
            prediction["semseg"] = ballot.total.argmax(dim=1)
        if logarithms:
            prediction["depth"] = torch.stack(logarithms).mean(dim=0).exp().clamp(valid.min, valid.max)
        return prediction


class ReportViews:
    """The report's own variant (section 4.4), faults included: depth alone is augmented, segmentation is plain.

    The picture itself and every scale are predicted, the depth maps resized back and summed in metres without undoing
    the zoom, and the sum is divided by `divisor`: the report's listing divides four maps by three.
    """

    name = "report"

    def __init__(self, scales: Sequence[float] = (0.5, 2.0, 3.0), divisor: float = 3.0) -> None:
        self.scales = _checked(scales)
        if not 0 < divisor < math.inf:
            raise ValueError(f"divisor is above 0, not {divisor}")
        self.divisor = divisor

    def around(self, predictor: Predictor) -> Predict:
        """The predictor with this augmentation."""
        return lambda rgb: self._predict(predictor, rgb)

    @torch.inference_mode()
    def _predict(self, predictor: Predictor, rgb: Tensor) -> dict[str, Tensor]:
        prediction = predictor(rgb)
        if "depth" not in prediction:
            return prediction
        size = (rgb.shape[-2], rgb.shape[-1])
        total = prediction["depth"]
        for scale in self.scales:
            outputs = predictor.outputs(resize(rgb, workable_size(size, scale)))
            metres = predictor.depth_norm.to_metres(outputs["depth"])
            total = total + resize(metres.unsqueeze(1), size).squeeze(1)
        valid = predictor.depth_norm.statistics
        return {**prediction, "depth": (total / self.divisor).clamp(valid.min, valid.max)}


Views = AveragedViews | ReportViews


class Probabilities:
    """The sum of every view's class probabilities, float32 [B, 19, H, W]."""

    def __init__(self) -> None:
        self.total: Tensor | None = None

    def add(self, logits: Tensor) -> None:
        """Add a view's logits [B, 19, H, W]."""
        probabilities = logits.softmax(dim=1)
        self.total = probabilities if self.total is None else self.total + probabilities


class Votes:
    """Every view's vote for one class a pixel, int16 [B, 19, H, W]; the first view's vote decides where they are even.

    Counted by scattering, in place and on the device: `torch.mode` sorts every pixel.
    """

    def __init__(self) -> None:
        self.total: Tensor | None = None

    def add(self, logits: Tensor) -> None:
        """Add a view's logits [B, 19, H, W]."""
        classes = logits.argmax(dim=1, keepdim=True)
        weight = 2
        if self.total is None:
            batch, _, height, width = logits.shape
            self.total = torch.zeros(batch, NUM_CLASSES, height, width, dtype=torch.int16, device=logits.device)
            weight = 3  # more than any one, less than any two
        self.total.scatter_add_(1, classes, torch.full_like(classes, weight, dtype=torch.int16))


def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of [B, C, h, w] to [B, C, *size], averaging where it gets smaller; the same tensor if it is."""
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)


def workable_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width at a scale, or at the smallest larger one at which the network takes them."""
    scale = max(scale, Network.SMALLEST_SIDE / min(size))
    return round(size[0] * scale), round(size[1] * scale)


def _checked(scales: Sequence[float]) -> tuple[float, ...]:
    if not scales or len(set(scales)) < len(scales) or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales are one or more numbers above 0, each once; not {list(scales)}")
    return tuple(float(scale) for scale in scales)
