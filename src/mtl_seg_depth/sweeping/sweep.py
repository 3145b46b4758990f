"""A sweep from its command line to its exit code."""

import gc
import itertools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import UpdateFinishedTrialError
from rich.console import Console
from rich.text import Text

from mtl_seg_depth.cli.command import conf_of
from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.runs.contents import SPLITS, Contents
from mtl_seg_depth.sweeping.engines import LocalSettings, check_engine, start_workers
from mtl_seg_depth.sweeping.handover import hand_over
from mtl_seg_depth.sweeping.plan import (
    Row,
    Sweep,
    base_of,
    baseline_of,
    check_row,
    composer,
    data_of,
    decisions,
    differences,
    name_before,
    study_name,
    varied,
    with_references,
)
from mtl_seg_depth.sweeping.queue import Claim, Queue
from mtl_seg_depth.sweeping.settings import SweeperSettings, read
from mtl_seg_depth.sweeping.shown import WITHOUT_SCORE, show_end, show_plan
from mtl_seg_depth.sweeping.space import ALONE, Space, Values
from mtl_seg_depth.sweeping.standing import best_rows
from mtl_seg_depth.sweeping.studies import Studies, database_errors_told
from mtl_seg_depth.sweeping.summary import commands, describe, progress, publish, with_reason
from mtl_seg_depth.sweeping.trial import Ended, objective_names
from mtl_seg_depth.sweeping.trial_processes import Outcome, Part, leave, own_part, train_in
from mtl_seg_depth.sweeping.workers import FAILED, Ends, Workers, become_worker, deaths, was_stopped, watch
from mtl_seg_depth.system.errors import OutOfMemoryError, UserError
from mtl_seg_depth.system.interruption import AGAIN, Interruption, interruptible
from mtl_seg_depth.system.memory import is_shortage
from mtl_seg_depth.tracking import mirror_sweep

RANDOM = "optuna.samplers.RandomSampler"

Launch = Callable[[list[Claim]], list[Outcome]]
"""Has claimed trials run, and returns how they ended."""

Ending = Literal["finished", "failed", "interrupted"]


def sweep(
    raw: dict[str, Any],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
    arguments: list[str],
) -> None:
    """Run every trial that is missing, alone or beside other workers of the same study.

    Raises UserError for a mistake that concerns all trials, before anything starts. Leaves by SystemExit where a
    trial has no score (1), and where it was asked to stop (75).
    """
    is_worker = become_worker()
    console = Console(markup=False)
    settings = read(raw)
    if (part := own_part()) is not None:
        with database_errors_told(settings.storage):
            _train_part(part, config, context, task_function)
        return
    planned, check = _plan(settings, config, context, arguments)
    for row in planned.rows or ():
        if row.problem:
            console.print(Text.assemble(("Cannot run:", "yellow"), f" {row.label}: {row.problem}"), soft_wrap=True)
    if planned.base.dry_run:
        show_plan(planned, settings.n_trials, console)
        return
    with database_errors_told(settings.storage):
        planned, queue = _open(settings, planned, check, console)
        config, hide = hand_over(config, planned.study)
        loader = context.config_loader  # a new one has no memory of what it has composed
        context = replace(context, config_loader=ConfigLoaderImpl(loader.get_search_path()))
        launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=context, task_function=task_function
        )

        kind = type(launcher).__name__
        if not is_worker:
            check_engine(settings.workers, settings.storage, kind, settings.gpus_per_trial)

        def launch(claims: list[Claim]) -> list[Outcome]:
            overrides = [[hide(each) for each in planned.space.overrides(claim.values)] for claim in claims]
            if settings.gpus_per_trial > 1:
                (claim,), words = claims, overrides[0]
                part = Part(
                    study=planned.study, number=claim.number, job=claim.job, overrides=words, folder=planned.folder
                )
                return [train_in(settings.gpus_per_trial, part)]
            jobs = launcher.launch(overrides, claims[0].job)
            return [_outcome(job, claim.number, planned.folder) for job, claim in zip(jobs, claims, strict=True)]

        # Hydra's own launcher runs one job after another; the others run as many at once as they are given.
        in_turn = kind == "BasicLauncher"
        start = None
        several = settings.n_jobs * settings.gpus_per_trial > 1 or not isinstance(settings.workers, LocalSettings)
        if several and in_turn and not is_worker:
            start = partial(
                start_workers,
                settings.workers,
                settings.n_jobs,
                planned.folder,
                hide,
                on_gpus=planned.base.device in ("auto", "cuda") and not planned.space.varies("device"),
                per_gpu=settings.workers_per_gpu,
                each=settings.gpus_per_trial,
            )
        code = _run(planned, queue, launch, 1 if in_turn else settings.n_jobs, start, console)
    if code:
        raise SystemExit(code)


