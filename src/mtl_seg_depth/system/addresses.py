"""Addresses of servers and databases, without what in them may be secret: the one place that takes it out."""

import re
from typing import Any
from urllib.parse import urlsplit

from mtl_seg_depth.system.errors import UserError

HIDDEN = "***"

_ADDRESS = re.compile(r"([\w+.-]+://)(\S*?)(?=['\")\]},;]*(?:\s|$))")
_QUERY = re.compile(r"(/\S*?\?)(?=\S*=)\S+")  # of an address whose beginning is left out, as in requests' messages


def redact(text: str) -> str:
    """`text` where in every address the user, the password, the query and the fragment are `***`.

    Passwords that people forget to encode hold `@ / ? #` themselves: all up to the last `@` counts as theirs.
    """
    return _QUERY.sub(rf"\g<1>{HIDDEN}", _ADDRESS.sub(lambda found: found[1] + _without_secrets(*found.groups()), text))


def redacted(tree: Any) -> Any:
    """Nested plain values, every text in them redacted."""
    if isinstance(tree, dict):
        return {key: redacted(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [redacted(value) for value in tree]
    return redact(tree) if isinstance(tree, str) else tree


def check_address(key: str, address: str) -> None:
    """Raise UserError for an address that libraries would take apart at the wrong place, and print a part of."""
    rest = address.partition("://")[2]
    try:
        well = _is_file(address, rest) or rest.count("@") == urlsplit(address).netloc.count("@") <= 1
    except ValueError:
        well = False
    if not well:
        raise UserError(
            f"{key}={redact(address)}: in a user's name or a password, @ is written %40, and / ? # [ ] likewise "
            "(urllib.parse.quote does it); a tracking server's belong into the environment, see docs/trust.md"
        )


def _is_file(scheme: str, rest: str) -> bool:
    """Whether what follows `scheme` is a path, which has no user; after `http://` it is a password that begins so."""
    return rest.startswith("/") and scheme.startswith(("sqlite", "file:"))


def _without_secrets(scheme: str, rest: str) -> str:
    is_file = _is_file(scheme, rest)
    if "@" in rest and not is_file:
        rest = f"{HIDDEN}@{rest.rpartition('@')[2]}"
    for mark in "?" if is_file else "?#":
        before, found, after = rest.partition(mark)
        rest = f"{before}{found}{HIDDEN if after else ''}"
    return rest
