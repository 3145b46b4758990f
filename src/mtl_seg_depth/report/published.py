"""The field's tables, as `published/` holds them: what others have printed, with the source of every row."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from mtl_seg_depth.scoring import delta

Text = Annotated[str, Field(min_length=1)]


class Row(BaseModel):
    """One method's scores as printed, and the delta_m printed beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Text
    scores: Mapping[str, FiniteFloat]
    delta: FiniteFloat | None = None
    delta_std: FiniteFloat | None = None
    source: Text


class Ours(BaseModel):
    """Where our runs of a published table are, and what is what in them.

    Attributes:
        sweep: that trains the rows.
        vary: the parameter of the sweep whose values tell its rows apart.
        scores: what each metric is called in our record of a validation.
        alone: the value of each task's row trained by itself; together they are the table's first row.
        methods: of other rows, the value in the sweep; a row that is not here is none of ours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sweep: Text
    vary: Text
    scores: Mapping[str, Text]
    alone: Mapping[str, Text]
    methods: Mapping[str, Text]


class Published(BaseModel):
    """One table; its first row is every task trained alone, which the others are compared with.

    `delta` says what is averaged (`scoring/delta.py`). Unless the table is `complete`, the papers' delta is over more
    metrics than are here, and cannot be computed again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Text
    recipe: Mapping[str, Any]
    delta: Literal["metrics", "tasks"]
    complete: bool
    tasks: Mapping[str, Mapping[str, Literal["higher", "lower"]]]
    ours: Ours | None = None
    rows: Annotated[list[Row], Field(min_length=2)]

    @model_validator(mode="after")
    def _whole(self) -> "Published":
        metrics = {metric for names in self.tasks.values() for metric in names}
        if wrong := [row.method for row in self.rows if set(row.scores) != metrics]:
            raise ValueError(f"the scores of {' and '.join(wrong)} are not {sorted(metrics)}")
        if len({row.method for row in self.rows}) < len(self.rows):
            raise ValueError("a method has two rows")
        if self.ours and set(self.ours.scores) != metrics:
            raise ValueError(f"ours.scores are of {sorted(self.ours.scores)} and not of {sorted(metrics)}")
        if self.ours and set(self.ours.alone) != set(self.tasks):
            raise ValueError(f"ours.alone is of {sorted(self.ours.alone)} and not of {sorted(self.tasks)}")
        if self.ours and (strange := set(self.ours.methods) - {row.method for row in self.rows[1:]}):
            raise ValueError(f"ours.methods: no row is called {' or '.join(sorted(strange))}")
        return self

    def computed(self, row: Row) -> float:
        """A row's delta in the table's convention, from its scores."""
        return self.delta_of(row.scores, self.rows[0].scores)

    def delta_of(self, scores: Mapping[str, float], alone: Mapping[str, float]) -> float:
        """The delta in the table's convention of scores against those of the tasks trained alone."""
        tasks = {task: {name: way == "higher" for name, way in names.items()} for task, names in self.tasks.items()}
        function = delta.over_metrics if self.delta == "metrics" else delta.over_tasks
        return function(scores, alone, tasks)


@cache
def published() -> dict[str, Published]:
    """Every table by its name."""
    files = sorted(Path(__file__).with_name("published").glob("*.yaml"))
    return {file.stem: Published.model_validate(yaml.safe_load(file.read_text())) for file in files}
