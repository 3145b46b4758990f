"""What runs there are: who each is, what sets it apart, how good it is, what it took."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl_seg_depth.config import Paths, Section
from mtl_seg_depth.nodes import PACKAGE
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.folder import RunFolder, inside
from mtl_seg_depth.records.results import Card, RunResult
from mtl_seg_depth.scoring.headline import Rank, in_words, picked, rank
from mtl_seg_depth.system import installation, stored
from mtl_seg_depth.system.errors import UserError

SHORTEST_ID = 6
"""Digits of a fingerprint that are taken for one."""

MOST_IN_A_MESSAGE = 8

_NO_CHOICE = frozenset({"parameters", "steps"})
"""Parameters of a card that follow from others."""


class RunsSettings(Section):
    """What `runs.py` composes."""

    sort: Literal["newest", "best"]
    most: int | None
    paths: Paths


@dataclass(frozen=True)
class Listed:
    """A run as a list shows it.

    Attributes:
        folder: where it is.
        card: who it is.
        result: what it came to; None while it trains or was interrupted, and where that is damaged.
        scores: on its validation split, of its best weights, by name; empty if there are none.
    """

    folder: Path
    card: Card
    result: RunResult | None
    scores: Mapping[str, float]

    @property
    def rank(self) -> Rank:
        """By which it is compared with others; higher is better."""
        return rank(picked(self.scores, "val/"))

    @property
    def usable(self) -> bool:
        """Whether there are best weights."""
        return (self.folder / "best.pt").is_file()

    @property
    def status(self) -> str:
        """How it ended, or `unfinished`: in training, or interrupted."""
        return "unfinished" if self.result is None else self.result.status


def list_runs(outputs: Path) -> list[Listed]:
    """Every run in a folder, newest first. One that is damaged stops no other: it is left out."""
    found = []
    for path in outputs.glob("*/run.json"):
        try:
            folder = inside(outputs, path.parent.name)
        except UserError:
            continue
        card = stored.find(path, Card)
        if card is not None:
            result = stored.find(folder / "result.json", RunResult)
            scores = checkpoint.scores(folder / "best.pt") if result is None else result.best
            found.append(Listed(folder, card, result, scores))
    return sorted(found, key=lambda run: run.card.started, reverse=True)


def best_first(runs: Collection[Listed]) -> list[Listed]:
    """Runs by their scores, those without any at the end."""
    return sorted(runs, key=lambda run: run.rank, reverse=True)


def short_ids(runs: Collection[Listed]) -> dict[Path, str]:
    """By folder, as much of the fingerprint as names no other config."""
    prints = {run.card.fingerprint for run in runs}

    def shortest(fingerprint: str) -> str:
        ends = range(SHORTEST_ID, len(fingerprint))
        alone = (end for end in ends if sum(each.startswith(fingerprint[:end]) for each in prints) == 1)
        return fingerprint[: next(alone, len(fingerprint))]

    return {run.folder: shortest(run.card.fingerprint) for run in runs}


def differences(runs: Sequence[Listed]) -> dict[Path, str]:
    """By folder, what is set apart from what most of these runs have: `loss berhu, lr.value 0.01`.

    An option of a group stands for the values in it.
    """
    values: dict[str, Counter[str]] = {}
    for run in runs:
        for key, value in run.card.params.items():
            values.setdefault(key, Counter())[value] += 1
    usual = {key: counted.most_common(1)[0][0] for key, counted in values.items()}

    def apart(params: Mapping[str, str]) -> Iterator[str]:
        keys = [key for key, value in params.items() if value != usual[key] and key not in _NO_CHOICE]
        for key in sorted(keys):
            if not any(key.startswith(f"{other}.") for other in keys):
                value = params[key]
                ours = value.startswith(f"{PACKAGE}.")
                yield f"{key} {value.rpartition('.')[2].lower() if ours else _rounded(value)}"

    return {run.folder: ", ".join(apart(run.card.params)) for run in runs}


def _rounded(value: str) -> str:
    """A number of many digits with three; anything else as it is."""
    try:
        return value if len(value) < 8 else f"{float(value):.3g}"
    except ValueError:
        return value


def in_a_message(runs: Sequence[Listed], outputs: Path) -> str:
    """The newest of some runs with what they are called and their scores, a line each."""
    usable = [run for run in runs if run.usable]
    if not usable:
        return f"no run in {outputs} has best weights"
    ids = short_ids(runs)
    shown = usable[:MOST_IN_A_MESSAGE]
    width = max(len(run.card.name) for run in shown)
    lines = [f"  {ids[run.folder]}  {run.card.name:{width}}  {in_words(run.scores)}".rstrip() for run in shown]
    more = len(usable) - len(shown)
    lines += [f"  and {more} more in {outputs}: {installation.command('runs')}"] if more else []
    return "\n".join(["newest first there are", *lines])


def age(run: Listed) -> str:
    """How long ago a run began, in one unit."""
    seconds = max(0.0, time.time() - run.card.started / 1000)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(run: Listed) -> int:
    """Bytes of everything in its folder."""
    return RunFolder(run.folder).size
