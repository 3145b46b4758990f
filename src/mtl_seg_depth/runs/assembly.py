"""From settings to the parts of a training: everything is built and checked before an image is read."""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn, optim

from mtl_seg_depth.config import Settings, fingerprint
from mtl_seg_depth.data.augmentation import Augmentation
from mtl_seg_depth.data.batches import Batch, ScoringBatches, TrainingBatches, check_shares, check_sizes
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.models.batch_norm import synchronised
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.nodes import build, check, takes
from mtl_seg_depth.records.folder import folders_of
from mtl_seg_depth.records.results import Card
from mtl_seg_depth.scoring.predictor import NARROW, Predictor
from mtl_seg_depth.system import stored, torchrun
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import shortage_told
from mtl_seg_depth.system.precision import Name, Precision, native
from mtl_seg_depth.system.processes import ALONE, Processes, several
from mtl_seg_depth.tasks.configured import configured_tasks
from mtl_seg_depth.tasks.task import Task
from mtl_seg_depth.tracking import absolute_uri
from mtl_seg_depth.training.averaging import MovingAverage
from mtl_seg_depth.training.graphed_step import GraphedStep, obstacle
from mtl_seg_depth.training.learning_rates import LearningRate, Span
from mtl_seg_depth.training.loop import Plan
from mtl_seg_depth.training.parameter_groups import parameter_groups
from mtl_seg_depth.training.sharing import InParts
from mtl_seg_depth.training.step import Step
from mtl_seg_depth.weighting.gradients import GradientWeighting, shares_nothing
from mtl_seg_depth.weighting.weighting import Weighting

log = logging.getLogger(__name__)


def resolve(settings: Settings, *, dry: bool = False) -> tuple[Settings, torch.device]:
    """The settings with `precision=auto` decided, and the device as `find_device` gives it."""
    device = find_device(settings.device, dry=dry)
    if settings.tracking.uri is not None:
        absolute_uri(settings.tracking.uri)  # an impossible one is told before anything is done
    if settings.precision == "auto":
        settings = settings.model_copy(update={"precision": _begun_in(settings) or native(device)})
    return settings, device


def _begun_in(settings: Settings) -> Name | None:
    """The one format in which a run of this `precision=auto` was begun: it decides, not what is faster by now."""
    found: list[Name] = []
    for name in get_args(Name):
        one = settings.model_copy(update={"precision": name})
        folders = folders_of(Path(settings.paths.outputs) / folder_name(one, fingerprint(one)))
        cards = [stored.find(folder.path / "run.json", Card) for folder in folders]
        if any(card is not None and card.tags.get("precision", "auto") == "auto" for card in cards):
            found.append(name)
    return found[0] if len(found) == 1 else None


def find_device(name: str, *, dry: bool = False) -> torch.device:
    """The device of a name such as `auto`, `cpu` or `cuda:1`, made ready to compute on; UserError if it is not there.

    With `dry` nothing is taken of a GPU: whoever only plans would keep some hundred MB of it from those who train.
    """
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    if torchrun.count() > 1 and device.type == "cuda":
        if device.index is not None:
            raise UserError(f"device={name}: each of {torchrun.count()} processes takes a GPU of its own; device=auto")
        device = torch.device("cuda", torchrun.local_rank())
        if torchrun.local_rank() >= torch.cuda.device_count():
            raise UserError(
                f"torchrun started more processes than the {torch.cuda.device_count()} GPUs that this machine has; "
                f"--nproc-per-node={torch.cuda.device_count()}"
            )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices")
    torch.backends.cuda.matmul.allow_tf32 = True  # where fp32 is asked for, as convolutions have it by default
    if device.type == "cuda" and not dry:
        with shortage_told(f"device={name}", device):  # others may have all of it
            torch.cuda.set_device(device)  # what names no device, such as a stream, is on this one
    return device


def settle_torch(settings: Settings) -> None:
    """Set what torch keeps for the whole process, before anything is computed."""
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # none is read
    torch.backends.cudnn.benchmark = not settings.deterministic  # pays where shapes stay the same, and they do


@dataclass(frozen=True)
class Parts:
    """What a training is made of, before any image is read."""

    source: DataSet
    augmentation: Augmentation
    tasks: Mapping[str, Task]
    """Those that the network has."""
    network: Network
    step: Step
    advance: Callable[[Batch, float], dict[str, Tensor]]
    """Carries the step out: the step itself, or a captured form of it."""
    learning_rate: LearningRate
    plan: Plan
    steps_per_epoch: int
    predictor: Predictor
    parameters: int
    """Trainable numbers in the network."""


