"""The folder of one run, among those of the same config: which one it is, and who may write into it."""

import math
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mtl_seg_depth.records import checkpoint, results
from mtl_seg_depth.records.results import Card, Digests, RunResult
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.errors import UserError


@dataclass(frozen=True)
class RunFolder:
    """Where one run lives, and what is known of it; everything is read when it is asked for."""

    path: Path

    @property
    def card(self) -> Card | None:
        """Who the run is; None before it has begun."""
        path = self.path / "run.json"
        return stored.read(path, Card) if path.exists() else None

    @property
    def ended(self) -> RunResult | None:
        """What the run came to, None while it trains or was interrupted."""
        path = self.path / "result.json"
        return stored.read(path, RunResult).model_copy(update={"folder": self.path}) if path.exists() else None

    @property
    def result(self) -> RunResult | None:
        """What the run came to for good: one that was pruned can go on."""
        result = self.ended
        return None if result is None or result.status == "pruned" else result

    @property
    def data(self) -> Digests:
        """The digests of its data, as far as they are known; runs from before the card had them have checkpoints."""
        card = self.card
        if card is not None and card.data:
            return card.data
        paths = (self.path / name for name in ("best.pt", "last.pt"))
        return next((checkpoint.digests(checkpoint.identity(path)) for path in paths if path.exists()), {})

    @contextmanager
    def locked(self, wait: bool) -> Iterator[None]:
        """Keep every other process out of this run; if one is in it, wait for its end or raise UserError."""
        self.path.mkdir(parents=True, exist_ok=True)
        check_links(self.path)
        try:
            with FileLock(self.path / "lock", timeout=-1 if wait else 0):
                yield
        except Timeout:
            raise UserError(f"another process is training this very run, in {self.path}") from None

    def leftovers(self) -> list[Path]:
        """The checkpoints to continue from that nothing needs any more; none while the run can still go on."""
        result = self.result
        if result is None or (result.best_weights and not result.best_weights.is_file()):
            return []
        return [path for name in ("last.pt", "last.previous.pt") if (path := self.path / name).is_file()]

    @property
    def size(self) -> int:
        """Bytes of everything in it; what a training that is at work there renames meanwhile is passed over."""
        total = 0
        for path in self.path.rglob("*"):
            with suppress(FileNotFoundError):
                status = path.lstat()
                total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        return total

    def require_space(self, needed: int) -> None:
        """Raise UserError unless so many bytes are free."""
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise UserError(
                f"{self.path}: the checkpoints of this run take up to {math.ceil(needed / 2**20)} MiB, "
                f"and {free // 2**20} MiB are free; paths.outputs=<folder> puts them elsewhere"
            )


def inside(folder: Path, name: str = "") -> Path:
    """Where the file lies that something in a folder calls `name`; UserError if that is outside, by links or not."""
    path = folder / name
    try:
        path.exists()  # raises where no file can have such a name
        there = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, or no name of a file at all
        there = False
    if not there:
        raise UserError(f"{path} leads out of {folder}: what a run's folder holds lies in it")
    return path


def check_links(folder: Path) -> None:
    """Raise UserError for a folder in which a link leads out of it, or that holds more than files and folders.

    A run's folder may come from somebody else. Nothing elsewhere is read, sent or written because of what is in it:
    whoever works in one asks here first. What a training that is at work there renames meanwhile is passed over.
    """
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISLNK(mode):
                inside(folder, str(path.relative_to(folder)))
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise UserError(f"{path}: a run's folder holds files and folders, and nothing else")


def folders_of(base: Path) -> list[RunFolder]:
    """Every folder of one config, oldest first: `base`, `base.2`, ..., one for each time it was run anew or on other
    data."""
    number = re.compile(rf"{re.escape(base.name)}\.(\d+)")
    numbered = [(int(match[1]), path) for path in _beside(base) if (match := number.fullmatch(path.name))]
    return [RunFolder(path) for _, path in sorted([(1, base)] * base.is_dir() + numbered)]


def find_folder(base: Path, data: Mapping[str, str], *, rerun: bool = False, resume: bool = True) -> RunFolder:
    """The newest run of a config on these data, or the folder for the next one if there is none or it is to be anew.

    Args:
        base: the folder of the config's first run.
        data: digests of the splits; one that is not known, here or there, counts as equal.
        rerun: whether a finished run is to be trained anew.
        resume: whether one that is not finished is to be continued.
    """
    folders = folders_of(base)
    ours, damaged = [], None
    for folder in folders:
        try:
            if folder.card and not results.other_data(folder.data, data):
                ours.append(folder)
        except UserError as error:  # it may be this very run: it is told where no other one is
            damaged = error
    if ours and (not rerun if ours[-1].result else resume):
        return ours[-1]
    if damaged and not ours:
        raise damaged
    if folders and not (folders[-1].path / "run.json").exists():  # made, and nothing begun in it
        return folders[-1]
    last = max((int(folder.path.name[len(base.name) + 1 :] or 1) for folder in folders), default=0)
    return RunFolder(base if last == 0 else base.with_name(f"{base.name}.{last + 1}"))


def _beside(base: Path) -> list[Path]:
    return [path for path in base.parent.iterdir() if path.is_dir()] if base.parent.is_dir() else []
