import errno
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.tiny_data import miniscapes, write_tiny_miniscapes
from PIL import Image

from mtl_seg_depth.data import packed
from mtl_seg_depth.data.files import DamagedFileError, Reader
from mtl_seg_depth.data.miniscapes import READERS
from mtl_seg_depth.data.packed import PackedSplit, packs_of, verify
from mtl_seg_depth.system.errors import UserError

Extent = Callable[[int, int], int]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_miniscapes(tmp_path / "data", {"train": 5, "val": 2, "test": 2})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that was decoded so far."""
    paths: list[Path] = []

    read = Reader.__call__

    def counting(reader: Reader, path: Path) -> np.ndarray:
        paths.append(path)
        return read(reader, path)

    monkeypatch.setattr(Reader, "__call__", counting)
    return paths


def pack(root: Path, cache: Path, split: str = "train", **options: int) -> PackedSplit:
    return packed.pack(miniscapes(root).files(split), cache, progress=False, **options)


def array_of(split: PackedSplit, kind: str) -> np.ndarray:
    return split.images if kind == "rgb" else split.targets[kind]


def folders(cache: Path) -> list[str]:
    """Everything in a cache folder but its lock."""
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("block", [packed._BLOCK_BYTES, 2 * 32 * 64 * 3, 1])
def test_arrays_equal_what_the_files_hold(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(packed, "_BLOCK_BYTES", block)
    files = miniscapes(root).files("train")
    split = pack(root, cache, workers=3)
    assert len(split) == 5
    assert split.images.shape == (5, 32, 64, 3)
    assert split.targets["semseg"].shape == split.targets["depth"].shape == (5, 32, 64)
    assert split.ids.tolist() == [0, 1, 2, 3, 4]
    assert split.ids.dtype == np.int64
    for kind, paths in files.paths.items():
        array = array_of(split, kind)
        assert array.dtype == np.uint8
        for pixels, path in zip(array, paths, strict=True):
            with Image.open(path) as image:
                np.testing.assert_array_equal(pixels, np.asarray(image))
    verify(split.folder)


def test_arrays_cannot_be_written_to(root: Path, cache: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        pack(root, cache).images[0, 0, 0, 0] = 1


def test_a_split_without_labels(root: Path, cache: Path) -> None:
    with_labels = pack(root, cache, "test")
    for kind in ("semseg", "depth"):
        shutil.rmtree(root / "test" / kind)
    split = pack(root, cache, "test")
    assert not split.targets
    assert split.images.shape == (2, 32, 64, 3)
    assert split.content_digest != with_labels.content_digest


def test_unchanged_sources_are_not_decoded_again(root: Path, cache: Path, decoded: list[Path]) -> None:
    first = pack(root, cache)
    assert len(decoded) == 15
    second = pack(root, cache)
    assert len(decoded) == 15
    assert second.folder == first.folder
    assert second.content_digest == first.content_digest


def test_a_pack_of_files_as_they_are_has_the_name_that_it_always_had(root: Path, cache: Path) -> None:
    sha = hashlib.sha256(b"1 train\n")
    for kind, ending in (("rgb", "jpg"), ("semseg", "png"), ("depth", "png")):
        for number in range(len(list((root / "train" / kind).iterdir()))):
            status = (root / "train" / kind / f"{number}.{ending}").stat()
            sha.update(f"{kind}/{number}.{ending} {status.st_size} {status.st_mtime_ns}\n".encode())
    assert miniscapes(root, cache).open("train", progress=False).folder.name == sha.hexdigest()[:16]


def test_touched_sources_are_packed_again(root: Path, cache: Path, decoded: list[Path]) -> None:
    first, other_split = pack(root, cache), pack(root, cache, "val")
    before = len(decoded)
    os.utime(root / "train" / "depth" / "3.png", ns=(1, 1))
    second = pack(root, cache)
    assert len(decoded) == before + 15
    assert second.digest != first.digest
    assert second.content_digest == first.content_digest
    # The superseded pack is gone, yet a run that maps it reads on; the pack of the other split stays.
    assert folders(cache) == sorted([second.folder.name, other_split.folder.name])
    np.testing.assert_array_equal(first.images, second.images)


def test_a_changed_pixel_changes_the_content(root: Path, cache: Path) -> None:
    first = pack(root, cache)
    path = root / "train" / "semseg" / "2.png"
    labels = READERS["semseg"](path)
    labels[9, 9] = (labels[9, 9] + 1) % 19
    Image.fromarray(labels).save(path)
    second = pack(root, cache)
    assert second.content_digest != first.content_digest
    np.testing.assert_array_equal(second.targets["semseg"][2], labels)


def test_content_depends_on_neither_place_nor_time(root: Path, cache: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in copy.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    first, second = pack(root, cache, workers=1), pack(copy, cache, workers=3)
    assert first.digest != second.digest
    assert first.content_digest == second.content_digest
    assert packs_of(root, cache) == [first.folder]
    assert packs_of(copy, cache) == [second.folder]


def test_ids_belong_to_the_content(root: Path, cache: Path) -> None:
    first = pack(root, cache)
    for folder in (root / "train").iterdir():
        path = next(folder.glob("4.*"))
        path.rename(path.with_stem("5"))
    second = pack(root, cache)
    assert second.ids.tolist() == [0, 1, 2, 3, 5]
    assert second.content_digest != first.content_digest


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Change one bit of a file, as a disk does: neither size nor time tell of it."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
        old = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([old ^ (1 << bit)]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def assert_as_the_files(split: PackedSplit, root: Path) -> None:
    for kind, paths in miniscapes(root).files(split.split).paths.items():
        np.testing.assert_array_equal(array_of(split, kind), np.stack([READERS[kind](path) for path in paths]))


def test_a_flipped_byte_is_found(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_BLOCK_BYTES", 2 * 32 * 64 * 3)
    split = pack(root, cache)
    flip(split.folder / "depth.npy", -1)
    with pytest.raises(UserError, match=r"depth\.npy is damaged within the images 4 to 4; the next run that reads"):
        verify(split.folder)


def test_a_pack_with_a_flipped_byte_is_refused_before_it_is_read_and_built_again(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[Path]
) -> None:
    monkeypatch.setattr(packed, "_BLOCK_BYTES", 2 * 32 * 64 * 3)
    first, val = pack(root, cache), pack(root, cache, "val")
    flip(first.folder / "depth.npy", -1)
    decoded.clear()
    split = pack(root, cache)
    split.check([0, 1])
    split.check([2, 3])
    with pytest.raises(UserError) as error:
        split.check([1, 2, 4])
    assert str(error.value) == (
        f"{first.folder}/depth.npy is damaged within the images 4 to 4. "
        "The pack was removed; the same command builds it again"
    )
    assert folders(cache) == [val.folder.name]
    assert not decoded
    split = pack(root, cache)
    assert len(decoded) == 15
    split.check(range(5))
    assert_as_the_files(split, root)
    verify(split.folder)
    assert split.content_digest == first.content_digest
    assert folders(cache) == sorted([split.folder.name, val.folder.name])
    flip(split.folder / "depth.npy", -1)
    split.check(range(5))  # a run looks at a block once


def test_a_damaged_pack_is_refused_by_every_run_that_maps_it_and_built_again_once(root: Path, cache: Path) -> None:
    first, second = pack(root, cache), pack(root, cache)
    flip(first.folder / "rgb.npy", -1)
    with pytest.raises(UserError, match=r"rgb\.npy is damaged within the images 0 to 4\. The pack was removed"):
        first.check([4])
    third = pack(root, cache)
    for damaged in (second, first):
        with pytest.raises(UserError, match=r"rgb\.npy is damaged .* The pack was removed"):
            damaged.check([4])
    assert folders(cache) == [third.folder.name]
    verify(third.folder)


def test_remains_of_a_removal_that_was_killed_are_in_nobody_s_way(root: Path, cache: Path) -> None:
    split = pack(root, cache)
    (cache / ".discarded.0").mkdir()
    (cache / ".discarded.0" / "rgb.npy").touch()
    flip(split.folder / "rgb.npy", -1)
    with pytest.raises(UserError, match="The pack was removed"):
        split.check([4])
    assert folders(cache) == [".discarded.0"]
    assert folders(pack(root, cache).folder.parent) == [split.folder.name]


def test_what_was_not_packed_is_never_removed_whatever_an_index_says(root: Path, cache: Path, tmp_path: Path) -> None:
    """Neither a folder that has a copy of an index, nor a file that somebody put into a pack."""
    split = pack(root, cache)
    foreign = cache / "photos"
    shutil.copytree(split.folder, foreign)
    (split.folder / "notes.txt").write_text("mine")
    (root / "train" / "rgb" / "0.jpg").touch()  # changed sources: the older pack goes
    newer = pack(root, cache)
    assert newer.folder != split.folder
    assert not split.folder.exists()
    assert [path.read_text() for path in cache.rglob("*") if path.parent.name.startswith(".discarded")] == ["mine"]
    assert len(list(foreign.iterdir())) == 4


@pytest.mark.parametrize("whole", [True, False])
def test_a_pack_that_was_moved_with_a_link_in_its_place_is_used_and_packed_again(
    root: Path, cache: Path, tmp_path: Path, whole: bool
) -> None:
    split = pack(root, cache)
    moved = tmp_path / "larger disk"
    shutil.move(split.folder, moved)
    split.folder.symlink_to(moved)
    if whole:
        assert pack(root, cache).folder.is_symlink()
        flip(moved / "rgb.npy", -1)
        with pytest.raises(UserError, match="The pack was removed"):
            pack(root, cache).check([4])
    else:
        (moved / "index.json").unlink()
    again = pack(root, cache)
    again.check(range(len(again)))
    assert not again.folder.is_symlink()
    assert folders(cache) == [again.folder.name]


def test_whichever_bit_of_a_pack_flips_nothing_but_what_was_packed_is_read(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, extent: Extent, observed: Callable[..., None]
) -> None:
    monkeypatch.setattr(packed, "_BLOCK_BYTES", 2 * 32 * 64 * 3)
    chance, flips, refused = random.Random(0), extent(60, 1000), 0
    folder = pack(root, cache).folder
    for number in range(flips):
        names = ["rgb.npy", "semseg.npy", "depth.npy", "index.json"]
        path = folder / names[number % 4]
        header_or_all = 128 if number % 3 == 0 else path.stat().st_size
        flip(path, chance.randrange(header_or_all), chance.randrange(8))
        split = pack(root, cache)
        try:
            split.check(range(5))
        except UserError as error:
            refused += 1
            assert re.search(r"\.npy is damaged within the images \d to \d\. The pack was removed", str(error))
            assert folders(cache) == []
            split = pack(root, cache)
            split.check(range(5))
        assert_as_the_files(split, root)
        assert split.ids.tolist() == [0, 1, 2, 3, 4]
    assert refused > flips / 4
    observed("a pack with a flipped bit is never read, and built again", flipped=flips, refused=refused)


def test_a_damaged_pack_that_cannot_be_removed_is_named(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    split = pack(root, cache)
    flip(split.folder / "rgb.npy", -1)
    monkeypatch.setattr(Path, "rename", read_only)
    for _ in range(2):
        with pytest.raises(UserError, match=r"rgb\.npy is damaged .*, and the pack cannot be removed: .*Read-only"):
            split.check([4])


def test_a_shortened_pack_is_built_again(root: Path, cache: Path, decoded: list[Path]) -> None:
    split = pack(root, cache)
    os.truncate(split.folder / "rgb.npy", 1000)
    assert pack(root, cache).images.shape == (5, 32, 64, 3)
    assert len(decoded) == 30


def test_a_pack_with_a_damaged_index_is_built_again(
    root: Path, cache: Path, caplog: pytest.LogCaptureFixture, decoded: list[Path]
) -> None:
    split = pack(root, cache)
    (split.folder / "index.json").write_text("{")
    again = pack(root, cache)
    assert len(decoded) == 30
    assert_as_the_files(again, root)
    assert f"the pack {split.folder} is damaged or incomplete; it is built again" in caplog.text


def test_a_picture_of_another_size_is_named_before_decoding(root: Path, cache: Path, decoded: list[Path]) -> None:
    Image.new("RGB", (64, 48)).save(root / "train" / "rgb" / "3.jpg")
    with pytest.raises(DamagedFileError, match=r"rgb/3\.jpg: is 64 x 48 pixels, but .*rgb/0\.jpg is 64 x 32"):
        pack(root, cache)
    assert not decoded


def test_depth_of_another_size_is_named(root: Path, cache: Path) -> None:
    Image.new("L", (32, 16)).save(root / "train" / "depth" / "0.png")
    with pytest.raises(DamagedFileError, match=r"depth/0\.png: is 32 x 16 pixels, but .* is 64 x 32"):
        pack(root, cache)


def test_a_bad_file_is_named_and_leaves_nothing_behind(root: Path, cache: Path) -> None:
    kept = pack(root, cache, "val")
    path = root / "train" / "rgb" / "3.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedFileError, match=r"rgb/3\.jpg: cannot be decoded"):
        pack(root, cache)
    assert folders(cache) == [kept.folder.name]


def test_sources_that_change_meanwhile_are_refused(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Reader.__call__

    def meddling(reader: Reader, path: Path) -> np.ndarray:
        os.utime(path, ns=(1, 1))
        return read(reader, path)

    monkeypatch.setattr(Reader, "__call__", meddling)
    with pytest.raises(UserError, match="changed while being packed"):
        pack(root, cache)
    assert folders(cache) == []


def test_too_little_space_is_said_beforehand(
    root: Path, cache: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 5 * 32 * 64 * 5
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=rf"needs 0\.00 GB in {cache}, where 0\.00 GB are free"):
        pack(root, cache)
    assert not decoded
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed))
    assert len(pack(root, cache)) == 5


def test_a_disk_that_fills_up_is_a_plain_message(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    calls = []

    def short_then_full(descriptor: int, data: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:100], offset)

    monkeypatch.setattr(os, "pwrite", short_then_full)
    with pytest.raises(UserError, match=r"cannot be used: .*No space left on device"):
        pack(root, cache, workers=1)
    assert calls == [calls[0] + 100 * k for k in range(4)]
    assert folders(cache) == []


def test_a_cache_that_cannot_be_written_to_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"the packed cache in .*file/cache cannot be used: .*Not a directory"):
        pack(root, tmp_path / "file" / "cache")


CHILD = """
import sys, time
from pathlib import Path
from helpers.tiny_data import miniscapes
from mtl_seg_depth.data import packed
from mtl_seg_depth.data.files import Reader

root, cache, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
read, decoded = Reader.__call__, 0

def slow(reader, path):
    global decoded
    if reader.format == "JPEG":
        decoded += 1
        time.sleep(pause)
    return read(reader, path)

Reader.__call__ = slow
packed.pack(miniscapes(root).files("train"), cache, workers=1)
print(decoded)
"""


def start(root: Path, cache: Path, pause: float) -> subprocess.Popen[str]:
    """A process that packs the training split, sleeping `pause` seconds before each image."""
    command = [sys.executable, "-c", CHILD, str(root), str(cache), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_build_a_pack_once(root: Path, cache: Path) -> None:
    processes = [start(root, cache, pause=0.3) for _ in range(2)]
    results = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(int(printed) for printed, _ in results) == [0, 5]
    assert len(folders(cache)) == 1


def test_a_killed_build_is_not_taken_for_a_pack(root: Path, cache: Path) -> None:
    process = start(root, cache, pause=60)
    deadline = time.monotonic() + 30
    while not (cache / ".under-construction" / "depth.npy").exists():
        assert time.monotonic() < deadline, "the build did not begin"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert folders(cache) == [".under-construction"]
    split = pack(root, cache)
    verify(split.folder)
    assert folders(cache) == [split.folder.name]
