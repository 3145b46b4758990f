"""NYU Depth V2: 1449 labelled rooms in one MATLAB file, with 13 or 40 classes and the official split."""

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.converted import Converted
from mtl_seg_depth.data.files import IMAGE, DamagedFileError, Source, SplitFiles
from mtl_seg_depth.data.reading.arrays import hdf5
from mtl_seg_depth.data.reading.depths import DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.tasks.semseg.classes import Classes

_NAMES_13: Final = "bed books ceiling chair floor furniture objects picture sofa table tv wall window"
_NAMES_40: Final = (
    "wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk shelves curtain dresser "
    "pillow mirror floor_mat clothes ceiling books refrigerator television paper towel shower_curtain box whiteboard "
    "person night_stand toilet sink lamp bathtub bag other_structure other_furniture other_prop"
)
IMAGES_FILE: Final = "nyu_depth_v2_labeled.mat"
IGNORED: Final = 255


def _classes(names: str) -> Classes:
    """Classes in colours that differ: the bits of their numbers, the lowest ones first, are the highest of a colour."""
    numbers = range(1, len(names.split()) + 1)
    shades = [tuple(sum((n >> 3 * bit + c & 1) << 7 - bit for bit in range(3)) for c in range(3)) for n in numbers]
    return Classes(tuple(name.replace("_", " ") for name in names.split()), tuple(shades))  # type: ignore[arg-type]


NYU13: Final = _classes(_NAMES_13)
NYU40: Final = _classes(_NAMES_40)


class NYUv2(Converted):
    """`nyu_depth_v2_labeled.mat`, with `splits.mat`, `classMapping40.mat` and for 13 classes `class13Mapping.mat`.

    The validation split is the official test split, as papers on several tasks have it: there is no third one.

    Args:
        classes: 13 or 40.
        raw_depth: depth as it was measured, with holes, in place of the filled one.
        converted: the arguments of `Converted`.
    """

    splits = ("train", "val")

    def __init__(self, classes: Literal[13, 40] = 13, raw_depth: bool = False, **converted: Any) -> None:
        super().__init__(**converted)
        self.classes = classes
        self.arrays = {IMAGE: "images", "semseg": "labels", "depth": "rawDepths" if raw_depth else "depths"}
        self.spec = DataSpec(
            name="nyuv2",
            targets={"semseg": NYU13 if classes == 13 else NYU40, "depth": self.depth},
            licence="not stated; for research by custom",
            source="Silberman et al., Indoor Segmentation and Support Inference, ECCV 2012",
        )

    def scan(self, split: str) -> tuple[SplitFiles, list[DamagedFileError]]:
        """The images of one split, in the order of the file; DamagedFileError for any of the four files."""
        self.check_split(split)
        path = self.root / IMAGES_FILE
        with hdf5(path) as file:
            lacking = [name for name in self.arrays.values() if name not in file]
            if lacking:
                raise DamagedFileError(path, f"holds no {' and no '.join(lacking)}; it holds {', '.join(file)}")
            count = len(file["images"])
        numbers = (
            _matlab(self.root / "splits.mat", {"train": "trainNdxs", "val": "testNdxs"}[split]).ravel().astype(int) - 1
        )
        if not (len(numbers) and numbers.min() >= 0 and numbers.max() < count):
            raise DamagedFileError(self.root / "splits.mat", f"names images beyond the {count} of {IMAGES_FILE}")
        to = self.size
        self.readers = {
            IMAGE: ImageReader(to),
            "semseg": LabelReader(self._table(), to=to, shrink=self.shrink_labels),
            "depth": DepthReader(self.depth.codec, invalid=(0,), beyond=self.beyond, to=to),
        }
        paths = {
            kind: [Source(path, array, int(number)) for number in sorted(numbers)]
            for kind, array in self.arrays.items()
        }
        return self.split_files(split, paths), []

    def _table(self) -> tuple[tuple[int, int], ...]:
        """Class of every stored label, of which 0 is unlabelled."""
        classes = _matlab(self.root / "classMapping40.mat", "mapClass").ravel()
        if self.classes == 13:
            names = _matlab(self.root / "class13Mapping.mat", "classMapping13")
            of_40 = names["labels13"][0, 0].ravel()
            classes = np.concatenate([[0], of_40])[classes]
        stored = np.concatenate([[0], classes]).astype(int) - 1
        return tuple(enumerate(np.where(stored < 0, IGNORED, stored).tolist()))


def _matlab(path: Path, name: str) -> NDArray[Any]:
    """A variable of a small MATLAB file."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DamagedFileError(path, f"is missing; it belongs beside {IMAGES_FILE}, see docs/data.md")
    try:
        found: NDArray[Any] = loadmat(path)[name]
    except Exception as error:  # what scipy raises on damaged files is not to be listed
        raise DamagedFileError(path, f"holds no {name}: {error or type(error).__name__}") from error
    return found
