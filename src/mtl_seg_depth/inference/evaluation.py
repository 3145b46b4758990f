"""A trained network scored on a whole split, with or without test-time augmentation, and the scores kept in its run.

    <run folder>/evaluations/<split>-<tta>-<fingerprint>.json      everything that was measured, and how
    <run folder>/artifacts/evaluations/<the same>.png              the confusion matrix
    <run folder>/metrics.jsonl                                     the scores as `test/...`, `test_multiscale/...`

The fingerprint is that of what decides the scores, so an evaluation asked for again is read, not repeated.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from pydantic import PositiveInt
from rich.console import Console
from rich.progress import track
from rich.text import Text

from mtl_seg_depth.config import Device, Paths, Section, Settings
from mtl_seg_depth.data.batches import SIZE_MULTIPLE, ScoringBatches
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.drawing.confusion import confusion
from mtl_seg_depth.drawing.sheet import save
from mtl_seg_depth.inference.submission import check_target, write_submission
from mtl_seg_depth.inference.trained import Reference, Trained, load_trained
from mtl_seg_depth.nodes import PACKAGE, build, first_name, target_of
from mtl_seg_depth.records.record import Record
from mtl_seg_depth.records.results import Evaluation
from mtl_seg_depth.runs.assembly import find_device
from mtl_seg_depth.scoring.predictor import Predict, Predictor
from mtl_seg_depth.scoring.scores import Scores, score
from mtl_seg_depth.scoring.tiles import in_tiles
from mtl_seg_depth.scoring.tta import AveragedViews, TestTimeAugmentation
from mtl_seg_depth.system import memory, stored
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.configured import configured_tasks
from mtl_seg_depth.tasks.depth.codec import DepthRules
from mtl_seg_depth.tasks.depth.rules import RuleChoices, differences
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.resize import Size
from mtl_seg_depth.tasks.semseg.class_map import Mapped, between, fitting
from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.semseg.task import AbsentClass, Semseg
from mtl_seg_depth.tasks.task import Task
from mtl_seg_depth.tracking import mirror_again

PLAIN = AveragedViews(semseg="probabilities")
"""No augmentation at all, as `tta=none` has it."""

LONGEST_WAIT_S = 60.0
"""For another evaluation of the same run to finish writing."""


class EvaluationSettings(Section):
    """What `evaluate.py` composes.

    `data` with a `_target_` is a data set of its own; without, its values that are not null replace those of the run's.
    Whether it is another than the run's is seen by its content. A null `absent_classes` and `precision=auto` are the
    run's own. What `depth` has that is not null takes the place of the data's own rules; `map` is the name of a map of
    classes or a file.
    """

    run: Reference
    split: Literal["train", "val", "test"]
    data: dict[str, Any]
    tta: dict[str, Any]
    batch_size: PositiveInt
    tile: tuple[PositiveInt, PositiveInt] | None
    """Height and width of what is predicted at once; None for whole images."""
    absent_classes: AbsentClass | None
    depth: RuleChoices = RuleChoices()
    map: str | None = None
    precision: Literal["auto", "fp32", "bf16"]
    device: Device
    submission: str | None
    rerun: bool
    tracking_uri: str | None
    """Where new scores are sent to, if the run is there."""
    paths: Paths


@dataclass(frozen=True)
class Question:
    """What decides the scores of an evaluation.

    `other_data` names the data set where its content is not that of the one the run was trained on; `rules` are those
    of depth, and None for a network that predicts none; `mapped` is of classes that are mapped.
    """

    trained: Trained
    split: PackedSplit
    views: TestTimeAugmentation
    precision: Precision
    absent: AbsentClass
    other_data: str | None
    rules: DepthRules | None
    mapped: Mapped | None
    tile: Size | None = None

    @property
    def own_rules(self) -> DepthRules | None:
        """Of depth, as the run validated by."""
        return next((task.spec.rules for task in self.trained.tasks.values() if isinstance(task, Depth)), None)

    @property
    def identity(self) -> dict[str, Any]:
        """As plain values, the same for equal evaluations however they were written down.

        Rules that are the run's own are not in it, and neither is a map that there is not: evaluations from before
        there was a choice are found.
        """
        other_rules = self.rules if self.rules != self.own_rules else None
        return {
            "fingerprint": self.trained.fingerprint,
            "step": self.trained.step,
            "split": self.split.split,
            "data": self.split.content_digest,
            "other_data": self.other_data,
            "tta": {"_target_": first_name(f"{PACKAGE}.scoring.{type(self.views).__name__}"), **self.views.options},
            "precision": self.precision.name,
            "absent_classes": self.absent,
            **({"tile": self.tile} if self.tile else {}),  # evaluations from before there were tiles are found
            **({} if other_rules is None else {"depth_rules": asdict(other_rules)}),
            **({} if self.mapped is None else {"class_map": self.mapped.identity}),
        }

    @property
    def path(self) -> Path | None:
        """Where the answer is stored; None for weights outside a run folder."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
        name = f"{self.split.split}-{self.views.name}-{digest}.json"
        return None if self.trained.folder is None else self.trained.folder / "evaluations" / name

    @property
    def key(self) -> str:
        """What the scores are called in the run's record: the split, and whatever differs from the run's own ways."""
        settings = self.trained.settings
        parts = [self.split.split]
        parts += [self.views.name] if self.views.name != "none" else []
        parts += ["on", self.other_data, self.split.content_digest[:6]] if self.other_data else []
        parts += [self.precision.name] if self.precision.name != settings.precision else []
        parts += ["absent", self.absent] if self.absent != settings.validation.absent_classes else []
        parts += ["tiles", f"{self.tile[0]}x{self.tile[1]}"] if self.tile else []
        parts += [] if self.rules is None or self.own_rules is None else differences(self.rules, self.own_rules)
        parts += ["map", self.mapped.name] if self.mapped else []
        return "_".join(parts)

    @property
    def stored(self) -> Evaluation | None:
        """The answer, where it was given before."""
        return None if self.path is None else stored.find(self.path, Evaluation)


