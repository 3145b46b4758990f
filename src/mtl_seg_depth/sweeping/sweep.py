"""A sweep from its command line to its exit code."""

import copy
import gc
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import optuna
import torch
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, flag_override
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtl_seg_depth.config import fingerprint
from mtl_seg_depth.records.results import RowState, SweepRecord, other_data
from mtl_seg_depth.runs.contents import SPLITS, Contents
from mtl_seg_depth.runs.pace import Pace
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.plan import Sweep, check_row, composer, data_of, study_name
from mtl_seg_depth.sweeping.queue import Claim, EndState, Queue
from mtl_seg_depth.sweeping.space import Space
from mtl_seg_depth.sweeping.studies import Studies, database_errors_told
from mtl_seg_depth.sweeping.summary import best_rows, describe, progress, publish, score_cells
from mtl_seg_depth.sweeping.trial import Ended, objective_names, sweep_folder
from mtl_seg_depth.sweeping.workers import run_workers, was_stopped
from mtl_seg_depth.system.errors import OutOfMemoryError, UserError
from mtl_seg_depth.system.interruption import AGAIN, Interruption, interruptible
from mtl_seg_depth.system.wording import duration, explain
from mtl_seg_depth.tracking import mirror_sweep

WITHOUT_SCORE: tuple[RowState, ...] = ("failed", "impossible")
"""States of rows that ended, or never began, and have nothing to compare."""

FAILED = 1
"""Exit code of a sweep with a trial that has no score: failed, diverged, or impossible."""


Ending = Literal["finished", "failed", "interrupted"]


class SweeperSettings(BaseModel):
    """`hydra.sweeper`, checked; see `hydra_plugins.mtl_seg_depth.sweeper.SweeperConf`."""

    model_config = ConfigDict(extra="forbid")

    sampler: dict[str, Any]
    pruner: dict[str, Any]
    objective: str | list[str]
    params: dict[str, Any]
    linked: dict[str, dict[str, list[str]]]
    n_trials: PositiveInt
    n_jobs: PositiveInt
    max_attempts: PositiveInt
    heartbeat_seconds: PositiveInt
    storage: str
    study_name: str | None

    @property
    def is_grid(self) -> bool:
        """Whether every combination is to run; else a sampler chooses."""
        return bool(self.sampler["_target_"].endswith(".GridSampler"))


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
    console = Console()
    settings = _parse(raw)
    planned = _plan(settings, config, context, arguments)
    for row in planned.rows or ():
        if row.problem:
            console.print(f"[yellow]Cannot run:[/] {escape(row.label)}: {escape(row.problem)}", soft_wrap=True)
    if planned.base.dry_run:
        _show_plan(planned, settings.n_trials, console)
        return
    with database_errors_told(settings.storage):
        launcher = Plugins.instance().instantiate_launcher(
            config=_with_study(config, planned.study), hydra_context=context, task_function=task_function
        )
        code = _run(settings, planned, launcher, console)
    if code:
        raise SystemExit(code)


def _run(settings: SweeperSettings, planned: Sweep, launcher: Launcher, console: Console) -> int:
    """Run what is missing and show how it ended; the exit code."""
    queue = _open_queue(settings, planned)
    stopped = died = False
    try:
        with interruptible():
            _publish(planned, queue, None)
            if settings.n_jobs > 1 and type(launcher).__name__ == "BasicLauncher":
                codes = run_workers(settings.n_jobs, planned.folder, lambda: describe(planned, queue.newest()), console)
                stopped = any(map(was_stopped, codes))
                died = not stopped and not set(codes) <= {0, FAILED}
            else:
                _work(planned, queue, launcher, settings.n_jobs, console)
    except KeyboardInterrupt:
        stopped = True
    described = _publish(planned, queue, _ending(describe(planned, queue.newest())))
    _show_end(described, planned.folder, console)
    if died:
        console.print(f"[red]A worker died;[/] {planned.folder}/worker_*.log say why. The same command goes on.")
    if stopped:
        console.print("[yellow]Stopped; the same command goes on.[/]")
        return AGAIN
    without_score = any(row.state in WITHOUT_SCORE for row in described.rows)
    return FAILED if died or without_score else 0