def _run(
    planned: Sweep,
    queue: Queue,
    launch: Launch,
    at_once: int,
    start: Callable[[], Workers] | None,
    console: Console,
) -> int:
    """Run what is missing, here or by workers to be started, and show how it ended; the exit code."""
    stopped = False
    ends = Ends([])
    try:
        with interruptible():
            _publish(planned, queue, None)
            if start is None:
                _work(planned, queue, launch, at_once, console)
            else:
                ends = watch(start(), lambda: describe(planned, queue.newest()), console)
                stopped = ends.detached or any(map(was_stopped, ends.codes))
    except KeyboardInterrupt:
        stopped = True
    described = _publish(planned, queue, _ending(describe(planned, queue.newest())))
    again = commands(planned, queue.newest(), best_rows(described))
    show_end(described, planned.folder, again, console)
    is_over = planned.rows is not None and not {row.state for row in described.rows} & {"waiting", "running"}
    dead = list(deaths(ends, planned.folder))
    for line in dead:
        console.print(Text.assemble(("A worker died:", "red"), f" {line}"), soft_wrap=True)
    if is_over:
        stopped, dead = False, []  # others have done what the ones that ended early left
    if dead and not stopped:
        console.print("The same command goes on.", style="yellow")
    if ends.detached:
        console.print("The workers go on; the same command watches them again.", style="yellow")
        return AGAIN
    if stopped:
        console.print("Stopped; the same command goes on.", style="yellow")
        return AGAIN
    without_score = any(row.state in WITHOUT_SCORE for row in described.rows)
    return FAILED if dead or without_score else 0


def _plan(
    settings: SweeperSettings, config: DictConfig, context: HydraContext, arguments: list[str]
) -> tuple[Sweep, Callable[[Values], Row]]:
    """Everything that the sweep is to do, composed, built and checked, and what checks the rows of a search.

    Raises UserError if nothing of it can run.
    """
    loader = context.config_loader
    compose = composer(config, loader.load_sweep_config)
    space = Space.parse(settings.params, settings.linked, arguments, loader.get_group_options)
    if not space.distributions:
        raise UserError("nothing varies: name values to compare (model=joint,branched), or a sweep (sweeps=adam_lr)")
    base = base_of(space, compose)
    if base.rerun:
        raise UserError("rerun=true is for one training; a sweep runs again what is no longer in its outputs folder")
    if base.score is not None and settings.selection != "best":
        raise UserError(
            f"hydra.sweeper.selection={settings.selection} is of validations, and score={base.score} scores the best "
            "weights: leave one of them out"
        )
    objectives = objective_names(settings.objective)

    def check(values: Values) -> Row:
        return check_row(values, space, compose, objectives)

    rows = [check(values) for values in space.grid()] if settings.is_grid else None
    if settings.references and rows is None:
        raise UserError("hydra.sweeper.references: a search makes up its rows as it goes; only a grid can have them")
    if rows is not None and settings.references:
        space, rows = with_references(space, rows, lambda space, values: check_row(values, space, compose, ()))
    if rows is not None and all(row.problem for row in rows):
        raise UserError(str(rows[0].problem))
    baseline = None if rows is None else baseline_of(settings.baseline, rows)
    choice = config.hydra.runtime.choices.get("sweeps")
    contents = Contents(pack=not base.dry_run)
    rows = rows and [replace(row, data=contents.of(row.settings)) if row.settings else row for row in rows]
    data = data_of(space, base, rows, contents)
    decides = decisions(space, base, settings.model_dump(), data)
    name = settings.study_name or study_name(choice, decides)
    if base.dry_run and any(not digests.keys() >= {*SPLITS, base.score or "val"} for digests in data):
        name = settings.study_name or choice or varied(space.distributions)  # the digest depends on the data
    count, conf = settings.n_trials if rows is None else len(rows), conf_of(config.hydra)
    return Sweep(name, decides, choice, space, rows, base, objectives, baseline, settings.selection, count, conf), check


