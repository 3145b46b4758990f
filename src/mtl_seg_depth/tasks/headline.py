"""The one score of a task that runs are chosen and compared by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """What a task's main score is called and which way is better.

    Attributes:
        key: its name in records and tables: the task's own.
        title: in words, as a column's heading has it.
        short: where there is little room.
        unit: of its values; empty for none.
        higher_is_better: which of two values is better.
        pivot: the value beyond which it adds to the multitask score; None for a score that is no part of that.
    """

    key: str
    title: str
    short: str
    unit: str
    higher_is_better: bool
    pivot: float | None = None

    @property
    def arrow(self) -> str:
        """The direction that is better."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        """Title, unit and direction: `mean IoU, % ↑`."""
        return f"{self.title}{f', {self.unit}' if self.unit else ''} {self.arrow}"

    def points(self, value: float) -> float:
        """What a value adds to the multitask score: how far it is beyond the pivot, never less than 0."""
        return 0.0 if self.pivot is None else max(self.gain(value) - self.gain(self.pivot), 0.0)

    def gain(self, value: float) -> float:
        """The value, turned so that higher is better."""
        return value if self.higher_is_better else -value
