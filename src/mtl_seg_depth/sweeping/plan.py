"""What a sweep is going to do, composed, built and checked before anything starts."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, open_dict
from optuna.distributions import distribution_to_json

from mtl_seg_depth.cli.start import message_of, plain
from mtl_seg_depth.config import Settings, identity, parse
from mtl_seg_depth.records.results import Digests
from mtl_seg_depth.runs.assembly import assemble, resolve
from mtl_seg_depth.runs.contents import SPLITS, Contents
from mtl_seg_depth.runs.run import folder_of
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.space import Space, Values, label
from mtl_seg_depth.system.errors import UserError

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
    name: str | None
    """Of the file in sweeps/; None for one made on the command line."""
    space: Space
    rows: Sequence[Row] | None
    """Of a grid; None for a search."""
    base: Settings
    """What all trials share."""
    objectives: list[str]
    folder: Path
    data: Sequence[Digests]
    """Every data set that its trials see or are scored on."""

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """maximize or minimize, of each objective."""
        return [headline.direction(name) for name in self.objectives]


def composer(config: DictConfig, load: Callable[[DictConfig, list[str]], DictConfig]) -> Compose:
    """How a trial's settings are composed: as a launcher would, from the sweep's master config."""

    def compose(overrides: Iterable[str]) -> Settings:
        try:
            composed = load(config, list(filter_overrides(list(overrides))))
            with open_dict(composed):
                del composed["hydra"]
            tree = plain(composed)
        except Exception as error:
            # Whatever Hydra and OmegaConf raise for overrides that do not fit is a mistake of the command's.
            raise UserError(message_of(error, "train")) from error
        return parse(tree)

    return compose


def check_row(values: Values, space: Space, compose: Compose) -> Row:
    """Compose and build one combination."""
    try:
        settings, device = resolve(compose(space.overrides(values)))
        parts = assemble(settings, device, dry=True)
    except UserError as error:
        return Row(dict(values), str(error), None, 0)
    return Row(dict(values), None, settings, parts.plan.steps)


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


def study_name(
    sweep: str | None, space: Space, base: Settings, settings: Mapping[str, Any], data: Sequence[Digests]
) -> str:
    """The sweep's name and a digest of all that decides which trials it has and how they are scored.

    The same command finds its study again; one with other values, other fixed settings or other data has its own.
    """
    decides = {
        "distributions": {name: distribution_to_json(each) for name, each in space.distributions.items()},
        "linked": space.linked,
        "base": identity(base),
        "data": data,
        "seeds": base.seeds,
        "score": base.score,
        "tta": base.tta if base.score else None,
        **{key: settings[key] for key in ("objective", "sampler", "pruner")},
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{sweep or 'sweep'}-{digest}"
