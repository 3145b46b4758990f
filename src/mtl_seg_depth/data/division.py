"""How images are divided among the splits: by a field of their names, by lists, or by seeded shares."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.data.patterns import Key, order


class Division(Protocol):
    """Which images a split has."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that there are."""

    def known(self, split: str) -> list[dict[str, str]]:
        """Values of fields to look for."""

    def members(self, split: str, keys: Sequence[Key], fields: Sequence[str]) -> list[Key]:
        """The keys, out of all that were found, that are the split's; `fields` are the names of their values."""


@dataclass(frozen=True)
class ByFields:
    """By the values of fields, such as the names of folders: by split, what each field may be."""

    values: Mapping[str, Mapping[str, Sequence[str]]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Those for which every field has a value."""
        return tuple(split for split, fields in self.values.items() if all(fields.values()))

    def known(self, split: str) -> list[dict[str, str]]:
        """Every combination of the split's values."""
        fields = self.values[split]
        return [dict(zip(fields, chosen, strict=True)) for chosen in itertools.product(*fields.values())]

    def members(self, split: str, keys: Sequence[Key], fields: Sequence[str]) -> list[Key]:  # noqa: ARG002
        """All: nothing else was looked for."""
        return list(keys)


@dataclass(frozen=True)
class ByList:
    """By files that list the images of a split, one a line: the values of its fields with slashes between them."""

    files: Mapping[str, Path]

    @property
    def splits(self) -> tuple[str, ...]:
        """Those with a list."""
        return tuple(self.files)

    def known(self, split: str) -> list[dict[str, str]]:  # noqa: ARG002
        """Nothing."""
        return [{}]

    def members(self, split: str, keys: Sequence[Key], fields: Sequence[str]) -> list[Key]:
        """Those that are listed; DamagedFileError for a line that is none of them."""
        path = self.files[split]
        try:
            lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise DamagedFileError(path, f"cannot be read: {error}; expected one image a line") from error
        named = {"/".join(key): key for key in keys}
        wrong = [line for line in lines if line not in named]
        if wrong:
            form = "/".join(f"{{{field}}}" for field in fields)
            raise DamagedFileError(
                path, f"lists {wrong[0]!r}, and no image has that {form}; expected such as {next(iter(named))}"
            )
        return sorted({named[line] for line in lines}, key=order)


@dataclass(frozen=True)
class ByShare:
    """By shares of 0 to 1, drawn with a seed; images that share all fields but the last, a sequence, stay together."""

    shares: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if min(self.shares.values()) < 0 or not 0 < sum(self.shares.values()) <= 1 + 1e-9:
            raise ValueError(f"shares of the splits are 0 or more and at most 1 together, not {dict(self.shares)}")

    @property
    def splits(self) -> tuple[str, ...]:
        """Those with a share."""
        return tuple(split for split, share in self.shares.items() if share > 0)

    def known(self, split: str) -> list[dict[str, str]]:  # noqa: ARG002
        """Nothing."""
        return [{}]

    def members(self, split: str, keys: Sequence[Key], fields: Sequence[str]) -> list[Key]:  # noqa: ARG002
        """The split's sequences: smaller splits are served first, so that none stays empty."""
        groups: dict[Key, list[Key]] = {}
        for key in keys:
            groups.setdefault(key[:-1] or key, []).append(key)
        drawn = sorted(groups, key=lambda group: hashlib.sha256(repr((self.seed, group)).encode()).digest())
        for name in sorted(self.splits, key=lambda each: self.shares[each]):
            chosen: list[Key] = []
            while drawn and len(chosen) < max(1, round(self.shares[name] * len(keys))):
                chosen += groups[drawn.pop()]
            if name == split:
                return sorted(chosen, key=order)
        raise AssertionError(split)