def assemble(settings: Settings, device: torch.device, *, dry: bool = False) -> Parts:
    """Build every part; the initial weights are a function of the seed.

    With `dry`, the network has shapes and no numbers: enough to find mistakes, for less time and memory. Plan and
    learning rate are those of `schedule.epochs`; where `schedule.minutes` stands in for them, `lasting` has others.

    Raises UserError, with the key at fault, for whatever does not fit: an argument, a pair of choices, a batch larger
    than the data, a crop larger than the images.
    """
    source: DataSet = build("data", settings.data)
    augmentation: Augmentation = build("augment", settings.augment)
    all_tasks = configured_tasks(source.spec.targets, settings.model_dump())
    # Cheap checks before anything that takes a second.
    check("task_weights", settings.task_weights, ["tasks", "steps_per_epoch", "noise_factors", "seed"])
    check("optimizer", settings.optimizer, ["parameters"])
    check("model", settings.model, ["encoder", "outputs"])
    schedule = settings.schedule
    count, image_size = source.describe("train")
    check_sizes(count, image_size, schedule.batch_size, source.crop_size)
    check_shares(schedule.batch_size, torchrun.count(), schedule.accumulate)
    source.describe("val")
    if device.type == "cpu" and settings.precision == "bf16" and min(source.crop_size) < NARROW:
        raise UserError(
            f"precision=bf16: on a CPU it takes crops of at least {NARROW} pixels a side, and data.crop_size is "
            f"{list(source.crop_size)}; take precision=fp32"
        )
    span = Span(schedule.epochs, count // schedule.batch_size)
    learning_rate, plan = _course(settings, span)

    if not dry:
        torch.manual_seed(settings.seed)
    with torch.device("meta") if dry else nullcontext():
        network = build_network(settings, all_tasks)
    tasks = {name: all_tasks[name] for name in network.tasks}
    if schedule.batch_size == 1 and network.aspp:
        raise UserError("schedule.batch_size=1 leaves the ASPP's image pooling one value to normalise; take 2 or more")
    if not dry:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if several():
            network = synchronised(network, device)
    weighting: Weighting = build(
        "task_weights",
        settings.task_weights,
        tasks=network.tasks,
        steps_per_epoch=span.steps_per_epoch,
        noise_factors={name: task.noise_factor for name, task in tasks.items()},
        **({"seed": settings.seed} if takes("task_weights", settings.task_weights, "seed") else {}),
    )
    if not dry:
        weighting.to(device)
    frozen = any(not parameter.requires_grad for parameter in network.parameters())
    if frozen and not dry and isinstance(weighting, GradientWeighting) and len(tasks) > 1 and shares_nothing(network):
        raise UserError(
            f"task_weights: {type(weighting).__name__} combines the gradients of what tasks share, and with "
            "encoder.freeze=true nothing that is trained is shared by two tasks; take task_weights=equal or model=joint"
        )
    # Decay would pull what a weighting learns towards its own zero, which no paper means.
    learned = [{"params": own, "weight_decay": 0.0}] if (own := list(weighting.parameters())) else []

    def grouped(*rules: Any) -> list[dict[str, Any]]:
        return [*parameter_groups(network, *rules), *learned]

    optimizer: optim.Optimizer = build("optimizer", settings.optimizer, parameters=grouped)
    precision = Precision("bf16" if settings.precision == "bf16" else "fp32")
    step = Step(
        network,
        {name: task.loss for name, task in tasks.items()},
        weighting,
        optimizer,
        precision,
        settings.clip_norm,
        None if settings.ema is None else MovingAverage(network, settings.ema),
    )
    return Parts(
        source=source,
        augmentation=augmentation,
        tasks=tasks,
        network=network,
        step=step,
        advance=_carried_out(step, settings, device),
        learning_rate=learning_rate,
        plan=plan,
        steps_per_epoch=span.steps_per_epoch,
        predictor=Predictor(step.scored_network, tasks, precision),
        parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
    )


def lasting(parts: Parts, settings: Settings, steps: int) -> Parts:
    """The same with another length of the training, in optimiser steps; UserError for a rate that needs more."""
    learning_rate, plan = _course(settings, Span(steps / parts.steps_per_epoch, parts.steps_per_epoch))
    return replace(parts, learning_rate=learning_rate, plan=plan)


def _course(settings: Settings, span: Span) -> tuple[LearningRate, Plan]:
    """The rate of every step, and when things happen."""
    validation = settings.validation
    steps = min(span.steps, settings.schedule.max_steps or span.steps)
    every = validation.every_steps or validation.every_epochs * span.steps_per_epoch
    return build("lr", settings.lr, span=span), Plan(
        steps=steps,
        validate_every=math.ceil(steps / validation.times) if validation.times else every,
        log_every=settings.tracking.log_every,
        save_every_seconds=60 * settings.checkpoint.every_minutes,
    )


def _carried_out(step: Step, settings: Settings, device: torch.device) -> Callable[[Batch, float], dict[str, Tensor]]:
    """The step as `settings.step` and `schedule.accumulate` want it carried out."""
    parts = settings.schedule.accumulate
    reason = obstacle(device, step.optimizer, step.weighting, step.network)
    if parts > 1:
        reason = reason or f"schedule.accumulate={parts} computes parts anew in the backward pass"
    if settings.step == "graph" and reason is not None:
        raise UserError(f"step=graph: {reason}; take step=auto")
    if settings.step != "eager" and device.type == "cuda" and reason is not None:
        log.warning("steps are launched one operation at a time, not as a CUDA graph: %s", reason)
    if settings.step == "compile":
        if settings.deterministic and device.type == "cuda":
            raise UserError(
                "step=compile: compiled, the network adds up its gradients in any order; with "
                "deterministic=true take step=auto"
            )
        if device.type == "cpu":
            _require_compiler()
        step.forward = torch.compile(step.network)
    if parts > 1:
        assert isinstance(step.forward, nn.Module)
        step.forward = InParts(step.forward, parts)
    return GraphedStep(step) if settings.step != "eager" and reason is None else step


def _require_compiler() -> None:
    """UserError without the C++ compiler that torch translates networks with."""
    from torch._inductor import config
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        lacking = f"step=compile: there is no working C++ compiler {config.cpp.cxx[-1]}"
        raise UserError(f"{lacking}; CXX=<compiler> names another, and step=auto takes none") from error


def build_network(settings: Settings, tasks: Mapping[str, Task]) -> Network:
    """The network alone, with its initial weights, on the CPU; `tasks` are those of the data."""
    flags = settings.dilation.replace_stride_with_dilation
    dilation = {"replace_stride_with_dilation": flags}
    if not takes("encoder", settings.encoder, "replace_stride_with_dilation"):
        if any(flags):
            raise UserError("dilation: this encoder has no stages that dilate instead of striding; take dilation=os32")
        dilation = {}
    encoder: Encoder = build("encoder", settings.encoder, **dilation)
    outputs = {name: task.channels for name, task in tasks.items()}
    network: Network = build("model", settings.model, encoder=encoder, outputs=outputs)
    return network


def training_batches(
    settings: Settings, parts: Parts, split: PackedSplit, device: torch.device, processes: Processes = ALONE
) -> TrainingBatches:
    """The batch of every step, or this process's share of it; UserError if the split has no labels."""
    return TrainingBatches(
        split,
        parts.augmentation,
        batch_size=settings.schedule.batch_size,
        crop_size=parts.source.crop_size,
        tasks=parts.tasks,
        seed=settings.seed,
        device=device,
        processes=processes,
        parts=settings.schedule.accumulate,
    )


def scoring_batches(settings: Settings, parts: Parts, split: PackedSplit, device: torch.device) -> ScoringBatches:
    """The whole split in order."""
    return ScoringBatches(split, batch_size=settings.validation.batch_size, tasks=parts.tasks, device=device)


def automatic_name(settings: Settings) -> str:
    """A name made of the choices that people compare first, such as `streets-joint-resnet18-adam-l2`."""
    nodes = (settings.data, settings.model)
    data, model = (node["_target_"].rpartition(".")[2].lower() for node in nodes)
    rest = (node["_target_"].rpartition(".")[2].lower() for node in (settings.optimizer, settings.loss))
    encoder = str(settings.encoder.get("name", settings.encoder["_target_"].rpartition(".")[2].lower()))
    return "-".join([data, model, encoder, *rest])


def folder_name(settings: Settings, fingerprint: str) -> Path:
    """The run folder's name: for people first, then the fingerprint that makes it this run's own."""
    return Path(f"{automatic_name(settings)}-{fingerprint}")
