"""The words of a command line: quoted for Hydra's grammar, or answered by the line that was meant."""

import re
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import ConfigCompositionException, HydraException

from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest

NAMES = frozenset(
    (
        *(
            "name",
            "run",
            "beside",
            "input",
            "output",
            "submission",
            "picture",
            "out",
            "to",
            "pretrained",
            "encoder.weights",
        ),
        *("data.root", "data.cache", "data.images", "data.masks", "data.depths", "data.licence", "data.source", "map"),
        *("paths.root", "paths.datasets", "paths.outputs", "tracking.uri", "tracking.experiment", "tracking_uri"),
        *("hydra.sweeper.study_name", "hydra.sweeper.storage"),
    )
)
"""Keys of names and places: their values are text, whatever else the grammar might take them for."""

_COMPLETE = re.compile(r"[^=\s]([^=]*[^=\s])?=\S.*|~.+", re.DOTALL)
_BLANKS = re.compile(r" *= *|(?<=[,\[{]) +| +(?=[,\]}])")
"""Blanks that a line of words has none of."""

_PLACE = re.compile(r"[/.~]|\w:\\")
"""How a path begins."""

_AS_IT_STANDS = re.compile(r"null|\".*\"|'.*'|.*\$\{.+\}.*", re.DOTALL)
"""What is quoted already, and what is no text: nothing, or the value of another key."""


def read(words: Sequence[str], options: Options) -> list[str]:
    """The words as Hydra takes them: values that its grammar cannot read are quoted.

    Raises UserError, with the line that was probably meant, for words that are no flag and no `key=value`, for values
    that no config group takes, and for several values where no sweep was asked for.
    """
    words = _without_nothing(words, options)
    flags = get_args_parser()
    flags.allow_abbrev = flags.exit_on_error = False
    try:
        given, unknown = flags.parse_known_intermixed_args(list(words))
    except ArgumentError as error:
        raise UserError(str(error).replace("ignored explicit argument", "it takes no value, such as")) from None
    if unknown:
        known = [flag for flag in flags._option_string_actions if flag.startswith("--")]
        raise UserError(f"{unknown[0]}: there is no such flag; {_flag_meant(unknown[0], words, known, options)}")
    if bare := [word for word in given.overrides if not _COMPLETE.fullmatch(word)]:
        meant = _line_meant(bare, given.overrides, options)
        hint = f"did you mean {meant}?" if meant else "such as seed=1; --help lists them"
        raise UserError(f"{bare[0]}: options are written key=value, without blanks; {hint}")
    readable = {word: _readable(word, given.multirun, options) for word in given.overrides}
    return [readable.get(word, word) for word in words]


def names_a_sweep(words: Sequence[str]) -> bool:
    """Whether the words ask for one of the files in sweeps/."""
    return _that_count(words).get("sweeps", "null") != "null"


def given_twice(words: Sequence[str]) -> Iterator[str]:
    """Words that do not count, as a later one gives the same key."""
    counts = _that_count(words)
    for word in words:
        key, equals, value = word.partition("=")
        if equals and value != counts[key]:
            yield f"{key}={counts[key]} counts, not {word}"


def _without_nothing(words: Sequence[str], options: Options) -> list[str]:
    """The words less those of a group that is nothing by itself and is given as that: Hydra has no word for it."""
    counts = _that_count(words)
    nothing = {group for group, default in options.defaults.items() if default == counts.get(group) == "null"}
    return [word for word in words if word.partition("=")[0] not in nothing]


def _that_count(words: Sequence[str]) -> dict[str, str]:
    """The value of every key among the words: the last one, where there are several."""
    return {key: value for key, equals, value in (word.partition("=") for word in words) if equals}


def left_to_the_rows(error: ConfigCompositionException, words: Sequence[str]) -> list[str] | None:
    """The words for another try where a key that Hydra did not find may be one that only some rows of a sweep have.

    Such as optimizer.momentum: as a choice of one it is the sweeper's to judge, which composes each row alone. None
    where that is no way out.
    """
    unknown = re.match(r"Could not override '([\w.]+)'", str(error))
    if unknown is None or unknown[1].startswith("hydra.") or not {"-m", "--multirun"} & set(words):
        return None
    fixed = re.compile(rf"({re.escape(unknown[1])}=)(?!choice\()(.*)", re.DOTALL)
    tried = [fixed.sub(r"\1choice(\2)", word) if fixed.fullmatch(word) else word for word in words]
    return tried if tried != list(words) else None


