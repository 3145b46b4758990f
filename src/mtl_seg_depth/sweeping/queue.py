"""Which trial is next. What a trial is lies in the study: any number of workers, on any machine, take from it in turns.

A trial is WAITING until a worker claims it, RUNNING while one works on it, and goes back to WAITING when that one
stopped or died: it is the same trial then, with the same run and checkpoint. One that failed stays as it is, and is
tried again as a new trial of the same row.

What the queue keeps of a trial is in its system attributes, which Optuna's dashboard does not show; databases from
before that was so have it in the user attributes, and `noted` reads both.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from mtl_seg_depth.sweeping.space import Values
from mtl_seg_depth.sweeping.studies import Studies
from mtl_seg_depth.system.wording import label

EndState = Literal["complete", "pruned", "failed"]

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Claim:
    """A trial that this worker works on.

    `job` is its number for Hydra's launcher, which no other claim of the study has or had.
    """

    number: int
    job: int
    values: dict[str, Any]
    place: str
    """Of its row among those there are to be: `2 of 6`."""

    @property
    def label(self) -> str:
        """For people."""
        return label(self.values)


class Queue:
    """The trials of one study, to be taken one after another.

    Args:
        studies: the database.
        study: one study of it.
        distributions: of the parameters.
        rows: the combinations of a grid by their numbers; None for a search.
        n_trials: how many rows a search has.
        max_attempts: how often a row is tried that fails.
        outputs: where the trials' runs are; a finished trial whose runs are there no more is to be run again.
        sampler: makes up a search's next row, given how many trials there were.
        problem: why a row of a search cannot run; None if it can.
    """

    def __init__(
        self,
        studies: Studies,
        study: optuna.Study,
        distributions: Mapping[str, BaseDistribution],
        rows: Mapping[int, dict[str, Any]] | None,
        n_trials: int,
        max_attempts: int,
        outputs: Path,
        sampler: Callable[[int], BaseSampler] | None = None,
        problem: Callable[[Values], str | None] = lambda values: None,  # noqa: ARG005
    ) -> None:
        self.studies = studies
        self.study = study
        self.distributions = dict(distributions)
        self.rows = rows
        self.n_trials = n_trials if rows is None else len(rows)
        self.max_attempts = max_attempts
        self.outputs = outputs
        self.sampler = sampler
        self.problem = problem
        self._retried = False

    def claim(self, count: int = 1) -> list[Claim]:
        """Up to `count` trials to work on, with consecutive job numbers; none where nothing is left to take."""
        with self.studies.locked():
            trials = self._trials()
            changed = self._free_orphans(trials)
            if not self._retried:  # once for every run of the command
                changed = self._retry_failed(trials) or changed
                self._retried = True
            if self._add_missing_rows(self._trials() if changed else trials) or changed:
                trials = self._trials()
            claims: list[Claim] = []
            while len(claims) < count and (claim := self._next(trials)):
                claims.append(claim)
                trials = self._trials() if len(claims) < count else trials
            return claims

    def finish(self, claim: Claim, state: EndState, values: Sequence[float] | None, reason: str | None) -> None:
        """Write down how a trial ended, unless another worker has taken it over from this one, which looked dead."""
        with self.studies.locked():
            if self._is_held(claim):
                self._end(claim.number, state, values, reason)

    def release(self, claim: Claim) -> None:
        """Give a trial back, for whoever asks next to continue."""
        with self.studies.locked():
            if self._is_held(claim):
                self._to_waiting(claim.number)

    def newest(self) -> list[FrozenTrial]:
        """The newest attempt at every row, in the order of the rows."""
        return newest(self._trials())

    def _next(self, trials: list[FrozenTrial]) -> Claim | None:
        """The next one, of a study that has these trials: to read all of them is what takes time in a large one."""
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        if not waiting and (self.rows is not None or len(newest(trials)) >= self.n_trials):
            return None
        if self.sampler:
            self.study.sampler = self.sampler(len(trials))
        # A grid's trials have their values; one that trains a task by itself has only that.
        trial = self.study.ask(self.distributions if self.rows is None else None)
        job = 1 + max((noted(known).get("job", -1) for known in trials), default=-1)
        if "row" not in noted(self._trial(trial.number)):  # one that the sampler made up just now
            self._set(trial.number, row=trial.number, attempt=1)
        if problem := self.problem(trial.params):
            self._set(trial.number, final=True)
            self._end(trial.number, "failed", None, problem)
            return self._next(self._trials())
        self._set(trial.number, job=job, owner=own_identity())
        self.studies.storage.record_heartbeat(trial._trial_id)
        known = [*trials[: trial.number], self._trial(trial.number), *trials[trial.number + 1 :]]
        return Claim(trial.number, job, trial.params, place(known, trial.number, self.n_trials))

    def _add_missing_rows(self, trials: list[FrozenTrial]) -> bool:
        """Add the rows of a grid that are not there, or do not stand any more; whether there were such."""
        known = {noted(trial)["row"]: trial for trial in newest(trials)}
        added = False
        for row, values in (self.rows or {}).items():
            if row not in known:
                self._add(values, row=row, attempt=1)
            elif known[row].state.is_finished() and not self._stands(known[row]):
                self._add(values, row=row, attempt=noted(known[row])["attempt"] + 1)
            else:
                continue
            added = True
        return added

    def _stands(self, trial: FrozenTrial) -> bool:
        """Whether how a trial ended still counts: its scores have their runs."""
        results = (self.outputs / run["folder"] / "result.json" for run in noted(trial).get("runs", []))
        return trial.state != TrialState.COMPLETE or all(path.exists() for path in results)

    def _retry_failed(self, trials: list[FrozenTrial]) -> bool:
        """Add another attempt at every row that failed and may be tried again; whether there were such."""
        added = False
        for trial in newest(trials):
            known = noted(trial)
            is_final = known.get("final", False) or known["attempt"] >= self.max_attempts
            if trial.state == TrialState.FAIL and not is_final:
                self._add(trial.params, row=known["row"], attempt=known["attempt"] + 1)
                added = True
        return added

    def _free_orphans(self, trials: list[FrozenTrial]) -> bool:
        """Give back the trials whose worker is gone; whether there were such."""
        silent = set(self.studies.storage._get_stale_trial_ids(self.study._study_id))
        freed = False
        for trial in trials:
            dead = trial._trial_id in silent or not is_alive(noted(trial).get("owner"))
            if trial.state == TrialState.RUNNING and dead:
                self._to_waiting(trial.number)
                freed = True
        return freed

    def _add(self, values: Mapping[str, Any], **attributes: Any) -> None:
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.WAITING,
                params=dict(values),
                distributions={name: self.distributions[name] for name in values},
                system_attrs=attributes,
            )
        )

    def _is_held(self, claim: Claim) -> bool:
        """Whether a trial is still this worker's."""
        trial = self._trial(claim.number)
        return trial.state == TrialState.RUNNING and bool(noted(trial)["job"] == claim.job)

    def _end(self, number: int, state: EndState, values: Sequence[float] | None, reason: str | None) -> None:
        if reason is not None:
            self.studies.storage.set_trial_user_attr(self._trial(number)._trial_id, "reason", reason)
        self.study.tell(number, values, _STATES[state])

    def _to_waiting(self, number: int) -> None:
        self.studies.storage.set_trial_state_values(self._trial(number)._trial_id, TrialState.WAITING)

    def _set(self, number: int, **attributes: Any) -> None:
        note(self.studies, self._trial(number)._trial_id, **attributes)

    def _trial(self, number: int) -> FrozenTrial:
        storage = self.studies.storage
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number))

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def note(studies: Studies, trial_id: int, **attributes: Any) -> None:
    """Keep something of a trial, out of people's way."""
    for key, value in attributes.items():
        studies.storage.set_trial_system_attr(trial_id, key, value)


