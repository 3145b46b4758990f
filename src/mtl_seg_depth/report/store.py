"""What was run: the sweeps' own accounts and the run folders they name, read as they stand at this moment.

A sweep may be running while it is read. What is missing is missing; what cannot be understood is told, and the rest
is used. Passwords inside addresses are taken out of everything that is read.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mtl_seg_depth.config import nearest
from mtl_seg_depth.errors import UserError
from mtl_seg_depth.record import Point, read_points
from mtl_seg_depth.tracking import redact

VERSION = 1
"""Of sweep.json."""

OVER = ("finished", "diverged")
"""Statuses of a training whose scores will not change any more and count as its result."""


class _Stored(BaseModel):
    """Part of a sweep.json: keys that a newer writer added are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SweepRun(_Stored):
    """One training (or one evaluation of one) with one seed; `folder` and `evaluation` are names, not paths."""

    seed: int
    folder: str | None = None
    status: str
    scores: dict[str, float | None] | None = None
    evaluation: str | None = None


class SweepRow(_Stored):
    """One combination that a sweep tries, with every seed."""

    number: int
    label: str
    params: dict[str, str] = {}
    state: str
    reason: str | None = None
    values: list[float | None] | None = None
    runs: list[SweepRun] = []


class Study(_Stored):
    """One sweep as its sweep.json tells; see there."""

    version: int
    study: str
    sweep: str | None = None
    kind: str
    updated: int
    objective: list[str] = Field(min_length=1)
    directions: list[str] = Field(min_length=1)
    overrides: list[str] = []
    seeds: list[int] = []
    config: dict[str, Any] = {}
    rows: list[SweepRow] = []

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
        try:
            study = Study.model_validate(json.loads(redact(path.read_text())))
        except (ValueError, OSError) as error:
            reason = error.errors()[0] if isinstance(error, ValidationError) else None
            told = f"{'.'.join(map(str, reason['loc']))}: {reason['msg']}" if reason else str(error)
            problems.append(f"sweeps/{path.parent.name}/sweep.json was left out: {redact(told)}")
            continue
        if study.version == VERSION:
            studies.append(study)
        else:
            problems.append(f"sweeps/{path.parent.name}/sweep.json was left out: it has version {study.version}")
    return sorted(studies, key=lambda study: study.updated), problems


def choose(studies: Iterable[Study], wanted: Iterable[str]) -> list[Study]:
    """The newest study of every sweep, or the newest of those whose names begin as one of `wanted` does.

    Sweeps without a file of their own all stay, unless one of them is wanted. Raises UserError for a wanted name that
    no study has.
    """
    studies, wanted = list(studies), list(wanted)
    for name in wanted:
        if not any(study.study.startswith(name) for study in studies):
            close = nearest(name, {study.study for study in studies})
            hint = f"did you mean {' or '.join(close)}?" if close else "there is none yet"
            raise UserError(f"studies: no sweep in the outputs is called {name}; {hint}")
    chosen: dict[str, Study] = {}
    picked: set[str] = set()
    for study in sorted(studies, key=lambda study: study.updated):
        key = study.sweep or f"/{study.study}"
        asked_for = study.study.startswith(tuple(wanted))
        if asked_for or key not in picked:
            chosen[key] = study
        if asked_for:
            picked.add(key)
    return list(chosen.values())


@dataclass(frozen=True)
class RunStore:
    """A run folder as far as it is there; None stands for one that is not."""

    path: Path | None

    @cached_property
    def card(self) -> dict[str, Any]:
        """The run's identity card; empty where there is none yet."""
        return self._json("run.json")

    @cached_property
    def result(self) -> dict[str, Any]:
        """The run's result; empty where there is none yet."""
        return self._json("result.json")

    @cached_property
    def steps_per_epoch(self) -> int | None:
        """Optimiser steps in an epoch; None before the first losses are logged."""
        for point in self.points():
            if point.metrics.get("train/epoch"):
                return round(point.step / point.metrics["train/epoch"])
        return None

    def _json(self, name: str) -> dict[str, Any]:
        if self.path is None or not (self.path / name).is_file():
            return {}
        content: dict[str, Any] = json.loads(redact((self.path / name).read_text()))
        return content

    def points(self, name: str = "metrics.jsonl") -> Iterator[Point]:
        """What was logged, or with `name="system.jsonl"` sampled; UserError for a damaged line."""
        if self.path is not None and (self.path / name).is_file():
            yield from read_points(self.path / name)

    def evaluation(self, name: str | None) -> dict[str, Any]:
        """A stored evaluation by its name inside the folder; empty where there is none."""
        return self._json(name) if name and _stays_inside(name) else {}

    def panel(self) -> Path | None:
        """The panel of the best validation, or the newest there is."""
        if self.path is None:
            return None
        panels = self.path / "artifacts" / "panels"
        best = panels / f"step_{self.result.get('best_step', -1):06}.png"
        return best if best.is_file() else max(panels.glob("step_*.png"), default=None)


def run_store(outputs: Path, run: SweepRun) -> RunStore:
    """The folder of a sweep's run."""
    name = run.folder
    inside = name is not None and _stays_inside(name) and (outputs / name).is_dir()
    return RunStore(outputs / name if inside and name else None)


def _stays_inside(name: str) -> bool:
    """Whether a name from a file leads nowhere above the folder that it is meant in."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
