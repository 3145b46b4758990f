"""The packed cache: a split decoded once into plain arrays that every later run maps into memory.

A pack is a folder `<cache>/<digest[:16]>/` with `rgb.npy`, an array for every target, and `index.json`. Its name is
the digest of the names, sizes and modification times of the source files, so changed sources get a new pack. It
is built under another name and renamed when every byte is on disk: a pack that has its name is complete. One lock
for the cache folder lets concurrent runs build a pack once.

Every block of images (16 MiB of them) has a SHA-256 digest, and is compared with it when a run first reads from it:
checking a whole pack before a training would keep a large one waiting for as long as its disk takes. A pack with a
damaged block is refused and removed, so that the next run builds it again; one with a damaged index likewise.

A new pack of a split takes the place of older packs of that split of the same data folder, read in the same way: they
are removed once it is complete. A run that still maps an older one keeps it, because the kernel frees a file with its
last user.
"""

import hashlib
import itertools
import json
import logging
import math
import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveInt
from rich.console import Console
from rich.progress import Progress

from mtl_seg_depth.data.files import IMAGE, DamagedFileError, SplitFiles, check_one_shape, check_one_size, files_of
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.machine import usable_cores
from mtl_seg_depth.system.stored import STORED, Count

log = logging.getLogger(__name__)

_FORMAT_VERSION: Final = 1
# Of images: the unit of a thread's work and of a digest. Content digests depend on it, so it stays as it is.
_BLOCK_BYTES: Final = 16 << 20
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
_INDEX: Final = "index.json"
_NAME_DIGITS: Final = 16  # of the digest
_UNDER_CONSTRUCTION: Final = ".under-construction"
_DISCARDED: Final = ".discarded"


class _Index(BaseModel):
    """What `index.json` holds: `blocks` are the SHA-256 digests of `block_pictures` images each, by array."""

    model_config = STORED

    root: str
    split: str
    reading: str = ""
    digest: str
    content_digest: str
    ids: list[Count]
    file_sizes: dict[_Name, Count]
    block_pictures: PositiveInt
    blocks: dict[_Name, list[str]]


