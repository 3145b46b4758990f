"""The field's scores: mean IoU from one confusion matrix, and depth errors image by image, as running sums.

The sums live on the device of what is measured; nothing waits for it until `compute`.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mtl_seg_depth.tasks.semseg.labels import CLASS_NAMES, NUM_CLASSES

AbsentClass = Literal["exclude", "zero"]

DEPTH_ERRORS = (
    "si_log",
    "mae",
    "rmse",
    "abs_rel",
    "sq_rel",
    "log_mae",
    "log_rmse",
    "inverse_mae",
    "inverse_rmse",
    "delta1",
    "delta2",
    "delta3",
)
"""The depth errors, in the order of `DepthErrors.sums`: metres, inverse ones 1/m; delta1 to 3 are shares within 1.25,
1.25^2 and 1.25^3 times the depth."""


class ConfusionMatrix:
    """Pixels by label (rows) and prediction (columns), int64 [19, 19], over everything seen so far."""

    def __init__(self, device: torch.device) -> None:
        self.matrix = torch.zeros(NUM_CLASSES, NUM_CLASSES, dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, labels: Tensor) -> None:
        """Count predicted classes [B, H, W] 0..18 against labels [B, H, W]; labels from 19 up are ignored."""
        # One bin for every pair of an 8-bit label and a prediction: ignored labels fall behind the matrix, so no mask.
        pairs = (labels * NUM_CLASSES + prediction).flatten().to(torch.int32)
        counts = torch.bincount(pairs, minlength=256 * NUM_CLASSES)
        self.matrix += counts[: NUM_CLASSES * NUM_CLASSES].view(NUM_CLASSES, NUM_CLASSES)

    def iou(self) -> Tensor:
        """Intersection over union of every class, float64 [19] in 0..1; nan where a class was never seen."""
        matrix = self.matrix.double().cpu()
        hits = matrix.diagonal()
        return hits / (matrix.sum(dim=0) + matrix.sum(dim=1) - hits)


def mean_iou(iou: Tensor, absent: AbsentClass = "exclude") -> float:
    """Mean IoU in per cent.

    A class in neither labels nor predictions is left out, as the Cityscapes benchmark does; `absent="zero"` counts it
    as 0, as the report's template did. 0 where no pixel was counted at all.
    """
    if absent == "zero":
        return 100 * iou.nan_to_num(0.0).mean().item()
    return 100 * iou.nanmean().nan_to_num(0.0).item()


class DepthErrors:
    """Every error of `DEPTH_ERRORS` for each image over its valid pixels, then the mean over images that have any.

    Source: Eigen et al., NeurIPS 2014, section 4.2; inverse errors as in KITTI's depth benchmark. Depths are taken as
    at least 1 cm in logarithms and quotients.
    """

    SMALLEST_DEPTH = 0.01
    """Metres."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(len(DEPTH_ERRORS), dtype=torch.float64, device=device)
        self.images = torch.zeros((), dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, depth: Tensor) -> None:
        """Add predicted depths [B, H, W] against depths [B, H, W], both in metres, nan where there is no depth."""
        valid = ~torch.isnan(depth).flatten(1)
        target = torch.where(valid, depth.flatten(1), 1).clamp(min=self.SMALLEST_DEPTH)
        predicted = torch.where(valid, prediction.float().flatten(1), 1)
        floored = predicted.clamp(min=self.SMALLEST_DEPTH)
        error = predicted - target
        # SI-log is a small difference of mean squares where the scale is wrong: float32 squares would be too coarse.
        log_error = (target.log() - floored.log()).double()
        inverse_error = 1 / target - 1 / floored
        ratio = torch.maximum(floored / target, target / floored)
        pixels = valid.sum(dim=1).clamp(min=1)

        def mean(values: Tensor) -> Tensor:
            return torch.where(valid, values, 0).sum(dim=1, dtype=torch.float64) / pixels

        mean_square_log = mean(log_error.square())
        per_image = torch.stack(
            [
                100 * (mean_square_log - mean(log_error).square()).clamp(min=0).sqrt(),
                mean(error.abs()),
                mean(error.square()).sqrt(),
                mean(error.abs() / target),
                mean(error.square() / target),
                mean(log_error.abs()),
                mean_square_log.sqrt(),
                mean(inverse_error.abs()),
                mean(inverse_error.square()).sqrt(),
                *(mean((ratio < 1.25**power).float()) for power in (1, 2, 3)),
            ]
        )
        counted = valid.any(dim=1)
        self.sums += torch.where(counted, per_image, 0).sum(dim=1)
        self.images += counted.sum()

    def compute(self) -> dict[str, float]:
        """Each error's mean over the images; nan where no image had a valid depth."""
        return dict(zip(DEPTH_ERRORS, (self.sums / self.images).tolist(), strict=True))


DISTANCES = (0.0, 10.0, 20.0, 40.0, 80.0)
"""Metres; where each band of distances begins, the last one without an end."""

DISTANCE_ERRORS = ("mae", "rmse", "abs_rel", "delta1", "pixels")
"""The errors within a band; `pixels` is its share of the valid pixels in per cent."""


def distance_names() -> list[str]:
    """The bands' names, metres: `0-10`, ..., `80-up`."""
    ends = [*(f"{end:g}" for end in DISTANCES[1:]), "up"]
    return [f"{start:g}-{end}" for start, end in zip(DISTANCES, ends, strict=True)]


