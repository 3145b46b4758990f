"""One training from settings to result: its folder, its identity, its record, and never twice the same."""

import getpass
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.text import Text

from mtl_seg_depth.config import Settings, as_texts, fingerprint
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.data.placement import HostPixels, forget_all_but
from mtl_seg_depth.nodes import build
from mtl_seg_depth.records.checkpoint import as_identity
from mtl_seg_depth.records.folder import RunFolder, find_folder, folders_of
from mtl_seg_depth.records.record import Record, Unrecorded
from mtl_seg_depth.records.results import Cost, Digests, RunResult
from mtl_seg_depth.records.selection import mean_of_last
from mtl_seg_depth.runs.account import draw_account
from mtl_seg_depth.runs.assembly import (
    Parts,
    assemble,
    automatic_name,
    folder_name,
    lasting,
    resolve,
    scoring_batches,
    settle_torch,
    training_batches,
)
from mtl_seg_depth.runs.budget import steps_within
from mtl_seg_depth.runs.contents import SPLITS, Contents
from mtl_seg_depth.runs.observers import LiveLine, Panels
from mtl_seg_depth.scoring.baseline import Constant
from mtl_seg_depth.scoring.scores import score, score_together
from mtl_seg_depth.system import atomic, git, installation, memory, stored
from mtl_seg_depth.system.addresses import redact, redacted
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.processes import Processes, together
from mtl_seg_depth.system.wording import duration
from mtl_seg_depth.tasks.task import Task
from mtl_seg_depth.tracking import Mirror, mirror_rest
from mtl_seg_depth.training.keeper import Keeper, Reader, State
from mtl_seg_depth.training.loop import Observer, Training
from mtl_seg_depth.training.sharing import average_gradients

BYTES_PER_PARAMETER = 4 * (3 * 4 + 2)
"""On disk at most: `last`, the one before and the next hold weights, two moments and the weights' average, `best` and
the next weights."""

log = logging.getLogger(__name__)

LOOKED_AT = 32
"""Images of a split at most, evenly spaced, before a training."""


@dataclass(frozen=True)
class Origin:
    """What the command line says of a run."""

    choices: Mapping[str, str] = field(default_factory=dict)
    """The options chosen, by group; recorded under the groups' names."""
    command: str = ""
    """What trains it, for a shell."""
    differing: str = ""
    """What is not as it would be without being asked for: its name for people, unless they gave it one."""


UNKNOWN_ORIGIN = Origin()


@dataclass(frozen=True)
class SweepContext:
    """What a run knows of the sweep that it is part of."""

    folder: Path
    """Where the sweep keeps its own record."""
    name: str
    """What the tracking server shows, where the settings have no name."""
    headline: str = ""
    """How far the sweep is, shown beside the run's progress."""
    observe: Callable[[Path], Sequence[Observer]] = lambda folder: ()  # noqa: ARG005
    """More observers, given the run's folder."""


def folder_of(settings: Settings, data: Digests) -> RunFolder:
    """The folder for a run of these settings, with `precision` resolved, on data with these digests."""
    return find_folder(_first_folder(settings), data, rerun=settings.rerun, resume=settings.resume)


def _first_folder(settings: Settings) -> Path:
    return Path(settings.paths.outputs) / folder_name(settings, fingerprint(settings))


def run(
    settings: Settings,
    console: Console,
    origin: Origin = UNKNOWN_ORIGIN,
    sweep: SweepContext | None = None,
) -> RunResult:
    """Train what the settings say, or continue it, or do nothing if it is finished; returns the run's result.

    A run is known by its settings and the content of its data and of the file that its encoder begins with: the same
    settings on others are another run.

    Args:
        settings: the parsed config.
        console: where to say what happens.
        origin: what the command line says of it.
        sweep: the sweep that this is part of; it waits where another process is training this very run.

    Raises:
        UserError: a mistake in the settings or the data, found before the first step wherever that is possible.
        Interrupted: the run was asked to stop, and saved.
    """
    asked = settings.precision
    settings, device = resolve(settings)
    with together(device) as processes:
        # What `precision=auto` means may differ between their machines.
        settings = settings.model_copy(update={"precision": processes.from_first(settings.precision)})
        console = console if processes.is_first else Console(markup=False, quiet=True)
        return _run(settings, asked, device, console, origin, sweep, processes)


