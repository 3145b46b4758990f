"""The contract of a data set: what it says of itself, and which files make up a split."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mtl_seg_depth.data.files import IMAGE, SPLITS, DamagedFileError, Entry, SplitFiles
from mtl_seg_depth.data.packed import PackedSplit, pack, packed_before
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.system.errors import UserError


class DataSet(ABC):
    """Images and the targets of every task, in three splits, packed under `cache` once.

    Args:
        root: the folder that it lies in.
        cache: folder for the packed cache, shared by all runs.
        crop_size: height and width in pixels of a training view.
        workers: threads that decode; None for one a core.
    """

    NOT_CONTENT: ClassVar[frozenset[str]] = frozenset({"cache", "workers", "crop_size"})
    """Arguments that do not say which images it has."""

    splits: tuple[str, ...] = SPLITS
    """Those that it has."""
    METRIC: ClassVar[bool] = True
    """Whether its depth has a unit: a metre is a metre."""
    DRAWN: ClassVar[bool] = False
    """Whether `prepare` makes the images: they can be made in any folder, and are the same."""

    focal: ClassVar[float | None] = None
    """Focal length of its camera in image widths, so that it holds in any size; None if it is not known."""

    spec: DataSpec

    def __init__(self, root: str, cache: str, crop_size: Sequence[int], workers: int | None = None) -> None:
        if len(crop_size) != 2 or min(crop_size) < 1:
            raise ValueError(f"crop_size is a height and a width in pixels, not {list(crop_size)}")
        if workers is not None and workers < 1:
            raise ValueError(f"workers is at least 1, or null for one a core; not {workers}")
        self.root = Path(root).expanduser()
        self.cache = Path(cache).expanduser()
        self.crop_size = (crop_size[0], crop_size[1])
        self.workers = workers

    def prepare(self) -> None:  # noqa: B027  (there is nothing to do for data that somebody else made)
        """Make sure that the files are there."""

    @abstractmethod
    def scan(self, split: str) -> tuple[SplitFiles, list[DamagedFileError]]:
        """The complete images of one split, and every file that is none or lacks its counterpart.

        Raises DamagedFileError if a folder is missing.
        """

    def sequence(self, image: Entry) -> str | None:  # noqa: ARG002
        """The name of the drive that an image is of, whose images belong into one split; None if it is of none."""
        return None

    def files(self, split: str) -> SplitFiles:
        """The files of one split, however many there are; UserError if any is missing or misplaced."""
        files, problems = self.scan(split)
        if problems:
            named = "\n".join(f"  {problem}" for problem in problems[:3])
            more = f"\n  and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise UserError(f"{len(problems)} files of the {split} split in {self.root} do not match:\n{named}{more}")
        if not files.ids:
            raise UserError(f"{self.root / split / IMAGE} holds no images; expected <i>.jpg with <i> = 0, 1, 2, ...")
        return files

    def describe(self, split: str) -> tuple[int, tuple[int, int]]:
        """Count of a split's images, and height and width of its first, without preparing anything.

        Raises UserError if the split is missing or incomplete.
        """
        files = self.files(split)
        width, height = files.size or files.readers[IMAGE].size(files.paths[IMAGE][0])
        return len(files.ids), (height, width)

    def peek(self, split: str) -> PackedSplit | None:
        """A split if it is ready to read; nothing is written."""
        try:
            return packed_before(self.files(split), self.cache)
        except UserError:  # not there yet, or to be mended
            return None

    def open(self, split: str, progress: bool = True) -> PackedSplit:
        """A split ready to read, packed first if that has not been done; UserError if it cannot be."""
        self.prepare()
        return pack(self.files(split), self.cache, workers=self.workers, progress=progress)
