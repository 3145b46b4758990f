"""What a network scores on a split, task by task."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, device

from mtl_seg_depth.data.batches import Batch, ScoringBatches
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.scoring.predictor import Predict
from mtl_seg_depth.system.processes import ALONE, Processes, total
from mtl_seg_depth.tasks.task import Confusion, Measured, Task


@dataclass(frozen=True)
class Scores:
    """What the meters of a network's tasks saw, by task."""

    measured: Mapping[str, Measured]

    @property
    def headlines(self) -> dict[str, float]:
        """The multitask score, then each task's headline score; nan where that does not exist."""
        own = {task: measured.headline for task, measured in self.measured.items()}
        return {headline.MULTITASK.key: headline.multitask(own), **own}

    @property
    def rank(self) -> headline.Rank:
        """For choosing the best validation of a training, by the tasks that the split can be scored on."""
        if any(measured.broken for measured in self.measured.values()):
            return headline.WORST
        there = [task for task, measured in self.measured.items() if not math.isnan(measured.headline)]
        return headline.rank(self.headlines, there) if there else (0.0, -math.inf)

    @property
    def confusion(self) -> Confusion | None:
        """Of the first task that tells classes apart."""
        return next((each.confusion for each in self.measured.values() if each.confusion is not None), None)

    def flat(self, prefix: str) -> dict[str, float]:
        """Every number under a name of its own, for a tracking server; values that do not exist are left out."""
        named = self.headlines
        for measured in self.measured.values():
            named |= measured.details
        return {f"{prefix}/{name}": value for name, value in named.items() if not math.isnan(value)}


class Scorer:
    """A meter for each task; `compute` reads them.

    Args:
        tasks: those that are predicted.
        device: of what is measured.
        detailed: measure what takes more time, too.
    """

    def __init__(self, tasks: Mapping[str, Task], device: device, detailed: bool = False) -> None:
        self.meters = {name: task.meter(device, detailed) for name, task in tasks.items()}

    def update(self, prediction: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
        """Add a batch: predictions against targets, by task."""
        for name, meter in self.meters.items():
            meter.update(prediction[name], targets[name])

    def compute(self, processes: Processes = ALONE) -> Scores:
        """The scores of everything seen, by all of these processes; waits for the device."""
        if processes.count > 1:
            for meter in self.meters.values():
                for running in meter.sums:
                    running.copy_(total(running))
        return Scores({name: meter.compute() for name, meter in self.meters.items()})


def score(predict: Predict, batches: Iterable[Batch], tasks: Mapping[str, Task], detailed: bool = False) -> Scores:
    """Predict every batch and compare: the scores of a whole split."""
    scorer: Scorer | None = None
    for batch in batches:
        scorer = scorer or Scorer(tasks, batch.image.device, detailed)
        scorer.update(predict(batch.image), batch.targets)
    if scorer is None:
        raise ValueError("no batch to score")
    return scorer.compute()


def score_together(
    predict: Predict, batches: ScoringBatches, tasks: Mapping[str, Task], processes: Processes
) -> Scores:
    """The scores of a whole split in every process, each of which predicts its share of the batches."""
    scorer = Scorer(tasks, batches.device)
    for batch in batches.share(processes.rank, processes.count):
        scorer.update(predict(batch.image), batch.targets)
    return scorer.compute(processes)
