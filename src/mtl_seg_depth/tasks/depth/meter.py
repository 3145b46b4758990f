"""The field's depth errors, as running sums.

The sums live on the device of what is measured; nothing waits for it until `compute`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_seg_depth.tasks.depth.codec import DepthRules
from mtl_seg_depth.tasks.task import Measured

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
    "inverse_abs_rel",
    "delta1",
    "delta2",
    "delta3",
    "sq_rel_kitti",
)
"""The depth errors, in the order of `DepthErrors.sums`: metres, inverse ones 1/m, relative ones shares; delta1 to
3 are shares within 1.25, 1.25^2 and 1.25^3 times the depth. `sq_rel` is Eigen's, err^2/depth in metres, and
`sq_rel_kitti` that of KITTI's benchmark, (err/depth)^2. All are defined in docs/scores.md."""


class DepthErrors:
    """Every error of `DEPTH_ERRORS`: for each image over its valid pixels and then the mean over images that have any,
    or with `over_pixels` over all valid pixels at once.

    Source: Eigen et al., NeurIPS 2014, section 4.2; inverse errors as in KITTI's depth benchmark. Depths are taken as
    at least 1 cm in logarithms and quotients.
    """

    SMALLEST_DEPTH = 0.01
    """Metres."""

    def __init__(self, device: torch.device, over_pixels: bool = False) -> None:
        self.over_pixels = over_pixels
        self.sums = torch.zeros(len(DEPTH_ERRORS), dtype=torch.float64, device=device)
        """Of the images' errors, or with `over_pixels` of the pixels' terms."""
        self.count = torch.zeros((), dtype=torch.int64, device=device)
        """Of images, or of pixels."""

    def update(self, prediction: Tensor, depth: Tensor) -> None:
        """Add predicted depths [B, H, W] against depths [B, H, W], both in metres, nan where there is no depth."""
        valid = ~torch.isnan(depth).flatten(1)
        target = torch.where(valid, depth.flatten(1), 1).clamp(min=self.SMALLEST_DEPTH)
        predicted = torch.where(valid, _nan_if_infinite(prediction).flatten(1), 1)
        floored = predicted.clamp(min=self.SMALLEST_DEPTH)
        error = predicted - target
        # SI-log is a small difference of mean squares where the scale is wrong: float32 squares would be too coarse.
        log_error = (target.log() - floored.log()).double()
        inverse_error = 1 / target - 1 / floored
        ratio = torch.maximum(floored / target, target / floored)
        terms = (
            log_error.square(),
            log_error,
            error.abs(),
            error.square(),
            error.abs() / target,
            error.square() / target,
            log_error.abs(),
            inverse_error.abs(),
            inverse_error.square(),
            inverse_error.abs() * target,
            *((ratio < 1.25**power).float() for power in (1, 2, 3)),
            (error / target).square(),
        )
        sums = torch.stack([torch.where(valid, term, 0).sum(dim=1, dtype=torch.float64) for term in terms])
        pixels = valid.sum(dim=1)
        if self.over_pixels:
            self.sums += sums.sum(dim=1)
            self.count += pixels.sum()
        else:
            self.sums += torch.where(pixels > 0, _errors(sums / pixels.clamp(min=1)), 0).sum(dim=1)
            self.count += (pixels > 0).sum()

    def compute(self) -> dict[str, float]:
        """Each error; nan where no image had a valid depth, infinite where a prediction for one was not finite."""
        means = self.sums / self.count
        errors = _errors(means) if self.over_pixels else means
        if self.count:
            errors = errors.where(~errors.isnan(), math.inf)
        return dict(zip(DEPTH_ERRORS, errors.tolist(), strict=True))


def _nan_if_infinite(prediction: Tensor) -> Tensor:
    return prediction.float().nan_to_num(torch.nan, posinf=torch.nan, neginf=torch.nan)


