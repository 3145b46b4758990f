"""What the report found, as data, and what our numbers say to it.

A finding is a set of steps, each "this row is better than that one by this measure". It is judged by the means over
seeds and by their spread; no verdict is written by hand.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from mtl_seg_depth.report.comparison import Comparison
from mtl_seg_depth.scoring.headline import MULTITASK, gain, margin
from mtl_seg_depth.scoring.statistics import Estimate, paired


@dataclass(frozen=True)
class Lead:
    """Row `better` beats row `worse` (indices in the table) by `measure`."""

    better: int
    worse: int
    measure: str = MULTITASK.key


@dataclass(frozen=True)
class Finding:
    """One thing that a table of the report shows."""

    table: str
    statement: str
    steps: tuple[Lead, ...]


def _best(best: int, others: Sequence[int], measure: str = MULTITASK.key) -> tuple[Lead, ...]:
    return tuple(Lead(best, other, measure) for other in others)


def _chain(*rows: int, measure: str = MULTITASK.key) -> tuple[Lead, ...]:
    """Rows from the best to the worst."""
    return tuple(Lead(better, worse, measure) for better, worse in pairwise(rows))


FINDINGS = (
    Finding("sgd_lr", "SGD is best at its largest learning rate, 1e-1", _best(0, (1, 2, 3, 4))),
    Finding("sgd_lr", "With SGD every smaller learning rate is worse than the one above it", _chain(0, 1, 2, 3, 4)),
    Finding("adam_lr", "Adam is best at a learning rate of 1e-4", _best(4, (0, 1, 2, 3, 5))),
    Finding("adam_lr", "Adam learns next to nothing at 1e-1 and above", tuple(
        Lead(better, worse) for better in (2, 3, 4, 5) for worse in (0, 1)
    )),
    Finding("epochs_batch", "More epochs of larger batches are better at equal steps", _chain(3, 2, 1, 0)),
    Finding("task_weights", "Weights of 0.6 – 0.4 are best for both tasks together", _best(3, (0, 1, 2, 4))),
    Finding("task_weights", "The more segmentation weighs, the better it is", _chain(4, 3, 2, 1, 0, measure="semseg")),
    Finding("task_weights", "The more depth weighs, the better it is", _chain(0, 1, 2, 3, 4, measure="depth")),
    Finding("pretrained", "ImageNet weights help", _best(1, (0,))),
    Finding("dilation", "Dilating the last stage instead of striding helps", _best(1, (0,))),
    Finding("aspp_skip", "ASPP and skip connections help", _best(1, (0,))),
    Finding("architecture", "A decoder for each task is better than one for both", _best(1, (0,))),
    Finding("architecture", "Distillation adds nothing to the branched network", _best(1, (2,))),
    Finding("squeeze_excitation", "ResNet50 with squeeze-and-excitation beats ResNet34", _best(1, (0,))),
    Finding("depth_norm", "Standardised depth is best, ahead of log and min-max", _chain(0, 2, 1)),
    Finding("loss", "L1 and berHu are better than L2", _best(1, (0,)) + _best(2, (0,))),
    Finding("loss", "BerHu is best", _best(2, (0, 1))),
    Finding("tta", "Averaging depth over several scales makes it worse", _best(0, (1,), "depth")),
)  # fmt: skip
"""Each holds in the report's own numbers."""


class Verdict(Enum):
    """What our numbers say to a finding; the value is how it is told.

    A finding is as the first of its steps in this order: one that fails decides, one that is missing leaves it open.
    """

    UNMATCHED = "rows do not match"
    NOT_VARIED = "not the report's comparison"
    FAILED = "did not hold"
    OTHER_WAY = "other way, one seed"
    NOT_RUN = "not run yet"
    WITHIN_SPREAD = "within the seed spread"
    SAME_WAY = "same way, one seed"
    HELD = "held"


@dataclass(frozen=True)
class Judgement:
    """A finding and what became of it."""

    finding: Finding
    verdict: Verdict
    decisive: Lead
    """The step that decided: of those with this verdict, the one that our numbers support least."""
    report_gap: float
    """By how much its better row leads in the report, positive as it was found."""
    our_gap: float | None
    """The same of ours, None if there is no number."""
    our_lead: Estimate | None = None
    """The same, seed by seed with its 95 % interval; None unless both rows have a score."""