def _run(
    settings: Settings,
    asked: str,
    device: torch.device,
    console: Console,
    origin: Origin,
    sweep: SweepContext | None,
    processes: Processes,
) -> RunResult:
    """As one of the processes that train it together: the first finds the folder, and tells the others."""
    settle_torch(settings)
    source: DataSet = build("data", settings.data)
    sizes = f"schedule.batch_size={settings.schedule.batch_size} with data.crop_size={list(source.crop_size)}"
    with memory.shortage_told(sizes, device):
        finished = any((folder.path / "result.json").exists() for folder in folders_of(_first_folder(settings)))
        parts = None if finished else assemble(settings, device)  # finds mistakes before anything is packed or written
        splits = processes.first_before(lambda: {split: source.open(split) for split in SPLITS})
        data = {name: split.content_digest for name, split in splits.items()} | Contents(pack=True).of_weights(settings)
        processes.require_same({"config": fingerprint(settings), "code": installation.code_digest(), **data})
        if not processes.is_first:
            told: RunResult | RunFolder = processes.from_first()
            if isinstance(told, RunResult):
                return told
            parts = parts or assemble(settings, device)
            return _train(settings, asked, device, told, parts, splits, data, console, origin, sweep, processes)
        while True:
            folder = folder_of(settings, data)
            if result := folder.result:
                console.print(
                    "This very config was trained before" + ("." if sweep else "; rerun=true trains it again.")
                )
                if settings.tracking.uri is not None:  # it may have been killed while the last of it was sent
                    mirror_rest(folder.path, settings.tracking.uri, checkpoint=settings.tracking.checkpoint)
                return processes.from_first(result)
            parts = parts or assemble(settings, device)
            with _file_errors_told(folder.path), folder.locked(sweep is not None):
                # While this one waited, another may have begun a run on other data in the folder, or ended this one.
                if folder_of(settings, data) == folder:
                    if result := folder.result:
                        return processes.from_first(result)
                    processes.from_first(folder)
                    return _train(
                        settings, asked, device, folder, parts, splits, data, console, origin, sweep, processes
                    )


