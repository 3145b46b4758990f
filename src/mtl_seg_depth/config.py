"""The composed config: its schema, the checks across groups, its fingerprint, and what is built from it.

A config is data, wherever it comes from: only classes and functions of this package are ever built from one, and every
argument is checked against the signature it is for before anything runs.
"""

import difflib
import hashlib
import importlib
import inspect
import json
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
)

from mtl_seg_depth.errors import UserError

PACKAGE = __name__.split(".")[0]

Node = Annotated[dict[str, Any], Field(description="a `_target_` of this package and its arguments")]

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


StepMode = Literal["auto", "eager", "graph", "compile"]
"""How a step is carried out: launched operation by operation, replayed as one CUDA graph, or compiled by Inductor."""


class Section(BaseModel):
    """Base of the schema: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Schema = typing.TypeVar("Schema", bound=Section)


class Dilation(Section):
    """Which of the encoder's last three stages dilate instead of striding."""

    replace_stride_with_dilation: tuple[bool, bool, bool]


class Schedule(Section):
    """How long and in what portions: epochs over the training split in batches of `batch_size`.

    `max_steps` ends a training early, after so many optimiser steps; the learning rate still follows `epochs`.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    max_steps: PositiveInt | None


class Validation(Section):
    """When and how the validation split is scored; always after the last step as well.

    `every_steps`, where given, takes the place of `every_epochs`. `absent_classes` says how mean IoU counts a class
    in neither labels nor predictions: `exclude` is the Cityscapes benchmark's rule, `zero` the report template's.
    """

    every_epochs: PositiveInt
    every_steps: PositiveInt | None
    batch_size: PositiveInt
    absent_classes: Literal["exclude", "zero"]


class Checkpoint(Section):
    """`last` is saved after every validation, and between them once `every_minutes` have passed."""

    every_minutes: PositiveFloat


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
    """Folders; `root` holds conf/."""

    root: str
    datasets: str
    outputs: str


class Settings(Section):
    """A whole composed config. Nodes are built by `build`; everything else is used as it stands."""

    data: Node
    augment: Node
    encoder: Node
    dilation: Dilation
    model: Node
    depth_norm: Node
    loss: Node
    task_weights: Node
    optimizer: Node
    lr: Node
    schedule: Schedule
    validation: Validation
    checkpoint: Checkpoint
    tracking: Tracking
    paths: Paths
    seed: NonNegativeInt
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] | None
    score: Literal["train", "val", "test"] | None
    tta: Node
    pretrained: str
    precision: Literal["auto", "fp32", "bf16"]
    device: Device
    step: StepMode = "auto"  # runs from before there was a choice have none in their config
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

`step` is here as `device` is: the arithmetic is the same, only the order of its roundings may differ."""


def parse(config: Mapping[str, Any]) -> Settings:
    """The settings of a composed training. Raises UserError that names every key that is unknown or of a wrong type."""
    return parse_as(Settings, config)


def parse_as(schema: type[Schema], config: Mapping[str, Any]) -> Schema:
    """A composed config as one of the `Section`s; UserError as in `parse`."""
    try:
        return schema.model_validate(config)
    except ValidationError as error:
        raise UserError("\n".join(explain(error, "", schema.model_fields))) from None


def identity(settings: Settings) -> dict[str, Any]:
    """The part of the settings that decides the result."""
    tree = settings.model_dump(mode="json")
    for key in NOT_IDENTITY:
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node.pop(last, None)
    if tree["ema"] is None:  # so that runs from before there was one are found
        del tree["ema"]
    return tree


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


def target_of(path: str, node: Mapping[str, Any]) -> Any:
    """The class or function of this package that a node names; UserError for anything else."""
    target = node.get("_target_")
    if not isinstance(target, str) or not target.startswith(f"{PACKAGE}."):
        raise UserError(f"{path}._target_={target!r}: only what lies in {PACKAGE} is built from a config")
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise UserError(f"{path}._target_={target}: there is no such class or function") from None
    if getattr(found, "__module__", None) != module or not callable(found):
        raise UserError(f"{path}._target_={target}: only what {PACKAGE} itself defines is built from a config")
    return found


