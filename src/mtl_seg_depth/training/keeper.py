"""What a training keeps on disk: `last` to continue from, the one before in case that is damaged, and the best weights.

last.pt            everything that continuing takes, as of the newest save
last.previous.pt   the same, as of the save before
best.pt            the weights with the best validation scores, and what says of which network and data they are
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.system.errors import UserError

log = logging.getLogger(__name__)


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


class Keeper:
    """Writes and reads the checkpoints of one training.

    Args:
        folder: where they are.
        identity: stored in every checkpoint; one with another identity is not continued. A key that a checkpoint does
            not have, because it is from before there was one, counts as equal.
        about: stored with the best weights, so that the file alone says what network it is: its `config`, its data's
            `spec`, and their `image_size`.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], about: dict[str, Any]) -> None:
        self.identity = identity
        self.about = about
        self.last_path = folder / "last.pt"
        self.previous_path = folder / "last.previous.pt"
        self.best_path = folder / "best.pt"
        self._ahead: dict[str, Any] | None = None
        """The best weights on disk, without the weights, where they are of a step that this training is still to take:
        it went on from an older checkpoint."""

    def save(self, state: State, parts: Mapping[str, Any]) -> None:
        """Write `last`: the state and what else continuing takes."""
        content = {"identity": self.identity, "state": vars(state), **parts}
        self._write(self.last_path, content, self.previous_path)

    def load(self, device: torch.device) -> tuple[State, dict[str, Any]] | None:
        """What was saved last, or before that where `last` is damaged, which is logged; None if nothing ever was.

        Raises UserError if it belongs to another run or other data, and where both or the best weights are damaged.
        """
        saved = self._newest(device)
        if saved is None:
            return None
        with checkpoint.content_told(self.last_path):
            known, state = dict(saved["identity"]), TypeAdapter(State).validate_python(saved["state"])
        checkpoint.require_identity(self.last_path, known, self.identity)
        self._look_at_best(state)
        return state, saved

    def offer(
        self, state: State, rank: tuple[float, float], scores: dict[str, float], network: torch.nn.Module
    ) -> bool:
        """Keep the weights if they are the best so far, the first of equals; whether they are."""
        is_best = rank > tuple(state.best_rank)
        if is_best:
            state.best_step, state.best_rank, state.best = state.step, rank, scores
            self._ahead = None
            weights: dict[str, Tensor] = network.state_dict()
            content = {"identity": self.identity, **self.about, "step": state.step, "rank": rank}
            self._write(self.best_path, {**content, "scores": scores, "network": weights})
        elif self._ahead is not None and state.step >= self._ahead["step"]:
            self.adopt_best_on_disk(state)
        return is_best

    def adopt_best_on_disk(self, state: State) -> None:
        """Let the best weights on disk be the best so far: where steps are not exactly repeatable, none beat them."""
        if self._ahead is not None:
            best = self._ahead
            state.best_step, state.best_rank, state.best = best["step"], best["rank"], best["scores"]
            self._ahead = None

    def _write(self, path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
        """Replace a file, which becomes the `previous` one if there is such."""
        checkpoint.save(path, content, previous=previous)

    def _newest(self, device: torch.device) -> dict[str, Any] | None:
        """The newest checkpoint that is whole; None if there never was one."""
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

    def _look_at_best(self, state: State) -> None:
        """See that the best weights that the state tells of are there; UserError if they are lost."""
        if not self.best_path.exists() and not state.best:
            return
        try:
            best = checkpoint.load_best(self.best_path, torch.device("cpu"))
        except UserError as error:
            raise UserError(f"{error}; the best weights so far are lost. resume=false trains anew beside it") from None
        checkpoint.require_identity(self.best_path, best.identity, self.identity)
        if best.step > state.step:
            self._ahead = {"step": best.step, "rank": best.rank, "scores": best.scores}
        elif best.step != state.best_step:
            raise UserError(
                f"{self.best_path} is of step {best.step}, and the best was at step {state.best_step}: it is not of "
                "this run. resume=false trains anew beside it"
            )


class Reader(Keeper):
    """Of a process that trains along with the one that keeps: knows what is best, goes on from it, writes nothing."""

    def _write(self, path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
        """The first process does."""