def _flag_meant(word: str, words: Sequence[str], flags: Sequence[str], options: Options) -> str:
    """Most flags that there are not were meant as keys."""
    name, equals, value = word.lstrip("-").partition("=")
    after = [*words[words.index(word) + 1 :], "-"][0]
    if not equals and "=" not in after and not after.startswith("-"):
        value = after
    for key in nearest(name.replace("-", "_"), options.keys)[:1]:
        return f"did you mean {options.meant(key, value or '...')}?"
    close = nearest(word, flags)
    return f"did you mean {close[0]}?" if close else "--help lists what there is"


def _line_meant(bare: Sequence[str], words: Sequence[str], options: Options) -> str:
    """The line that was probably meant where some words have no value; "" if there is no telling."""
    word = bare[0]
    joined = _BLANKS.sub(lambda blanks: blanks[0].strip(), " ".join(words)).split(" ")
    new = [each for each in joined if each not in words]
    if all(map(_COMPLETE.fullmatch, joined)) and all(each.count("=") == 1 for each in new):
        return " ".join(new)
    if word.strip("-?/") in ("", "h", "help"):
        return "--help"
    for separator in reversed([*re.finditer("[:/. ]", word)]):
        key, value = word[: separator.start()], word[separator.end() :]
        if key in options.keys and value:
            return options.meant(key, value)
    if "=" in word:
        return ""
    if options.positional:
        return " ".join(f"{key}={value}" for key, value in zip(options.positional, bare, strict=False))
    if word in options.keys:
        return f"{word}=..."
    if _PLACE.match(word) and "data" in options.groups:
        return options.meant("data", word)
    return next((f"{group}={word}" for group, there_are in options.groups.items() if word in there_are), "")


def _readable(word: str, many: bool, options: Options) -> str:
    """A word as the grammar takes it; `many` if commas stand between the values of a sweep."""
    key, _, value = word.partition("=")
    name = key.lstrip("+")
    if name == "input" and value.startswith("[") and value.endswith("]"):
        quoted = f"[{_quoted(value[1:-1], True)}]"
    else:
        quoted = _quoted(value, many and name in NAMES)
    for word in (word, f"{key}={quoted}", f"{key}={_quote(value)}"):  # noqa: B020  (the first that is right)
        override = _parsed(word)
        if override and (name not in NAMES or _is_text(override, word.partition("=")[2], many, name)):
            break
    else:
        raise UserError(options.unknown(key))
    if override.is_sweep_override() and not many:
        number = ""
        if re.fullmatch(r"-?\d+(,\d{3})+|-?\d,\d+", value):
            number = f"; a number is written {re.sub(',(?=(...)+$)', '', value).replace(',', '.')}"
        raise UserError(f"{word}: several values: add -m to run each of them; a list is written [{value}]{number}")
    if (name in options.defaults or "/" in name) and not override.is_delete():
        _check_choice(name, value, override, options)
    return word


def _is_text(override: Override, typed: str, many: bool, key: str) -> bool:
    """Whether the grammar takes a name for the text that it is."""
    value: Any = override.value()
    if override.is_sweep_override():
        return many and all(isinstance(each, str | QuotedString) for each in getattr(value, "list", ()))
    if isinstance(value, list):
        return key == "input"
    return value == typed or bool(_AS_IT_STANDS.fullmatch(typed))


def _check_choice(group: str, typed: str, override: Override, options: Options) -> None:
    """Raise UserError for what is no name of one option."""
    there_are = options.groups.get(group, {})
    value: Any = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    is_place = isinstance(value, str) and bool(there_are) and _PLACE.match(value)
    listed = options.listed(there_are, "; there are {}")
    mistake = ""
    if isinstance(value, list) and (group == "sweeps" or any(there_are.values())):
        mistake = f"one option at a time{listed}"
    elif group == "sweeps" and override.is_sweep_override():
        mistake = "one sweep at a time"
    elif value is None and options.defaults.get(group) != "null":
        mistake = f"there has to be one{listed}"
    elif is_place or any(isinstance(each, int | float) for each in values):
        meant = options.meant(group, typed)
        mistake = f"{group} is a group{options.listed(there_are, ' ({})')}{f'; did you mean {meant}?' if meant else ''}"
    if mistake:
        raise UserError(f"{group}={typed}: {mistake}")


def _parsed(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def _quoted(value: str, many: bool) -> str:
    """Text in quotes, or each text of several."""
    parts = [part.strip() for part in value.split(",")] if many else [value]
    return ",".join(part if _AS_IT_STANDS.fullmatch(part) else _quote(part) for part in parts)


def _quote(text: str) -> str:
    quoted: str = QuotedString(text=text.replace("${", "\\${"), quote=Quote.double).with_quotes()
    return quoted