def check(path: str, node: Mapping[str, Any], given: Iterable[str] = ()) -> dict[str, Any]:
    """The arguments of a node, checked against the signature of its target.

    Args:
        path: the node's key, for messages.
        node: `_target_` and arguments.
        given: names of the arguments that the caller of `build` supplies.

    Raises:
        UserError: an unknown, missing or wrongly typed argument, each with what would be right.
    """
    target = target_of(path, node)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    named, free = _parameters(target)
    if free is not None:
        named |= {key: (free, ...) for key in arguments if key not in named}
    parameters = {name: spec for name, spec in named.items() if name not in given}
    model = create_model(
        path,
        __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=()),
        **{
            # pydantic refuses leading underscores, and "model_..." or "schema" would shadow its methods: alias them all
            f"argument_{name}": (annotation, Field(alias=name) if default is ... else Field(default, alias=name))
            for name, (annotation, default) in parameters.items()
        },
    )  # type: ignore[call-overload]
    try:
        validated = model.model_validate(arguments)
    except ValidationError as error:
        raise UserError("\n".join(explain(error, f"{path}.", parameters))) from None
    return {name: getattr(validated, f"argument_{name}") for name in parameters}


def build(path: str, node: Mapping[str, Any], **given: Any) -> Any:
    """Build what a node names, from its arguments and those `given`.

    Raises UserError, beginning with the node's key, for whatever `check` or the target itself refuses.
    """
    arguments = check(path, node, given)
    try:
        return target_of(path, node)(**given, **arguments)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _parameters(target: Any) -> tuple[dict[str, tuple[Any, Any]], Any]:
    """Name -> (annotation, default or ...) of a callable, and the type of the arguments that it takes by any name.

    A constructor's `**kwargs: Any` stand for its base's arguments; `**kwargs` of another type are arguments of that
    type whose names it leaves to the config. Where there are none of those, the type is None.
    """
    functions = [target]
    if inspect.isclass(target):
        functions = [base.__dict__["__init__"] for base in target.__mro__ if "__init__" in base.__dict__]
    found: dict[str, tuple[Any, Any]] = {}
    for function in functions:
        hints = typing.get_type_hints(function)
        open_ended, free = False, None
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                annotation = hints.get(name, Any)
                open_ended, free = annotation is Any, None if annotation is Any else annotation
            elif name != "self":
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                found.setdefault(name, (hints[name], default))
        if not open_ended:
            break
    return found, free


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """Up to three of the choices that look most like `word`, the last part of a dotted choice counting as well."""
    choices = sorted(set(choices))
    tail = word.rpartition(".")[2]
    same_tail = [choice for choice in choices if choice.rpartition(".")[2] == tail]
    similar = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    tails = {choice.rpartition(".")[2]: choice for choice in choices}
    similar_tail = [tails[match] for match in difflib.get_close_matches(tail, tails, n=3, cutoff=0.75)]
    return list(dict.fromkeys([*same_tail, *similar, *similar_tail]))[:3]


def explain(error: ValidationError, prefix: str, known: Mapping[str, Any]) -> Iterator[str]:
    """One line for every problem pydantic found: the key, what it holds, and what would be right."""
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        key = prefix + ".".join(place)
        if problem["type"] == "extra_forbidden":
            siblings = known if len(place) == 1 else known[place[0]].annotation.model_fields
            close = nearest(place[-1], siblings)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(siblings))}."
            yield f"{key}: there is no such option; {hint}"
        elif problem["type"] == "missing":
            yield f"{key} is missing: give it a value"
        else:
            message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
            yield f"{key}={problem['input']}: {message}"
