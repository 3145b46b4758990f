"""Packing, inspecting and counting hold a few images at a time, however many there are."""

import multiprocessing
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.miniatures import blocks, opened, photo, save

from mtl_seg_depth.data.check import inspect
from mtl_seg_depth.data.checks import sample
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.scoring.baseline import Constant
from mtl_seg_depth.tasks.configured import TASKS

HEIGHT, WIDTH = 256, 384
IMAGE_BYTES = HEIGHT * WIDTH * (3 + 1 + 2)
FEW, MANY = 8, 64


def written(folder: Path, count: int) -> DataSet:
    """As many images, with 16-bit depth, in a train split."""
    random = np.random.default_rng(0)
    for number in range(count + 1):
        scale = HEIGHT // 64
        for kind, pixels in (
            ("images", photo(random)),
            ("masks", blocks(random, range(2))),
            ("depths", blocks(random, [0, 700, 9000], np.uint16)),
        ):
            split = "train" if number < count else "val"
            save(folder / f"data/{kind}/{split}/{number}.png", pixels.repeat(scale, 0).repeat(scale, 1))
    classes = "data.classes=[{name: road, colour: [1, 2, 3]}, {name: sky, colour: [2, 3, 4]}]"
    return opened(
        folder, "data=folder", classes, "data.splits={train: train, val: val}", "data.depth_max=10", "data.workers=1"
    )


def peak(work: Callable[[], object]) -> int:
    """Bytes that arrays and objects took at most."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def packed(source: DataSet) -> PackedSplit:
    return source.open("train", progress=False)


def counted(source: DataSet) -> Constant:
    return Constant(packed(source), {name: TASKS[name](spec) for name, spec in source.spec.targets.items()})


def inspected(source: DataSet) -> object:
    return inspect(source, progress=False)


def peaks(work: Callable[[DataSet], object], folder: Path) -> tuple[int, int]:
    """Bytes that work on a few images took at most, and on many; to be called in a process of its own."""
    sample.MOST = FEW  # of what is looked at closely, which is held
    few, many = written(folder / "few", FEW), written(folder / "many", MANY)
    work(written(folder / "first", 2))  # what is imported and kept once
    if work is counted:
        packed(few), packed(many)
    return peak(lambda: work(few)), peak(lambda: work(many))


@pytest.fixture(scope="module")
def alone() -> Iterator[ProcessPoolExecutor]:
    """A process where no thread of another test takes memory meanwhile, which would be counted."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("work", [packed, inspected, counted])
def test_the_peak_does_not_grow_with_the_number_of_images(
    tmp_path: Path, work: Callable[[DataSet], object], alone: ProcessPoolExecutor
) -> None:
    few, many = alone.submit(peaks, work, tmp_path).result()
    assert many < few + 2 * IMAGE_BYTES < MANY * IMAGE_BYTES
