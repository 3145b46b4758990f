"""A training's own account of itself, written into its run folder and complete without any tracking server.

    run.json        who the run is: name, fingerprint, experiment, start, the sweep it began in, data, parameters, tags
    metrics.jsonl   one line per logged point: {"step": int, "time": unix ms, "metrics": {name: float}}
    artifacts/      images, tables and whatever else is worth looking at

Non-finite values are kept; they stand in the file as NaN, Infinity and -Infinity, as Python's json has it.
"""

import errno
import json
import math
import os
import posixpath
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mtl_seg_depth.records.folder import check_links
from mtl_seg_depth.records.results import Card
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.addresses import redact, redacted
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.stored import Count

_LEGAL_NAME = re.compile(r"[\w.\-: /]{1,250}")  # what MLflow takes as the key of a metric, parameter or tag

LONGEST_LINE = 1 << 20
"""Bytes; a point of every score there is has some thousands."""


@dataclass(frozen=True)
class Point:
    """What was measured at one step; `time` is in milliseconds since 1970."""

    step: Count
    time: Count
    metrics: dict[str, float]


class Points:
    """An append-only file of points that survives a kill at any moment and holds no point twice.

    A point is known by its step and its set of metric names: logged again (a training that continues from an
    older checkpoint computes some points anew) it is left as it was first. One process writes at a time.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file and cut off a torn last line; UserError for a line that is no point."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        os.ftruncate(self._descriptor, _whole_lines(path))
        self._last = max((point.step for point in self), default=-1)
        self._from = math.inf
        """The step from which on `_seen` holds what is in the file: of a file of any length a few points at its end."""
        self._seen: set[tuple[int, frozenset[str]]] = set()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one point; its values must be convertible by `float()`.

        Raises ValueError for a metric name that MLflow would refuse, OSError when the disk is full.
        """
        for name in metrics:
            check_name(name)
        if step > self._last:
            self._last, self._from, self._seen = step, step, set()
        elif step < self._from:
            self._from = step
            self._seen = {(point.step, frozenset(point.metrics)) for point in self if point.step >= step}
        key = (step, frozenset(metrics))
        if key in self._seen:
            return
        values = {name: float(value) for name, value in metrics.items()}
        point = {"step": step, "time": now_ms(), "metrics": values}
        line = json.dumps(point).encode() + b"\n"
        # One write to a file opened for appending: a kill leaves the whole line, or a torn one at the end.
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "no room for a whole line", str(self._path))
        if os.fstat(self._descriptor).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "somebody deleted it while it was written to", str(self._path))
        self._seen.add(key)

    def __iter__(self) -> Iterator[Point]:
        """Read the points from the file, in the order in which they were logged."""
        return read_points(self._path)

    def sync(self) -> None:
        """Wait until the disk has all points."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; the object cannot log any more."""
        os.close(self._descriptor)


class Record:
    """The run folder's writer; opened again it continues what is there."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Create the folder where it is missing and open its points; UserError if they are damaged."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        check_links(self.folder)
        self._points = Points(self.folder / "metrics.jsonl")

    def start(
        self,
        *,
        name: str,
        fingerprint: str,
        experiment: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        data: Mapping[str, str] = MappingProxyType({}),
        parent: Path | None = None,
        command: str = "",
        user: str = "",
    ) -> None:
        """Write the identity card; a resumed run keeps the time of its first start (unix ms), and its first parent.

        `data` are the digests of its splits, `parent` is the folder of the sweep that the run is part of, `command` is
        what trains it and `user` who started it.

        Raises ValueError for a parameter or tag whose name MLflow would refuse.
        """
        for key in (*params, *tags):
            check_name(key)
        path = self.folder / "run.json"
        known = stored.read(path, Card) if path.exists() else None
        seen_from_here = None if parent is None else os.path.relpath(parent, self.folder)
        card = Card(
            name=redact(name),
            fingerprint=fingerprint,
            experiment=experiment,
            started=(known and known.started) or now_ms(),
            parent=(known and known.parent) or seen_from_here,
            data=dict(data),
            params=redacted(dict(params)),
            tags=redacted(dict(tags)),
            command=redact(command),
            user=user,
        )
        stored.write(path, card)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one point, unless this step already has a point of the same names; see `Points.log`."""
        self._points.log(step, metrics)

    def points(self) -> Iterator[Point]:
        """Read back every point, in the order in which they were logged."""
        return iter(self._points)

    def artifact_path(self, name: str) -> Path:
        """Where to write the artifact `name` (such as "panels/epoch_003.png"); creates the folders above it.

        Files whose names begin with a dot are temporary, and not mirrored.
        """
        path = self.folder / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def sync(self) -> None:
        """Wait until the disk has all points: those before a checkpoint are not logged again after it."""
        self._points.sync()

    def close(self) -> None:
        """Close the file of points; nothing can be logged any more."""
        self._points.close()


class Unrecorded:
    """What a process logs to that trains along with the one whose record is kept."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """The first process writes it down."""

    def sync(self) -> None:
        """Nothing is written."""


def now_ms() -> int:
    """The time in milliseconds since 1970, as points and MLflow keep it."""
    return time.time_ns() // 1_000_000


def check_name(name: str) -> None:
    """Raise ValueError unless MLflow takes `name` as a key."""
    if not _LEGAL_NAME.fullmatch(name) or posixpath.normpath(name) != name or name.startswith(("/", "..")):
        raise ValueError(
            f"{name!r} cannot name a metric, parameter or tag: use up to 250 letters, digits, _ . - : and "
            "blanks, and / only between parts"
        )


def read_points(path: Path) -> Iterator[Point]:
    """Parse the whole lines of a file of points. Raises UserError for a line that is no point."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
            if line.endswith(b"\n") or len(line) == LONGEST_LINE:  # without an end, the last is still being written
                yield parse_point(line, f"{path}, line {number}")


def _whole_lines(path: Path) -> int:
    """The bytes of a file up to the end of its last whole line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - (1 << 16))
            file.seek(begin)
            if (found := file.read(end - begin).rfind(b"\n")) >= 0:
                return begin + found + 1
            end = begin
    return 0


def parse_point(line: bytes, place: str) -> Point:
    """One line as a point; `place` tells the reader of the UserError if a damaged line stands."""
    try:
        return stored.parse(line, Point, place)
    except UserError as error:
        raise UserError(f"{error}. Remove the line to go on") from error
