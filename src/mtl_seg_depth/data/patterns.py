"""Files that belong together, found by patterns such as `depth/{split}/{city}/{name}.png`."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mtl_seg_depth.data.files import DamagedFileError

_FIELD: Final = re.compile(r"\{([a-z_]+)\}")
_ARCHIVES: Final = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})

Key = tuple[str, ...]
"""What tells an image from others: the values of its pattern's fields."""


@dataclass(frozen=True)
class Pattern:
    """A path below a data set's root: `{field}` stands for a part of a name and means the same wherever it appears,
    `*` for anything; neither for a slash.
    """

    text: str

    @property
    def fields(self) -> list[str]:
        """Their names, in the order of the text, each once."""
        return list(dict.fromkeys(_FIELD.findall(self.text)))

    @property
    def literal(self) -> int:
        """How many characters stand for themselves: a file is of the pattern that says most of its name."""
        return len(_FIELD.sub("", self.text))

    def filled(self, known: Mapping[str, str]) -> "Pattern":
        """With values for some fields."""
        return Pattern(_FIELD.sub(lambda match: known.get(match[1], match[0]), self.text))

    @property
    def expression(self) -> re.Pattern[str]:
        """What a name that fits looks like, with a group for every field."""
        seen: set[str] = set()
        expression = ""
        for i, part in enumerate(_FIELD.split(self.text)):
            if i % 2 == 0:
                expression += re.escape(part).replace(r"\*", "[^/]*")
            else:
                expression += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+)"
                seen.add(part)
        return re.compile(expression, re.DOTALL)

    def find(self, root: Path, known: Mapping[str, str]) -> list[tuple[dict[str, str], str]]:
        """All fields' values of every file that fits with the values that are known, and its name below `root`; hidden
        ones aside.
        """
        places = _FIELD.split(self.filled(known).text)  # literal, field, literal, ...
        search = "".join(re.sub(r"[?\[]", r"[\g<0>]", part) if i % 2 == 0 else "*" for i, part in enumerate(places))
        fits = self.filled(known).expression
        mine = {name: value for name, value in known.items() if name in self.fields}
        matches = ((name, fits.fullmatch(name)) for name in glob.iglob(search, root_dir=root))  # noqa: PTH207
        return [(match.groupdict() | mine, name) for name, match in matches if match]


def order(key: Key) -> list[list[str | int]]:
    """To sort by, numbers as numbers: 10 after 9."""
    return [[int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", value))] for value in key]


def nothing_found(root: Path, pattern: Pattern) -> DamagedFileError:
    """Why nothing in `root` fits a pattern: the folder that is missing, what is there instead, what is still packed."""
    if not root.is_dir():
        return DamagedFileError(
            root, f"is not a folder; expected {root}/{pattern.text}. Set data.root=<folder> to where the data is."
        )
    where, rest = root, pattern.text.split("/")
    while len(rest) > 1 and not glob.has_magic(rest[0]) and "{" not in rest[0] and (where / rest[0]).is_dir():
        where, rest = where / rest.pop(0), rest
    there = sorted(path.name for path in where.iterdir() if not path.name.startswith("."))
    archives = sorted({path.name for at in (root, where) for path in at.iterdir() if path.suffix.lower() in _ARCHIVES})
    holds = f"; it holds {', '.join(there[:4])}{', ...' if len(there) > 4 else ''}" if there else "; it is empty"
    unpack = f". Unpack {' and '.join(archives[:4])} first" if archives else ""
    return DamagedFileError(where, f"holds no {'/'.join(rest)}{holds}{unpack}")
