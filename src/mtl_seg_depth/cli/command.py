"""The command line that trains one run, and what in it is not as it would be anyway."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.config import NOT_IDENTITY, flatten
from mtl_seg_depth.system import installation
from mtl_seg_depth.system.wording import label, typed

_LAST = ("data", "schedule", "validation", "precision", "seed")
"""Of what differs between runs, what is compared least: it stands behind the rest of a name."""

if TYPE_CHECKING:
    from mtl_seg_depth.runs.run import Origin


def origin() -> "Origin":
    """What the command line that composed this job says of the run; nothing outside an entry point."""
    from mtl_seg_depth.runs.run import Origin

    if not HydraConfig.initialized():
        return Origin()
    hydra = HydraConfig.get()
    chosen = {
        group: str(option)
        for group, option in hydra.runtime.choices.items()
        if option and not group.startswith(("hydra", "base"))
    }
    conf = conf_of(hydra)
    words = alone(hydra.overrides.task, conf)
    return Origin(chosen, line(words), label(differing(words, Options(conf, "train").defaults)))


def conf_of(hydra: HydraConf) -> Path:
    """The folder of the config that a job was composed of, given its `hydra` node."""
    return Path(next(source.path for source in hydra.runtime.config_sources if source.provider == "main"))


def line(words: Sequence[str]) -> str:
    """The words for a shell, after the command that trains."""
    return shlex.join([*installation.command("train").split(), *words])


def alone(words: Iterable[str], conf: Path) -> list[str]:
    """The words of one of a sweep's jobs for a training of its own: what the sweep's file says in place of its name."""
    found: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key == "sweeps":
            found = {**dict(_said(conf.parent / "sweeps" / f"{value}.yaml")), **found}
        elif key != "seeds" and not key.startswith(("hydra.", "hydra/")):
            found[key] = word
    return list(found.values())


def _said(sweep: Path) -> Iterator[tuple[str, str]]:
    """What a file in sweeps/, and those it builds on, say of every training, by key, as words of a command line."""
    content = yaml.safe_load(sweep.read_text(encoding="utf-8"))
    for key in ("hydra", "seeds"):
        content.pop(key, None)
    for each in content.pop("defaults", []):
        if isinstance(each, str) and "/" not in each and each != "_self_":
            yield from _said(sweep.with_name(f"{each}.yaml"))
            continue
        pairs = each.items() if isinstance(each, dict) else [each.strip("/").partition("/")[::2]]
        for group, option in pairs:
            name = group.removeprefix("override ").strip("/ ")  # "_self_" comes without an option
            if option and not name.startswith("hydra/"):
                yield name, f"{name}={option}"
    for key, value in flatten(content):
        text = typed(value)
        yield key, f'{key}="{text}"' if "${" in text else f"{key}={text}"


def differing(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, Any]:
    """What the words choose that decides the result and is no group's default, by key."""
    found = {}
    for override in OverridesParser.create().parse_overrides(list(words)):
        key = override.key_or_group
        decides = not any(key == each or key.startswith(f"{each}.") for each in NOT_IDENTITY)
        if decides and not override.is_delete() and not override.is_sweep_override():
            value: Any = override.value()
            value = value.text if isinstance(value, QuotedString) else value
            if defaults.get(key) != value:
                found[key] = value
    return dict(sorted(found.items(), key=lambda item: item[0].startswith(_LAST)))