def _plan(settings: SweeperSettings, config: DictConfig, context: HydraContext, arguments: list[str]) -> Sweep:
    """Everything that the sweep is to do, composed, built and checked; UserError if nothing of it can run."""
    loader = context.config_loader
    compose = composer(config, loader.load_sweep_config)
    space = Space.parse(settings.params, settings.linked, arguments, loader.get_group_options)
    if not space.distributions:
        raise UserError("nothing varies: name values to compare (model=joint,branched), or a sweep (sweeps=adam_lr)")
    base = compose(space.fixed)
    if base.rerun:
        raise UserError("rerun=true is for one training; a sweep runs again what is no longer in its outputs folder")
    rows = [check_row(values, space, compose) for values in space.grid()] if settings.is_grid else None
    if rows is not None and all(row.problem for row in rows):
        raise UserError(str(rows[0].problem))
    choice = config.hydra.runtime.choices.get("sweeps")
    contents = Contents(pack=not base.dry_run)
    rows = rows and [replace(row, data=contents.of(row.settings)) if row.settings else row for row in rows]
    data = data_of(space, base, rows, contents)
    name = settings.study_name or study_name(choice, space, base, settings.model_dump(), data)
    if base.dry_run and any(not digests.keys() >= {*SPLITS, base.score or "val"} for digests in data):
        name = settings.study_name or choice or "sweep"  # what its study is called depends on the data
    return Sweep(name, choice, space, rows, base, objective_names(settings.objective), sweep_folder(base, name), data)


def _open_queue(settings: SweeperSettings, planned: Sweep) -> Queue:
    """The study in its database, created where it is missing."""
    studies = Studies(settings.storage, settings.heartbeat_seconds)
    with studies.locked():
        study = optuna.create_study(
            study_name=planned.study,
            storage=studies.storage,
            sampler=_sampler(settings),
            pruner=instantiate(settings.pruner, _execution_whitelist_=("optuna.pruners.*",)),
            directions=planned.directions,
            load_if_exists=True,
        )
        study.set_metric_names(planned.objectives)
        known = study.user_attrs.setdefault("data", planned.data)
        # A grid runs again the rows that saw other data; a search cannot take back what its sampler learned of them.
        if planned.rows is None and any(map(other_data, known, planned.data)):
            raise UserError(f"hydra.sweeper.study_name={planned.study}: its trials saw other data; take another name")
        study.set_user_attr("data", known)
    # A row that cannot run keeps its number and is never queued.
    possible = {number: row for number, row in enumerate(planned.rows or ()) if not row.problem}
    return Queue(
        studies,
        study,
        planned.space.distributions,
        None if planned.rows is None else {number: row.values for number, row in possible.items()},
        settings.n_trials,
        settings.max_attempts,
        Path(planned.base.paths.outputs),
        {number: row.data for number, row in possible.items()},
    )


def _parse(raw: dict[str, Any]) -> SweeperSettings:
    plain = {key: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for key, v in raw.items()}
    plain |= {key: plain[key] or {} for key in ("params", "linked")}
    try:
        settings = SweeperSettings.model_validate(plain)
    except ValidationError as error:
        raise UserError("\n".join(explain(error, "hydra.sweeper.", SweeperSettings.model_fields))) from None
    names = objective_names(settings.objective)
    if unknown := [name for name in names if name not in headline.objectives()]:
        raise UserError(f"hydra.sweeper.objective={unknown[0]}: there are {', '.join(headline.objectives())}")
    if len(names) > 1 and not settings.pruner["_target_"].endswith(".NopPruner"):
        raise UserError("hydra/sweeper/pruner: trials with several objectives cannot be pruned; take none")
    return settings


def _sampler(settings: SweeperSettings) -> optuna.samplers.BaseSampler:
    if settings.is_grid:  # the queue has every row's values: nothing is ever sampled
        return optuna.samplers.RandomSampler()
    whitelist = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
    sampler: optuna.samplers.BaseSampler = instantiate(settings.sampler, _execution_whitelist_=whitelist)
    return sampler


def _with_study(config: DictConfig, name: str) -> DictConfig:
    """The master config that tells the jobs their study: in itself, and in the overrides that theirs are made from."""
    named = copy.deepcopy(config)
    hydra = named.hydra
    with flag_override(hydra, "readonly", False), flag_override(hydra.sweeper, "readonly", False):
        hydra.sweeper.study_name = name
        kept = [each for each in hydra.overrides.hydra if not each.startswith("hydra.sweeper.study_name=")]
        hydra.overrides.hydra = [*kept, f"hydra.sweeper.study_name={name}"]
    return named


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


