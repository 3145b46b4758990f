"""File names on a command line, for a grammar that knows no blanks, brackets, commas or accents outside quotes."""

import re
from collections.abc import Collection, Iterable

_PLAIN = re.compile(r"[\w/.\-+*?%@]*", re.ASCII)
_QUOTED_ALREADY = ('"', "'", "[")


def quote_names(arguments: Iterable[str], keys: Collection[str]) -> list[str]:
    """The arguments with the values of `keys` quoted where the override grammar needs it; a list is left as it is."""
    quoted = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in keys and not _PLAIN.fullmatch(value) and not value.startswith(_QUOTED_ALREADY):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"') if '"' in value else value
            argument = f'{key}="{escaped}"'
        quoted.append(argument)
    return quoted
