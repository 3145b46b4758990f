"""One's own images, masks and depths, wherever they lie below one folder and whatever they are called."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from mtl_seg_depth.data.converted import Arranged
from mtl_seg_depth.data.division import ByFields, ByList, ByShare, Division
from mtl_seg_depth.data.files import IMAGE, SPLITS
from mtl_seg_depth.data.reading.depths import DepthKind, DepthReader
from mtl_seg_depth.data.reading.images import ImageReader
from mtl_seg_depth.data.reading.labels import LabelReader, from_colour
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.tasks.semseg.classes import Classes

IGNORED = 255


@dataclass(frozen=True, config={"extra": "forbid"})
class NamedClass:
    """A row of the class table.

    Attributes:
        name: of the class.
        colour: red, green and blue: of masks of colours, and to draw with.
        ids: in masks of ids; None for the row's place in the table, from 0.
    """

    name: str
    colour: tuple[int, int, int]
    ids: tuple[int, ...] | None = None


class Folder(Arranged):
    """Images, with masks, depths or both.

    Args:
        images, masks, depths: patterns below `root`, such as `depth/{split}/{name}.png`; None for targets that there
            are not. Those of one image have equal fields. All but the last field are what a sequence is known by.
        splits: of train, val and maybe test: what `{split}` is in the patterns, a .txt file that lists its images, or
            its share of all; None for no such split.
        split_seed: of shares.
        classes: the class table, in the order of the ids that the network is to have.
        ignored: ids, or colours, of masks that are neither trained on nor scored.
        mask_of: what masks hold; a palette's indices are ids, and its colours are colours.
        depth_kind, depth_scale, depth_offset, depth_invalid, depth_bits, focal_baseline: what a stored number p means;
            see `DepthReader`: `depth_scale * p + depth_offset` is metres, disparity in pixels or inverse depth in 1/m.
        rays: fx, fy, cx, cy of the camera, where depths are distances along rays; None where they are planar.
        licence, source: for the record.
        converted: the arguments of `Converted`.
    """

    def __init__(
        self,
        images: str,
        masks: str | None,
        depths: str | None,
        splits: Mapping[str, float | str | None],
        split_seed: int = 0,
        classes: Sequence[NamedClass] = (),
        ignored: Sequence[int | tuple[int, int, int]] = (IGNORED,),
        mask_of: Literal["ids", "colours"] = "ids",
        depth_kind: DepthKind = "metres",
        depth_scale: float = 0.001,
        depth_offset: float = 0.0,
        depth_invalid: Sequence[float] = (0,),
        depth_bits: Literal[8, 16, 32] = 16,
        focal_baseline: float | None = None,
        rays: tuple[float, float, float, float] | None = None,
        licence: str = "unknown",
        source: str = "",
        **converted: Any,
    ) -> None:
        super().__init__(**converted)
        patterns = {IMAGE: images, "semseg": masks, "depth": depths}
        wanted = {kind: text for kind, text in patterns.items() if text is not None}
        if len(wanted) == 1:
            raise ValueError("masks, depths or both are patterns; with neither there is nothing to train")
        if depth_kind == "disparity" and depths is not None and not (focal_baseline or 0) > 0:
            raise ValueError(
                "depth_kind=disparity needs focal_baseline: focal length in pixels times baseline in metres, above 0"
            )
        if rays is not None and depth_kind == "disparity":
            raise ValueError("rays: depth from a disparity is planar already")
        if any(text.startswith(("/", "~")) or ".." in text for text in wanted.values()):
            raise ValueError("images, masks and depths are patterns below data.root")
        if masks is not None and not classes:
            raise ValueError("masks need classes: a list of {name: ..., colour: [red, green, blue]}")
        self.readers = {
            IMAGE: ImageReader(self.size),
            "semseg": LabelReader(
                _table(classes, ignored, mask_of == "colours"),
                colours=mask_of == "colours",
                to=self.size,
                shrink=self.shrink_labels,
            ),
            "depth": DepthReader(
                self.depth.codec,
                kind=depth_kind,
                scale=depth_scale,
                offset=depth_offset,
                invalid=tuple(depth_invalid),
                beyond=self.beyond,
                least_bits=depth_bits,
                focal_baseline=focal_baseline,
                rays=rays,
                to=self.size,
            ),
        }
        division = _division(splits, split_seed, self.root)
        if isinstance(division, ByFields) and "{split}" not in images:
            raise ValueError(f"images={images} has no {{split}}; give splits as shares or as .txt files")
        self.arrange(wanted, division)
        targets: dict[str, Any] = {}
        if masks is not None:
            targets["semseg"] = Classes(
                tuple(row.name for row in classes), tuple(row.colour for row in classes), IGNORED
            )
        if depths is not None:
            targets["depth"] = self.depth
        self.spec = DataSpec("folder", targets, licence, source)


def _table(
    classes: Sequence[NamedClass], ignored: Sequence[int | tuple[int, int, int]], colours: bool
) -> tuple[tuple[int, int], ...]:
    """Pairs of a stored id or colour and its class; ValueError for one that two classes have."""
    rows: list[tuple[int, int]] = []
    for place, row in enumerate(classes):
        ids = [from_colour(*row.colour)] if colours else [place] if row.ids is None else row.ids
        rows += [(stored, place) for stored in ids]
    for each in ignored:
        stored = from_colour(*each) if isinstance(each, tuple) else each
        if isinstance(each, tuple) == colours:
            rows.append((stored, IGNORED))
    if len({stored for stored, _ in rows}) < len(rows):
        raise ValueError(f"classes and ignored: every {'colour' if colours else 'id'} stands for one class")
    return tuple(rows)


def _division(given: Mapping[str, float | str | None], seed: int, root: Path) -> Division:
    """What `splits` means."""
    splits = {split: value for split, value in given.items() if value is not None}
    if not {"train", "val"} <= set(splits) <= set(SPLITS):
        raise ValueError(f"splits are train, val and maybe test, not {', '.join(splits)}")
    shares = {split: value for split, value in splits.items() if not isinstance(value, str)}
    lists = {split: root / value for split, value in splits.items() if isinstance(value, str) and value[-4:] == ".txt"}
    if shares and len(shares) == len(splits):
        return ByShare(shares, seed)
    if lists and len(lists) == len(splits):
        return ByList(lists)
    if shares or lists:
        raise ValueError(f"splits are all shares, all .txt files or all folders, not {dict(splits)}")
    return ByFields({split: {"split": [str(value)]} for split, value in splits.items()})
