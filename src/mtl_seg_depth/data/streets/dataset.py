"""The embedded street scenes as a data set."""

from dataclasses import replace
from typing import Any, get_args

from mtl_seg_depth.data.miniscapes import Miniscapes
from mtl_seg_depth.data.streets.render import Conditions
from mtl_seg_depth.data.streets.write import write_streets


class Streets(Miniscapes):
    """The embedded street scenes: drawn once into `root`, then read like Miniscapes.

    Args:
        train, val, test: images in each split.
        height, width: of an image, in pixels.
        seed: of the scenes; another seed draws other streets.
        conditions: `fair`, or `any`: other hours, fog, and cameras of other mountings, lenses and noise.
        miniscapes: the arguments of `Miniscapes`.
    """

    DRAWN = True
    focal = 0.75
    """Of the camera between the widest and the longest, 0.66 and 0.85; see `layout.compose`."""

    def __init__(
        self,
        train: int,
        val: int,
        test: int,
        height: int,
        width: int,
        seed: int,
        conditions: Conditions = "fair",
        **miniscapes: Any,
    ) -> None:
        super().__init__(**miniscapes)
        if min(train, val, test) < 1:
            raise ValueError(f"every split has at least 1 image, not train={train} val={val} test={test}")
        if min(height, width) < 32:
            raise ValueError(f"images are at least 32 x 32 pixels, not {width} x {height}")
        if seed < 0:
            raise ValueError(f"seed is 0 or more, not {seed}")
        if conditions not in get_args(Conditions):
            raise ValueError(f"conditions is {' or '.join(get_args(Conditions))}, not {conditions}")
        self.conditions = conditions
        self.counts = {"train": train, "val": val, "test": test}
        self.image_size = (height, width)
        self.seed = seed
        self.spec = replace(self.spec, licence="Apache-2.0", source="drawn by mtl_seg_depth")

    def describe(self, split: str) -> tuple[int, tuple[int, int]]:
        """Count of a split's images, and their height and width."""
        return self.counts[split], self.image_size

    def prepare(self) -> None:
        """Draw what is not drawn yet."""
        height, width = self.image_size
        write_streets(
            self.root,
            counts=self.counts,
            height=height,
            width=width,
            seed=self.seed,
            workers=self.workers,
            conditions=self.conditions,
        )