def noted(trial: FrozenTrial) -> dict[str, Any]:
    """Whatever is kept of a trial besides its values and parameters."""
    return trial.user_attrs | trial.system_attrs


def newest(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The newest attempt at every row, in the order of the rows."""
    attempts = {known["row"]: trial for trial in trials if "row" in (known := noted(trial))}
    return [attempts[row] for row in sorted(attempts)]


def place(trials: Sequence[FrozenTrial], number: int, n_trials: int) -> str:
    """Which of its study's rows a trial is an attempt at, such as `2 of 6`, if there are to be so many at least."""
    rows = [noted(trial)["row"] for trial in newest(trials)]
    return f"{rows.index(noted(trials[number])['row']) + 1} of {max(len(rows), n_trials)}"


def own_identity() -> dict[str, Any]:
    """This process, so that others on this machine can tell whether it lives."""
    return {"machine": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_alive(owner: Mapping[str, Any] | None) -> bool:
    """Whether a trial's worker may be alive: one on another machine may, unless its heartbeat stops."""
    if owner is None:
        return False
    if owner["machine"] != _machine():
        return True
    try:
        return bool(psutil.Process(owner["pid"]).create_time() == owner["started"])
    except psutil.NoSuchProcess:
        return False


def _machine() -> str:
    """The name of this machine, and of what process numbers mean on it: a container has its own."""
    processes = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {processes.readlink() if processes.exists() else ''}".strip()