@dataclass(frozen=True)
class PackedSplit:
    """A split as arrays that are read from disk as they are touched, and cannot be written to.

    `images` is uint8 [N, H, W, 3], every array of `targets` uint8 or uint16 [N, H, W, ...] of the codes that the data
    set's spec explains; a split without labels has no targets. `ids` is int64 [N], ascending. `digest` is that of the
    source files' names, sizes and modification times. `content_digest` is that of the ids and the decoded pixels
    alone: equal for equal data, wherever and whenever it was written.
    """

    folder: Path
    split: str
    images: NDArray[np.uint8]
    targets: Mapping[str, NDArray[Any]]
    ids: NDArray[np.int64]
    digest: str
    content_digest: str
    blocks: "Blocks | None" = field(default=None, repr=False)
    """What is known of the arrays on disk; None for arrays in memory."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    def check(self, rows: Iterable[int]) -> None:
        """To be called before the images in these rows are read: see that they are what was packed.

        Reads only blocks that this object has not looked at yet. UserError for a damaged one, whose pack is removed.
        """
        if self.blocks is not None:
            self.blocks.check(rows)


class Blocks:
    """The blocks of a pack, each compared with its digest once."""

    def __init__(self, folder: Path, index: _Index, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._folder = folder
        self._index = index
        self._arrays = arrays
        self._file = (folder / f"{IMAGE}.npy").stat().st_ino
        self._checked: set[int] = set()
        self._checking = threading.Lock()

    def check(self, rows: Iterable[int]) -> None:
        """Compare the blocks that hold these rows with their digests; a pack with a damaged one loses its name."""
        wanted = {int(row) // self._index.block_pictures for row in rows} - self._checked
        if not wanted:
            return
        with self._checking:
            for block in sorted(wanted - self._checked):
                for kind in self.damaged(block):
                    where = self.describe(kind, block)
                    try:
                        if (self._folder / f"{IMAGE}.npy").stat().st_ino == self._file:
                            _discard(self._folder)
                    except FileNotFoundError:  # another run came upon it, too, and may have built it again
                        pass
                    except OSError as error:
                        raise UserError(f"{where}, and the pack cannot be removed: {error}") from error
                    raise UserError(f"{where}. The pack was removed; the same command builds it again")
                self._checked.add(block)

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return len(self._index.blocks[IMAGE])

    def damaged(self, block: int) -> list[str]:
        """The arrays that are not what they were when they were packed, in one block."""
        rows = self._rows(block)
        return [
            kind
            for kind, digests in self._index.blocks.items()
            if hashlib.sha256(self._arrays[kind][rows.start : rows.stop].data).hexdigest() != digests[block]
        ]

    def describe(self, kind: str, block: int) -> str:
        """Where the damage is, in words."""
        rows, ids = self._rows(block), self._index.ids
        return f"{self._folder / kind}.npy is damaged within the images {ids[rows.start]} to {ids[rows.stop - 1]}"

    def _rows(self, block: int) -> range:
        step = self._index.block_pictures
        return range(block * step, min((block + 1) * step, len(self._index.ids)))


def pack(files: SplitFiles, cache: Path, *, workers: int | None = None, progress: bool = True) -> PackedSplit:
    """The packed form of a split: the pack in `cache` that was made of these very files, or a new one.

    `workers` threads decode, by default one for every CPU core that this process may use (Pillow decodes outside
    the interpreter's lock: threads were as fast as processes). `progress` shows a bar and the speed on stderr.

    Raises UserError for a damaged file, images of unequal sizes, files that change meanwhile, and a cache
    folder that is too small or cannot be written to. Complete packs survive every failure.
    """
    digest = source_digest(files)
    folder = cache / digest[:_NAME_DIGITS]
    console = Console(stderr=True, quiet=not progress, markup=False)
    try:
        if not _is_complete(folder, files, digest):  # asked before locking, so that a read-only cache can be used
            cache.mkdir(parents=True, exist_ok=True)
            with _locked(cache, console):
                if not _is_complete(folder, files, digest, report=True):
                    _build(files, digest, folder, workers or usable_cores(), console)
        return open_pack(folder)
    except OSError as error:
        raise UserError(f"the packed cache in {cache} cannot be used: {error}") from error


def packed_before(files: SplitFiles, cache: Path) -> PackedSplit | None:
    """The pack of a split if there is one; nothing is written, and nothing packed."""
    digest = source_digest(files)
    folder = cache / digest[:_NAME_DIGITS]
    return open_pack(folder) if _is_complete(folder, files, digest) else None


def source_digest(files: SplitFiles) -> str:
    """The digest of every file's name, size and modification time, and of how they are read, in hexadecimal."""
    sha = hashlib.sha256(f"{_FORMAT_VERSION} {' '.join(filter(None, (files.split, files.reading)))}\n".encode())
    for kind, paths in files.paths.items():
        for path in itertools.chain.from_iterable(map(files_of, paths)):
            try:
                status = path.stat()
            except OSError as error:
                raise DamagedFileError(path, f"cannot be opened: {error}") from error
            sha.update(f"{kind}/{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def open_pack(folder: Path) -> PackedSplit:
    """Map a complete pack into memory; no pixel is read before it is touched.

    Raises UserError for an index, or an array's size or header, that is not what was packed.
    """
    try:
        index = stored.read(folder / _INDEX, _Index)
        sizes = {kind: (folder / f"{kind}.npy").stat().st_size for kind in index.file_sizes}
        arrays = {kind: np.load(folder / f"{kind}.npy", mmap_mode="r") for kind in index.blocks}
        shapes = {kind: array.shape for kind, array in arrays.items()}
        plain = all(array.dtype in (np.uint8, np.uint16) and array.flags.c_contiguous for array in arrays.values())
        plain &= arrays[IMAGE].dtype == np.uint8
        content = _content_digest(index.ids, shapes, index.blocks)
        whole = plain and sizes == index.file_sizes and content == index.content_digest
        blocks = -(-len(index.ids) // index.block_pictures)
        whole &= all(len(digests) == blocks for digests in index.blocks.values())
        if not whole:
            raise ValueError("not what was packed")
        return PackedSplit(
            folder=folder,
            split=index.split,
            images=arrays[IMAGE],
            targets={kind: array for kind, array in arrays.items() if kind != IMAGE},
            ids=np.array(index.ids, np.int64),
            digest=index.digest,
            content_digest=index.content_digest,
            blocks=Blocks(folder, index, arrays),
        )
    except Exception as error:  # numpy raises nearly anything of a damaged header, and so does a damaged index
        from mtl_seg_depth.system.memory import is_shortage  # takes torch, which nothing else here does

        if isinstance(error, PermissionError) or is_shortage(error):
            raise
        raise UserError(f"the pack {folder} is damaged or incomplete; the next run builds it again") from error


def packs_of(root: Path, cache: Path) -> list[Path]:
    """The folders of the packs in `cache` that were made of the data set in `root`, damaged indices aside."""
    folders = [path.parent for path in sorted(cache.glob(f"[!.]*/{_INDEX}"))]
    return [folder for folder in folders if _belongs_to(folder, root)]


def _belongs_to(folder: Path, root: Path, files: SplitFiles | None = None) -> bool:
    index = stored.find(folder / _INDEX, _Index)
    if index is None or folder.name != index.digest[:_NAME_DIGITS]:
        return False
    alike = files is None or (files.split, files.reading) == (index.split, index.reading)
    return alike and index.root == str(root.resolve())


def verify(folder: Path) -> None:
    """Read a whole pack and compare it with the digests that were taken while it was built.

    Raises UserError that names the first array, and the images in it, where bytes differ.
    """
    split = open_pack(folder)
    assert split.blocks is not None
    for block in range(split.blocks.count):
        for kind in split.blocks.damaged(block):
            raise UserError(f"{split.blocks.describe(kind, block)}; the next run that reads them removes the pack")


def _build(files: SplitFiles, digest: str, folder: Path, workers: int, console: Console) -> None:
    """Decode a split into `folder`, which appears when it is complete; the caller holds the lock."""
    started = time.perf_counter()
    cache, building = folder.parent, folder.with_name(_UNDER_CONSTRUCTION)
    for remains in (building, *cache.glob(f"{_DISCARDED}*")):  # of a run that was killed: nobody else can be at work
        _remove(remains)
    try:
        with Progress(console=console, transient=True, disable=console.quiet) as bar:
            width, height = _common_size(files, workers, bar)
            count = len(files.ids)
            shapes = {kind: (count, height, width, *reader.channels) for kind, reader in files.readers.items()}
            _require_space(cache, sum(math.prod(shapes[kind]) * r.bits // 8 for kind, r in files.readers.items()))
            building.mkdir()
            step = max(1, _BLOCK_BYTES // (height * width * 3))
            blocks = _write_arrays(files, building, shapes, step, workers, bar)
        if source_digest(files) != digest:
            raise UserError(f"files in {files.root / files.split} changed while being packed; start again")
        index = _Index(
            root=str(files.root.resolve()),
            split=files.split,
            reading=files.reading,
            digest=digest,
            content_digest=_content_digest(files.ids, shapes, blocks),
            ids=list(files.ids),
            file_sizes={kind: (building / f"{kind}.npy").stat().st_size for kind in shapes},
            block_pictures=step,
            blocks=blocks,
        )
        stored.write(building / _INDEX, index)
        if folder.is_symlink() or folder.exists():  # incomplete: somebody cut or deleted a file in it, or moved it
            _discard(folder)
        building.rename(folder)
    finally:
        _remove(building)  # after the rename there is nothing of this name
    for other in packs_of(files.root, cache):
        if other != folder and _belongs_to(other, files.root, files):
            _discard(other)
    seconds, count = time.perf_counter() - started, len(files.ids)
    console.print(f"packed {count} images of {files.split} in {seconds:.1f} s ({count / seconds:.0f} a second)")


def _common_size(files: SplitFiles, workers: int, bar: Progress) -> tuple[int, int]:
    """The width and height to read every file in, after a look at every header: cheap, and before any decoding."""
    wanted = [(files.readers[kind], path) for kind, paths in files.paths.items() for path in paths]
    paths = [path for _, path in wanted]
    with ThreadPoolExecutor(workers) as executor:
        found = executor.map(lambda reader, path: reader.size(path), *zip(*wanted, strict=True))
        sizes: list[tuple[int, int]] = list(
            bar.track(found, total=len(paths), description=f"{files.split}: looking at headers")
        )
    count = len(files.ids)
    if files.size is None:
        check_one_size(paths, sizes, _proposal(sizes[:count]) if files.reading else "")
        return sizes[0]
    for position in range(count):
        check_one_shape(paths[position::count], sizes[position::count])
    return files.size


def _proposal(sizes: Sequence[tuple[int, int]]) -> str:
    """How to read images of these sizes, (width, height), in one, which is all that a pack holds."""
    counts = Counter(sizes).most_common()
    width, height = counts[0][0]
    found = ", ".join(f"{count} of {w} x {h}" for (w, h), count in counts[:4])
    more = f" and {len(counts) - 4} other sizes" if len(counts) > 4 else ""
    return f". The images are {found}{more}: data.size=[{height},{width}] reads all in one size"


def _write_arrays(
    files: SplitFiles,
    building: Path,
    shapes: dict[str, tuple[int, ...]],
    step: int,
    workers: int,
    bar: Progress,
) -> dict[str, list[str]]:
    """Write one array for each kind of file, synced to disk; the digests of its blocks of `step` images.

    Ordinary writes fail with an error on a full disk; a write through a memory map would kill the process.
    """
    task = bar.add_task(f"{files.split}: packing", total=len(files.ids))
    with ExitStack() as stack:
        outputs = {}
        for kind, shape in shapes.items():
            file = stack.enter_context((building / f"{kind}.npy").open("wb"))
            descr = np.lib.format.dtype_to_descr(np.dtype(files.readers[kind].dtype))
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            outputs[kind] = (file.fileno(), file.tell())

        def write_block(start: int) -> dict[str, str]:
            hashes = {kind: hashlib.sha256() for kind in shapes}
            for position in range(start, min(start + step, len(files.ids))):
                for kind, paths in files.paths.items():
                    pixels = files.readers[kind](paths[position])
                    descriptor, first_pixel = outputs[kind]
                    _write_at(descriptor, pixels, first_pixel + position * pixels.nbytes)
                    hashes[kind].update(pixels.data)
                bar.advance(task)
            return {kind: sha.hexdigest() for kind, sha in hashes.items()}

        with ThreadPoolExecutor(workers) as executor:  # on an error it waits, so that no closed file is written
            digests = list(executor.map(write_block, range(0, len(files.ids), step)))
        for descriptor, _ in outputs.values():
            os.fsync(descriptor)
    return {kind: [of_block[kind] for of_block in digests] for kind in shapes}


def _write_at(descriptor: int, pixels: NDArray[Any], offset: int) -> None:
    """Write all pixels; on a full disk one call stops early without an error, and the next one raises it."""
    rest = pixels.reshape(-1).view(np.uint8).data
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


def _is_complete(folder: Path, files: SplitFiles, digest: str, report: bool = False) -> bool:
    """Whether a pack is there, made of the sources with this digest, its index right and its arrays long enough."""
    if not folder.exists():
        return False
    try:
        split = open_pack(folder)
        return (split.digest, split.split) == (digest, files.split)
    except UserError:
        if report:
            log.warning("the pack %s is damaged or incomplete; it is built again", folder)
        return False


def _content_digest(ids: Sequence[int], shapes: Mapping[str, Sequence[int]], blocks: Mapping[str, list[str]]) -> str:
    return hashlib.sha256(json.dumps([ids, shapes, blocks]).encode()).hexdigest()


def _discard(folder: Path) -> None:
    """Remove a pack; it loses its name first, so that it is never half there."""
    discarded = folder.with_name(f"{_DISCARDED}.{secrets.token_hex(4)}")
    folder.rename(discarded)
    _remove(discarded)


def _remove(folder: Path) -> None:
    """Remove what a pack is made of, and the folder if that was all there was; of a link, the link alone."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        for path in (folder / _INDEX, *folder.glob("*.npy")):
            path.unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError:
            log.warning("%s holds more than was packed, and stays", folder)
