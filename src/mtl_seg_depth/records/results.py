"""What runs, sweeps and evaluations keep on disk as JSON: one model for each file, to write it and to read it.

    run.json                    Card          who a run or a sweep is
    result.json                 RunResult     what a training came to; a sweep's has the status alone
    evaluations/*.json          Evaluation    what its best weights score on a split
    mlflow.json                 Mirrored      what a tracking server has of it
    sweeps/<study>/sweep.json   SweepRecord   how far a sweep is

Files of any age are read: a key that a newer writer added is left alone, and one that an older writer did not have has
a default. Nothing in them is a path from a root: a file is found where it is, and names what lies beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from mtl_seg_depth.system.stored import STORED, Count, Score

Digests = dict[str, str]
"""The digest of the content of every split that a run depends on, by the split's name; of a file of `weights` too."""

RowState = Literal["waiting", "running", "complete", "pruned", "failed", "impossible"]
"""Of a row of a sweep: impossible ones never start."""

Selection = Literal["best", "last", "mean_of_last_10"]
"""Of which validations of a training the scores are; see `records.selection`."""

Status = Literal["finished", "diverged", "pruned", "failed", "interrupted"]


class Stored(BaseModel):
    """Base of everything that is stored."""

    model_config = STORED


class Card(Stored):
    """Who a run or a sweep is; `parent` is the folder of the sweep that a run began in, seen from the run's."""

    name: str
    fingerprint: str = ""
    experiment: str = ""
    started: Count = 0
    """Milliseconds since 1970."""
    parent: str | None = None
    data: Digests = {}
    """Of what it is trained on and validated on; runs from before it was kept have none."""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    command: str = ""
    """What trains it, for a shell; "" in files from before it was kept, as is the user."""
    user: str = ""
    """Who started it."""


class Ending(Stored):
    """How a run or a sweep ended."""

    status: Status


class Outcome(Ending):
    """What a result says of the best validation; of a sweep's result, nothing."""

    best_step: Count = 0
    best: dict[str, Score] = {}


class Cost(Stored):
    """What a training took."""

    seconds: float
    data_share: float
    """Of its time, spent waiting for batches."""
    images_per_second: float
    parameters: Count
    peak_memory_bytes: Count
    peak_memory_share: float
    """Of all that the device has."""
    memory: str
    """The peak in words."""
    device: str | None = None
    """The GPU's name, or "CPU"; None in files from before it was kept."""


class RunResult(Ending):
    """What is left of a training when it is over: scores by name, as the record has them."""

    fingerprint: str
    checkpoint: str | None = None
    """Whether there are best weights: they are beside the file, whatever an old one says."""
    steps: Count
    best_step: Count
    best: dict[str, Score]
    """Of the best validation."""
    last: dict[str, Score]
    """Of the last one."""
    mean_of_last_10: dict[str, Score] = {}
    """The mean of the last ten; runs from before it was kept have none, and their record has it: see `selection`."""
    averaged: Count = 0
    """Of how many validations that mean is: of fewer than ten if there were no more."""
    cost: Cost
    baseline: dict[str, Score] = {}
    """What a constant prediction scores on the validation split."""
    data: Digests = {}
    """As in the card."""
    spec: dict[str, Any] = {}
    """What the data set says of itself; see `data.spec`."""
    folder: Path = Field(default=Path(), exclude=True)
    """Where the file is."""

    @property
    def best_weights(self) -> Path | None:
        """The checkpoint with the best scores; None if nothing was validated."""
        return None if self.checkpoint is None else self.folder / "best.pt"


