"""How many optimiser steps fit into `schedule.minutes`, measured before a training begins."""

import itertools
import time
from collections.abc import Mapping

import torch

from mtl_seg_depth.config import Settings
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.runs.assembly import assemble, scoring_batches, training_batches
from mtl_seg_depth.scoring.scores import Scorer
from mtl_seg_depth.system.processes import Processes
from mtl_seg_depth.training.sharing import average_gradients

WARM_UP = 5
"""Steps before any is timed: caches fill, algorithms are chosen, a graph is captured."""
FEWEST, MOST = 5, 200
"""Steps that are timed: as many as take a fiftieth of the minutes."""
SHARE = 1 / 50
SCORED = 8
"""Batches of validation that are timed at most."""


def steps_within(
    minutes: float, settings: Settings, splits: Mapping[str, PackedSplit], device: torch.device, processes: Processes
) -> int:
    """As many steps, with the validations between them, as this device does in `minutes`; at least one.

    They are timed on a network that is thrown away. Start-up, pictures and checkpoints are not counted. All
    `processes` take part, and get the same answer.
    """
    parts = assemble(settings, device)
    batches = training_batches(settings, parts, splits["train"], device, processes)
    average_gradients(parts.step)
    numbers = itertools.count()

    def steps(count: int) -> float:
        """Seconds that so many steps take."""
        began = time.perf_counter()
        for number in itertools.islice(numbers, count):
            losses = parts.advance(batches[number], parts.learning_rate(0))
        for loss in losses.values():
            loss.item()  # waits for the device
        return time.perf_counter() - began

    steps(WARM_UP)
    count = max(FEWEST, min(MOST, int(60 * minutes * SHARE / steps(1))))
    count = processes.from_first(count)
    of_step = steps(count) / count

    val = scoring_batches(settings, parts, splits["val"], device)
    scorer = Scorer(parts.tasks, device)
    began = time.perf_counter()
    for batch in itertools.islice(val.share(processes.rank, processes.count), SCORED):
        scorer.update(parts.predictor(batch.image), batch.targets)
    scorer.compute(processes)
    share = -(-len(val) // processes.count)
    of_validation = (time.perf_counter() - began) * max(1, share / SCORED)
    if times := settings.validation.times:
        fitting = (60 * minutes - times * of_validation) / of_step
    else:
        fitting = 60 * minutes / (of_step + of_validation / parts.plan.validate_every)
    return processes.from_first(max(1, int(fitting)))