def _errors(means: Tensor) -> Tensor:
    """The errors in the order of `DEPTH_ERRORS` from the means of the terms in `DepthErrors.update`."""
    square_log, log, mae, square, abs_rel, sq_rel, log_mae, inverse_mae, inverse_square, *rest = means
    si_log = 100 * (square_log - log.square()).clamp(min=0).sqrt()
    roots = (square.sqrt(), square_log.sqrt(), inverse_square.sqrt())
    return torch.stack([si_log, mae, roots[0], abs_rel, sq_rel, log_mae, roots[1], inverse_mae, roots[2], *rest])


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
        predicted = _nan_if_infinite(prediction)
        floored = predicted.clamp(min=DepthErrors.SMALLEST_DEPTH)
        error = predicted - target
        close = torch.maximum(floored / target, target / floored) < 1.25
        terms = (error.abs(), error.square(), error.abs() / target, close.float(), torch.ones_like(error))
        for index in range(len(DISTANCES)):
            inside = band == index
            self.sums[index] += torch.stack([torch.where(inside, t, 0).sum(dtype=torch.float64) for t in terms])

    def compute(self) -> dict[str, dict[str, float]]:
        """For every band of `distance_names` its `DISTANCE_ERRORS`; nan where the band has no pixel."""
        sums = self.sums.cpu()
        means = sums / sums[:, -1:]
        means[means.isnan() & (sums[:, -1:] > 0)] = math.inf
        means[:, 1].sqrt_()
        means[:, -1] = 100 * sums[:, -1] / sums[:, -1].sum()
        rows = (dict(zip(DISTANCE_ERRORS, row, strict=True)) for row in means.tolist())
        return dict(zip(distance_names(), rows, strict=True))


def scaled_by_medians(prediction: Tensor, depth: Tensor) -> Tensor:
    """Predictions [B, H, W], each times the ratio of both medians over the pixels of its image that have a depth.

    The median of an even number of values is the mean of the middle two, as NumPy has it.
    """
    valid = ~torch.isnan(depth).flatten(1)
    count = valid.sum(dim=1, keepdim=True)

    def medians(values: Tensor) -> Tensor:
        ordered = torch.where(valid, values.flatten(1), torch.inf).sort(dim=1).values  # nan is sorted behind infinity
        return ordered.gather(1, torch.cat([(count - 1).clamp(min=0) // 2, count // 2], dim=1)).mean(dim=1)

    ratio = torch.where(count.squeeze(1) > 0, medians(depth) / medians(prediction), 1)
    return prediction * ratio.view(-1, 1, 1)


class DepthMeter:
    """The errors of `DepthErrors`, and by distance too if asked for, of the depths that the data's rules count.

    All but their crop: what lies outside of it has no depth any more, as `Depth.scored` gives it.
    """

    def __init__(self, device: torch.device, rules: DepthRules, by_distance: bool = False) -> None:
        self.rules = rules
        self.errors = DepthErrors(device, over_pixels=rules.mean_over == "pixels")
        self.distances = DistanceErrors(device) if by_distance else None

    @property
    def sums(self) -> Sequence[Tensor]:
        """Those of the errors, and of the errors by distance."""
        return [self.errors.sums, self.errors.count, *([] if self.distances is None else [self.distances.sums])]

    def update(self, prediction: Tensor, depth: Tensor) -> None:
        """Add predicted depths [B, H, W] against depths [B, H, W], both in metres, nan where there is no depth."""
        rules = self.rules
        if rules.cap is not None:
            depth = torch.where(depth <= rules.cap, depth, torch.nan)
        if rules.min is not None:
            depth = torch.where(depth >= rules.min, depth, torch.nan)
        if rules.median_scaling:
            prediction = scaled_by_medians(_nan_if_infinite(prediction), depth)
        if rules.clamp:  # an infinite one is no far one: it stays wrong
            prediction = _nan_if_infinite(prediction).clamp(min=rules.min, max=rules.cap)
        self.errors.update(prediction, depth)
        if self.distances is not None:
            self.distances.update(prediction, depth)

    def compute(self) -> Measured:
        """SI-log, and every error by name."""
        errors = self.errors.compute()
        details = {f"depth_errors/{name}": value for name, value in errors.items()}
        for band, of_band in ({} if self.distances is None else self.distances.compute()).items():
            details |= {f"by_distance/{band}/{name}": value for name, value in of_band.items()}
        return Measured(errors["si_log"], details, broken=math.isinf(errors["si_log"]))
