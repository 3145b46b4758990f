"""The packed cache: a split decoded once into plain arrays that every later run maps into memory.

A pack is a folder `<cache>/<digest[:16]>/` with `rgb.npy`, `semseg.npy`, `depth.npy` and `index.json`. Its name is
the digest of the names, sizes and modification times of the source files, so changed sources get a new pack. It
is built under another name and renamed when every byte is on disk: a pack that has its name is complete. One lock
for the cache folder lets concurrent runs build a pack once.

A new pack of a split takes the place of older packs of that split of the same data folder: they are removed once
it is complete. A run that still maps an older one keeps it, because the kernel frees a file with its last user.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from mtl_seg_depth.atomic import write_json
from mtl_seg_depth.data.miniscapes import READERS, DamagedFileError, SplitFiles, check_one_size, read_size
from mtl_seg_depth.errors import UserError

_FORMAT_VERSION: Final = 1
# Of rgb: the unit of a thread's work and of a digest. Content digests depend on it, so it stays as it is.
_BLOCK_BYTES: Final = 16 << 20
_CHANNELS: Final[dict[str, tuple[int, ...]]] = {"rgb": (3,), "semseg": (), "depth": ()}
_INDEX: Final = "index.json"
_UNDER_CONSTRUCTION: Final = ".under-construction"
_DISCARDED: Final = ".discarded"


class _Index(TypedDict):
    """What `index.json` holds: `blocks` are the SHA-256 digests of `block_pictures` pictures each, by array."""

    root: str
    split: str
    digest: str
    content_digest: str
    ids: list[int]
    file_sizes: dict[str, int]
    block_pictures: int
    blocks: dict[str, list[str]]


@dataclass(frozen=True)
class PackedSplit:
    """A split as arrays that are read from disk as they are touched, and cannot be written to.

    `rgb` is uint8 [N, H, W, 3], `semseg` (train ids) and `depth` (disparity codes) uint8 [N, H, W] or both None
    where the split has no labels; `ids` is int64 [N], ascending. `digest` is that of the source files' names,
    sizes and modification times. `content_digest` is that of the ids and the decoded pixels alone: equal for
    equal data, wherever and whenever it was written.
    """

    folder: Path
    split: str
    rgb: NDArray[np.uint8]
    semseg: NDArray[np.uint8] | None
    depth: NDArray[np.uint8] | None
    ids: NDArray[np.int64]
    digest: str
    content_digest: str

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.ids)


def pack(files: SplitFiles, cache: Path, *, workers: int | None = None, progress: bool = True) -> PackedSplit:
    """The packed form of a split: the pack in `cache` that was made of these very files, or a new one.

    `workers` threads decode, by default one for every CPU core that this process may use (Pillow decodes outside
    the interpreter's lock: threads were as fast as processes). `progress` shows a bar and the speed on stderr.

    Raises UserError for a damaged file, pictures of unequal sizes, files that change meanwhile, and a cache
    folder that is too small or cannot be written to. Complete packs survive every failure.
    """
    digest = source_digest(files)
    folder = cache / digest[:16]
    console = Console(stderr=True, quiet=not progress, markup=False)
    try:
        if not _is_complete(folder, digest):  # asked before locking, so that a read-only cache can be used
            cache.mkdir(parents=True, exist_ok=True)
            with _locked(cache, console):
                if not _is_complete(folder, digest):
                    _build(files, digest, folder, workers or len(os.sched_getaffinity(0)), console)
        return open_pack(folder)
    except OSError as error:
        raise UserError(f"the packed cache in {cache} cannot be used: {error}") from error


def source_digest(files: SplitFiles) -> str:
    """The digest of the name, size and modification time of every file of a split, in hexadecimal."""
    sha = hashlib.sha256(f"{_FORMAT_VERSION} {files.split}\n".encode())
    for kind, paths in files.by_kind.items():
        for path in paths:
            try:
                status = path.stat()
            except OSError as error:
                raise DamagedFileError(path, f"cannot be opened: {error}") from error
            sha.update(f"{kind}/{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def open_pack(folder: Path) -> PackedSplit:
    """Map a complete pack into memory; no pixel is read before it is touched."""
    index = _read_index(folder)
    arrays = {kind: np.load(folder / f"{kind}.npy", mmap_mode="r") for kind in index["blocks"]}
    return PackedSplit(
        folder=folder,
        split=index["split"],
        rgb=arrays["rgb"],
        semseg=arrays.get("semseg"),
        depth=arrays.get("depth"),
        ids=np.array(index["ids"], np.int64),
        digest=index["digest"],
        content_digest=index["content_digest"],
    )


def packs_of(root: Path, cache: Path) -> list[Path]:
    """The folders of the packs in `cache` that were made of the data set in `root`."""
    folders = [path.parent for path in sorted(cache.glob(f"[!.]*/{_INDEX}"))]
    return [folder for folder in folders if _read_index(folder)["root"] == str(root.resolve())]


def verify(folder: Path) -> None:
    """Read a whole pack and compare it with the digests that were taken while it was built.

    Raises UserError that names the first array, and the pictures in it, where bytes differ.
    """
    index = _read_index(folder)
    ids, step = index["ids"], index["block_pictures"]
    for kind, digests in index["blocks"].items():
        array = np.load(folder / f"{kind}.npy", mmap_mode="r")
        for start, expected in zip(range(0, len(ids), step), digests, strict=True):
            if hashlib.sha256(array[start : start + step].data).hexdigest() != expected:
                last = ids[min(start + step, len(ids)) - 1]
                raise UserError(
                    f"{folder / kind}.npy is damaged within the pictures {ids[start]} to {last}; "
                    f"delete {folder}, and the next run builds it again"
                )


def _build(files: SplitFiles, digest: str, folder: Path, workers: int, console: Console) -> None:
    """Decode a split into `folder`, which appears when it is complete; the caller holds the lock."""
    started = time.perf_counter()
    cache, building = folder.parent, folder.with_name(_UNDER_CONSTRUCTION)
    for remains in (building, cache / _DISCARDED):  # of a run that was killed: nobody else can be at work
        shutil.rmtree(remains, ignore_errors=True)
    try:
        with Progress(console=console, transient=True, disable=console.quiet) as bar:
            width, height = _common_size(files, workers, bar)
            shapes = {kind: (len(files.ids), height, width, *_CHANNELS[kind]) for kind in files.by_kind}
            _require_space(cache, sum(math.prod(shape) for shape in shapes.values()))
            building.mkdir()
            step = max(1, _BLOCK_BYTES // (height * width * 3))
            blocks = _write_arrays(files, building, shapes, step, workers, bar)
        if source_digest(files) != digest:
            raise UserError(f"files in {files.root / files.split} changed while being packed; start again")
        index = _Index(
            root=str(files.root.resolve()),
            split=files.split,
            digest=digest,
            content_digest=hashlib.sha256(json.dumps([files.ids, shapes, blocks]).encode()).hexdigest(),
            ids=list(files.ids),
            file_sizes={kind: (building / f"{kind}.npy").stat().st_size for kind in shapes},
            block_pictures=step,
            blocks=blocks,
        )
        write_json(building / _INDEX, index)
        if folder.exists():  # incomplete: somebody cut or deleted a file in it
            _discard(folder)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)  # after the rename there is nothing of this name
    for other in packs_of(files.root, cache):
        if other != folder and _read_index(other)["split"] == files.split:
            _discard(other)
    seconds, count = time.perf_counter() - started, len(files.ids)
    console.print(f"packed {count} pictures of {files.split} in {seconds:.1f} s ({count / seconds:.0f} a second)")


def _common_size(files: SplitFiles, workers: int, bar: Progress) -> tuple[int, int]:
    """The width and height of every file, after a look at every header: cheap, and before any decoding."""
    kinds = [kind for kind, paths in files.by_kind.items() for _ in paths]
    paths = [path for paths in files.by_kind.values() for path in paths]
    with ThreadPoolExecutor(workers) as executor:
        found = executor.map(read_size, paths, kinds)
        sizes = list(bar.track(found, total=len(paths), description=f"{files.split}: looking at headers"))
    check_one_size(paths, sizes)
    return sizes[0]


def _write_arrays(
    files: SplitFiles,
    building: Path,
    shapes: dict[str, tuple[int, ...]],
    step: int,
    workers: int,
    bar: Progress,
) -> dict[str, list[str]]:
    """Write one array for each kind of file, synced to disk; the digests of its blocks of `step` pictures.

    Ordinary writes fail with an error on a full disk; a write through a memory map would kill the process.
    """
    task = bar.add_task(f"{files.split}: packing", total=len(files.ids))
    with ExitStack() as stack:
        outputs = {}
        for kind, shape in shapes.items():
            file = stack.enter_context((building / f"{kind}.npy").open("wb"))
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            outputs[kind] = (file.fileno(), file.tell())

        def write_block(start: int) -> dict[str, str]:
            hashes = {kind: hashlib.sha256() for kind in shapes}
            for position in range(start, min(start + step, len(files.ids))):
                for kind, paths in files.by_kind.items():
                    pixels = READERS[kind](paths[position])
                    descriptor, first_pixel = outputs[kind]
                    _write_at(descriptor, pixels, first_pixel + position * pixels.size)
                    hashes[kind].update(pixels.data)
                bar.advance(task)
            return {kind: sha.hexdigest() for kind, sha in hashes.items()}

        with ThreadPoolExecutor(workers) as executor:  # on an error it waits, so that no closed file is written
            digests = list(executor.map(write_block, range(0, len(files.ids), step)))
        for descriptor, _ in outputs.values():
            os.fsync(descriptor)
    return {kind: [of_block[kind] for of_block in digests] for kind in shapes}


def _write_at(descriptor: int, pixels: NDArray[np.uint8], offset: int) -> None:
    """Write all pixels; on a full disk one call stops early without an error, and the next one raises it."""
    rest = pixels.reshape(-1).data
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _require_space(cache: Path, needed: int) -> None:
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise UserError(f"the packed cache needs {needed / 1e9:.2f} GB in {cache}, where {free / 1e9:.2f} GB are free")


@contextmanager
def _locked(cache: Path, console: Console) -> Iterator[None]:
    """Hold the lock of a cache folder; the system frees it when its holder dies."""
    lock = FileLock(cache / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"waiting for another run that packs data into {cache}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_complete(folder: Path, digest: str) -> bool:
    """Whether a pack is there, made of the sources with this digest, its arrays as long as they should be."""
    if not (folder / _INDEX).is_file():
        return False
    index = _read_index(folder)
    files = {folder / f"{kind}.npy": size for kind, size in index["file_sizes"].items()}
    return index["digest"] == digest and all(
        path.is_file() and path.stat().st_size == size for path, size in files.items()
    )


def _read_index(folder: Path) -> _Index:
    try:
        index: _Index = json.loads((folder / _INDEX).read_bytes())
    except ValueError as error:
        raise UserError(f"{folder / _INDEX} is damaged; delete {folder}, and the next run builds it again") from error
    return index


def _discard(folder: Path) -> None:
    """Remove a pack; it loses its name first, so that it is never half there."""
    discarded = folder.rename(folder.with_name(_DISCARDED))
    shutil.rmtree(discarded)
