"""One trial, inside the job that a launcher started, in this process or another: its trainings and its scores."""

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from mtl_seg_depth.config import Settings
from mtl_seg_depth.inference.evaluation import evaluate_run
from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.records.results import SweepRun
from mtl_seg_depth.runs.run import Origin, SweepContext, run
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.scoring.scores import Scores
from mtl_seg_depth.sweeping.plan import sweep_folder
from mtl_seg_depth.sweeping.queue import EndState, newest, note, noted, own_identity, place
from mtl_seg_depth.sweeping.space import ALONE
from mtl_seg_depth.sweeping.studies import Studies
from mtl_seg_depth.system import torchrun
from mtl_seg_depth.system.wording import label
from mtl_seg_depth.training.loop import Observer, Pruned

log = logging.getLogger(__name__)


class Ended(Exception):  # noqa: N818  (a pruned trial is no error)
    """A trial ended without an objective value, pruned or diverged; the message says when."""

    def __init__(self, state: EndState, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def objective_names(objective: Any) -> list[str]:
    """The sweeper's `objective` as a list."""
    return [objective] if isinstance(objective, str) else list(objective)


def run_trial(settings: Settings, console: Console, origin: Origin) -> float | list[float]:
    """Train what the settings say, once for every seed, and return the objective's mean over the seeds.

    Raises Ended for a trial that was pruned or diverged, or has no such score, and whatever `run` raises.
    """
    if torchrun.rank() > 0:
        return _take_part(settings, console, origin)
    hydra = HydraConfig.get()
    names = objective_names(hydra.sweeper.objective)
    studies = Studies(hydra.sweeper.storage, hydra.sweeper.heartbeat_seconds)
    pruner = instantiate(hydra.sweeper.pruner, _execution_whitelist_=("optuna.pruners.*",))
    study = optuna.load_study(study_name=hydra.sweeper.study_name, storage=studies.storage, pruner=pruner)
    numbers = (t.number for t in study.get_trials(deepcopy=False) if noted(t).get("job") == hydra.job.num)
    if (number := next(numbers, None)) is None:
        raise UpdateFinishedTrialError
    trial = optuna.trial.Trial(study, studies.storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
    note(studies, trial._trial_id, owner=own_identity())
    seeds = settings.seeds or (settings.seed,)
    is_reference = ALONE in trial.params
    runs: list[SweepRun] = []
    seconds = 0.0
    with _heartbeat(studies, trial):
        for seed in seeds:
            # Whether a trial is worth its time is decided on the first seed; Optuna prunes for one objective only.
            pruning = len(names) == 1 and not runs and not is_reference
            one = settings.model_copy(update={"seed": seed, "seeds": None})

            def observe(folder: Path, pruning: bool = pruning) -> tuple[Observer, ...]:
                trial.set_user_attr("folder", folder.name)
                return (Reporter(trial, names[0], folder),) if pruning else ()

            context = SweepContext(
                folder=sweep_folder(settings, study.study_name),
                name=label(trial.params) + (f", seed {seed}" if len(seeds) > 1 else ""),
                headline=_headline(study, number, hydra.sweeper),
                observe=observe,
            )
            of_seed = replace(origin, command=f"{origin.command} seed={seed}") if settings.seeds else origin
            result = run(one, console, of_seed, context)
            scores: dict[str, float | None] = dict(headline.picked(result.best, "val/"))
            done = SweepRun(
                seed=seed,
                folder=result.folder.name,
                fingerprint=result.fingerprint,
                status=result.status,
                scores=scores,
            )
            runs.append(done)
            seconds += result.cost.seconds
            trial.set_user_attr("seconds", round(seconds, 3))
            _note(studies, trial, runs)
            if result.status == "diverged":
                note(studies, trial._trial_id, final=True)  # it would diverge again
                raise Ended("failed", f"diverged by step {result.steps}: its loss or predictions are not finite")
            if result.status == "pruned":
                raise Ended("pruned", f"pruned after step {result.steps}")
            if pruning:
                Reporter(trial, names[0], result.folder).report()
            if settings.score is not None:
                evaluation = evaluate_run(one, result.folder, console)
                scores = dict(headline.picked(evaluation.scores))
                runs[-1] = done.model_copy(update={"scores": scores, "evaluation": evaluation.file})
                _note(studies, trial, runs)
    values = [sum(headline.value(name, each.scores or {}) for each in runs) / len(runs) for name in names]
    for index, name in enumerate(names):
        if not math.isnan(values[index]):
            continue
        if not is_reference and (len(names) == 1 or any(name in (each.scores or {}) for each in runs)):
            raise Ended("failed", f"it has no score to compare by: hydra.sweeper.objective={name} is not a number")
        values[index] = headline.worst(name)  # of a task that the network does not have; Optuna compares no nan
    return values[0] if len(values) == 1 else values


def _take_part(settings: Settings, console: Console, origin: Origin) -> float:
    """Train as one of a trial's other processes: the first one decides, and keeps the study informed."""
    for seed in settings.seeds or (settings.seed,):
        result = run(settings.model_copy(update={"seed": seed, "seeds": None}), console, origin)
        if result.status != "finished":
            raise Ended("pruned", "as the first process says")
    return 0.0


def _note(studies: Studies, trial: optuna.trial.Trial, runs: Sequence[SweepRun]) -> None:
    """Keep what the seeds came to, and their means as numbers that a dashboard can show, by the names people know."""
    note(studies, trial._trial_id, runs=[each.model_dump() for each in runs])
    for each in (*headline.shown(), headline.MARGIN):
        values = [headline.value(each.key, run.scores or {}) for run in runs]
        if all(map(math.isfinite, values)):
            trial.set_user_attr(each.short, sum(values) / len(values))


class Reporter:
    """Observer of a training: tells the study every validation score, and ends what the pruner gives up on."""

    def __init__(self, trial: optuna.trial.Trial, objective: str, folder: Path) -> None:
        self.trial = trial
        self.objective = objective
        self.folder = folder

    def on_losses(self, step: int, losses: dict[str, float], images_per_second: float) -> None:
        """Losses do not count."""

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:  # noqa: ARG002
        """Report, and raise Pruned where the pruner says so."""
        self.report()
        if self.trial.should_prune():
            raise Pruned

    def report(self) -> None:
        """Report every validation that the study lacks, counted from 1; the run's own record has them all."""
        known = self.trial.study.get_trials(deepcopy=False)[self.trial.number].intermediate_values
        points = read_points(self.folder / "metrics.jsonl")
        validations = [point.metrics for point in points if "val/multitask" in point.metrics]
        for number, metrics in enumerate(validations, start=1):
            if number not in known:
                self.trial.report(headline.value(self.objective, headline.picked(metrics, "val/")), number)


def _headline(study: optuna.Study, number: int, sweeper: Any) -> str:
    """How far the sweep is, for the live line."""
    trials = study.get_trials(deepcopy=False)
    done = sum(trial.state.is_finished() for trial in newest(trials))
    is_grid = str(sweeper.sampler._target_).endswith(".GridSampler")
    return f"trial {place(trials, number, 0 if is_grid else sweeper.n_trials)}, {done} done  "


@contextmanager
def _heartbeat(studies: Studies, trial: optuna.trial.Trial) -> Iterator[None]:
    """Say all the while that this trial's worker lives."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(studies.storage.get_heartbeat_interval()):
            try:
                studies.storage.record_heartbeat(trial._trial_id)
            except (SQLAlchemyError, StorageInternalError) as error:  # the next beat may get through
                log.warning("no heartbeat of trial %d: %s", trial.number, str(error).splitlines()[0])

    studies.storage.record_heartbeat(trial._trial_id)
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
