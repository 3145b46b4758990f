"""What the Tab key offers: a command's own groups, options, keys and values, runs by name, and files.

Hydra asks `<command> -sc query=bash` with the line in COMP_LINE. Its own answer has the groups of every command, and
neither options in folders nor runs.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mtl_seg_depth.cli.arguments import NAMES
from mtl_seg_depth.cli.help_text import keys_of
from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.system.installation import root
from mtl_seg_depth.system.wording import typed

SHORT = 6
"""Digits of a fingerprint, as the table of runs has them."""


def answered(words: Sequence[str], options: Options) -> bool:
    """Whether the words of a command are a shell's question for completions; then they are printed."""
    asked = len(words) == 2 and words[0] in ("-sc", "--shell-completion") and words[1].startswith("query=")
    if asked:
        print("\n".join(offers(_typed_line(), options)))
    return asked


def offers(line: str, options: Options) -> list[str]:
    """Words that the last one of a command line, which may be empty, can become."""
    words = line.split()
    given = words[2 if words[0].rpartition("/")[2].startswith("python") else 1 :]
    word = "" if line.endswith(" ") or not given else given.pop()
    chosen = {**options.defaults, **dict(each.split("=", 1) for each in given if "=" in each)}
    key, equals, value = word.partition("=")
    if equals:
        found = (f"{key}={each}" for each in _values(key, value, options, chosen))
    else:
        found = (_to_next_dot(each, word) for each in _keys(options, chosen))
    return sorted({each for each in found if each.startswith(word) and not any(map(str.isspace, each))})


def registration(conf: Path) -> str:
    """A line for bash after those of Hydra: the Tab key asks in the same way after every `mtl-...`."""
    names = sorted(path.stem.replace("_", "-") for path in conf.glob("*.yaml") if path.stem != "base")
    return f"complete -o nospace -o default -F hydra_bash_completion {' '.join(f'mtl-{name}' for name in names)}"


def _keys(options: Options, chosen: Mapping[str, str]) -> Iterator[str]:
    for group, there_are in options.groups.items():
        yield f"{group}="
        for leaf in there_are.get(chosen[group], {}):
            if leaf != "_target_":
                yield f"{group}.{leaf}="
    for key in [each.name for each in keys_of(options.conf, options.config)]:
        yield f"{key}="
    yield from (f"{key}=" for key in options.keys if key.startswith("hydra."))


def _to_next_dot(key: str, word: str) -> str:
    """A dotted key up to its first dot behind what is typed: there are too many for one screen."""
    end = key.find(".", len(word))
    return key if end < 0 else key[: end + 1]


def _values(key: str, value: str, options: Options, chosen: Mapping[str, str]) -> Iterator[str]:
    if key in options.groups:
        yield from options.groups[key]
    elif key == "run" and "/" not in value:
        yield from _runs(Path(chosen.get("paths.outputs", root() / "outputs")), value)
    elif key in NAMES:
        yield from _files(value)
    else:
        yield from _scalars(key, options, chosen)


def _scalars(key: str, options: Options, chosen: Mapping[str, str]) -> Iterator[str]:
    """The default of a key, and what else its comment or its kind says."""
    group, _, leaf = key.rpartition(".")
    leaves = options.groups.get(group, {}).get(chosen.get(group, ""), {})
    default, allowed = typed(leaves[leaf]) if leaf in leaves else "", ""
    for each in keys_of(options.conf, options.config):
        if each.name == key:
            default, allowed = each.default, "".join(each.comment[:1]).partition(";")[0]
    yield from [default] if default and "$" not in default else ()
    yield from allowed.split("|") if "|" in allowed else ()
    yield from ("true", "false") if default in ("true", "false") else ()


def _runs(outputs: Path, value: str) -> Iterator[str]:
    """What `run=` takes: three names, folders of runs with best weights, and what their fingerprints begin with."""
    yield from ("latest", "best", "demo")
    for path in outputs.glob("*/best.pt"):
        yield path.parent.name
        if value:  # by what they begin with; all of them would say nothing
            yield _fingerprint(path.parent)[:SHORT]


def _fingerprint(folder: Path) -> str:
    """As the folder's name ends, or before its number."""
    return folder.name.rpartition("-")[2].partition(".")[0]


def _files(value: str) -> Iterator[str]:
    """Files and folders that a path which is typed in part can become."""
    before, slash, begun = value.rpartition("/")
    folder = Path(before + slash or ".").expanduser()
    for path in folder.iterdir() if os.access(folder, os.R_OK) and folder.is_dir() else ():
        if path.name.startswith(begun) and path.name.startswith(".") == begun.startswith("."):
            yield f"{before}{slash}{path.name}{'/' if path.is_dir() else ''}"


def _typed_line() -> str:
    """The line that the shell asks about, up to the cursor."""
    line = os.environ.get("COMP_LINE", "")
    return line[: int(os.environ.get("COMP_POINT") or len(line))]
