"""Intervals, tests and verdicts on simulated runs whose truth is known, and against scipy and published tables."""

import math

import numpy as np
import pytest
from helpers.recomputing import power
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from mtl_seg_depth.scoring.statistics import Difference, estimate, holm, mean_ranks, paired, verdict

NAN = math.nan
SIMULATIONS = 2000


def by_seed(values: NDArray[np.float64]) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


def simulated(seeds: int, gap: float) -> list[Difference]:
    """Two ways whose seeds share part of their noise, as trainings of one seed do."""
    random = np.random.default_rng([seeds, 1])
    shared = random.normal(40, 3, (SIMULATIONS, seeds))
    ours, theirs = (shared + random.normal(mean, 1, shared.shape) for mean in (gap, 0.0))
    return [paired(by_seed(one), by_seed(other)) for one, other in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_intervals_of_means_and_of_differences_cover_the_truth_as_often_as_they_say(seeds: int) -> None:
    means = [estimate(row.tolist()) for row in np.random.default_rng(seeds).normal(40, 3, (SIMULATIONS, seeds))]
    differences = [each.over for each in simulated(seeds, 0.7)]
    for truth, found in ((40, means), (0.7, differences)):
        covered = sum(each.low <= truth <= each.high for each in found) / SIMULATIONS
        assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_ways_are_called_different_in_one_case_of_twenty(seeds: int) -> None:
    verdicts = [verdict(each, each.p) for each in simulated(seeds, 0.0)]
    assert 0.04 <= sum(each in ("better", "worse") for each in verdicts) / SIMULATIONS <= 0.06


def test_a_table_of_equal_ways_names_any_of_them_in_one_case_of_twenty_at_most() -> None:
    random = np.random.default_rng(0)
    tables = random.normal(0, 1, (400, 6, 4))  # ways and their baseline, seeds
    wrong = 0
    for baseline, *ways in tables:
        differences = [paired(by_seed(way), by_seed(baseline)) for way in ways]
        adjusted = holm([each.p for each in differences])
        said = [verdict(each, p, len(ways)) for each, p in zip(differences, adjusted, strict=True)]
        wrong += any(each in ("better", "worse") for each in said)
    assert wrong / len(tables) <= 0.06


def test_the_seeds_asked_for_show_the_gap_in_four_cases_of_five() -> None:
    """Known sizes of the paired t-test at 5 % (Cohen 1988): 34 pairs for half a deviation, 15 for 0.8, 10 for one."""
    for effect, needed in ((0.5, 34), (0.8, 15), (1.0, 10)):
        values = np.array([-1, 0, 1]) + effect  # a deviation of 1
        assert paired(by_seed(values), dict.fromkeys(range(3), 0.0)).more_seeds() == needed - 3
    ten = np.random.default_rng(1).normal(1, 1, (SIMULATIONS, 10))
    shown = sum(paired(by_seed(row), dict.fromkeys(range(10), 0.0)).p < 0.05 for row in ten) / SIMULATIONS
    assert 0.78 <= shown <= 0.83


values = st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=2, max_size=8)


@given(values)
def test_it_is_the_paired_t_test_of_scipy(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (dict(enumerate(side)) for side in zip(*pairs, strict=True))
    found = paired(ours, theirs)
    if found.over.deviation < 1e-6:  # differences of rounding alone
        return
    expected = stats.ttest_rel(list(ours.values()), list(theirs.values()))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert (found.over.low, found.over.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6, abs=1e-9)
    assert found.probability + paired(theirs, ours).probability == pytest.approx(1)


def test_only_seeds_that_both_have_count() -> None:
    ours = {0: 1.0, 1: 2.0, 2: NAN, 3: 4.0, 4: math.inf}
    theirs = {0: 0.0, 1: 0.5, 2: 1.0, 4: 1.0, 5: 9.0}
    found = paired(ours, theirs)
    assert (found.pairs, found.over.mean) == (2, pytest.approx(1.25))


def test_one_seed_shows_nothing_and_none_in_common_less() -> None:
    one, none = paired({0: 5.0}, {0: 1.0}), paired({0: 5.0}, {1: 1.0})
    assert (one.over.mean, one.pairs) == (4.0, 1)
    assert all(map(math.isnan, (one.p, one.probability, one.over.low, one.over.deviation, none.over.mean)))
    assert (one.more_seeds(), none.more_seeds()) == (None, None)
    assert verdict(one, one.p) == "nothing can be shown with 1 seed"
    assert verdict(none, none.p) == "no seed in common"


def test_verdicts_are_in_plain_words() -> None:
    clear = paired({0: 10.0, 1: 10.1, 2: 9.9}, dict.fromkeys(range(3), 0.0))
    assert verdict(clear, clear.p) == "better"
    noisy = paired({0: 1.0, 1: 0.0, 2: 2.0}, dict.fromkeys(range(3), 0.0))
    assert verdict(noisy, noisy.p) == "no difference can be shown with 3 seeds; 7 more would show one of this size"
    assert verdict(noisy, noisy.p, 10) == "no difference can be shown with 3 seeds; 15 more would show one of this size"
    same = paired({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0})
    assert (same.p, same.probability) == (1, 0.5)
    assert verdict(same, same.p) == "no difference can be shown with 2 seeds"


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, NAN]) == pytest.approx([0.03, 0.06, 0.06, NAN], nan_ok=True)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_mean_ranks_by_hand() -> None:
    rows = [{"miou": 50.0, "error": 0.3}, {"miou": 60.0, "error": 0.3}, {"miou": 40.0, "error": 0.1}, {"miou": 99.0}]
    assert mean_ranks(rows, {"miou": True, "error": False}) == pytest.approx([2.25, 1.75, 2.0, NAN], nan_ok=True)


@pytest.mark.parametrize("effect", [0.3, 1.0, 2.5, 3.5, 5.0, 9.0, 40.0])
@pytest.mark.parametrize("comparisons", [1, 13, 100])
def test_as_many_seeds_as_are_asked_for_show_the_difference_and_one_fewer_does_not(
    effect: float, comparisons: int
) -> None:
    """Against the integral, as distribution functions of the noncentral t are nan at few seeds and large effects."""
    values = {seed: 10.0 + (seed - 1) * 10.0 / effect for seed in range(3)}  # deviation 10 / effect
    more = paired(values, dict.fromkeys(values, 0.0)).more_seeds(comparisons)
    assert more is not None
    assert power(effect, 3 + more, 0.05 / comparisons) >= 0.8 - 1e-3
    if more:
        assert power(effect, 2 + more, 0.05 / comparisons) < 0.8 + 1e-3
