"""Batches on the device, from a packed split: random views to train on, or the whole split in order to score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_seg_depth.data.augmentation import Augmentation, Size, Views, crop, jitter, resample
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.data.randomness import generator
from mtl_seg_depth.depth import INVALID_CODE, DepthStatistics, depth_of_code
from mtl_seg_depth.errors import UserError
from mtl_seg_depth.labels import IGNORE_INDEX

SIZE_MULTIPLE = 32
"""Scored pictures are cropped from the top-left corner to multiples of this many pixels, as in the report."""


@dataclass(frozen=True)
class Batch:
    """B pictures with what is known of them, on one device.

    Attributes:
        rgb: float32 [B, 3, H, W] in 0..1, channels last in memory.
        semseg: int64 [B, H, W] train ids, 255 ignored.
        depth: float32 [B, H, W] planar metres, nan where not valid.
        ids: the pictures' numbers in their split.
    """

    rgb: Tensor
    semseg: Tensor
    depth: Tensor
    ids: list[int]


class Decoder:
    """Turns 8-bit pixels into what a network takes, on the device: 5 bytes a pixel cross the bus."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.metres = torch.from_numpy(depth_of_code()).to(device)

    def to_device(self, *arrays: Tensor) -> list[Tensor]:
        """Move arrays to the device."""
        return [array.to(self.device, non_blocking=True) for array in arrays]

    def __call__(self, rgb: Tensor, semseg: Tensor, codes: Tensor, ids: list[int]) -> Batch:
        """A batch from rgb [B, H, W, 3] in 0..255, labels [B, H, W] and disparity codes [B, H, W] on the device."""
        return Batch(
            rgb=rgb.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last).div_(255),
            semseg=semseg.long(),
            depth=self.metres[codes.int()],
            ids=ids,
        )


def check_sizes(count: int, picture: Size, batch_size: int, crop_size: Size) -> None:
    """Raise UserError unless a batch fits into `count` training pictures, and a crop into each of them."""
    if batch_size > count:
        raise UserError(f"schedule.batch_size={batch_size} is larger than the {count} training pictures")
    if crop_size[0] > picture[0] or crop_size[1] > picture[1]:
        raise UserError(
            f"data.crop_size={list(crop_size)} (height, width) is larger than the training pictures, "
            f"which are {picture[0]} high and {picture[1]} wide"
        )
    if min(crop_size) < SIZE_MULTIPLE:
        raise UserError(f"data.crop_size={list(crop_size)} is smaller than {SIZE_MULTIPLE} pixels")


class TrainingBatches:
    """Random views of a split; `batches[step]` is the batch of an optimiser step, whichever steps came before.

    Every epoch goes through the split in an order of its own and drops the last partial batch. Order and views are
    pure functions of seed and epoch.
    """

    def __init__(
        self,
        split: PackedSplit,
        augmentation: Augmentation,
        *,
        batch_size: int,
        crop_size: Size,
        depth_range: DepthStatistics,
        seed: int,
        device: torch.device,
    ) -> None:
        height, width = split.rgb.shape[1:3]
        check_sizes(len(split), (height, width), batch_size, crop_size)
        if split.semseg is None or split.depth is None:
            raise UserError(f"the {split.split} pictures have no labels to train on")
        self.check = split.check
        self.arrays = (split.rgb, split.semseg, split.depth)
        self.ids = split.ids
        self.picture = (height, width)
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.crop_size = crop_size
        self.depth_range = depth_range
        self.seed = seed
        self.decode = Decoder(device)
        self.steps_per_epoch = len(split) // batch_size
        self._planned: tuple[int, NDArray[np.int64], Views] | None = None

    def __getitem__(self, step: int) -> Batch:
        """The batch of an optimiser step, counted from 0 over the whole training."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order, all_views = self._plan(epoch)
        chosen = slice(position * self.batch_size, (position + 1) * self.batch_size)
        rows, views = order[chosen], all_views[chosen]
        self.check(rows)
        ids = self.ids[rows].tolist()
        if self.augmentation.resamples:
            whole = self.decode.to_device(*(torch.from_numpy(array[rows]) for array in self.arrays))
            batch = self.decode(*resample(whole[0], whole[1], whole[2], views, self.crop_size), ids)
            if self.augmentation.rescale_depth:
                batch = self._nearer(batch, views)
        else:
            pixels = self.decode.to_device(*(crop(array, rows, views, self.crop_size) for array in self.arrays))
            batch = self.decode(pixels[0], pixels[1], pixels[2], ids)
        if self.augmentation.changes_colour:
            batch = Batch(jitter(batch.rgb, views), batch.semseg, batch.depth, batch.ids)
        return batch

    def _nearer(self, batch: Batch, views: Views) -> Batch:
        """The batch with its depths divided by each view's zoom; those that leave the valid range become nan."""
        depth = batch.depth / views.zoom.to(batch.depth).view(-1, 1, 1)
        inside = (depth >= self.depth_range.min) & (depth <= self.depth_range.max)
        return Batch(batch.rgb, batch.semseg, torch.where(inside, depth, torch.nan), batch.ids)

    def _plan(self, epoch: int) -> tuple[NDArray[np.int64], Views]:
        """Row numbers and views of one epoch, in the order they are trained on; the last epoch asked for is kept."""
        if self._planned is None or self._planned[0] != epoch:
            seed = (self.seed, epoch)
            order = torch.randperm(len(self.ids), generator=generator(*seed, "order")).numpy()
            views = self.augmentation.plan(len(order), self.picture, self.crop_size, seed)
            self._planned = (epoch, order, views)
        return self._planned[1], self._planned[2]


class ScoringBatches:
    """A whole split in order, every picture once, the last batch as small as it comes.

    Pictures are cropped from the top-left corner to multiples of 32 pixels. A split without labels gives ignored
    labels and invalid depths.
    """

    def __init__(self, split: PackedSplit, *, batch_size: int, device: torch.device) -> None:
        if min(split.rgb.shape[1:3]) < SIZE_MULTIPLE:
            raise UserError(f"the {split.split} pictures are smaller than {SIZE_MULTIPLE} x {SIZE_MULTIPLE} pixels")
        self.split = split
        self.batch_size = batch_size
        self.decode = Decoder(device)

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Batch after batch, in the order of the pictures' numbers."""
        for start in range(0, len(self.split), self.batch_size):
            yield self.rows(list(range(start, min(start + self.batch_size, len(self.split)))))

    def rows(self, rows: list[int]) -> Batch:
        """Chosen pictures, by their position in the split, as one batch."""
        height, width = (side // SIZE_MULTIPLE * SIZE_MULTIPLE for side in self.split.rgb.shape[1:3])
        self.split.check(rows)
        rgb = self.split.rgb[rows, :height, :width]
        missing = {"semseg": IGNORE_INDEX, "depth": INVALID_CODE}
        labels = []
        for kind, value in missing.items():
            array = getattr(self.split, kind)
            labels.append(np.full(rgb.shape[:3], value, np.uint8) if array is None else array[rows, :height, :width])
        pixels = self.decode.to_device(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (rgb, *labels)))
        return self.decode(pixels[0], pixels[1], pixels[2], self.split.ids[rows].tolist())
