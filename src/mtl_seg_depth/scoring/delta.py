"""How much better tasks are learned together than each alone: the field's delta_m, in both of its conventions.

One name, two numbers: many papers average over metrics and call less better, many others average within each task first
and call more better. They are opposite where every task has as many metrics as any other, and differ else.
"""

import math
from collections.abc import Mapping
from statistics import fmean

from mtl_seg_depth.tasks.headline import Headline

OVER_METRICS = Headline("delta_m/over_metrics", "delta_m over metrics", "Δm (metrics)", "%", higher_is_better=False)
OVER_TASKS = Headline("delta_m/over_tasks", "delta_m over tasks", "Δm (tasks)", "%", higher_is_better=True)
BOTH = (OVER_METRICS, OVER_TASKS)

Tasks = Mapping[str, Mapping[str, bool]]
"""By task, its metrics, and whether higher is better."""


def over_metrics(scores: Mapping[str, float], alone: Mapping[str, float], tasks: Tasks) -> float:
    """The mean loss over all metrics, `100 / M sum s_m (M_m - B_m) / B_m`, in per cent; lower is better.

    s is -1 where higher is better, else 1; M are `scores`, and B those of every task trained `alone`. Nan where one of
    those is 0.

    Source: Maninis, Radosavovic & Kokkinos, CVPR 2019, taken over metrics as by Liu et al. (CAGrad),
    NeurIPS 2021, and Navon et al. (Nash-MTL), ICML 2022.
    """
    return -fmean(gain for gains in _gains(scores, alone, tasks) for gain in gains)


def over_tasks(scores: Mapping[str, float], alone: Mapping[str, float], tasks: Tasks) -> float:
    """The mean gain over tasks, each the mean over its metrics, in per cent; higher is better.

    `100 / T sum_t 1 / M_t sum_m (-1)^l (M_m - B_m) / B_m`, l being 1 where lower is better; as above for the rest.

    Source: Maninis, Radosavovic & Kokkinos, CVPR 2019; with several metrics a task as by Lin et al.
    (DB-MTL), 2023, and LibMTL.
    """
    return fmean(fmean(gains) for gains in _gains(scores, alone, tasks))


def _gains(scores: Mapping[str, float], alone: Mapping[str, float], tasks: Tasks) -> list[list[float]]:
    """By task and metric, the relative gain in per cent, above 0 where it is better."""
    return [
        [
            (100 if higher else -100) * (scores[metric] - alone[metric]) / (alone[metric] or math.nan)
            for metric, higher in metrics.items()
        ]
        for metrics in tasks.values()
    ]
