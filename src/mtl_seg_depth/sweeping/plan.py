"""What a sweep is going to do, composed, built and checked before anything starts."""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, open_dict
from optuna.distributions import distribution_to_json
from rich.console import Console

from mtl_seg_depth.cli.start import message_of, plain
from mtl_seg_depth.config import Settings, fingerprint, flatten, identity, parse
from mtl_seg_depth.runs.assembly import assemble, automatic_name, resolve
from mtl_seg_depth.runs.run import find_folder
from mtl_seg_depth.sweeping.space import Space, Values, label
from mtl_seg_depth.sweeping.trial import DIRECTIONS
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import duration

Compose = Callable[[Iterable[str]], Settings]
"""From a trial's overrides to its settings; raises UserError where they do not fit together."""


@dataclass(frozen=True)
class Row:
    """One combination of a grid."""

    values: dict[str, Any]
    problem: str | None
    """Why it cannot run; None where it can."""
    settings: Settings | None
    """With `precision` resolved; None for a row that cannot run."""
    steps: int

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

    def result(self, seed: int) -> dict[str, Any] | None:
        """The result of one of its trainings, where that is finished, whoever trained it."""
        settings = self.of_seed(seed)
        return find_folder(settings, fingerprint(settings)).result


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

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """maximize or minimize, of each objective."""
        return [DIRECTIONS[name] for name in self.objectives]


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


def dry_run(settings: Settings, console: Console) -> None:
    """Check one training, and say whether and how long it would run. Raises UserError for what does not fit."""
    settings, device = resolve(settings)
    parts = assemble(settings, device, dry=True)
    row = Row({}, None, settings, parts.plan.steps)
    seconds = Pace(Path(settings.paths.outputs)).seconds(row)
    guess = "no finished run here tells how long" if seconds is None else f"about {duration(seconds)}"
    console.print(
        f"{automatic_name(settings)} ({fingerprint(settings)}): {row.steps} steps of {settings.schedule.batch_size} on "
        f"{device}, {settings.precision}, {parts.parameters / 1e6:.2f} M parameters; "
        + (guess if row.result(settings.seed) is None else "trained before"),
        highlight=False,
        soft_wrap=True,
    )


def study_name(sweep: str | None, space: Space, base: Settings, settings: Mapping[str, Any]) -> str:
    """The sweep's name and a digest of all that decides which trials it has and how they are scored.

    The same command finds its study again; one with other values, or other fixed settings, has its own.
    """
    decides = {
        "distributions": {name: distribution_to_json(each) for name, each in space.distributions.items()},
        "linked": space.linked,
        "base": identity(base),
        "seeds": base.seeds,
        "score": base.score,
        "tta": base.tta if base.score else None,
        **{key: settings[key] for key in ("objective", "sampler", "pruner")},
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{sweep or 'sweep'}-{digest}"


class Pace:
    """Seconds a trained picture takes, from the runs that are finished, for guessing how long others take."""

    def __init__(self, outputs: Path) -> None:
        self._seconds: dict[str, list[float]] = {}
        for path in outputs.glob("*/result.json"):
            config = path.parent / "config.yaml"
            if not config.exists():
                continue
            result, tree = json.loads(path.read_text()), yaml.safe_load(config.read_text())
            pictures = result["steps"] * tree["schedule"]["batch_size"]
            if pictures:
                for key in _kinds(tree):
                    self._seconds.setdefault(key, []).append(result["cost"]["seconds"] / pictures)

    def seconds(self, row: Row) -> float | None:
        """For one training of a row: by runs of the same network, or of any; None where none is finished."""
        assert row.settings is not None
        pictures = row.steps * row.settings.schedule.batch_size
        for key in _kinds(row.settings.model_dump(mode="json")):
            if known := self._seconds.get(key):
                return statistics.median(known) * pictures
        return None


def _kinds(tree: Mapping[str, Any]) -> list[str]:
    """What a run's pace depends on, from all that matters to what matters most."""
    parts = ("encoder", "dilation", "model", "precision")
    network = {key: value for key, value in flatten({part: tree[part] for part in parts}) if "weights" not in key}
    size = tree["data"]["crop_size"]
    return [json.dumps([network, size], sort_keys=True), json.dumps([tree["encoder"]["name"], size]), ""]