def evaluate(settings: EvaluationSettings, console: Console) -> Evaluation | None:
    """Score what the settings say, or read what is stored; None for a split without labels.

    Raises UserError for a mistake in the settings, and for a split that has no labels where no submission is asked for.
    """
    device = find_device(settings.device)
    views: TestTimeAugmentation = build("tta", settings.tta)
    if settings.tile is not None and min(settings.tile) < SIZE_MULTIPLE:
        raise UserError(f"tile={list(settings.tile)}: a network takes {SIZE_MULTIPLE} pixels a side or more")
    tile = "whole images" if settings.tile is None else f"tile={list(settings.tile)}"
    sizes = f"batch_size={settings.batch_size} with tta.scales={settings.tta.get('scales')} of {tile}"
    with memory.shortage_told(sizes, device):
        return _evaluate(settings, device, views, console)


def _evaluate(
    settings: EvaluationSettings, device: torch.device, views: TestTimeAugmentation, console: Console
) -> Evaluation | None:
    submission = None if settings.submission is None else check_target(settings.submission)
    trained = load_trained(settings.run, Path(settings.paths.outputs), device)
    own = trained.settings
    name = own.precision if settings.precision == "auto" else settings.precision
    precision = Precision("bf16" if name == "bf16" else "fp32")
    given = {key: value for key, value in settings.data.items() if value is not None}
    data = settings.data if "_target_" in given else {**own.data, **given}
    places = {} if "_target_" in given else {**places_here(own, settings.paths), **given}
    source: DataSet = build("data", {**data, **places})
    as_trained: DataSet = build("data", data)

    def opened(split: str) -> PackedSplit:
        return as_trained.peek(split) or source.open(split)

    split = opened(settings.split)
    other_data = None if _is_own(trained, opened, split) else data["_target_"].rpartition(".")[2].lower()
    absent = settings.absent_classes or own.validation.absent_classes
    tasks = _tasks_of(source, trained, settings, absent)
    rules = next((task.spec.rules for task in tasks.values() if isinstance(task, Depth)), None)
    mapped = next((task.mapped for task in tasks.values() if isinstance(task, Semseg)), None)
    question = Question(trained, split, views, precision, absent, other_data, rules, mapped, settings.tile)
    predict: Predict = views.around(Predictor(trained.network, trained.tasks, precision))
    if settings.tile is not None:
        predict = in_tiles(predict, settings.tile)

    result = None
    if split.targets:
        result = None if settings.rerun else question.stored
        if result is None:
            batches = ScoringBatches(split, batch_size=settings.batch_size, tasks=tasks, device=device)
            result = _answer(question, predict, batches, source.spec, settings.tracking_uri, console)
        else:
            console.print("This was evaluated before; rerun=true evaluates it again.")
        plain = replace(question, views=PLAIN).stored
        result = result.model_copy(update={"plain": plain and plain.scores})
    elif submission is None:
        raise UserError(
            f"the {settings.split} images have no labels to score against; submission=<file.zip> writes predictions"
        )
    if submission is not None:
        write_submission(submission, predict, split, trained.tasks, settings.batch_size, device, console)
        told = f"Labels and disparities of {len(split)} images, read back: {submission}"
        console.print(Text(told), soft_wrap=True)
    return result


