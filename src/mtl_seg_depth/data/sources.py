"""The data sets by name: where they are, how they are prepared, and what is known of their depths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl_seg_depth.data.miniscapes import list_split, read_size
from mtl_seg_depth.data.packed import PackedSplit, pack, packed_before
from mtl_seg_depth.data.streets import write_streets
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthStatistics


class Miniscapes:
    """Pictures in the Miniscapes layout under `root`, packed under `cache` once.

    Args:
        root: folder with train/, val/ and test/.
        cache: folder for the packed cache, shared by all runs.
        crop_size: height and width in pixels of a training view.
        depth_mean, depth_std, depth_min, depth_max: metres, of the valid depths of the training split.
        workers: threads that decode; None for one a core.
    """

    def __init__(
        self,
        root: str,
        cache: str,
        crop_size: Sequence[int],
        depth_mean: float,
        depth_std: float,
        depth_min: float,
        depth_max: float,
        workers: int | None = None,
    ) -> None:
        if len(crop_size) != 2 or min(crop_size) < 1:
            raise ValueError(f"crop_size is a height and a width in pixels, not {list(crop_size)}")
        if workers is not None and workers < 1:
            raise ValueError(f"workers is at least 1, or null for one a core; not {workers}")
        self.root = Path(root).expanduser()
        self.cache = Path(cache).expanduser()
        self.crop_size = (crop_size[0], crop_size[1])
        self.depth = DepthStatistics(depth_mean, depth_std, depth_min, depth_max)
        self.workers = workers

    def describe(self, split: str) -> tuple[int, tuple[int, int]]:
        """Count of a split's pictures, and height and width of its first, without preparing anything.

        Raises UserError where the split is missing or incomplete.
        """
        files = list_split(self.root, split)
        width, height = read_size(files.rgb[0])
        return len(files.ids), (height, width)

    def prepare(self) -> None:
        """Make sure that the files are there: nothing to do for data that somebody else made."""

    def open(self, split: str, progress: bool = True) -> PackedSplit:
        """A split ready to read, packed first where that has not been done; UserError where it cannot be."""
        self.prepare()
        return pack(list_split(self.root, split), self.cache, workers=self.workers, progress=progress)

    def peek(self, split: str) -> PackedSplit | None:
        """A split if it is ready to read; nothing is written."""
        try:
            return packed_before(list_split(self.root, split), self.cache)
        except UserError:  # not there yet, or to be mended
            return None


class Streets(Miniscapes):
    """The embedded street scenes: drawn once into `root`, then read like Miniscapes.

    Args:
        train, val, test: pictures in each split.
        height, width: of a picture, in pixels.
        seed: of the scenes; another seed draws other streets.
        miniscapes: the arguments of `Miniscapes`.
    """

    def __init__(self, train: int, val: int, test: int, height: int, width: int, seed: int, **miniscapes: Any) -> None:
        super().__init__(**miniscapes)
        if min(train, val, test) < 1:
            raise ValueError(f"every split has at least 1 picture, not train={train} val={val} test={test}")
        if min(height, width) < 32:
            raise ValueError(f"pictures are at least 32 x 32 pixels, not {width} x {height}")
        if seed < 0:
            raise ValueError(f"seed is 0 or more, not {seed}")
        self.counts = {"train": train, "val": val, "test": test}
        self.picture = (height, width)
        self.seed = seed

    def describe(self, split: str) -> tuple[int, tuple[int, int]]:
        """Count of a split's pictures, and their height and width."""
        return self.counts[split], self.picture

    def prepare(self) -> None:
        """Draw what is not drawn yet."""
        height, width = self.picture
        write_streets(self.root, counts=self.counts, height=height, width=width, seed=self.seed, workers=self.workers)
