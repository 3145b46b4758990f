"""What was run: the sweeps' own accounts and the run folders they name, read as they stand at this moment.

A sweep may be running while it is read. What is missing is missing; what cannot be understood is told, and the rest
is used. Passwords inside addresses are taken out of everything that is read.
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Self, TypeVar

from pydantic import model_validator

from mtl_seg_depth.config import NOT_IDENTITY, flatten
from mtl_seg_depth.records.folder import check_links, inside
from mtl_seg_depth.records.record import Point, read_points
from mtl_seg_depth.records.results import Card, Evaluation, RunResult, Stored, SweepRecord, SweepRun
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.addresses import redact, redacted
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest

VERSION = 1
"""Of sweep.json."""

LOSS, WEIGHT = "train/loss/", "train/weight/"
"""What stands before a task's name where a training logged its loss, and the loss's weight."""

DRAWN = {f"val/{score.key}" for score in shown()}
"""Of the scores of validations, those that figures show."""

Series = tuple["array[float]", "array[float]"]
"""Steps and values of one metric: 16 bytes for each, as there may be hundreds of thousands."""

OVER = ("finished", "diverged")
"""Statuses of a training whose scores will not change any more and count as its result."""


Kind = TypeVar("Kind", bound=Stored)


class Study(SweepRecord):
    """One sweep as its sweep.json tells; see there."""

    @property
    def scored_split(self) -> str | None:
        """The split that the best weights are scored on after training; None if validation's scores count."""
        split = self.config.get("score")
        return split if isinstance(split, str) else None

    @property
    def params(self) -> dict[str, str]:
        """What all its runs share, as a run's card has it."""
        return {key.removesuffix("._target_"): str(value) for key, value in flatten(self.config)}

    @property
    def told_overrides(self) -> list[str]:
        """The overrides that change what is computed, with the names alone of files."""
        told = []
        for override in self.overrides:
            key, equals, value = override.partition("=")
            silent = ("hydra", "seeds", *NOT_IDENTITY)
            if not any(key.lstrip("+~") == name or key.lstrip("+~").startswith(f"{name}.") for name in silent):
                told.append(f"{key}{equals}{PurePosixPath(value).name}" if "/" in value else override)
        return told

    @property
    def anchor(self) -> str:
        """The study's name as it can name a file and a place in a page."""
        return re.sub(r"[^\w.-]", "_", self.study)

    @model_validator(mode="after")
    def _one_direction_each(self) -> Self:
        if len(self.directions) != len(self.objective):
            raise ValueError(f"{len(self.objective)} objectives and {len(self.directions)} directions")
        return self


def read_studies(outputs: Path) -> tuple[list[Study], list[str]]:
    """Every sweep under `outputs`, oldest first, and what is wrong with those that cannot be read."""
    studies, problems = [], []
    for path in sorted(outputs.glob("sweeps/*/sweep.json")):
        name = f"sweeps/{path.parent.name}/sweep.json"
        try:
            study = _redacted(stored.read(inside(outputs, name), Study, "it"))
        except UserError as error:
            problems.append(f"{name} was left out: {redact(str(error))}")
            continue
        if study.version == VERSION:
            studies.append(study)
        else:
            problems.append(f"{name} was left out: it has version {study.version}")
    return sorted(studies, key=lambda study: study.updated), problems


def choose(studies: Iterable[Study], wanted: Iterable[str]) -> list[Study]:
    """The newest study of every sweep, or the newest of those whose names begin as one of `wanted` does.

    Sweeps without a file of their own all stay. Raises UserError for a wanted name that no study has.
    """
    studies, wanted = list(studies), tuple(wanted)
    for name in wanted:
        if not any(study.study.startswith(name) for study in studies):
            close = nearest(name, {study.study for study in studies})
            hint = f"did you mean {' or '.join(close)}?" if close else "there is none like it"
            raise UserError(f"studies: no sweep in the outputs is called {name}; {hint}")
    chosen: dict[str, Study] = {}
    # Wanted ones come last and so replace newer ones; an ad-hoc study is a sweep of its own.
    for study in sorted(studies, key=lambda study: (study.study.startswith(wanted), study.updated)):
        chosen[study.sweep or f"/{study.study}"] = study
    return list(chosen.values())


@dataclass(frozen=True)
class RunStore:
    """A run folder as far as it is there.

    Attributes:
        path: None if there is no folder yet.
        card: the run's identity card, run.json; None if there is none yet, and so are the others.
        result: result.json, which a training writes when it is over.
        evaluation: the stored evaluation that the sweep names.
    """

    path: Path | None = None
    card: Card | None = None
    result: RunResult | None = None
    evaluation: Evaluation | None = None

    @cached_property
    def series(self) -> dict[str, Series]:
        """The metrics that figures show, by name, read once for all of them; UserError for a damaged line."""
        found: dict[str, Series] = {}
        for point in self.points():
            for name, value in point.metrics.items():
                if name.startswith((LOSS, WEIGHT)) or name in DRAWN:
                    steps, values = found.setdefault(name, (array("d"), array("d")))
                    steps.append(point.step)
                    values.append(value)
        return found

    @cached_property
    def steps_per_epoch(self) -> int | None:
        """Optimiser steps in an epoch; None before the first losses are logged."""
        for point in self.points():
            if point.metrics.get("train/epoch"):
                return round(point.step / point.metrics["train/epoch"])
        return None

    def points(self, name: str = "metrics.jsonl") -> Iterator[Point]:
        """What was logged, or with `name="system.jsonl"` sampled; UserError for a damaged line."""
        if self.path is not None and (self.path / name).is_file():
            yield from read_points(self.path / name)

    def panel(self) -> Path | None:
        """The panel of the best validation, or the newest there is."""
        if self.path is None:
            return None
        panels = self.path / "artifacts" / "panels"
        best = panels / f"step_{self.result.best_step if self.result else -1:06}.png"
        return best if best.is_file() else max(panels.glob("step_*.png"), default=None)


def run_store(outputs: Path, run: SweepRun, problems: list[str]) -> RunStore:
    """The folder of a sweep's run; files that cannot be read are left out and told in `problems`."""
    if run.folder is None:
        return RunStore()

    def read(name: str | None, model: type[Kind]) -> Kind | None:
        try:
            found = None if name is None else inside(path, name)
            return None if found is None or not found.exists() else _redacted(stored.read(found, model, "it"))
        except UserError as error:
            problems.append(f"{run.folder}/{name} was left out: {redact(str(error))}")
            return None

    try:
        path = inside(outputs, run.folder)
        check_links(path)
    except UserError as error:
        problems.append(f"{run.folder} was left out: {redact(str(error))}")
        return RunStore()
    if not path.is_dir():
        return RunStore()
    evaluation = read(run.evaluation, Evaluation)
    return RunStore(path, read("run.json", Card), read("result.json", RunResult), evaluation)


def _redacted(content: Kind) -> Kind:
    return type(content).model_validate(redacted(content.model_dump()))
