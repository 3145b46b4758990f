"""The Miniscapes layout: `<root>/{train,val,test}/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png}`, `i` from 0.

`semseg` holds train ids (0..18, 255 = ignored), `depth` disparity codes. The test split may lack its labels.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.files import IMAGE, SPLITS, DamagedFileError, Reader, SplitFiles, label_reader
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthRules, DepthSpec, DepthStatistics
from mtl_seg_depth.tasks.depth.rules import RuleChoices

DEPTH_CODEC: Final = DepthCodec(bits=8, scale="disparity", first=1 / 300, last=1 / 4)
"""Code p stands for the disparity `(1/4 - 1/300) * (p - 1) / 254 + 1/300`."""

READERS: Final = {
    IMAGE: Reader("JPEG", channels=(3,)),
    "semseg": label_reader(len(CITYSCAPES), CITYSCAPES.ignore_index),
    "depth": Reader("PNG"),
}
"""The reader of every kind of file."""

LEFT_BY_OTHERS: Final = frozenset({"Thumbs.db", "desktop.ini", "@eaDir"})
"""What Windows and network drives leave in folders of images."""

_LAYOUT: Final = "{train,val,test}/{rgb/<i>.jpg, semseg/<i>.png, depth/<i>.png} with <i> = 0, 1, 2, ..."
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,17}")


class Miniscapes(DataSet):
    """Images in the Miniscapes layout under `root`.

    Args:
        root: folder with train/, val/ and test/.
        cache, crop_size, workers: as in `DataSet`.
        depth_mean, depth_std, depth_min, depth_max: metres, of the valid depths of the training split.
        depth_rules: how depths are scored; None for every valid depth, image by image.
    """

    NOT_CONTENT = DataSet.NOT_CONTENT | {"depth_mean", "depth_std", "depth_min", "depth_max", "depth_rules"}

    readers: Mapping[str, Reader] = READERS

    def __init__(
        self,
        root: str,
        cache: str,
        crop_size: Sequence[int],
        depth_mean: float,
        depth_std: float,
        depth_min: float,
        depth_max: float,
        depth_rules: RuleChoices | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__(root, cache, crop_size, workers)
        statistics = DepthStatistics(depth_mean, depth_std, depth_min, depth_max)
        rules = (depth_rules or RuleChoices()).applied(DepthRules())
        self.spec = DataSpec(
            name=type(self).__name__.lower(),
            targets={"semseg": CITYSCAPES, "depth": DepthSpec(DEPTH_CODEC, statistics, rules)},
            licence="handed out to one course; made of Synscapes",
            source="Wrenninge & Unger, Synscapes, 2018",
        )

    def scan(self, split: str) -> tuple[SplitFiles, list[DamagedFileError]]:
        """The complete images of one split, and every file that is none or lacks its counterpart."""
        return scan_split(self.root, split, self.readers)


def scan_split(
    root: Path, split: str, readers: Mapping[str, Reader] = READERS
) -> tuple[SplitFiles, list[DamagedFileError]]:
    """The complete images of one split in this layout, and every file that is none or lacks its counterpart.

    Raises DamagedFileError if a folder is missing; the test split may lack all of its label folders.
    """
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
    folder = root / split
    unlabelled = split == "test" and not any((folder / kind).exists() for kind in readers if kind != IMAGE)
    kinds = (IMAGE,) if unlabelled else tuple(readers)
    for wanted in (root, folder, *(folder / kind for kind in kinds)):
        if not wanted.is_dir():
            raise DamagedFileError(
                wanted,
                f"is not a folder; expected {root}/{_LAYOUT}. Set data.root=<folder> to where the data is.",
            )

    suffix = {kind: {"JPEG": ".jpg", "PNG": ".png"}[reader.format] for kind, reader in readers.items()}
    problems: list[DamagedFileError] = []
    found: dict[str, dict[int, Path]] = {}
    for kind in kinds:
        found[kind], misnamed = _numbered(folder / kind, suffix[kind])
        problems += misnamed
    every = set[int]().union(*found.values())
    complete = sorted(every.intersection(*found.values()))
    for number in sorted(every.difference(complete)):
        lacking = [f"{kind}/{number}{suffix[kind]}" for kind in kinds if number not in found[kind]]
        present = next(found[kind][number] for kind in kinds if number in found[kind])
        problems.append(DamagedFileError(present, f"there is no {' and no '.join(lacking)} beside it"))

    paths = {kind: tuple(found[kind][number] for number in complete) for kind in kinds}
    return SplitFiles(root, split, tuple(complete), paths, {kind: readers[kind] for kind in kinds}), problems


def _numbered(folder: Path, suffix: str) -> tuple[dict[int, Path], list[DamagedFileError]]:
    """The files `<number><suffix>` of a folder, and those that are named otherwise (hidden ones aside)."""
    numbered: dict[int, Path] = {}
    misnamed = []
    for path in folder.iterdir():
        if path.suffix == suffix and _NUMBER.fullmatch(path.stem):
            numbered[int(path.stem)] = path
        elif not path.name.startswith(".") and path.name not in LEFT_BY_OTHERS:  # such as .DS_Store
            misnamed.append(DamagedFileError(path, f"is not named <number>{suffix}"))
    return numbered, sorted(misnamed, key=lambda problem: str(problem.path))
