"""One training from settings to result: its folder, its identity, its record, and never twice the same."""

import json
import logging
import math
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from mtl_seg_depth.cli.console import LiveLine
from mtl_seg_depth.config import Settings, fingerprint, flatten, identity
from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.drawing.confusion import confusion
from mtl_seg_depth.drawing.sheet import panel_rows, save, sheet
from mtl_seg_depth.records.record import Record
from mtl_seg_depth.runs.assembly import (
    Parts,
    assemble,
    automatic_name,
    folder_name,
    resolve,
    scoring_batches,
    settle_torch,
    training_batches,
)
from mtl_seg_depth.scoring.baseline import Constant
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.scoring.scores import Scores, score
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import OutOfMemoryError, UserError
from mtl_seg_depth.system.interruption import Interrupted
from mtl_seg_depth.tracking import Mirror, redact
from mtl_seg_depth.training.loop import Observer, Training

log = logging.getLogger(__name__)

BYTES_PER_PARAMETER = 4 * (3 * 4 + 2)
"""On disk at most: `last`, the one before and the next hold weights, two moments and the weights' average, `best` and
the next weights."""


@dataclass(frozen=True)
class RunFolder:
    """Where one run lives, and what is known of it."""

    path: Path
    fingerprint: str

    @property
    def result(self) -> dict[str, Any] | None:
        """The run's result, None while it has none: one that was pruned can go on."""
        path = self.path / "result.json"
        result = json.loads(path.read_text()) if path.exists() else None
        return None if result is None or result["status"] == "pruned" else result

    @contextmanager
    def locked(self, wait: bool) -> Iterator[None]:
        """Keep every other process out of this run; if one is in it, wait for its end or raise UserError."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / "lock", timeout=-1 if wait else 0):
                yield
        except Timeout:
            raise UserError(f"another process is training this very run, in {self.path}") from None


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


def find_folder(settings: Settings, key: str) -> RunFolder:
    """The folder for a run of this fingerprint: the newest there is, or the next one where it is to be run anew."""
    base = Path(settings.paths.outputs) / folder_name(settings, key)
    number = 1
    while _numbered(base, number + 1).exists():
        number += 1
    newest = RunFolder(_numbered(base, number), key)
    started = (newest.path / "run.json").exists()
    anew = settings.rerun if newest.result else started and not settings.resume
    return RunFolder(_numbered(base, number + 1), key) if anew else newest


def _numbered(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}.{number}")


def run(
    settings: Settings,
    console: Console,
    choices: Mapping[str, str] = MappingProxyType({}),
    sweep: SweepContext | None = None,
) -> dict[str, Any]:
    """Train what the settings say, or continue it, or do nothing where it is finished; returns the run's result.

    Args:
        settings: the parsed config.
        console: where to say what happens.
        choices: the options chosen, by group; recorded under the groups' names.
        sweep: the sweep that this is part of; it waits where another process is training this very run.

    Raises:
        UserError: a mistake in the settings or the data, found before the first step wherever that is possible.
        Interrupted: the run was asked to stop, and saved.
    """
    settings, device = resolve(settings)
    folder = find_folder(settings, fingerprint(settings))
    if folder.result is not None:
        console.print("This very config was trained before" + ("." if sweep else "; rerun=true trains it again."))
        return folder.result
    settle_torch(settings)
    parts = assemble(settings, device)  # finds mistakes before anything is written
    with _plain_errors(folder.path), _plain_memory_errors(settings, device), folder.locked(wait=sweep is not None):
        return folder.result or _train(settings, device, folder, parts, console, choices, sweep)


def _train(
    settings: Settings,
    device: torch.device,
    folder: RunFolder,
    parts: Parts,
    console: Console,
    choices: Mapping[str, str],
    sweep: SweepContext | None,
) -> dict[str, Any]:
    atomic.clear_remains(folder.path)
    (folder.path / "result.json").unlink(missing_ok=True)  # of a run that was pruned, and goes on
    _require_space(folder.path, parts.parameters * BYTES_PER_PARAMETER)
    train = parts.source.open("train")
    val = scoring_batches(settings, parts, parts.source.open("val"), device)
    batches = training_batches(settings, parts, train, device)
    record = Record(folder.path)
    training = Training(
        parts.step,
        parts.advance,
        batches,
        parts.learning_rate,
        lambda: score(parts.predictor, val, parts.tasks),
        parts.plan,
        record,
        {"fingerprint": folder.fingerprint, "training data": train.content_digest},
        _without_secrets(settings),
    )
    resumed = training.resume(device)
    name = settings.name or (sweep.name if sweep else automatic_name(settings))
    console.print(
        f"{'Continuing' if resumed else 'Training'} [bold]{escape(name)}[/] ({folder.fingerprint}): "
        f"{parts.plan.steps} steps of {settings.schedule.batch_size} on {device}, {settings.precision}, "
        f"{parts.parameters / 1e6:.2f} M parameters" + (f", from step {training.state.step}" if resumed else ""),
        highlight=False,
        soft_wrap=True,
    )
    _write_card(settings, folder, parts, record, name, choices, sweep)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with ExitStack() as stack:
        stack.callback(record.close)
        if settings.tracking.uri is not None:
            tracking = settings.tracking
            mirror = Mirror(
                folder.path,
                settings.tracking.uri,
                system_metrics=tracking.system_metrics,
                checkpoint=tracking.checkpoint,
            )
            stack.enter_context(mirror)
        headline = sweep.headline if sweep else ""
        line = LiveLine(console, parts.plan.steps, batches.steps_per_epoch, training.state.step, headline)
        stack.enter_context(line)
        pictures_of = Pictures(record, parts.predictor, val, settings.tracking.panels)
        training.observers = (line, pictures_of, *(sweep.observe(folder.path) if sweep else ()))
        status = training.run()
        result = _result(settings, folder, parts, training, status, device)
        result["baseline"] = score(Constant(train, parts.tasks), val, parts.tasks).flat("val")
        record.log(training.state.step, _cost_metrics(result["cost"]))
        atomic.write_json(folder.path / "result.json", result)
    return result


class Pictures:
    """Observer that draws: a panel of fixed validation pictures every time, the confusion matrix of the best."""

    def __init__(self, record: Record, predictor: Predictor, val: ScoringBatches, count: int) -> None:
        self.record = record
        self.predictor = predictor
        total = len(val.split)
        rows = [round(i * (total - 1) / max(1, count - 1)) for i in range(min(count, total))]
        self.batch = val.rows(rows) if rows else None

    def on_losses(self, step: int, losses: dict[str, float], images_per_second: float) -> None:
        """Nothing to draw."""

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:
        """Draw what the network sees now."""
        if self.batch is not None:
            rows = panel_rows(self.batch, self.predictor(self.batch.image), self.predictor.tasks)
            save(sheet(rows), self.record.artifact_path(f"panels/step_{step:06}.png"))
        if is_best and scores.confusion is not None:
            save(confusion(scores.confusion), self.record.artifact_path("confusion.png"))


def _write_card(
    settings: Settings,
    folder: RunFolder,
    parts: Parts,
    record: Record,
    name: str,
    choices: Mapping[str, str],
    sweep: SweepContext | None,
) -> None:
    """The run's config and identity card, for people and for the tracking server."""
    text = yaml.safe_dump(_without_secrets(settings), sort_keys=False)
    for path in (folder.path / "config.yaml", record.artifact_path("config.yaml")):
        atomic.write_text(path, text)
    params = {key.removesuffix("._target_"): str(value) for key, value in flatten(identity(settings))}
    record.start(
        name=name,
        fingerprint=folder.fingerprint,
        experiment=settings.tracking.experiment,
        params={**params, **choices, "parameters": str(parts.parameters), "steps": str(parts.plan.steps)},
        tags={"fingerprint": folder.fingerprint, "git_commit": _git_commit(Path(settings.paths.root))},
        parent=None if sweep is None else sweep.folder,
    )


