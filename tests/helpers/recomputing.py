"""What a comparison of methods over seeds comes to, worked out again in plain Python from scores alone."""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

HIGHER = {"semseg": True, "pixel_accuracy": True, "depth_errors/mae": False, "depth_errors/abs_rel": False}
OF = {"semseg": ("semseg", "pixel_accuracy"), "depth": ("depth_errors/mae", "depth_errors/abs_rel")}
BETTER = HIGHER | {"delta_m/over_metrics": False, "delta_m/over_tasks": True}

Scores = Mapping[str, Mapping[int, Mapping[str, float]]]
"""By method, seed and key."""


def quantile(count: int) -> float:
    """Of Student's t at 97.5 %, which is elementary for 1 and 2 degrees of freedom."""
    return math.tan(math.pi * 0.475) if count == 2 else 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))


def cumulative(t: float, count: int) -> float:
    return 0.5 + math.atan(t) / math.pi if count == 2 else 0.5 + t / (2 * math.sqrt(2 + t * t))


def summary(values: list[float]) -> tuple[float, float, float, float]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = quantile(len(values)) * deviation / math.sqrt(len(values))
    return mean, deviation, mean - half, mean + half


def power(effect: float, count: int, level: float) -> float:
    """Of the two-sided t-test, integrated over the deviation that is estimated (Simpson's rule over a chi-square)."""
    freedom, steps = count - 1, 2000
    limit, shift = float(stats.t.ppf(1 - level / 2, freedom)), effect * math.sqrt(count)
    v = np.linspace(0, freedom + 12 * math.sqrt(2 * freedom) + 20, steps + 1)
    edge = limit * np.sqrt(v / freedom)
    parts = stats.chi2.pdf(v, freedom) * (stats.norm.cdf(shift - edge) + stats.norm.cdf(-shift - edge))
    weights = np.array([1, *([4, 2] * (steps // 2 - 1)), 4, 1])
    return float((weights * parts).sum() * v[1] / 3)


def delta_m(scores: Mapping[str, float], alone: Mapping[str, float]) -> dict[str, float]:
    relative = {key: (scores[key] - alone[key]) / alone[key] * (1 if HIGHER[key] else -1) for key in HIGHER}
    tasks = [sum(relative[key] for key in keys) / len(keys) for keys in OF.values()]
    return {
        "delta_m/over_metrics": -100 * sum(relative.values()) / len(relative),
        "delta_m/over_tasks": 100 * sum(tasks) / len(tasks),
    }


def with_delta(scores: Scores, references: Iterable[str]) -> dict[str, dict[str, dict[int, float]]]:
    """Every method's values by key and seed, delta_m against the references among them."""
    values: dict[str, dict[str, dict[int, float]]] = {name: {} for name in scores}
    for name, by_seed in scores.items():
        for seed, own in by_seed.items():
            known = dict(own)
            if name not in references:
                alone = {key: value for each in references for key, value in scores[each][seed].items()}
                known |= delta_m(known, alone)
            for key, value in known.items():
                values[name].setdefault(key, {})[seed] = value
    return values


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def check_lines(lines: Iterable[Mapping[str, str]], scores: Scores, baseline: str, references: tuple[str, ...]) -> int:
    """Hold every number of one selection's lines of a comparison.csv against the scores; returns how many lines."""
    values = with_delta(scores, references)
    competing = [name for name in scores if name not in references]
    found = {(line["method"], line["measure"]): line for line in lines}
    assert set(found) == {(name, key) for name in scores for key in values[name]} | {
        (name, "mean_rank") for name in competing
    }
    leads = {
        key: {
            other: [
                (value - values[baseline][key][seed]) * (1 if BETTER[key] else -1)
                for seed, value in values[other][key].items()
            ]
            for other in competing
            if other != baseline
        }
        for key in BETTER
    }
    for (name, key), line in found.items():
        if key == "mean_rank":
            ranks = []
            for score, higher in HIGHER.items():
                means = {other: fmean(values[other][score].values()) for other in competing}
                ranks.append(1 + sorted(means, key=lambda other: means[other], reverse=higher).index(name))
            assert float(line["mean"]) == pytest.approx(fmean(ranks))
            continue
        numbers = [float(line[column]) for column in ("mean", "deviation", "low", "high")]
        assert numbers == pytest.approx(summary(list(values[name][key].values())))
        assert int(line["n"]) == len(values[name][key])
        if name == baseline or name in references:
            assert line["lead"] == line["verdict"] == ""
            continue
        p_values, shares = {}, {}
        for other, gaps in leads[key].items():
            mean, deviation, low, high = summary(gaps)
            shares[other] = cumulative(mean / deviation * math.sqrt(len(gaps)), len(gaps))
            p_values[other] = 2 * min(shares[other], 1 - shares[other])
        gaps = leads[key][name]
        mean, deviation, low, high = summary(gaps)
        assert [float(line[each]) for each in ("lead", "lead_low", "lead_high")] == pytest.approx([mean, low, high])
        assert float(line["probability_better"]) == pytest.approx(shares[name], abs=1e-9)
        assert int(line["pairs"]) == len(gaps)
        adjusted = holm(p_values)[name]
        assert float(line["p_holm"]) == pytest.approx(adjusted)
        assert (line["verdict"] in ("better", "worse")) == (adjusted < 0.05)
        if line["verdict"] in ("better", "worse"):
            assert line["verdict"] == ("better" if mean > 0 else "worse")
        level = 0.05 / len(p_values)
        if line["more_seeds"] == "":
            assert power(abs(mean) / deviation, 10_000, level) < 0.8 + 1e-3, "more than ten thousand"
            continue
        more = int(line["more_seeds"]) + len(gaps)
        assert power(abs(mean) / deviation, more, level) >= 0.8 - 1e-3
        if more - 1 > len(gaps):
            assert power(abs(mean) / deviation, more - 1, level) < 0.8 + 1e-3
    return len(found)
