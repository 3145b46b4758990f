"""The training loop."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from mtl_seg_depth.data.batches import Batch, TrainingBatches
from mtl_seg_depth.data.randomness import seed_of
from mtl_seg_depth.models.recomputing import is_random
from mtl_seg_depth.records.checkpoint import content_told
from mtl_seg_depth.records.record import Record, Unrecorded
from mtl_seg_depth.records.results import Status
from mtl_seg_depth.scoring.scores import Scores
from mtl_seg_depth.system.interruption import Interrupted, Interruption
from mtl_seg_depth.system.processes import ALONE, Agreement, Processes
from mtl_seg_depth.training.keeper import Keeper, State
from mtl_seg_depth.training.learning_rates import LearningRate
from mtl_seg_depth.training.parameter_groups import smallest_scale
from mtl_seg_depth.training.step import Step


class Pruned(Exception):  # noqa: N818  (it is no error)
    """Raised by an observer that has seen enough: the training saves, and ends as "pruned"."""


class Observer(Protocol):
    """Whoever wants to see a training while it runs."""

    def on_losses(self, step: int, losses: dict[str, float], images_per_second: float) -> None:
        """Mean losses since the last log point."""

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:
        """The validation split was scored; may raise `Pruned`."""


@dataclass(frozen=True)
class Plan:
    """When things happen, in optimiser steps unless it says otherwise."""

    steps: int
    validate_every: int
    log_every: int
    save_every_seconds: float


class Training:
    """A network on its way through its optimiser steps, in a folder of its own.

    Args:
        step: trains on one batch.
        advance: carries the step out: the step itself, or a captured form of it.
        batches: the batch of every step.
        learning_rate: the rate of every step.
        validate: scores the network on the validation split.
        plan: when things happen.
        record: where everything logged is written down.
        keeper: of its checkpoints.
        observers: are told of losses and scores.
        processes: those that train it, each with a `Training` of its own; in every step they act as one.
    """

    def __init__(
        self,
        step: Step,
        advance: Callable[[Batch, float], dict[str, Tensor]],
        batches: TrainingBatches,
        learning_rate: LearningRate,
        validate: Callable[[], Scores],
        plan: Plan,
        record: Record | Unrecorded,
        keeper: Keeper,
        observers: tuple[Observer, ...] = (),
        processes: Processes = ALONE,
    ) -> None:
        self.step = step
        self.advance = advance
        self.batches = batches
        self.learning_rate = learning_rate
        self.validate = validate
        self.plan = plan
        self.record = record
        self.keeper = keeper
        self.observers = observers
        self.processes = processes
        self.draws = is_random(step.network)
        """Whether the network drops something in training: what it is, is a function of seed and step as well."""
        self.state = State()
        self.window = LossWindow()

    def run(self) -> Status:
        """Train from where the folder's checkpoint stands to the last step; "finished", "diverged" or "pruned".

        Diverged is a training whose loss is no longer finite, or that had no validation without nan; pruned one that
        an observer ended after a validation.
        Raises Interrupted, with everything saved, when asked to stop.
        """
        plan, state = self.plan, self.state
        began_here = clock = time.monotonic()
        saved = 0.0
        agreement = Agreement(self.processes)
        drawing = [] if self.processes.is_first else [self.processes.rank]  # each drops something of its own
        with Interruption() as interruption:
            while state.step < plan.steps:
                began = time.monotonic()
                batch = self.batches[state.step]
                state.data_seconds += time.monotonic() - began
                if self.draws:
                    torch.manual_seed(seed_of(self.batches.seed, state.step, "dropped", *drawing))
                self.window.add(self.advance(batch, self.learning_rate(state.step)), images=self.batches.batch_size)
                state.step += 1

                validating = state.step % plan.validate_every == 0 or state.step == plan.steps
                is_logging = validating or state.step % plan.log_every == 0
                if is_logging and not self._log_losses():
                    self.keeper.adopt_best_on_disk(state)
                    return "diverged"
                pruned = validating and not self._validate()
                now = time.monotonic()
                state.seconds, clock = state.seconds + now - clock, now
                stopping, elapsed = agreement(interruption.requested, now - began_here)
                if validating or stopping or elapsed - saved > plan.save_every_seconds:
                    self.save()
                    saved = elapsed
                if pruned and state.step < plan.steps:
                    return "pruned"
                if stopping and state.step < plan.steps:
                    raise Interrupted(f"stopped at step {state.step} of {plan.steps}; the same command continues it")
        return "finished" if state.best else "diverged"

    def save(self) -> None:
        """Keep all that continuing takes. Random numbers are functions of the step and need no state."""
        self.record.sync()
        self.keeper.save(
            self.state,
            {
                "window": self.window.state_dict(),
                "network": self.step.network.state_dict(),
                "optimizer": self.step.optimizer.state_dict(),
                "weighting": self.step.weighting.state_dict(),
                "average": None if self.step.average is None else self.step.average.state_dict(),
            },
        )

    def resume(self, device: torch.device) -> bool:
        """Continue from what was kept, if there is anything; raises what `Keeper.load` does."""
        kept = self.keeper.load(device)
        if kept is None:
            return False
        self.state, saved = kept
        with content_told(self.keeper.last_path):
            self.window.load_state_dict(saved["window"])
            self.step.network.load_state_dict(saved["network"])
            self.step.optimizer.load_state_dict(saved["optimizer"])
            self.step.weighting.load_state_dict(saved["weighting"])
            if self.step.average is not None:
                self.step.average.load_state_dict(saved["average"])
        return True

    def _log_losses(self) -> bool:
        """Write down the mean losses since the last log point; whether they are finite."""
        losses, images_per_second = self.window.read()
        step = self.state.step
        rate, scale = self.learning_rate(step - 1), smallest_scale(self.step.optimizer)
        self.record.log(
            step,
            {
                **{f"train/loss/{task}": loss for task, loss in losses.items()},
                **{f"train/{name}": value.item() for name, value in self.step.weighting.logged().items()},
                "train/learning_rate": rate,
                **({} if scale is None else {"train/smallest_learning_rate": rate * scale}),
                "train/epoch": step / self.batches.steps_per_epoch,
                "train/images_per_second": images_per_second,
            },
        )
        for observer in self.observers:
            observer.on_losses(step, losses, images_per_second)
        return all(math.isfinite(loss) for loss in losses.values())

    def _validate(self) -> bool:
        """Score the validation split, and keep the weights if they are the best so far; whether to go on."""
        state = self.state
        scores = self.validate()
        self.window.restart_clock()
        flat = scores.flat("val")
        state.last = flat
        is_best = self.keeper.offer(state, scores.rank, flat, self.step.scored_network)
        best = {f"best/{name.removeprefix('val/')}": value for name, value in state.best.items() if "/iou/" not in name}
        self.record.log(state.step, {**flat, **best, "best/step": state.best_step})
        try:
            for observer in self.observers:
                observer.on_validation(state.step, scores, is_best)
        except Pruned:
            return self.processes.from_first(False)
        return self.processes.from_first(True)


class LossWindow:
    """Mean losses since the last log point, summed on the device in float64 and read once."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Count images per second from here."""
        self._timed_images = 0
        self._began = time.monotonic()

    def add(self, losses: dict[str, Tensor], images: int) -> None:
        """Add one step's scalars."""
        for task, loss in losses.items():
            self.sums[task] = self.sums.get(task, 0) + loss.double()
        self.steps += 1
        self._timed_images += images

    def read(self) -> tuple[dict[str, float], float]:
        """Mean losses and images per second, and a fresh start; waits for the device."""
        means = {task: total.item() / self.steps for task, total in self.sums.items()}
        images_per_second = self._timed_images / (time.monotonic() - self._began)
        self.sums, self.steps = {}, 0
        self.restart_clock()
        return means, images_per_second

    def state_dict(self) -> dict[str, Any]:
        """The sums, for a checkpoint between two log points."""
        return {"sums": self.sums, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's sums."""
        self.sums, self.steps = state["sums"], state["steps"]