def _without_secrets(settings: Settings) -> dict[str, Any]:
    """The config to keep and to hand around: without the password that a tracking server's address may hold."""
    tree = settings.model_dump(mode="json")
    tree["tracking"]["uri"] = None if settings.tracking.uri is None else redact(settings.tracking.uri)
    return tree


def _result(
    settings: Settings, folder: RunFolder, parts: Parts, training: Training, status: str, device: torch.device
) -> dict[str, Any]:
    """What is left of a run when it is over, as plain values."""
    state = training.state
    return {
        "status": status,
        "fingerprint": folder.fingerprint,
        "folder": str(folder.path),
        "checkpoint": str(training.best_path) if state.best else None,
        "steps": state.step,
        "best_step": state.best_step,
        "best": state.best,
        "last": state.last,
        "cost": {
            "seconds": state.seconds,
            "data_share": state.data_seconds / state.seconds,
            "images_per_second": state.step * settings.schedule.batch_size / state.seconds,
            "parameters": parts.parameters,
            **_memory(device),
        },
    }


def _cost_metrics(cost: Mapping[str, Any]) -> dict[str, float]:
    return {f"cost/{name}": value for name, value in cost.items() if isinstance(value, int | float)}


def _memory(device: torch.device) -> dict[str, Any]:
    """Peak memory in bytes, as a share of what there is, and in words."""
    if device.type == "cuda":
        peak, total = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
        where = f"of {torch.cuda.get_device_name(device)}"
    else:
        import psutil

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        total, where = psutil.virtual_memory().total, "of the machine's memory"
    return {
        "peak_memory_bytes": peak,
        "peak_memory_share": peak / total,
        "memory": f"{peak / 2**30:.2f} GiB at most, {peak / total:.1%} {where}",
    }


def _git_commit(root: Path) -> str:
    """The commit of the code that ran, marked where the tree differs from it; "unknown" outside a checkout."""
    git: Callable[..., str] = lambda *args: subprocess.run(  # noqa: E731
        ["git", "-C", str(root), *args], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        return git("rev-parse", "HEAD") + ("-modified" if git("status", "--porcelain", "-uno") else "")
    except (subprocess.CalledProcessError, FileNotFoundError):
        return "unknown"


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: the checkpoints of this run take up to {math.ceil(needed / 2**20)} MiB, "
            f"and {free // 2**20} MiB are free; paths.outputs=<folder> puts them elsewhere"
        )


@contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a message; what was saved before stays."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise UserError(f"{where}: {error.strerror or error}; what was saved before is untouched") from error


@contextmanager
def _plain_memory_errors(settings: Settings, device: torch.device) -> Iterator[None]:
    """Turn memory that is used up into a message that says of what there was how much, and what takes less."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and "can't allocate memory" not in str(error):  # torch's word for it on a CPU
            raise
        raise OutOfMemoryError(
            f"schedule.batch_size={settings.schedule.batch_size} with data.crop_size={settings.data['crop_size']}: "
            f"{device} is out of memory ({_memory(device)['memory']}); take smaller ones, or precision=bf16. "
            "What was saved before is untouched"
        ) from error


__all__ = ["Interrupted", "RunFolder", "SweepContext", "find_folder", "run"]