def judge(finding: Finding, comparison: Comparison) -> Judgement:
    """Weigh a finding against our runs of its table."""
    order, judged = list(Verdict), []
    for step in finding.steps:
        verdict, gap = _judge_step(step, comparison)
        judged.append((order.index(verdict), math.inf if gap is None else gap, step))
    severity, gap, step = min(judged, key=lambda item: item[:2])
    assert comparison.table is not None
    better, worse = (comparison.table.rows[index].scores[step.measure] for index in (step.better, step.worse))
    report_gap = gain(step.measure, better) - gain(step.measure, worse)
    our_gap = None if math.isinf(gap) else gap
    lead = None if our_gap is None else paired(*_gains(step, comparison)).over
    return Judgement(finding, order[severity], step, report_gap, our_gap, lead)


def _judge_step(step: Lead, comparison: Comparison) -> tuple[Verdict, float | None]:
    """The verdict on one step, and our lead of its better row if there are numbers.

    A difference counts if it exceeds the spread of the difference of two single trainings, the root of the sum of
    the rows' variances over seeds; one seed has no spread. A row that diverged with every seed is worse than any
    that has a score.
    """
    if comparison.mismatch is not None:
        return Verdict.UNMATCHED, None
    if comparison.not_varied(step.better, step.worse):
        return Verdict.NOT_VARIED, None
    better, worse = comparison.rows[step.better], comparison.rows[step.worse]
    if better.is_lost or worse.is_lost:
        several = min(len(better.seeds), len(worse.seeds)) > 1
        if worse.is_lost and better.means and not better.is_lost:
            return Verdict.HELD if several else Verdict.SAME_WAY, None
        if better.is_lost and worse.means and not worse.is_lost:
            return Verdict.FAILED if several else Verdict.OTHER_WAY, None
        return Verdict.NOT_RUN, None
    firsts, seconds = (list(gains.values()) for gains in _gains(step, comparison))
    if not firsts or not seconds:
        return Verdict.NOT_RUN, None
    gap = statistics.fmean(firsts) - statistics.fmean(seconds)
    if min(len(firsts), len(seconds)) < 2:
        return Verdict.SAME_WAY if gap > 0 else Verdict.OTHER_WAY, gap
    if abs(gap) <= math.hypot(statistics.stdev(firsts), statistics.stdev(seconds)):
        return Verdict.WITHIN_SPREAD, gap
    return Verdict.HELD if gap > 0 else Verdict.FAILED, gap


def _gains(step: Lead, comparison: Comparison) -> list[dict[int, float]]:
    """The scores of both rows by seed, higher is better; their margins if both stand at the multitask floor."""
    rows = [comparison.rows[step.better], comparison.rows[step.worse]]
    at_floor = step.measure == MULTITASK.key and all(row.mean(MULTITASK.key) == 0 for row in rows)

    def of_seed(scores: dict[str, float]) -> float:
        return margin(scores, comparison.tasks) if at_floor else gain(step.measure, scores.get(step.measure))

    found = [{seed.run.seed: of_seed(seed.scores) for seed in row.seeds} for row in rows]
    return [{seed: value for seed, value in gains.items() if math.isfinite(value)} for gains in found]


OPENINGS = {
    Verdict.HELD: "held",
    Verdict.FAILED: "did not hold",
    Verdict.SAME_WAY: "pointed the same way with a single seed",
    Verdict.OTHER_WAY: "pointed the other way with a single seed",
    Verdict.WITHIN_SPREAD: "could not be told from the spread between seeds",
    Verdict.NOT_RUN: "lack the runs they need",
    Verdict.NOT_VARIED: "could not be judged, as our rows do not differ in it",
    Verdict.UNMATCHED: "could not be matched to the rows of our sweep",
}
"""Each verdict inside the opening sentence."""


def summary(judgements: Sequence[Judgement]) -> tuple[str, list[tuple[str, list[str]]]]:
    """What held and what did not: a sentence or two in plain words, then the findings under every verdict there is."""
    by_verdict = {
        verdict: [judgement.finding.statement for judgement in judgements if judgement.verdict is verdict]
        for verdict in OPENINGS
    }
    told = [(verdict, statements) for verdict, statements in by_verdict.items() if statements]
    counts = [f"{len(statements)} {OPENINGS[verdict]}" for verdict, statements in told]
    sentence = f"Of {len(judgements)} findings of the report, {_enumerated(counts)}."
    if by_verdict[Verdict.SAME_WAY] or by_verdict[Verdict.OTHER_WAY]:
        sentence += " A single seed cannot tell an effect from noise: those are directions, not results."
    return sentence, [(verdict.value.capitalize(), statements) for verdict, statements in told]


def _enumerated(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
