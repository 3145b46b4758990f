"""What a config may name, and how it is built.

A node is `_target_` and arguments. A config is data, wherever it comes from: a node of a group builds nothing but a
public name of the kind that the group is for, and every argument is checked against its signature before anything runs.
"""

import importlib
import inspect
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, create_model

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import explain, nearest

PACKAGE = __name__.split(".")[0]

Node = Annotated[dict[str, Any], Field(description="a `_target_` of this package and its arguments")]


@dataclass(frozen=True)
class Kind:
    """What the nodes of one group build: a subclass of `base` that `room` hands out, or a function if it has none."""

    room: str
    base: str | None


KINDS = {
    "data": Kind("data", "data.dataset.DataSet"),
    "augment": Kind("data", "data.augmentation.Augmentation"),
    "encoder": Kind("models", "models.encoder.Encoder"),
    "model": Kind("models", "models.network.Network"),
    "depth_norm": Kind("tasks.depth", "tasks.depth.norms.DepthNorm"),
    "loss": Kind("losses", "tasks.depth.losses.depth_loss.DepthLoss"),
    "semseg_loss": Kind("losses", "tasks.semseg.cross_entropy.CrossEntropy"),
    "task_weights": Kind("weighting", "weighting.weighting.Weighting"),
    "optimizer": Kind("training", None),
    "lr": Kind("training", "training.learning_rates.LearningRate"),
    "tta": Kind("scoring", "scoring.tta.TestTimeAugmentation"),
}
"""By the group's name."""

TASK_NAMES: dict[str, Any] = {}
"""The names of tasks, which arguments may have that are given task by task; the room of tasks fills it."""

FIRST_NAMES = {
    "data.Augmentation": "data.augmentation.Augmentation",
    "data.Miniscapes": "data.sources.Miniscapes",
    "data.Streets": "data.sources.Streets",
    "tasks.depth.Inverse": "depth_norm.Inverse",
    "tasks.depth.Log": "depth_norm.Log",
    "tasks.depth.MinMax": "depth_norm.MinMax",
    "tasks.depth.Standard": "depth_norm.Standard",
    "training.Constant": "learning_rate.Constant",
    "training.Cosine": "learning_rate.Cosine",
    "training.OneCycle": "learning_rate.OneCycle",
    "training.Poly": "learning_rate.Poly",
    "losses.BerHu": "losses.berhu.BerHu",
    "losses.Huber": "losses.huber.Huber",
    "losses.L1": "losses.l1.L1",
    "losses.L2": "losses.l2.L2",
    "losses.SILog": "losses.silog.SILog",
    "models.Branched": "models.branched.Branched",
    "models.Distilled": "models.distilled.Distilled",
    "models.Joint": "models.joint.Joint",
    "models.Single": "models.single.Single",
    "models.ResNetEncoder": "models.encoder.ResNetEncoder",
    "training.adam": "optimizers.adam",
    "training.adamw": "optimizers.adamw",
    "training.sgd": "optimizers.sgd",
    "scoring.AveragedViews": "tta.AveragedViews",
    "scoring.ReportViews": "tta.ReportViews",
    "weighting.AlignedMTL": "weighting.aligned_mtl.AlignedMTL",
    "weighting.CAGrad": "weighting.cagrad.CAGrad",
    "weighting.DynamicWeightAverage": "weighting.dwa.DynamicWeightAverage",
    "weighting.FAMO": "weighting.famo.FAMO",
    "weighting.Fixed": "weighting.fixed.Fixed",
    "weighting.Geometric": "weighting.geometric.Geometric",
    "weighting.NashMTL": "weighting.nash_mtl.NashMTL",
    "weighting.PCGrad": "weighting.pcgrad.PCGrad",
    "weighting.Uncertainty": "weighting.uncertainty.Uncertainty",
}
"""Public name -> the name under which the same thing first entered fingerprints and checkpoints.

Fingerprints go on with the first name, so that a run is found again wherever its classes live by now; configs that have
it are read as if they had the public one. What is new needs no entry.
"""

_PUBLIC_NAMES = {first: public for public, first in FIRST_NAMES.items()}


def first_name(target: str) -> str:
    """The name that stands for a public name in fingerprints."""
    short = target.removeprefix(f"{PACKAGE}.")
    return f"{PACKAGE}.{FIRST_NAMES.get(short, short)}"


def public_name(target: str) -> str:
    """The public name of what a config of any age names; names that were never ours stay as they are."""
    short = target.removeprefix(f"{PACKAGE}.")
    return f"{PACKAGE}.{_PUBLIC_NAMES[short]}" if short in _PUBLIC_NAMES else target


def renamed(tree: Any, rename: typing.Callable[[str], str]) -> Any:
    """A nested config with every `_target_` renamed."""
    if not isinstance(tree, Mapping):
        return tree
    return {
        key: rename(value) if key == "_target_" and isinstance(value, str) else renamed(value, rename)
        for key, value in tree.items()
    }


def target_of(path: str, node: Mapping[str, Any]) -> Any:
    """The class or function that a node of the group `path` names; UserError for anything that is not for it."""
    kind = KINDS[path]
    room = f"{PACKAGE}.{kind.room}"
    target = node.get("_target_")
    if not isinstance(target, str) or not target.startswith(f"{PACKAGE}."):
        raise UserError(f"{path}._target_={target!r}: only what lies in {PACKAGE} is built from a config")
    module, _, name = target.rpartition(".")
    names = public_names(path)
    if module != room or name not in names:
        close = [f"{room}.{each}" for each in nearest(name, names)]
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)} in {room}."
        raise UserError(f"{path}._target_={target}: no {path} is called so; {hint}")
    return getattr(importlib.import_module(room), name)


def public_names(path: str) -> list[str]:
    """The names that a node of the group `path` may have, without the room they are in."""
    kind = KINDS[path]
    room = importlib.import_module(f"{PACKAGE}.{kind.room}")
    found = {name: getattr(room, name) for name in room.__all__}
    if kind.base is None:
        return [name for name, what in found.items() if inspect.isfunction(what)]
    module, _, name = kind.base.rpartition(".")
    base = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    return [name for name, what in found.items() if inspect.isclass(what) and issubclass(what, base)]


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
    known = named
    if free is not None:
        known = named | {task: (free, ...) for task in TASK_NAMES if task not in named}
        named = {name: spec for name, spec in known.items() if name in named or name in arguments}
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
        options = {name: spec for name, spec in known.items() if name not in given}
        raise UserError("\n".join(explain(error, f"{path}.", options))) from None
    return {name: getattr(validated, f"argument_{name}") for name in parameters}


def takes(path: str, node: Mapping[str, Any], argument: str) -> bool:
    """Whether what a node names has an argument of this name."""
    return argument in _parameters(target_of(path, node))[0]


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
    """Name -> (annotation, default or ...) of a callable, and the type of the arguments that it takes by task.

    A constructor's `**kwargs: Any` stand for its base's arguments; `**kwargs` of another type are arguments of that
    type by the names of tasks. Where there are none of those, the type is None.
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