def _work(planned: Sweep, queue: Queue, launcher: Launcher, n_jobs: int, console: Console) -> None:
    """Take trials and run them, until none is left or a stop is asked for (KeyboardInterrupt)."""
    # Hydra's own launcher runs one job after another; the others run as many at once as they are given.
    batch = 1 if type(launcher).__name__ == "BasicLauncher" else n_jobs
    while claims := queue.claim(batch):
        for claim in claims:
            console.rule(f"trial {claim.number}: {escape(claim.label)}", align="left")
        try:
            overrides = [planned.space.overrides(claim.values) for claim in claims]
            returns = launcher.launch(overrides, claims[0].job)
        except BaseException:
            for claim in claims:
                queue.release(claim)
            raise
        for claim, job in zip(claims, returns, strict=True):
            state, values, reason = _outcome(job, claim, planned.folder)
            queue.finish(claim, state, values, reason)
            if reason is not None:
                console.print(f"[yellow]{state}:[/] {escape(reason)}", soft_wrap=True)
        console.print(escape(progress(_publish(planned, queue, None))), highlight=False, soft_wrap=True)
        if Interruption.in_this_process:
            raise KeyboardInterrupt


def _outcome(job: JobReturn, claim: Claim, folder: Path) -> tuple[EndState, list[float] | None, str | None]:
    """How a job ended: its state, its values, and the reason where it has none."""
    if job.status == JobStatus.COMPLETED:
        value = job.return_value
        return "complete", value if isinstance(value, list) else [value], None
    error = job._return_value
    if isinstance(error, Ended):
        return error.state, None, str(error)
    if isinstance(error, OutOfMemoryError):  # what the trial held on the device must not sink the next one
        for each in (error, error.__cause__):
            traceback.clear_frames(each.__traceback__ if each else None)
        gc.collect()
        torch.cuda.empty_cache()
    if isinstance(error, UserError):
        return "failed", None, str(error)
    path = folder / "errors" / f"trial_{claim.number}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)))
    return "failed", None, f"crashed: {type(error).__name__}: {error}; the trace is in {path}"


def _show_plan(sweep: Sweep, n_trials: int, console: Console) -> None:
    """What would run: every trial with what is finished of it, and how long the rest takes."""
    if sweep.rows is None:
        console.print(f"{sweep.study}: a search of {n_trials} trials over {', '.join(sweep.space.distributions)}")
        return
    pace = Pace(Path(sweep.base.paths.outputs))
    table = Table(box=None, pad_edge=False)
    for title in ("trial", "steps", "trained", "left"):
        table.add_column(title, justify="left" if title == "trial" else "right")
    left, unknown, counted = 0.0, False, set()
    for row in sweep.rows:
        if row.settings is None:
            table.add_row(escape(row.label), "", "[yellow]cannot run[/]", "")
            continue
        missing = [seed for seed in row.seeds if not row.is_trained(seed)]
        seconds = pace.seconds(row.settings, row.steps)
        for seed in missing:
            key = (fingerprint(row.of_seed(seed)), *row.data.values())  # rows may share a training
            if key not in counted:
                left, unknown = left + (seconds or 0.0), unknown or seconds is None
                counted.add(key)
        trained = f"{len(row.seeds) - len(missing)} of {len(row.seeds)}"
        time_left = "" if not missing else "?" if seconds is None else duration(seconds * len(missing))
        table.add_row(escape(row.label), str(row.steps), trained, time_left)
    console.print(f"{sweep.study}: {len(sweep.rows)} trials", highlight=False)
    console.print(table)
    guess = "no finished run here tells how long" if unknown else f"about {duration(left)}, by the runs finished here"
    console.print(f"left: {guess}", highlight=False)
    if any(row.settings and not row.data.keys() >= set(SPLITS) for row in sweep.rows):
        said = "The data are not packed yet: what was trained before counts if it was on the same data."
        console.print(said, soft_wrap=True)


def _show_end(described: SweepRecord, folder: Path, console: Console) -> None:
    """The table, and what failed and why."""
    best = {row.number for row in best_rows(described)}
    table = Table(title=described.study, title_justify="left", box=None, pad_edge=False)
    table.add_column("trial")
    for each in headline.shown():
        table.add_column(each.heading, justify="right")
    table.add_column("state")
    rows = described.rows
    for row in rows:
        cells = (cell or "-" for cell in score_cells(row))
        table.add_row(escape(row.label), *cells, row.state, style="bold" if row.number in best else None)
    console.print(table)
    bad = [row for row in rows if row.state in WITHOUT_SCORE]
    counts = [f"{sum(row.state == state for row in rows)} {state}" for state in ("complete", "pruned", "running")]
    counts.append(f"{sum(row.state == 'waiting' for row in rows)} left")
    console.print(", ".join([*(each for each in counts if not each.startswith("0 ")), f"{len(bad)} failed"]))
    for row in bad:
        console.print(f"[red]{escape(row.label)}[/]: {escape(str(row.reason))}", soft_wrap=True)
    console.print(f"in {folder / 'sweep.json'}", highlight=False, soft_wrap=True)
