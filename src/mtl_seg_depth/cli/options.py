"""What a command has to choose from, read out of its config files, and the nearest of it to what somebody typed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mtl_seg_depth.cli.help_text import groups_of, keys_of
from mtl_seg_depth.config import flatten
from mtl_seg_depth.system.wording import nearest

MOST_LISTED = 32
"""Options in a message."""

NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """Of the command that composes `conf`/`config`.yaml."""

    conf: Path
    config: str

    @cached_property
    def defaults(self) -> dict[str, str]:
        """The option that every group has without being asked; "null" for none."""
        return {group.name: group.default for group in groups_of(self.conf, self.config)}

    @cached_property
    def groups(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By group and option, what its file says; nothing of one that is merged into the whole config."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for group in self.defaults:
            folder = next(each / group for each in (self.conf, self.conf.parent) if (each / group).is_dir())
            texts = {
                path.relative_to(folder).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
                for path in sorted(folder.rglob("*.yaml"))
            }
            found[group] = {
                name: {} if text.startswith("# @package _global_") else dict(flatten(yaml.safe_load(text)))
                for name, text in texts.items()
            }
        return found

    @cached_property
    def keys(self) -> dict[str, str]:
        """Every group and every key of every option, each with the options that have it where not all do."""
        keys = {key.name: "" for key in keys_of(self.conf, self.config)}
        for group, options in self.groups.items():
            keys[group] = ""
            for leaf in sorted(set().union(*options.values()) - {"_target_"}):
                having = [name for name, leaves in options.items() if leaf in leaves]
                keys[f"{group}.{leaf}"] = "" if len(having) == len(options) else f"{group}={' or '.join(having)}"
        if "sweeps" in self.groups:
            from hydra_plugins.mtl_seg_depth.sweeper import SweeperConf

            keys |= {f"hydra.sweeper.{field.name}": "" for field in fields(SweeperConf) if field.name != "defaults"}
        return keys

    @property
    def positional(self) -> list[str]:
        """The keys that a command is about, in the order in which other programs take them without their names."""
        keys = [key.name for key in keys_of(self.conf, self.config)]
        return keys[:2] if keys[0] in ("run", "out") else []

    def unknown(self, key: str) -> str:
        """What to say of a key that is not in the config: who has it, or the names like it, its own group's first."""
        key = key.lstrip("+~")
        if key in self.keys:
            having = f"{self.keys[key]} has it" if self.keys[key] else "another word takes it away"
            return f"{key}: there is no such option with these choices; {having}"
        group, _, tail = key.rpartition(".")
        beside = [each.removeprefix(f"{group}.") for each in self.keys if each.rpartition(".")[0] == group]
        close = [f"{group}.{each}" for each in nearest(tail, beside)] if group else []
        close = close or nearest(key, self.keys)
        named = [f"{each} (with {self.keys[each]})" if self.keys[each] else each for each in close]
        hint = f"did you mean {' or '.join(named)}?" if close else "--help lists what there is."
        return f"{key}: there is no such option; {hint}"

    def meant(self, key: str, value: str) -> str:
        """`key=value`; of a group without that option, the option or the key that is for such a value, or ""."""
        options = self.groups.get(key, {})
        if value in options or not options:
            return f"{key}={value}"
        if "/" not in value:
            for option in [each for each in options if each.endswith(value)] or nearest(value, options):
                return f"{key}={option}"
        is_number = NUMBER.fullmatch(value.partition(",")[0])
        for leaf, default in options.get(self.defaults[key], {}).items():
            if type(default) in (int, float) if is_number else "/" in value and "/" in str(default):
                return f"{key}.{leaf}={value}"
        return ""

    @staticmethod
    def listed(options: Iterable[str], form: str, otherwise: str = "") -> str:
        """Their names in a form such as "there are {}", unless they are too many for a message."""
        names = sorted(options)
        return form.format(", ".join(names)) if 0 < len(names) <= MOST_LISTED else otherwise
