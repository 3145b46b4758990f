"""Test-time augmentation: one image predicted in several views, the predictions brought together again.

A view is the image at another scale, or mirrored. Seen at scale s an object has s times as many pixels, as if it stood
s times nearer: what a task finds at a distance there is s times as far in the image.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mtl_seg_depth.models.network import Network
from mtl_seg_depth.scoring.predictor import PredictAt, Predictor, decoded
from mtl_seg_depth.tasks.resize import Size, resize
from mtl_seg_depth.tasks.task import Pool, Task

MULTISCALE = (0.75, 1.0, 1.5)
"""The scales of the option `multiscale`."""

LARGEST_SCALE = 1000
"""Beyond it, no machine holds the image, and its size is soon no number that torch can count to."""

Way = Literal["probabilities", "votes"]
"""How a task's views can be brought together, if it has a choice."""


class TestTimeAugmentation(ABC):
    """Base: what is done to images before they are predicted, and to the predictions after."""

    __test__ = False  # for pytest, which takes its name for that of a test

    name: str
    """What scores taken this way are called."""

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """What decides the scores, as plain values."""

    @abstractmethod
    def around(self, predictor: Predictor) -> PredictAt:
        """The predictor with this augmentation."""


class AveragedViews(TestTimeAugmentation):
    """Every scale, mirrored as well if `flip` says so, each with the same weight.

    How views become one prediction is each task's own (`Task.pool`). With scale 1 alone this is plain prediction, to
    the bit and at no cost.

    Args:
        scales: of the image's sides, above 0, each once. A scale that would make a side shorter than the network takes
            counts as the smallest one that does not.
        flip: predict each scale mirrored too.
        undo_zoom: false averages distances as they were seen. Right for a network that goes by the place of things in
            the image, which a zoom leaves as it is, and not by their size.
        ways: by task, how its views are brought together, one of `Way`.
    """

    def __init__(
        self, scales: Sequence[float] = (1.0,), flip: bool = False, undo_zoom: bool = True, **ways: Way
    ) -> None:
        self.scales = _checked(scales)
        self.flip = flip
        self.undo_zoom = undo_zoom
        for task, way in ways.items():
            if way not in get_args(Way):
                raise ValueError(f"{task} is {' or '.join(get_args(Way))}, not {way!r}")
        self.ways = ways

    @property
    def options(self) -> dict[str, Any]:
        """The arguments."""
        return {"scales": list(self.scales), "flip": self.flip, "undo_zoom": self.undo_zoom, **self.ways}

    @property
    def name(self) -> str:  # type: ignore[override]
        """What scores taken this way are called: `none`, `multiscale_flip`, `scales_1_1.5_votes`, ..."""
        scales = "multiscale" if self.scales == MULTISCALE else "_".join(["scales", *(f"{s:g}" for s in self.scales)])
        parts = [scales] if self.scales != (1.0,) else []
        parts += ["flip"] if self.flip else []
        parts += ["votes"] if parts and "votes" in self.ways.values() else []
        parts += ["zoomed"] if self.scales != (1.0,) and not self.undo_zoom else []
        return "_".join(parts) or "none"

    def around(self, predictor: Predictor) -> PredictAt:
        """The predictor with this augmentation; the predictor itself if there is nothing to augment."""
        if self.name == "none":
            return predictor
        return lambda image, size=None: self._predict(predictor, image, size)

    @torch.inference_mode()
    def _predict(self, predictor: Predictor, image: Tensor, wanted: Size | None) -> dict[str, Tensor]:
        size = (image.shape[-2], image.shape[-1])
        pools = {name: task.pool(size, self.ways.get(name)) for name, task in predictor.tasks.items()}
        for scale in self.scales:
            scaled = workable_size(size, scale)
            zoom = math.sqrt(scaled[0] * scaled[1] / (size[0] * size[1])) if self.undo_zoom else 1.0
            view = resize(image, scaled)
            for mirrored in (False, True) if self.flip else (False,):
                outputs = predictor.outputs(view.flip(-1) if mirrored else view)
                for name, raw in outputs.items():
                    pools[name].add((raw.flip(-1) if mirrored else raw).float(), zoom, mirrored)
        return {name: _result(predictor.tasks[name], pool, size, wanted) for name, pool in pools.items()}


class ReportViews(TestTimeAugmentation):
    """The report's own variant (section 4.4), faults included: the image itself and every scale are predicted.

    How views become one prediction is each task's own (`Task.report_pool`): of those the report left alone, the image
    itself is the only view. No zoom is undone, and a sum is divided by `divisor`: the report's listing divides four
    maps by three.
    """

    name = "report"

    def __init__(self, scales: Sequence[float] = (0.5, 2.0, 3.0), divisor: float = 3.0) -> None:
        self.scales = _checked(scales)
        if not 0 < divisor < math.inf:
            raise ValueError(f"divisor is above 0, not {divisor}")
        self.divisor = divisor

    @property
    def options(self) -> dict[str, Any]:
        """The arguments."""
        return {"scales": list(self.scales), "divisor": self.divisor}

    def around(self, predictor: Predictor) -> PredictAt:
        """The predictor with this augmentation."""
        return lambda image, size=None: self._predict(predictor, image, size)

    @torch.inference_mode()
    def _predict(self, predictor: Predictor, image: Tensor, wanted: Size | None) -> dict[str, Tensor]:
        size = (image.shape[-2], image.shape[-1])
        itself = predictor.outputs(image)
        plain = decoded(predictor.tasks, itself, wanted)
        pools = {name: task.report_pool(size, self.divisor) for name, task in predictor.tasks.items()}
        augmented = {name: pool for name, pool in pools.items() if pool is not None}
        if not augmented:
            return plain
        scaled = (predictor.outputs(resize(image, workable_size(size, scale))) for scale in self.scales)
        for outputs in chain([itself], scaled):
            for name, pool in augmented.items():
                pool.add(outputs[name].float(), 1.0, mirrored=False)
        results = {name: _result(predictor.tasks[name], pool, size, wanted) for name, pool in augmented.items()}
        return plain | results


def _result(task: Task, pool: Pool, size: Size, wanted: Size | None) -> Tensor:
    return pool.result() if wanted is None or wanted == size else task.pooled(pool, wanted)


def workable_size(size: Size, scale: float) -> Size:
    """Height and width at a scale, or at the smallest larger one at which the network takes them."""
    scale = max(scale, Network.SMALLEST_SIDE / min(size))
    return round(size[0] * scale), round(size[1] * scale)


def _checked(scales: Sequence[float]) -> tuple[float, ...]:
    if not scales or len(set(scales)) < len(scales) or not all(0 < scale <= LARGEST_SCALE for scale in scales):
        raise ValueError(
            f"scales are one or more numbers above 0 and up to {LARGEST_SCALE}, each once; not {list(scales)}"
        )
    return tuple(float(scale) for scale in scales)
