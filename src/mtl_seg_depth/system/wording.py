"""Words for people: names like the one they typed, what a refused value should be, and how long a thing takes."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """Up to three of the choices that look most like `word`, the last part of a dotted choice counting as well."""
    choices = sorted(set(choices))
    tail = word.rpartition(".")[2]
    same_tail = [choice for choice in choices if choice.rpartition(".")[2] == tail]
    similar = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    tails = {choice.rpartition(".")[2]: choice for choice in choices}
    similar_tail = [tails[match] for match in difflib.get_close_matches(tail, tails, n=3, cutoff=0.75)]
    return list(dict.fromkeys([*same_tail, *similar, *similar_tail]))[:3]


def explain(error: ValidationError, prefix: str, known: Mapping[str, Any]) -> Iterator[str]:
    """One line for every problem pydantic found: the key, what it holds, and what would be right."""
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        key = prefix + ".".join(place)
        if problem["type"] == "extra_forbidden":
            siblings = known if len(place) == 1 else known[place[0]].annotation.model_fields
            close = nearest(place[-1], siblings)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(siblings))}."
            yield f"{key}: there is no such option; {hint}"
        elif problem["type"] == "missing":
            yield f"{key} is missing: give it a value"
        else:
            message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
            yield f"{key}={problem['input']}: {message}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 12.3 s, 4 min 05 s, 1 h 02 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