class Evaluation(Stored):
    """What a network scores on a split, and how that was measured."""

    name: str
    fingerprint: str
    step: Count
    split: str
    data: str
    """The digest of the split's content."""
    other_data: str | None
    """What the data are called where they are not the run's own."""
    tta: dict[str, Any]
    precision: str
    absent_classes: Literal["exclude", "zero"]
    tile: tuple[Count, Count] | None = None
    """Height and width of what was predicted at once; None for whole images."""
    depth_rules: dict[str, Any] | None = None
    """What depths were scored by; None where none are predicted, and in files from before it was kept."""
    class_map: dict[str, Any] | None = None
    """Where classes were mapped: the map's `name`, and what `predictions` and `labels` are scored as."""
    tta_name: str
    key: str
    """What the scores are called in the run's record."""
    file: str | None
    """The evaluation's own, seen from the run's folder."""
    pictures: Count
    image_size: tuple[Count, Count] | None = None
    """Height and width; None in files from before it was kept."""
    scored_size: tuple[Count, Count] | None = None
    """Of the upper left part that is scored."""
    spec: dict[str, Any] = {}
    """What the data that it is scored on say of themselves; see `data.spec`."""
    seconds: PositiveFloat
    device: str
    scores: dict[str, Score]
    confusion: list[list[Count]] | None
    plain: dict[str, Score] | None = Field(default=None, exclude=True)
    """The scores without test-time augmentation, where those are known."""


class Mirrored(Stored):
    """What a tracking server has of a run's or a sweep's folder; the addresses and ids in it are for people to read."""

    model_config = ConfigDict(frozen=False)

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """The folder's own, a tag of its MLflow run."""
    tracking_uri: str = ""
    """Redacted."""
    experiment_id: str = ""
    run_id: str = ""
    sent: dict[str, Count] = {}
    """Bytes of each file of points."""
    artifacts: dict[str, list[Count]] = {}
    """Size and time (ns) of each file as it was sent."""
    finished: bool = False
    """Everything is there, with the final status."""
    layout: Count = 1
    """Of the names that it was sent under; see `tracking.names`."""


class SweepRun(Stored):
    """One training of a sweep's row, with one seed; `folder` and `evaluation` are names, not paths."""

    seed: Count
    folder: str | None = None
    fingerprint: str = ""
    status: str
    scores: dict[str, Score | None] | None = None
    """The headline scores: validation's, or those of the evaluation where the sweep asks for one."""
    evaluation: str | None = None


class SweepRow(Stored):
    """One combination that a sweep tries, with every seed; times are in milliseconds since 1970."""

    number: Count
    label: str
    params: dict[str, str] = {}
    state: RowState
    reason: str | None = None
    """Why it has no score."""
    values: list[Score | None] | None = None
    """Of the objectives; the worst there is for one that does not exist."""
    attempt: Count = 0
    started: Count | None = None
    ended: Count | None = None
    folder: str | None = None
    """Of the training that it is at, or was at last."""
    seconds: float | None = None
    """That its trainings took; None in files from before it was kept."""
    runs: list[SweepRun] = []
    reference: str | None = None
    """The task that it trains by itself for other rows to be compared with; such a row competes with none."""
    references: dict[str, Count] = {}
    """The numbers of the rows that train its tasks by themselves, by task."""


class SweepRecord(Stored):
    """How far a sweep is."""

    version: Count = 1
    study: str
    sweep: str | None = None
    """Of the file in sweeps/; None for one made on the command line."""
    kind: Literal["grid", "search"]
    started: Count
    updated: Count
    objective: list[str] = Field(min_length=1)
    directions: list[Literal["maximize", "minimize"]] = Field(min_length=1)
    overrides: list[str] = []
    seeds: list[Count] = []
    config: dict[str, Any] = {}
    """What all its rows share."""
    rows: list[SweepRow] = []
    baseline: Count | None = None
    """The number of the row that the others are compared with."""
    selection: Selection = "best"
    """Whose scores are compared."""
    importance: dict[str, float] = {}
    """Of a search that is over: the share of each parameter in what tells the best trials from the others."""
    trials: Count = 0
    """How many rows it is to have at last: a search has begun only some of them; 0 in files from before it was kept."""

    @property
    def unborn(self) -> int:
        """Rows of a search that nothing is known of yet."""
        return max(0, self.trials - len(self.rows))


def other_data(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two runs saw other data: what is not known of a split counts as equal."""
    return any(one[split] != other[split] for split in one.keys() & other.keys())