def evaluate_run(settings: Settings, folder: Path, console: Console) -> Evaluation:
    """Score a finished training on the split `settings.score`, with the views `settings.tta`; as `evaluate`."""
    assert settings.score is not None
    result = evaluate(
        EvaluationSettings(
            run=str(folder),
            split=settings.score,
            data={key: settings.data.get(key) for key in ("root", "cache", "workers")},
            tta=settings.tta,
            batch_size=settings.validation.batch_size,
            tile=None,
            absent_classes=None,
            depth=RuleChoices(),
            map=None,
            precision="auto",
            device=settings.device,
            submission=None,
            tracking_uri=settings.tracking.uri,
            rerun=settings.rerun,
            paths=settings.paths,
        ),
        console,
    )
    assert result is not None  # without a submission, a split without labels was refused
    return result


def _tasks_of(source: DataSet, trained: Trained, asked: EvaluationSettings, absent: AbsentClass) -> dict[str, Task]:
    """The network's tasks, for the targets of the data that it is scored on, as they are asked to be scored.

    Raises UserError for data that do not fit the network, and for rules and maps that do not fit either.
    """
    depth, semseg = Depth.headline.key, Semseg.headline.key
    for name, given in ((depth, asked.depth.asked), (semseg, asked.map)):
        if given and name not in trained.tasks:
            key = f"map={asked.map}" if name == semseg else ", ".join(f"depth.{key}" for key in asked.depth.asked)
            raise UserError(f"{key}: this network predicts {' and '.join(trained.tasks)} alone")
    settings = trained.settings.model_dump()
    settings["validation"]["absent_classes"] = absent
    tasks: dict[str, Task] = {}
    for name, task in trained.tasks.items():
        if name not in source.spec.targets:
            raise UserError(f"the network predicts {name}, and {source.spec.name} has no {name} to score it against")
        spec = source.spec.targets[name]
        if isinstance(task, Semseg) and asked.map is not None:
            mapped = between(asked.map, task.classes, spec)
            tasks[name] = Semseg(mapped.classes, absent, mapped)
        elif reason := task.misfit(spec):
            hint = _maps_for(task.classes, spec) if isinstance(task, Semseg) else ""
            raise UserError(f"{reason}: it cannot be scored on {source.spec.name}{hint}")
        elif isinstance(task, Depth):  # what it is scored in is metres: these data need no statistics to normalise by
            try:
                tasks[name] = Depth(replace(spec, rules=asked.depth.applied(spec.rules)))
            except ValueError as error:
                raise UserError(f"depth: {error}") from None
        else:
            tasks |= configured_tasks({name: spec}, settings)
    return tasks


def _maps_for(network: Classes, data: Classes) -> str:
    """What to say to somebody whose network has other classes than the data."""
    maps = fitting(network, data)
    if not maps:
        return "; map=<file>.yaml says what both have in common, see docs/scores.md"
    return f" unless in classes that both have: {' or '.join(f'map={name}' for name in maps)}"


def places_here(own: Settings, paths: Paths) -> dict[str, str]:
    """Where this machine draws and packs a run's data: a run may come from elsewhere, and it decides no place to write.

    What lay below the run's `paths.datasets` is below ours; other data that were not drawn are read where they were.
    """
    datasets = Path(paths.datasets)

    def here(path: str, otherwise: str) -> str:
        below = Path(os.path.relpath(path, own.paths.datasets))
        return str(datasets / (otherwise if ".." in below.parts else below))

    root = str(own.data["root"])
    drawn = here(root, Path(root).name)
    outside = not Path(root).is_relative_to(own.paths.datasets) and not target_of("data", own.data).DRAWN
    return {"root": root if outside else drawn, "cache": here(str(own.data["cache"]), "packed")}


