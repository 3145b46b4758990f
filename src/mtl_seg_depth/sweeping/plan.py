"""What a sweep is going to do, composed, built and checked before anything starts."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, open_dict
from optuna.distributions import distribution_to_json

from mtl_seg_depth.cli.command import alone, conf_of, line
from mtl_seg_depth.cli.messages import message_of
from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.cli.start import plain
from mtl_seg_depth.config import Settings, flatten, identity, parse
from mtl_seg_depth.records.results import Digests, Selection
from mtl_seg_depth.runs.assembly import assemble, resolve
from mtl_seg_depth.runs.contents import SPLITS, Contents
from mtl_seg_depth.runs.run import folder_of
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.space import ALONE, BALANCE, Space, Values
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import label

MOST_NAMED = 3
"""Parameters in a study's name."""

LONGEST_PART = 30
"""Letters of one of them there."""

Compose = Callable[[Iterable[str]], Settings]
"""From a trial's overrides to its settings; raises UserError if they do not fit together."""


@dataclass(frozen=True)
class Row:
    """One combination of a grid."""

    values: dict[str, Any]
    problem: str | None
    """Why it cannot run; None if it can."""
    settings: Settings | None
    """With `precision` resolved; None for a row that cannot run."""
    steps: int
    data: Digests = field(default_factory=dict)
    """Of the splits that its trainings see, as far as they are known."""
    tasks: tuple[str, ...] = ()
    """Of its network."""
    reference: str | None = None
    """The task that it trains by itself for the other rows to be compared with; None for a row of the grid."""
    references: Mapping[str, int] = field(default_factory=dict)
    """The rows that train its tasks by themselves, by task."""

    @property
    def label(self) -> str:
        """For people."""
        return label(self.values)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its trainings."""
        assert self.settings is not None
        return self.settings.seeds or (self.settings.seed,)

    def of_seed(self, seed: int) -> Settings:
        """The settings of one of its trainings."""
        assert self.settings is not None
        return self.settings.model_copy(update={"seed": seed, "seeds": None})

    def is_trained(self, seed: int) -> bool:
        """Whether one of its trainings is finished, whoever trained it."""
        return folder_of(self.of_seed(seed), self.data).result is not None


@dataclass(frozen=True)
class Sweep:
    """What a sweep is, apart from how far it got."""

    study: str
    decides: dict[str, Any]
    """All that decides which trials it has and how they are scored."""
    name: str | None
    """Of the file in sweeps/; None for one made on the command line."""
    space: Space
    rows: Sequence[Row] | None
    """Of a grid; None for a search."""
    base: Settings
    """What all trials share."""
    objectives: list[str]
    baseline: int | None = None
    """The row that the others are compared with; None for a search."""
    selection: Selection = "best"
    """Whose scores are compared."""
    trials: int = 0
    """How many rows it is to have at last."""
    conf: Path = Path("conf")
    """The folder of the config that it is composed of."""

    @property
    def folder(self) -> Path:
        """Where it keeps its own record."""
        return sweep_folder(self.base, self.study)

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """maximize or minimize, of each objective."""
        return [headline.direction(name) for name in self.objectives]

    def command(self, values: Values) -> str:
        """What trains a row by itself, for a shell: with its first seed, if it has several."""
        seed = [f"seed={self.base.seeds[0]}"] if self.base.seeds else []
        return redact(line([*alone(self.space.overrides(values), self.conf), *seed]))


def composer(config: DictConfig, load: Callable[[DictConfig, list[str]], DictConfig]) -> Compose:
    """How a trial's settings are composed: as a launcher would, from the sweep's master config."""
    options = Options(conf_of(config.hydra), "train")

    def compose(overrides: Iterable[str]) -> Settings:
        try:
            composed = load(config, list(filter_overrides(list(overrides))))
            with open_dict(composed):
                del composed["hydra"]
            tree = plain(composed)
        except Exception as error:
            # Whatever Hydra and OmegaConf raise for overrides that do not fit is a mistake of the command's.
            raise UserError(message_of(error, options)) from error
        return parse(tree)

    return compose


def base_of(space: Space, compose: Compose) -> Settings:
    """What all trials share; with options that have them, if it fixes keys that only some of those that vary have."""
    try:
        return compose(space.fixed)
    except UserError:
        for values in space.examples():
            with suppress(UserError):
                return compose(space.overrides(values))
        raise


def check_row(values: Values, space: Space, compose: Compose, objectives: Iterable[str]) -> Row:
    """Compose and build one combination, and see that its network has the objectives."""
    try:
        settings, device = resolve(compose(space.overrides(values)), dry=True)
        parts = assemble(settings, device, dry=True)
        _check_objectives(objectives, parts.tasks)
    except UserError as error:
        return Row(dict(values), str(error), None, 0)
    return Row(dict(values), None, settings, parts.plan.steps, tasks=tuple(parts.tasks))


def with_references(
    space: Space, rows: Sequence[Row], check: Callable[[Space, Values], Row]
) -> tuple[Space, list[Row]]:
    """Rows that train every task of the others by itself, before those, which name theirs.

    What else a row chooses its references choose as well (data, encoder, schedule, ...), so rows that differ in the
    network and in how tasks are balanced share them; a reference is balanced by nothing and has weights of its own.
    """
    commands: dict[tuple[str, ...], tuple[str, str]] = {}
    wanted: list[dict[str, tuple[str, ...]]] = []
    for row in rows:
        tasks = row.tasks if len(row.tasks) > 1 else ()
        wanted.append({task: tuple(space.overrides_alone(row.values, task)) for task in tasks})
        varied = {name: value for name, value in row.values.items() if not BALANCE.fullmatch(name)}
        for task, command in wanted[-1].items():
            commands.setdefault(command, (task, ", ".join(filter(None, [task, label(varied)]))))
    space = replace(space, alone={name: list(command) for command, (_, name) in commands.items()})
    references = [
        replace(check(space, {ALONE: name}), reference=task, values={ALONE: name}) for task, name in commands.values()
    ]
    numbers = {command: number for number, command in enumerate(commands)}
    referring = [
        replace(row, references={task: numbers[command] for task, command in each.items()})
        for row, each in zip(rows, wanted, strict=True)
    ]
    return space, [*references, *referring]


def baseline_of(wanted: str | None, rows: Sequence[Row]) -> int | None:
    """The row that the others are compared with: so called by label or value, or of equal weights, or the first.

    UserError if no row, or more than one, is called so.
    """
    ours = [number for number, row in enumerate(rows) if row.reference is None]

    def called(name: str) -> list[int]:
        return [number for number in ours if name in (rows[number].label, *map(str, rows[number].values.values()))]

    if wanted is None:
        equal = called("equal")
        return equal[0] if len(equal) == 1 else next(iter(ours), None)
    found = called(wanted)
    if len(found) != 1:
        there = "; ".join(rows[number].label for number in found or ours)
        raise UserError(
            f"hydra.sweeper.baseline={wanted}: {len(found) or 'no'} rows are called so, and it takes one of {there}"
        )
    return found[0]


def _check_objectives(objectives: Iterable[str], tasks: Collection[str]) -> None:
    """UserError for a network that has none of the objectives; one of several may be missing, and is then the worst."""
    scores = {headline.MULTITASK.key: 0.0, **dict.fromkeys(tasks, 0.0)}
    names = list(objectives)
    if names and all(math.isnan(headline.value(name, scores)) for name in names):
        raise UserError(
            f"hydra.sweeper.objective={','.join(names)}: a network for {' and '.join(tasks)} alone has no such score"
        )


def sweep_folder(settings: Settings, study_name: str) -> Path:
    """Where a sweep keeps its own record."""
    return Path(settings.paths.outputs) / "sweeps" / study_name


def data_of(space: Space, base: Settings, rows: Sequence[Row] | None, contents: Contents) -> list[Digests]:
    """The digests of what a sweep sees and is scored on: its rows', or those that all trials share."""
    each = [row.settings for row in rows if row.settings] if rows is not None else [base]
    if rows is None and space.varies("data"):
        return []
    splits = dict.fromkeys([*SPLITS, base.score or "val"])
    found: list[Digests] = []
    for digests in (contents.of(settings, splits) for settings in each):
        found += [digests] if digests not in found else []
    return found


