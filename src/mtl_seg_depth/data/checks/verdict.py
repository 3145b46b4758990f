"""What a check found, in words."""

from dataclasses import dataclass
from typing import Final, Literal

LOOK: Final = "look at this"

Mark = Literal["ok", "look at this", "not checked"]

FEWEST: Final = 8
"""Images that have to show a thing before anything is said of it."""


@dataclass(frozen=True)
class Verdict:
    """One check's answer.

    Attributes:
        mark: what it comes to; `not checked` where there is too little to go by.
        about: what was checked, in a word or two.
        words: what was measured, and what it means.
    """

    mark: Mark
    about: str
    words: str


def unchecked(about: str, why: str) -> Verdict:
    """Too little to go by."""
    return Verdict("not checked", about, why)