def _open(
    settings: SweeperSettings, planned: Sweep, check: Callable[[Values], Row], console: Console
) -> tuple[Sweep, Queue]:
    """The sweep by its study's name, and the study in its database, created where it is missing."""
    studies = Studies(settings.storage, settings.heartbeat_seconds)
    with studies.locked():
        if settings.study_name is not None:
            planned = replace(planned, study=_own_name(studies, planned, console))
        elif planned.name is None:
            taken = optuna.get_all_study_names(studies.storage)
            if planned.study not in taken and (before := name_before(planned.study)) in taken:
                planned = replace(planned, study=before)
        study = optuna.create_study(
            study_name=planned.study,
            storage=studies.storage,
            sampler=optuna.samplers.RandomSampler(),  # of a grid: the queue has every row's values
            pruner=instantiate(settings.pruner, _execution_whitelist_=("optuna.pruners.*",)),
            directions=planned.directions,
            load_if_exists=True,
        )
        study.set_metric_names(planned.objectives)
        studies.storage.set_study_system_attr(study._study_id, "sweep", planned.decides)
    rows = planned.rows
    return planned, Queue(
        studies,
        study,
        planned.space.distributions | _references(planned.space),
        # A row that cannot run keeps its number and is never queued.
        None if rows is None else {number: row.values for number, row in enumerate(rows) if not row.problem},
        settings.n_trials,
        settings.max_attempts,
        Path(planned.base.paths.outputs),
        (lambda trials: _sampler(settings.sampler, trials)) if rows is None else None,
        (lambda values: check(values).problem) if rows is None else lambda values: None,  # noqa: ARG005
    )


def _references(space: Space) -> dict[str, BaseDistribution]:
    """The one parameter of the trials that train a task by itself, if there are any."""
    return {ALONE: CategoricalDistribution(tuple(space.alone))} if space.alone else {}


def _own_name(studies: Studies, planned: Sweep, console: Console) -> str:
    """A name that was given is the first sweep's that has it; another sweep of that name gets a number behind it."""
    taken = optuna.get_all_study_names(studies.storage)
    names = itertools.chain([planned.study], (f"{planned.study}.{number}" for number in itertools.count(2)))
    for name in names:
        known = studies.decides(name) if name in taken else planned.decides
        if known == planned.decides:
            break
        console.print(
            f"{name} is another sweep: what differs is {differences(known, planned.decides)}",
            highlight=False,
            soft_wrap=True,
        )
    return name


def _sampler(node: dict[str, Any], trials: int) -> optuna.samplers.BaseSampler:
    """What makes up the next trial after so many: with a seed, a function of the seed and what is in the study.

    A sampler of an own seed for every trial goes on where another process stopped, instead of repeating itself.
    """
    seed = node.get("seed")
    if seed is not None:
        own: dict[str, Any] = {"seed": int(np.random.SeedSequence([seed, trials]).generate_state(1)[0])}
        # A quasi-random sequence goes on by what is in the study, and has one seed.
        if node["_target_"].endswith(".QMCSampler"):
            own = {"independent_sampler": node["independent_sampler"] or {"_target_": RANDOM} | own}
        node = node | own
    whitelist = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
    sampler: optuna.samplers.BaseSampler = instantiate(node, _execution_whitelist_=whitelist)
    return sampler


