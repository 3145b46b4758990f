"""The training loop."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mtl_seg_depth.data.batches import Batch, TrainingBatches
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.record import Record
from mtl_seg_depth.scoring.scores import Scores
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import Interrupted, Interruption
from mtl_seg_depth.training.learning_rates import LearningRate
from mtl_seg_depth.training.step import Step

log = logging.getLogger(__name__)


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


@dataclass
class State:
    """Where a training is; with the weights and the optimiser's state this is all it takes to continue."""

    step: int = 0
    seconds: float = 0.0
    """Time spent training and validating so far, over all the processes that worked on it."""
    data_seconds: float = 0.0
    """The part of it spent waiting for batches."""
    best_step: int = 0
    best_rank: tuple[float, float] = (-math.inf, -math.inf)
    best: dict[str, float] = field(default_factory=dict)
    """The scores of the best validation, by name."""
    last: dict[str, float] = field(default_factory=dict)
    """The scores of the newest validation, by name."""


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
        identity: stored in every checkpoint; one with another identity is not continued.
        config: stored with the best weights, so that the file alone says what network it is.
        observers: are told of losses and scores.
    """

    def __init__(
        self,
        step: Step,
        advance: Callable[[Batch, float], dict[str, Tensor]],
        batches: TrainingBatches,
        learning_rate: LearningRate,
        validate: Callable[[], Scores],
        plan: Plan,
        record: Record,
        identity: dict[str, Any],
        config: dict[str, Any],
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.step = step
        self.advance = advance
        self.batches = batches
        self.learning_rate = learning_rate
        self.validate = validate
        self.plan = plan
        self.record = record
        self.identity = identity
        self.config = config
        self.observers = observers
        self.state = State()
        self.window = LossWindow()
        self._ahead: dict[str, Any] | None = None
        """The best weights on disk, without the weights, where they are of a step that this training is still to take:
        it went on from an older checkpoint."""

    @property
    def last_path(self) -> Path:
        """The checkpoint to continue from."""
        return self.record.folder / "last.pt"

    @property
    def previous_path(self) -> Path:
        """The checkpoint before `last`, for when `last` is damaged."""
        return self.record.folder / "last.previous.pt"

    @property
    def best_path(self) -> Path:
        """The weights with the best validation scores."""
        return self.record.folder / "best.pt"

    def run(self) -> str:
        """Train from where the folder's checkpoint stands to the last step; "finished", "diverged" or "pruned".

        Diverged is a training whose loss is no longer finite; pruned one that an observer ended after a validation.
        Raises Interrupted, with everything saved, when asked to stop.
        """
        plan, state = self.plan, self.state
        clock = saved = time.monotonic()
        with Interruption() as interruption:
            while state.step < plan.steps:
                began = time.monotonic()
                batch = self.batches[state.step]
                state.data_seconds += time.monotonic() - began
                self.window.add(self.advance(batch, self.learning_rate(state.step)), images=len(batch.ids))
                state.step += 1

                validating = state.step % plan.validate_every == 0 or state.step == plan.steps
                is_logging = validating or state.step % plan.log_every == 0
                if is_logging and not self._log_losses():
                    self._adopt_best_on_disk()
                    return "diverged"
                pruned = validating and not self._validate()
                now = time.monotonic()
                state.seconds, clock = state.seconds + now - clock, now
                if validating or interruption.requested or now - saved > plan.save_every_seconds:
                    self.save()
                    saved = now
                if pruned and state.step < plan.steps:
                    return "pruned"
                if interruption.requested and state.step < plan.steps:
                    raise Interrupted(f"stopped at step {state.step} of {plan.steps}; the same command continues it")
        return "finished"

    def save(self) -> None:
        """Write `last`: all that continuing takes. Random numbers are functions of the step and need no state."""
        self.record.sync()
        checkpoint.save(
            self.last_path,
            {
                "identity": self.identity,
                "state": vars(self.state),
                "window": self.window.state_dict(),
                "network": self.step.network.state_dict(),
                "optimizer": self.step.optimizer.state_dict(),
                "weighting": self.step.weighting.state_dict(),
                "average": None if self.step.average is None else self.step.average.state_dict(),
            },
            previous=self.previous_path,
        )

    def resume(self, device: torch.device) -> bool:
        """Continue from `last` where there is one, and from the one before where that is damaged, which is logged.

        Raises UserError where it belongs to another run or other data, and where both or the best weights are damaged.
        """
        saved = self._load_last(device)
        if saved is None:
            return False
        different = [key for key, value in self.identity.items() if saved["identity"].get(key) != value]
        if different:
            raise UserError(
                f"{self.last_path} was made with another {' and another '.join(different)}; "
                "resume=false trains anew beside it"
            )
        self.state = State(**saved["state"])
        self.window.load_state_dict(saved["window"])
        self.step.network.load_state_dict(saved["network"])
        self.step.optimizer.load_state_dict(saved["optimizer"])
        self.step.weighting.load_state_dict(saved["weighting"])
        if self.step.average is not None:
            self.step.average.load_state_dict(saved["average"])
        self._look_at_best()
        return True

    def _load_last(self, device: torch.device) -> dict[str, Any] | None:
        """The newest checkpoint that is whole; None where there never was one."""
        if not self.last_path.exists() and not self.previous_path.exists():
            return None
        try:
            if self.last_path.exists():
                return checkpoint.load(self.last_path, device)
            reason = f"{self.last_path} is missing"
        except checkpoint.DamagedCheckpointError as error:
            reason = str(error)
        try:
            saved = checkpoint.load(self.previous_path, device)
        except UserError as error:
            if self.previous_path.exists():
                reason = f"{reason}; and the one before: {error}"
            raise UserError(f"{reason}; nothing is left to continue from. resume=false trains anew beside it") from None
        self.previous_path.replace(self.last_path)  # so that the next save does not put the damaged one in its place
        log.warning("%s; going on from the checkpoint before, of step %d", reason, saved["state"]["step"])
        return saved

    def _look_at_best(self) -> None:
        """See that the best weights that the state tells of are there; UserError where they are lost."""
        state = self.state
        if not self.best_path.exists() and not state.best:
            return
        try:
            best = checkpoint.load(self.best_path, torch.device("cpu"))
        except UserError as error:
            raise UserError(f"{error}; the best weights so far are lost. resume=false trains anew beside it") from None
        if best["step"] > state.step:
            self._ahead = {key: best[key] for key in ("step", "rank", "scores")}
        elif best["step"] != state.best_step:
            raise UserError(
                f"{self.best_path} is of step {best['step']}, and the best was at step {state.best_step}: it is not of "
                "this run. resume=false trains anew beside it"
            )

    def _adopt_best_on_disk(self) -> None:
        """Let the best weights on disk be the best so far: where steps are not exactly repeatable, none beat them."""
        if self._ahead is not None:
            state, best = self.state, self._ahead
            state.best_step, state.best_rank, state.best = best["step"], best["rank"], best["scores"]
            self._ahead = None

    def _log_losses(self) -> bool:
        """Write down the mean losses since the last log point; whether they are finite."""
        losses, images_per_second = self.window.read()
        step = self.state.step
        self.record.log(
            step,
            {
                **{f"train/loss/{task}": loss for task, loss in losses.items()},
                **{f"train/{name}": value.item() for name, value in self.step.weighting.logged().items()},
                "train/learning_rate": self.learning_rate(step - 1),
                "train/epoch": step / self.batches.steps_per_epoch,
                "train/images_per_second": images_per_second,
            },
        )
        for observer in self.observers:
            observer.on_losses(step, losses, images_per_second)
        return all(math.isfinite(loss) for loss in losses.values())

    def _validate(self) -> bool:
        """Score the validation split, and keep the weights if they are the best so far, the first of equals.

        Returns whether to go on.
        """
        state = self.state
        scores = self.validate()
        self.window.restart_clock()
        flat = scores.flat("val")
        is_best = scores.rank > tuple(state.best_rank)
        state.last = flat
        if is_best:
            state.best_step, state.best_rank, state.best = state.step, scores.rank, flat
            self._ahead = None
            checkpoint.save(
                self.best_path,
                {
                    "identity": self.identity,
                    "config": self.config,
                    "step": state.step,
                    "rank": scores.rank,
                    "scores": flat,
                    "network": self.step.scored_network.state_dict(),
                },
            )
        elif self._ahead is not None and state.step >= self._ahead["step"]:
            self._adopt_best_on_disk()
        best = {f"best/{name.removeprefix('val/')}": value for name, value in state.best.items() if "/iou/" not in name}
        self.record.log(state.step, {**flat, **best, "best/step": state.best_step})
        try:
            for observer in self.observers:
                observer.on_validation(state.step, scores, is_best)
        except Pruned:
            return False
        return True


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