class DistanceErrors:
    """Depth errors by the distance of what is seen, over all valid pixels of the split together.

    Not image by image as `DepthErrors`: many an image has only a few pixels in a band. SI-log, which removes each
    image's common scale, says nothing of a band.
    """

    def __init__(self, device: torch.device) -> None:
        self.starts = torch.tensor(DISTANCES, device=device)
        self.sums = torch.zeros(len(DISTANCES), len(DISTANCE_ERRORS), dtype=torch.float64, device=device)

    def update(self, prediction: Tensor, depth: Tensor) -> None:
        """Add predicted depths [B, H, W] against depths [B, H, W], both in metres, nan where there is no depth."""
        band = torch.bucketize(depth, self.starts, right=True) - 1
        band = torch.where(torch.isnan(depth), -1, band)
        target = depth.clamp(min=DepthErrors.SMALLEST_DEPTH)
        floored = prediction.float().clamp(min=DepthErrors.SMALLEST_DEPTH)
        error = prediction.float() - target
        close = torch.maximum(floored / target, target / floored) < 1.25
        terms = (error.abs(), error.square(), error.abs() / target, close.float(), torch.ones_like(error))
        for index in range(len(DISTANCES)):
            inside = band == index
            self.sums[index] += torch.stack([torch.where(inside, t, 0).sum(dtype=torch.float64) for t in terms])

    def compute(self) -> dict[str, dict[str, float]]:
        """For every band of `distance_names` its `DISTANCE_ERRORS`; nan where the band has no pixel."""
        sums = self.sums.cpu()
        means = sums / sums[:, -1:]
        means[:, 1].sqrt_()
        means[:, -1] = 100 * sums[:, -1] / sums[:, -1].sum()
        rows = (dict(zip(DISTANCE_ERRORS, row, strict=True)) for row in means.tolist())
        return dict(zip(distance_names(), rows, strict=True))


def multitask_score(semseg: float | None, depth: float | None) -> float:
    """`max(semseg - 50, 0) + max(50 - depth, 0)` from mean IoU in per cent and SI-log x 100; a missing task adds 0."""
    score = 0.0 if semseg is None else max(semseg - 50, 0.0)
    return score if depth is None or math.isnan(depth) else score + max(50 - depth, 0.0)


@dataclass(frozen=True)
class Scores:
    """What a network scores on a split.

    Attributes:
        semseg: mean IoU in per cent, None where segmentation was not predicted.
        depth: SI-log RMSE x 100, None where depth was not predicted; nan where no image had a valid depth.
        iou: every class's IoU in per cent, nan where the class was never seen.
        depth_errors: every error of `DEPTH_ERRORS`.
        confusion: int64 [19, 19] pixel counts, rows by label.
        by_distance: `DISTANCE_ERRORS` for every band of distances; empty where they were not asked for.
    """

    semseg: float | None
    depth: float | None
    iou: dict[str, float]
    depth_errors: dict[str, float]
    confusion: Tensor | None
    by_distance: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def multitask(self) -> float:
        """The report's grade of both tasks together."""
        return multitask_score(self.semseg, self.depth)

    @property
    def rank(self) -> tuple[float, float]:
        """For choosing the best: the multitask score, and where that stands at its floor, IoU less SI-log."""
        depth = self.depth or 0.0
        return self.multitask, (self.semseg or 0.0) - (math.inf if math.isnan(depth) else depth)

    def flat(self, prefix: str) -> dict[str, float]:
        """Every number under a name of its own, for a tracking server; values that do not exist are left out."""
        named: dict[str, float | None] = {"multitask": self.multitask, "semseg": self.semseg, "depth": self.depth}
        named |= {f"iou/{name}": value for name, value in self.iou.items()}
        named |= {f"depth_errors/{name}": value for name, value in self.depth_errors.items()}
        for band, errors in self.by_distance.items():
            named |= {f"by_distance/{band}/{name}": value for name, value in errors.items()}
        return {f"{prefix}/{k}": v for k, v in named.items() if v is not None and not math.isnan(v)}


class Scorer:
    """Running sums for the tasks that a network predicts; `compute` reads them."""

    def __init__(
        self,
        tasks: tuple[str, ...],
        device: torch.device,
        absent: AbsentClass = "exclude",
        by_distance: bool = False,
    ) -> None:
        self.absent = absent
        self.confusion = ConfusionMatrix(device) if "semseg" in tasks else None
        self.errors = DepthErrors(device) if "depth" in tasks else None
        self.distances = DistanceErrors(device) if "depth" in tasks and by_distance else None

    def update(self, prediction: dict[str, Tensor], semseg: Tensor, depth: Tensor) -> None:
        """Add a batch: predicted `semseg` classes and `depth` metres against labels and depths, all [B, H, W]."""
        if self.confusion is not None:
            self.confusion.update(prediction["semseg"], semseg)
        if self.errors is not None:
            self.errors.update(prediction["depth"], depth)
        if self.distances is not None:
            self.distances.update(prediction["depth"], depth)

    def compute(self) -> Scores:
        """The scores of everything seen; waits for the device."""
        iou = None if self.confusion is None else self.confusion.iou()
        errors = {} if self.errors is None else self.errors.compute()
        return Scores(
            semseg=None if iou is None else mean_iou(iou, self.absent),
            depth=errors.get("si_log"),
            iou={} if iou is None else dict(zip(CLASS_NAMES, (100 * iou).tolist(), strict=True)),
            depth_errors=errors,
            confusion=None if self.confusion is None else self.confusion.matrix.cpu(),
            by_distance={} if self.distances is None else self.distances.compute(),
        )