def _train(
    settings: Settings,
    asked: str,
    device: torch.device,
    folder: RunFolder,
    parts: Parts,
    splits: Mapping[str, PackedSplit],
    data: Digests,
    console: Console,
    origin: Origin,
    sweep: SweepContext | None,
    processes: Processes,
) -> RunResult:
    """Train in a folder that the first process has locked, the only one that writes into it."""
    first = processes.is_first
    if first:
        atomic.clear_remains(folder.path)
        (folder.path / "result.json").unlink(missing_ok=True)  # of a run that was pruned, and goes on
        folder.require_space(parts.parameters * BYTES_PER_PARAMETER)
    key = fingerprint(settings)
    forget_all_but(data.values())
    if settings.schedule.minutes is not None:
        parts = lasting(parts, settings, _steps_within_minutes(settings, folder, splits, device, console, processes))
    val = scoring_batches(settings, parts, splits["val"], device)
    batches = training_batches(settings, parts, splits["train"], device, processes)
    for split in splits.values():
        _warn_of_nothing(split, parts.tasks.values())
    kept = redacted(settings.model_dump(mode="json"))  # and handed around
    known_by = {"fingerprint": key, **as_identity(data)}
    about = {"config": kept, "spec": parts.source.spec.as_dict(), "image_size": splits["train"].images.shape[1:3]}
    record = Record(folder.path) if first else Unrecorded()
    training = Training(
        parts.step,
        parts.advance,
        batches,
        parts.learning_rate,
        lambda: score_together(parts.predictor, val, parts.tasks, processes),
        parts.plan,
        record,
        (Keeper if first else Reader)(folder.path, known_by, about),
        processes=processes,
    )
    resumed = processes.first_before(lambda: training.resume(device))
    processes.require_same({"step to go on from; is paths.outputs one folder for all of them?": training.state.step})
    average_gradients(parts.step)
    if isinstance(record, Unrecorded):
        training.run()
        return processes.from_first()
    name = settings.name or (sweep.name if sweep else origin.differing) or automatic_name(settings)
    images = f", images on the {'host' if isinstance(batches.pixels, HostPixels) else 'GPU'}"
    told = (
        f" ({key}): {parts.plan.steps} steps of {settings.schedule.batch_size} on {device}, {settings.precision}, "
        f"{parts.parameters / 1e6:.2f} M parameters"
        + (images if device.type == "cuda" else "")
        + (f", {processes.count} processes" if processes.count > 1 else "")
        + (f", from step {training.state.step}" if resumed else "")
    )
    began = Text.assemble("Continuing " if resumed else "Training ", (name, "bold"), told)
    console.print(began, soft_wrap=not console.is_terminal)
    if settings.tracking.uri is not None:
        console.print(f"tracked in {redact(settings.tracking.uri)}", highlight=False, soft_wrap=True)
    before = folder.card.tags.get("threads", "") if resumed and folder.card else ""
    threads = ", ".join(dict.fromkeys([*filter(None, before.split(", ")), str(torch.get_num_threads())]))
    if before and threads != before and device.type == "cpu":
        said = f"Begun with another number of threads ({threads}): the same sums are rounded otherwise."
        console.print(said, highlight=False, soft_wrap=True)
    text = yaml.safe_dump(kept, sort_keys=False)
    for path in (folder.path / "config.yaml", record.artifact_path("config.yaml")):
        atomic.write_text(path, text)
    params = as_texts(settings)
    record.start(
        name=name,
        fingerprint=key,
        experiment=settings.tracking.experiment,
        params={**params, **origin.choices, "parameters": str(parts.parameters), "steps": str(parts.plan.steps)},
        tags={
            "fingerprint": key,
            "precision": asked,
            "threads": threads,
            **({"processes": str(processes.count)} if processes.count > 1 else {}),
            **({"git_commit": commit} if (commit := git.commit()) else {}),
        },
        data=data,
        parent=None if sweep is None else sweep.folder,
        command=origin.command,
        user=_user(),
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with ExitStack() as stack:
        stack.callback(record.close)
        if (uri := settings.tracking.uri) is not None:
            wanted = settings.tracking
            gpu = str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""
            stack.enter_context(
                Mirror(folder.path, uri, system_metrics=wanted.system_metrics, gpu=gpu, checkpoint=wanted.checkpoint)
            )
        headline = sweep.headline if sweep else ""
        line = LiveLine(console, parts.plan.steps, batches.steps_per_epoch, training.state.step, headline)
        stack.enter_context(line)
        panels = Panels(record, parts.predictor, val, settings.tracking.panels)
        training.observers = (line, panels, *(sweep.observe(folder.path) if sweep else ()))
        status = training.run()
        state = training.state
        averaged = mean_of_last(record.points())
        result = RunResult(
            status=status,
            fingerprint=key,
            checkpoint="best.pt" if state.best else None,
            steps=state.step,
            best_step=state.best_step,
            best=state.best,
            last=state.last,
            mean_of_last_10=averaged.scores,
            averaged=averaged.validations,
            cost=_cost(state, settings.schedule.batch_size, parts.parameters, device),
            baseline=score(Constant(splits["train"], parts.tasks), val, parts.tasks).flat("val"),
            data=data,
            spec=parts.source.spec.as_dict(),
        )
        record.log(state.step, {f"cost/{name}": value for name, value in result.cost if not isinstance(value, str)})
        record.log(state.step, _selected(result))
        draw_account(record, batches[0], parts.tasks, state.best_step if state.best else None)
        stored.write(folder.path / "result.json", result)
        if settings.checkpoint.keep == "best":
            for path in folder.leftovers():  # where it is killed before, prune.py takes them away
                path.unlink()
    return processes.from_first(result.model_copy(update={"folder": folder.path}))


def _steps_within_minutes(
    settings: Settings,
    folder: RunFolder,
    splits: Mapping[str, PackedSplit],
    device: torch.device,
    console: Console,
    processes: Processes,
) -> int:
    """How long `schedule.minutes` is: as many steps as it was begun with, wherever it goes on."""
    minutes = settings.schedule.minutes
    assert minutes is not None
    card = folder.card if processes.is_first else None
    begun = processes.from_first(card.params.get("steps", "") if card else "")
    if re.fullmatch(r"[1-9]\d{0,8}", begun, re.ASCII):
        return int(begun)
    console.print(f"Measuring how many steps fit into {duration(60 * minutes)}.", highlight=False)
    return steps_within(minutes, settings, splits, device, processes)


def _warn_of_nothing(split: PackedSplit, tasks: Iterable[Task]) -> None:
    """Warn of a split in which, as far as a few images tell, nothing counts for a task."""
    step = -(-len(split) // LOOKED_AT)
    split.check(range(0, len(split), step))
    for task in tasks:
        if not task.counts(split.targets[task.name][::step]):
            log.warning(
                "%s: every pixel looked at is ignored or invalid for %s; %s says more",
                split.split,
                task.name,
                installation.command("check_data"),
            )


def _selected(result: RunResult) -> dict[str, float]:
    """The scores by the rules that other work selects by, beside those of the best validation; see `selection`."""
    rules = {"last": result.last, "mean_of_last_10": result.mean_of_last_10}
    selected = {
        f"{rule}/{name.removeprefix('val/')}": value
        for rule, scores in rules.items()
        for name, value in scores.items()
        if "/iou/" not in name
    }
    return selected | {"mean_of_last_10/validations": result.averaged}


def _cost(state: State, batch_size: int, parameters: int, device: torch.device) -> Cost:
    peak = memory.peak(device)
    return Cost(
        seconds=state.seconds,
        data_share=state.data_seconds / state.seconds,
        images_per_second=state.step * batch_size / state.seconds,
        parameters=parameters,
        peak_memory_bytes=peak.bytes,
        peak_memory_share=peak.share,
        memory=str(peak),
        device=peak.device,
    )


def _user() -> str:
    """Who starts the run; "" where the system has no name for them, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


@contextmanager
def _file_errors_told(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a message; what was saved before stays."""
    try:
        yield
    except OSError as error:
        if memory.is_shortage(error):
            raise
        where = error.filename or folder
        raise UserError(f"{where}: {error.strerror or error}; what was saved before is untouched") from error