def _ending(described: SweepRecord) -> Ending | None:
    """How the sweep ended; None if other workers still run trials, the last of which closes it."""
    states = {row.state for row in described.rows}
    if "running" in states:
        return None
    if "waiting" in states:
        return "interrupted"
    return "failed" if states & set(WITHOUT_SCORE) else "finished"


def _publish(planned: Sweep, queue: Queue, ending: Ending | None) -> SweepRecord:
    """Write down how far the sweep is, here and on the tracking server."""
    described = publish(planned, queue.newest(), over=ending)
    uri = planned.base.tracking.uri
    if uri is not None:
        mirror_sweep(planned.folder, uri, over=ending is not None)
    return described


def _work(planned: Sweep, queue: Queue, launch: Launch, batch: int, console: Console) -> None:
    """Take trials and run them, until none is left or a stop is asked for (KeyboardInterrupt)."""
    while claims := queue.claim(batch):
        for claim in claims:
            console.rule(f"trial {claim.place}: {claim.label}", align="left")
        try:
            outcomes = launch(claims)
        except BaseException:
            for claim in claims:
                queue.release(claim)
            raise
        for claim, outcome in zip(claims, outcomes, strict=True):
            if outcome.is_taken:
                console.print("Another worker has taken it over, as this one was not heard of for so long.")
                continue
            queue.finish(claim, outcome.state, outcome.values, outcome.reason)
            if outcome.reason is not None:
                console.print(Text(with_reason(outcome.state, outcome.reason), "yellow"), soft_wrap=True)
        console.print(progress(_publish(planned, queue, None)), highlight=False, soft_wrap=True)
        if Interruption.in_this_process:
            raise KeyboardInterrupt
        if any(outcome.device_is_lost for outcome in outcomes):
            told = " other workers go on, and so does the same command."
            console.print(Text.assemble(("The GPU is lost to this process;", "red"), told))
            return


def _train_part(part: Part, config: DictConfig, context: HydraContext, task_function: TaskFunction) -> None:
    """Train a trial that a worker has claimed, as one of its processes, and leave how it ended."""
    config, _ = hand_over(config, part.study)
    plugins = Plugins.instance()
    launcher = plugins.instantiate_launcher(config=config, hydra_context=context, task_function=task_function)
    try:
        (job,) = launcher.launch([part.overrides], part.job)
    except KeyboardInterrupt:
        raise SystemExit(AGAIN) from None
    outcome = _outcome(job, part.number, part.folder)
    leave(outcome)
    if outcome.state == "failed" and not isinstance(job._return_value, Ended):
        raise SystemExit(FAILED)  # ends the others, which may wait for this one


def _outcome(job: JobReturn, number: int, folder: Path) -> Outcome:
    """How a job ended: its state, its values, and the reason where it has none."""
    if job.status == JobStatus.COMPLETED:
        value = job.return_value
        return Outcome(state="complete", values=value if isinstance(value, list) else [value])
    error = job._return_value
    if isinstance(error, Ended):
        return Outcome(state=error.state, reason=str(error))
    if isinstance(error, UpdateFinishedTrialError):
        return Outcome(state="failed", is_taken=True)
    if isinstance(error, OutOfMemoryError) or is_shortage(error):
        # What the trial held on the device must not sink the next one.
        for each in _with_causes(error):
            traceback.clear_frames(each.__traceback__)
        gc.collect()
        torch.cuda.empty_cache()
    if isinstance(error, UserError):
        return Outcome(state="failed", reason=str(error))
    path = folder / "errors" / f"trial_{number}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)))
    # After such an error every call of the process fails on the GPU.
    is_lost = any(isinstance(each, torch.AcceleratorError) for each in _with_causes(error))
    reason = f"crashed: {type(error).__name__}: {error}; the trace is in {path}"
    return Outcome(state="failed", reason=reason, device_is_lost=is_lost)


def _with_causes(error: object) -> Iterator[BaseException]:
    while isinstance(error, BaseException):
        yield error
        error = error.__cause__ or error.__context__