def _is_own(trained: Trained, opened: Callable[[str], PackedSplit], split: PackedSplit) -> bool:
    """Whether a split is of the data that a run knows as its own, wherever they are by now.

    A run knows what it was trained and validated on. Another split is its own if it was scored as that before, of which
    the record has one point and no second, or if the data beside it are what the run knows.
    """
    if split.split in trained.data:
        return split.content_digest == trained.data[split.split]
    paths = [] if trained.folder is None else trained.folder.glob(f"evaluations/{split.split}-*.json")
    evaluations = [stored.find(path, Evaluation) for path in paths]
    own = {each.data for each in evaluations if each is not None and each.other_data is None}
    if own:
        return split.content_digest in own
    try:
        known = next((name for name in ("val", "train") if name in trained.data), None)
        return known is None or opened(known).content_digest == trained.data[known]
    except UserError:  # nothing lies beside it
        return False


def _answer(
    question: Question, predict: Predict, batches: ScoringBatches, spec: DataSpec, uri: str | None, console: Console
) -> Evaluation:
    """Score the whole split, and store the scores where the run has a folder that can be written to."""
    folder = question.trained.folder
    if folder is not None:
        # That its training still runs is better known before the work; what cannot be written to has none.
        with suppress(OSError), _locked(folder):
            pass
    began = time.monotonic()
    live = console.is_terminal
    shown = track(batches, question.split.split, len(batches), console=console, transient=True, disable=not live)
    scores = score(predict, shown, batches.tasks, detailed=True)
    result = Evaluation(
        name=question.trained.name,
        **question.identity | {"depth_rules": question.rules and asdict(question.rules)},
        tta_name=question.views.name,
        key=question.key,
        file=None if question.path is None else f"evaluations/{question.path.name}",
        pictures=len(question.split),
        image_size=question.split.images.shape[1:3],
        scored_size=batches.size,
        spec=spec.as_dict(),
        seconds=time.monotonic() - began,
        device=str(batches.device),
        scores={name.removeprefix("/"): value for name, value in scores.flat("").items()},
        confusion=None if scores.confusion is None else scores.confusion.matrix.tolist(),
    )
    if folder is not None and question.path is not None:
        try:
            _store(folder, question.path, question.trained, result, scores)
        except OSError as error:
            reason = f"{error.filename or question.path}: {error.strerror or error}"
            console.print(Text.assemble(("The scores are not stored:", "yellow"), f" {reason}"), soft_wrap=True)
            return result.model_copy(update={"file": None})
        _mirror(folder, uri, question.trained.settings.tracking.checkpoint, console)
    return result


def _store(folder: Path, path: Path, trained: Trained, result: Evaluation, scores: Scores) -> None:
    """Write an evaluation into its run folder."""
    with _locked(folder):
        path.parent.mkdir(exist_ok=True)
        record = Record(folder)
        if scores.confusion is not None:
            save(confusion(scores.confusion), record.artifact_path(f"evaluations/{path.stem}.png"))
        # On the validation split the training logged most of them itself.
        known = {name for point in record.points() if point.step == trained.step for name in point.metrics}
        new = {name: value for name, value in scores.flat(result.key).items() if name not in known}
        record.log(trained.step, new)
        record.close()
        stored.write(path, result)  # last: where it is, everything is


def _mirror(folder: Path, uri: str | None, checkpoint: bool, console: Console) -> None:
    """Send the new scores to a server that has the run; one that is away, or has not, is no reason to fail."""
    if uri is None or not (folder / "mlflow.json").exists():
        return
    try:
        if mirror_again(folder, uri, checkpoint=checkpoint):
            return
        reason = f"the run is not in {redact(uri)}; tracking_uri=<uri> says where it is"
    except UserError as error:
        reason = str(error)
    told = Text.assemble(("Stored, but not on the tracking server:", "yellow"), f" {reason}")
    console.print(told, soft_wrap=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from writing into a run; UserError if its training is alive."""
    try:
        with FileLock(folder / "lock", timeout=LONGEST_WAIT_S):
            yield
    except Timeout:
        raise UserError(f"{folder}: its training is still running; evaluate it when that has ended") from None