def decisions(space: Space, base: Settings, settings: Mapping[str, Any], data: Sequence[Digests]) -> dict[str, Any]:
    """All that decides which trials a sweep has and how they are scored, as JSON has it."""
    decides = {
        "distributions": {name: distribution_to_json(each) for name, each in space.distributions.items()},
        "linked": space.linked,
        "base": identity(base),
        "data": data,
        "seeds": base.seeds,
        "score": base.score,
        "tta": base.tta if base.score else None,
        **{key: settings[key] for key in ("objective", "sampler", "pruner")},
        **({"references": settings["references"]} if settings["references"] else {}),
    }
    plain_json: dict[str, Any] = json.loads(json.dumps(decides, default=str))
    return plain_json


def study_name(sweep: str | None, decides: Mapping[str, Any]) -> str:
    """What it is and a digest: the same command finds its study again, another sweep has its own."""
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:8]
    return f"{sweep or varied(decides['distributions'])}-{digest}"


def name_before(study: str) -> str:
    """What a study without a file in sweeps/ was called before its name said what varies."""
    return f"sweep-{study.rpartition('-')[2]}"


def varied(keys: Iterable[str]) -> str:
    """What varies, as a part of a folder's name, in whatever order it was typed: `loss-x-model`."""
    last = (re.sub(r"\.(value|name)$", "", key).rpartition(".")[2] for key in sorted(keys))
    short = [part for key in last if (part := re.sub(r"\W", "", key, flags=re.ASCII)[:LONGEST_PART])]
    return "-x-".join(short if len(short) <= MOST_NAMED else [*short[:MOST_NAMED], "more"]) or "sweep"


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What two sweeps do not share, for people."""
    there, here = dict(flatten(one)), dict(flatten(other))
    keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    names = dict.fromkeys(re.sub(r"^(base|distributions)\.|\._target_$", "", key) for key in keys)
    return ", ".join(name for name in names if name.rpartition(".")[0] not in names)  # another node has other keys
