"""Words for people: names like the one they typed, what a refused value should be, and how long a thing takes."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """Up to three of the choices that look most like `word`, in either case; so does the last part of a dotted one."""
    known = {choice.lower(): choice for choice in sorted(choices)}
    word = word.lower()
    tail = word.rpartition(".")[2]
    same_tail = [choice for choice in known if choice.rpartition(".")[2] == tail]
    similar = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    tails = {choice.rpartition(".")[2]: choice for choice in known}
    similar_tail = [tails[match] for match in difflib.get_close_matches(tail, tails, n=3, cutoff=0.75)]
    return [known[each] for each in dict.fromkeys([*same_tail, *similar, *similar_tail])][:3]


def explain(error: ValidationError, prefix: str, known: Mapping[str, Any]) -> Iterator[str]:
    """One line for every problem pydantic found: the key, what it holds, and what would be right."""
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        key = prefix + ".".join(place)
        if problem["type"] == "extra_forbidden":
            siblings = known if len(place) == 1 else _fields(known[place[0]])
            close = nearest(place[-1], siblings)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(siblings))}."
            yield f"{key}: there is no such option; {hint}"
        elif problem["type"] == "missing":
            yield f"{key} is missing: give it a value"
        else:
            value = typed(problem["input"])
            message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
            if problem["type"] in ("is_instance_of", "sequence_str", "tuple_type", "list_type"):
                items = re.findall(r"[\d.]+", value) or [value]
                pair = problem["type"] == "is_instance_of" and len(items) == 1
                message = f"should be a list, such as [{','.join(items * 2 if pair else items)}]"
            yield f"{key}={value}: {message}"


def _fields(option: Any) -> Mapping[str, Any]:
    """The fields of an option that is a model, or may be one: a model's own, or a pair of annotation and default."""
    annotation = option[0] if isinstance(option, tuple) else option.annotation
    models = (annotation, *get_args(annotation))
    return next(each.model_fields for each in models if hasattr(each, "model_fields"))


def label(values: Mapping[str, Any]) -> str:
    """Chosen values by key, for people: `lr.value=0.00135, aspp=false` for lr.value=0.0013531 and model.aspp=false.

    A key is its last part, where that says something and no other key ends so; numbers have three digits.
    """
    short = names(values)
    return ", ".join(f"{short[key]}={_rounded(value)}" for key, value in values.items())


def names(keys: Iterable[str]) -> dict[str, str]:
    """What people call each key: its last part, where that says something and no other key ends so."""
    short = {key: _last_part(key) for key in keys}
    return {key: name if list(short.values()).count(name) == 1 else key for key, name in short.items()}


def _last_part(key: str) -> str:
    parts = key.split(".")
    return ".".join(parts[-2:] if parts[-1] in ("value", "name") else parts[-1:])


def _rounded(value: Any) -> str:
    """A value as a command line has it, a fraction with three digits that count."""
    return f"{value:.3g}" if isinstance(value, float) else typed(value)


def typed(value: object) -> str:
    """A value as a command line has it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str).replace('"', "")


def one_line(text: str) -> str:
    """A name that may be anything, for where there is but one line."""
    return re.sub(r"\s", " ", text)


def duration(seconds: float) -> str:
    """Seconds as people say them: 12.3 s, 4 min 05 s, 1 h 02 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
