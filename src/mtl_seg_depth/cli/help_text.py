"""The tables of `--help`, read out of the config files: a comment there is the only description of its key.

A description stands beside its key (or its entry in the defaults list), and goes on in lines that hold nothing but a
comment in the same column. Nothing heavy is imported here: `--help` answers at once.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader

WIDTH = 110
"""Characters in a line of the tables."""

NAMES_WIDTH = 30
"""Longest `key=default` that has its description beside it; that of a longer one begins in the next line."""


@dataclass(frozen=True)
class Entry:
    """A key outside the groups, or a group: dotted name, default as the file has it, lines of the comment."""

    name: str
    default: str
    comment: tuple[str, ...]


def help_tables(conf: Path, config: str, loader: ConfigLoader) -> str:
    """Every group with its options, and every other key, of the command that composes `conf`/`config`.yaml."""
    groups = [row for group in groups_of(conf, config) for row in _group_rows(group, loader)]
    keys = [(f"{key.name}={key.default}", key.comment) for key in keys_of(conf, config)]
    names_width = max(len(name) for name, _ in groups + keys if len(name) <= NAMES_WIDTH)
    lines = []
    if groups:
        lines.append("Groups (group=option), each option a file that says what else it takes, such as lr.value=1e-3:")
        lines += [line for row in groups for line in _lines(*row, names_width)]
        lines.append("")
    lines.append("Keys (key=value), with their defaults:")
    lines += [line for row in keys for line in _lines(*row, names_width)]
    return "\n".join(lines)


def keys_of(conf: Path, config: str) -> Iterator[Entry]:
    """The keys that a command's own file gives, and then those of the files it is based on."""
    text, root = _read(conf, config)
    yield from _leaves(text, root, "")
    for entry in _defaults(root):
        if isinstance(entry, yaml.ScalarNode) and entry.value != "_self_":
            yield from keys_of(conf, entry.value)


def groups_of(conf: Path, config: str) -> Iterator[Entry]:
    """The groups that a command chooses from, in their order; Hydra's own are not among them."""
    text, root = _read(conf, config)
    for entry in _defaults(root):
        if isinstance(entry, yaml.MappingNode) and not entry.value[0][0].value.startswith("override "):
            yield from _leaves(text, entry, "")


def _read(conf: Path, config: str) -> tuple[str, yaml.MappingNode]:
    text = (conf / f"{config}.yaml").read_text(encoding="utf-8")
    return text, _parsed(text)


@cache
def _parsed(text: str) -> yaml.MappingNode:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return root


def _defaults(root: yaml.MappingNode) -> list[Any]:
    return next((list(value.value) for key, value in root.value if key.value == "defaults"), [])


def _leaves(text: str, node: yaml.MappingNode, prefix: str) -> Iterator[Entry]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name in ("defaults", "hydra"):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _leaves(text, value, f"{name}.")
        else:
            default = text[value.start_mark.index : value.end_mark.index]
            if isinstance(value, yaml.SequenceNode):
                default = default.replace(", ", ",")  # as a shell takes it
            yield Entry(name, default, _comment(text, value.end_mark))


def _comment(text: str, end: yaml.Mark) -> tuple[str, ...]:
    """The lines of the comment that begins after a value."""
    first, *below = text.splitlines()[end.line :]
    column = first.find("#", end.column)
    if column < 0 or first[end.column : column].strip():
        return ()
    lines = [first]
    for line in below:
        if line.find("#") != column or line[:column].strip():
            break
        lines.append(line)
    return tuple(line[column + 1 :].removeprefix(" ").rstrip() for line in lines)


def _group_rows(group: Entry, loader: ConfigLoader) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A group and, if options lie in folders, a row for those."""
    options = ", ".join(loader.get_group_options(group.name))
    *first, last = group.comment or ("",)
    yield f"{group.name}={group.default}", (*first, f"{last}: {options}")
    if folders := loader.list_groups(group.name):
        every = (f"{folder}/ {' '.join(loader.get_group_options(f'{group.name}/{folder}'))}" for folder in folders)
        yield f"{group.name}=<folder>/<row>", ("; ".join(every),)


def _lines(name: str, comment: tuple[str, ...], names_width: int) -> Iterator[str]:
    """A name with its description beside it. What is indented in the comment stays so, in lines of its own."""
    paragraphs: list[str] = []
    for line in comment:
        if paragraphs and not line.startswith(" "):
            paragraphs[-1] += f" {line}"
        else:
            paragraphs.append(line)
    beside = " " * (2 + names_width + 2)
    wrapped: list[str] = []
    for paragraph in paragraphs:
        hanging = "    " if paragraph.startswith(" ") else ""
        wrapped += textwrap.wrap(
            paragraph,
            WIDTH,
            initial_indent=beside,
            subsequent_indent=beside + hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    if len(name) <= names_width and wrapped:
        wrapped[0] = f"  {name}".ljust(len(beside)) + wrapped[0][len(beside) :]
    else:
        wrapped.insert(0, f"  {name}")
    yield from wrapped
