"""What a few seeds can show: means with intervals, paired differences, and a verdict in plain words.

Two ways are compared seed by seed: trainings of one seed share their initial weights, order and views, so that part of
their noise is the same and drops out of the difference. Everything is Student's t: intervals of 95 %, two-sided tests
at 5 %, and the probability that one is better as the share of the t posterior of the mean difference (flat priors on
the mean and on the logarithm of the deviation) that lies on its side. Noise is taken to be normal; with three seeds
nobody can check that.

Several ways that are compared with one baseline are one family: Holm's procedure keeps the chance to call any of them
different by mistake at 5 % (Holm, Scandinavian Journal of Statistics, 1979). Verdicts are by the adjusted p-values;
intervals and probabilities are those of each pair alone.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Of tests; intervals have the rest."""

POWER = 0.8
"""The chance to show a difference of the size that was seen, for which seeds are counted."""

MOST_SEEDS = 10_000
"""Beyond which nobody will train."""


@dataclass(frozen=True)
class Estimate:
    """The mean of some seeds' values.

    `deviation` is theirs (n - 1), `low` and `high` the 95 % t interval of the mean. What does not exist is nan: the
    mean of nothing, all else of a single value.
    """

    count: int
    mean: float
    deviation: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval: the number behind ±."""
        return (self.high - self.low) / 2


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of finite values with its interval."""
    count = len(values)
    mean = fmean(values) if count else math.nan
    deviation = stdev(values) if count > 1 else math.nan
    half = _t_quantile(1 - LEVEL / 2, count - 1) * deviation / math.sqrt(count) if count > 1 else math.nan
    return Estimate(count, mean, deviation, mean - half, mean + half)


@dataclass(frozen=True)
class Difference:
    """By how much one way is better than another, over the seeds that both have; above 0 where it is better."""

    over: Estimate

    @property
    def pairs(self) -> int:
        """Seeds that both have."""
        return self.over.count

    @property
    def p(self) -> float:
        """Of the paired two-sided t-test; nan for fewer than two pairs."""
        return 2 * min(self.probability, 1 - self.probability)

    @property
    def probability(self) -> float:
        """That the first is better, given these pairs alone; nan for fewer than two."""
        over = self.over
        if over.count < 2:
            return math.nan
        if over.deviation == 0:
            return 0.5 if over.mean == 0 else float(over.mean > 0)
        from scipy.special import stdtr

        return float(stdtr(over.count - 1, over.mean / over.deviation * math.sqrt(over.count)))

    def more_seeds(self, comparisons: int = 1) -> int | None:
        """How many more seeds would show a difference of this size with a power of 80 %.

        Of several comparisons each is tested at 5 % over their number, which is what Holm asks of the first that it
        accepts. None for fewer than two pairs, for no difference at all, and for more seeds than anybody trains.
        """
        over = self.over
        if over.count < 2 or over.mean == 0:
            return None
        if over.deviation == 0:
            return 0
        effect = abs(over.mean) / over.deviation
        if _power(effect, MOST_SEEDS, LEVEL / comparisons) < POWER:
            return None
        low, high = 1, MOST_SEEDS  # too few, enough
        while high - low > 1:
            middle = (low + high) // 2
            if _power(effect, middle, LEVEL / comparisons) < POWER:
                low = middle
            else:
                high = middle
        return max(high - over.count, 0)


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference:
    """The difference ours - theirs over the seeds for which both have a finite value, higher being better."""
    seeds = [seed for seed in ours if seed in theirs and math.isfinite(ours[seed]) and math.isfinite(theirs[seed])]
    return Difference(estimate([ours[seed] - theirs[seed] for seed in seeds]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of one family: below 5 % for each that is shown while the family errs in 5 % at most.

    A nan is a test that was not made: it stays, and does not count.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[index] = largest
    return adjusted


def verdict(difference: Difference, adjusted: float, comparisons: int = 1) -> str:
    """What may be said of a difference whose p-value was adjusted for so many comparisons, in plain words."""
    if difference.pairs == 0:
        return "no seed in common"
    if difference.pairs == 1:
        return "nothing can be shown with 1 seed"
    if adjusted < LEVEL:
        return "better" if difference.over.mean > 0 else "worse"
    said = f"no difference can be shown with {difference.pairs} seeds"
    more = difference.more_seeds(comparisons)
    return said if more is None else f"{said}; {more} more would show one of this size"


def mean_ranks(rows: Sequence[Mapping[str, float]], metrics: Mapping[str, bool]) -> list[float]:
    """Each row's rank among the rows, 1 for the best, averaged over metrics; equals share the mean of their ranks.

    Args:
        rows: means by metric.
        metrics: whether higher is better.

    Returns nan for a row that lacks a metric; it does not count for the others either.

    Source: Navon et al. (Nash-MTL), ICML 2022, whose tables call it MR.
    """
    gains = [[(1 if higher else -1) * row.get(name, math.nan) for name, higher in metrics.items()] for row in rows]
    whole = [index for index, each in enumerate(gains) if each and all(map(math.isfinite, each))]
    ranks = [math.nan] * len(rows)
    for index in whole:
        columns = zip(gains[index], zip(*(gains[other] for other in whole), strict=True), strict=True)
        ranks[index] = fmean(
            1 + sum(other > own for other in column) + (sum(other == own for other in column) - 1) / 2
            for own, column in columns
        )
    return ranks


def _t_quantile(share: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _power(effect: float, count: int, level: float) -> float:
    """Of a two-sided t-test over `count` pairs whose true mean is `effect` deviations."""
    from scipy.special import chdtri, ndtr

    if count < 2:
        return 0.0
    freedom, limit = count - 1, _t_quantile(1 - level / 2, count - 1)
    shift = effect * math.sqrt(count)
    # The mean over the deviation that is estimated, by its distribution's quantiles: the distribution functions of the
    # noncentral t are nan for few seeds and large effects.
    shares, weights = _quadrature()
    edges = limit * np.sqrt(chdtri(freedom, shares) / freedom)
    return float((weights * (ndtr(shift - edges) + ndtr(-shift - edges))).sum())


@functools.cache
def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss and Legendre for an integral from 0 to 1; they leave powers an error below 0.0005."""
    nodes, weights = np.polynomial.legendre.leggauss(128)
    return (nodes + 1) / 2, weights / 2
