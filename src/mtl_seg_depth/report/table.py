"""A table as data."""

from dataclasses import dataclass, replace
from itertools import groupby

from mtl_seg_depth.tasks.headline import Headline


def heading(score: Headline) -> str:
    """A score as a column or an axis with little room names it: `mIoU, % ↑`."""
    return replace(score, title=score.short).heading


@dataclass(frozen=True)
class Column:
    """A column's heading, and that of the group it stands in with its neighbours of the same group."""

    title: str
    group: str = ""
    numeric: bool = False
    wraps: bool = False
    """Whether its texts may be long, and are better on several lines."""


@dataclass(frozen=True)
class Cell:
    """Plain text; `mark` names a verdict, `link` a section of the page."""

    text: str
    bold: bool = False
    muted: bool = False
    mark: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str

    @property
    def full_titles(self) -> list[str]:
        """Each column's heading with its group's, for where there are no groups."""
        return [f"{column.title}, {column.group}" if column.group else column.title for column in self.columns]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Adjacent columns of one group, with how many they are; empty if no column is in a group."""
        if not any(column.group for column in self.columns):
            return []
        return [(name, len(list(columns))) for name, columns in groupby(column.group for column in self.columns)]
