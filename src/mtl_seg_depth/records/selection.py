"""Which validations of a training its scores are of: three rules, recorded side by side for every run.

    best             the validation with the best scores, as `scoring.headline` ranks them
    last             the last one
    mean_of_last_10  the mean of the last ten, score by score

The first is this suite's own, and chooses on the split that it scores. The papers that balance tasks mostly print the
third, such as Liu et al. (CAGrad), NeurIPS 2021, and Navon et al. (Nash-MTL), ICML 2022.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from mtl_seg_depth.records.record import Point

AVERAGED = 10


@dataclass(frozen=True)
class Averaged:
    """The mean of a training's last validations; of fewer than ten if there are no more."""

    scores: dict[str, float]
    """By name, as the record has them; without those that one of the validations does not have."""
    validations: int


def mean_of_last(points: Iterable[Point]) -> Averaged:
    """The mean of the last ten validations in a run's record.

    The record alone decides, as it has each validation once however often the training was interrupted.
    """
    validations = {point.step: point.metrics for point in points if "best/step" in point.metrics}
    last = [validations[step] for step in sorted(validations)[-AVERAGED:]]
    shared = [name for name in (last[-1] if last else ()) if all(name in each for each in last)]
    means = {name: fmean(each[name] for each in last) for name in shared if name.startswith("val/")}
    return Averaged(means, len(last))
