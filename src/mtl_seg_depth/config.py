"""The composed config: its schema, and its fingerprint."""

import hashlib
import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from mtl_seg_depth.nodes import KINDS, Node, first_name, public_name, renamed, target_of
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import explain


def _is_device(name: str) -> str:
    """Refuse what names no device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name, re.ASCII):
        raise ValueError("should be auto, cpu, cuda, or one of several GPUs: cuda:0, cuda:1, ...")
    return name


Device = Annotated[str, AfterValidator(_is_device)]

StepMode = Literal["auto", "eager", "graph", "compile"]
"""How a step is carried out: launched operation by operation, replayed as one CUDA graph, or compiled by Inductor."""


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse a seed that would count twice."""
    if len(set(seeds)) < len(seeds):
        raise ValueError("each seed once: a training that counts twice has no spread")
    return seeds


class Section(BaseModel):
    """Base of the schema: unknown keys are refused, values do not change; a name may look like a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


Schema = typing.TypeVar("Schema", bound=Section)


class Dilation(Section):
    """Which of the encoder's last three stages dilate instead of striding."""

    replace_stride_with_dilation: tuple[bool, bool, bool]


class Schedule(Section):
    """How long and in what portions: epochs over the training split in batches of `batch_size`.

    `max_steps` ends a training early, after so many optimiser steps; the learning rate still follows `epochs`.
    `minutes` takes the place of `epochs`: as many steps as fit into them, see `runs.budget`. `accumulate` is the number
    of parts that a batch, or each process's share of it, is computed in.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    max_steps: PositiveInt | None
    minutes: PositiveFloat | None = None  # configs from before there was a choice have none
    accumulate: PositiveInt = 1  # likewise


class Validation(Section):
    """When and how the validation split is scored; always after the last step as well.

    `every_steps`, where given, takes the place of `every_epochs`, and `times`, so many evenly spread over the training,
    that of both. `absent_classes` says how mean IoU counts a class in neither labels nor predictions: `exclude` is the
    Cityscapes benchmark's rule, `zero` the report template's.
    """

    every_epochs: PositiveInt
    every_steps: PositiveInt | None
    times: PositiveInt | None = None  # configs from before there was a choice have none
    batch_size: PositiveInt
    absent_classes: Literal["exclude", "zero"]


class Checkpoint(Section):
    """`last` is saved after every validation, and between them once `every_minutes` have passed; a run that is over
    keeps the `best` weights alone, or `all`."""

    every_minutes: PositiveFloat
    keep: Literal["best", "all"] = "best"


class Tracking(Section):
    """Where and how often a run is written down; nothing here changes what is computed.

    A `uri` of null keeps the record in the run's folder alone.
    """

    uri: str | None
    experiment: str
    log_every: PositiveInt
    panels: NonNegativeInt
    system_metrics: bool
    checkpoint: bool


class Paths(Section):
    """Folders; the others lie below `root` unless told otherwise."""

    root: str
    datasets: str
    outputs: str


CROSS_ENTROPY = {"_target_": "mtl_seg_depth.losses.CrossEntropy"}


class Settings(Section):
    """A whole composed config. Nodes are built by `build`; everything else is used as it stands."""

    data: Node
    augment: Node
    encoder: Node
    dilation: Dilation
    model: Node
    depth_norm: Node
    loss: Node
    semseg_loss: Node = CROSS_ENTROPY  # runs from before there was a choice have none in their config
    task_weights: Node
    optimizer: Node
    lr: Node
    schedule: Schedule
    validation: Validation
    checkpoint: Checkpoint
    tracking: Tracking
    paths: Paths
    seed: NonNegativeInt
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), AfterValidator(_each_once)] | None
    score: Literal["train", "val", "test"] | None
    tta: Node
    pretrained: str
    precision: Literal["auto", "fp32", "bf16"]
    device: Device
    step: StepMode = "auto"  # likewise
    deterministic: bool
    clip_norm: PositiveFloat | None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None  # likewise
    name: str | None
    resume: bool
    rerun: bool
    dry_run: bool


NOT_IDENTITY = (
    "checkpoint",
    "data.cache",
    "data.root",
    "data.workers",
    "device",
    "dry_run",
    "encoder.recompute",
    "name",
    "paths",
    "pretrained",
    "rerun",
    "resume",
    "score",
    "seeds",
    "step",
    "tracking",
    "tta",
    "validation.batch_size",
)
"""What does not change a training, and so does not make it another run: places, devices, display, bookkeeping, what
comes after it, and what only stands in for other keys.

`data.root` says where the data are. What they hold makes another run too, beside the fingerprint: see `runs.run`.

`step` is here as `device` is: the arithmetic is the same, only the order of its roundings may differ. So it is with
`encoder.recompute`."""


LATER: dict[str, Any] = {
    "augment.blur": 0.0,
    "augment.exposure": 0.0,
    "augment.jpeg": 100.0,
    "augment.noise": 0.0,
    "augment.white_balance": 0.0,
    "data.depth_rules": None,
    "ema": None,
    "encoder.freeze": False,
    "model.width": 256,
    "optimizer.decay_norms": True,
    "optimizer.encoder_scale": 1.0,
    "optimizer.layer_decay": 1.0,
    "schedule.accumulate": 1,
    "schedule.minutes": None,
    "semseg_loss": CROSS_ENTROPY,
    "validation.times": None,
}
"""What there was none of once, and the value with which a training is as it was then: left out of the identity, so
that runs from before are found."""


def parse(config: Mapping[str, Any]) -> Settings:
    """The settings of a composed training. Raises UserError that names every key that is unknown or of a wrong type."""
    settings = parse_as(Settings, config)
    for group in KINDS:
        target_of(group, getattr(settings, group))
    return settings


def parse_as(schema: type[Schema], config: Mapping[str, Any]) -> Schema:
    """A composed config as one of the `Section`s; UserError as in `parse`."""
    try:
        return schema.model_validate(renamed(config, public_name))
    except ValidationError as error:
        raise UserError("\n".join(explain(error, "", schema.model_fields))) from None


def identity(settings: Settings) -> dict[str, Any]:
    """The part of the settings that decides the result."""
    tree: dict[str, Any] = renamed(settings.model_dump(mode="json"), first_name)
    for key in NOT_IDENTITY:
        node, last = _parent(tree, key)
        node.pop(last, None)
    if settings.schedule.minutes is not None:
        del tree["schedule"]["epochs"]
    for key, before in LATER.items():
        node, last = _parent(tree, key)
        if last in node and (node[last] == before or not (node[last] or before)):
            del node[last]
    return tree


def _parent(tree: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The node that a dotted key is in, and its name there."""
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree[parent]
    return tree, last


def fingerprint(settings: Settings) -> str:
    """16 hexadecimal digits that two settings share exactly if they give the same result.

    `precision=auto` must have been resolved: it means different things on different machines.
    """
    if settings.precision == "auto":
        raise ValueError("resolve precision=auto before taking the fingerprint")
    canonical = json.dumps(identity(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested config with its dotted key; a list is a leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_texts(settings: Settings) -> dict[str, str]:
    """What decides the result as a run's card keeps it: dotted key -> text."""
    return {name.removesuffix("._target_"): str(value) for name, value in flatten(identity(settings))}
