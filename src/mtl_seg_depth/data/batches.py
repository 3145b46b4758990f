"""Batches on the device, from a packed split: random views to train on, or the whole split in order to score."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_seg_depth.data.augmentation import Augmentation, Size, Views, jitter, resample
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.data.placement import HostPixels, Place
from mtl_seg_depth.data.placement import place as choose_place
from mtl_seg_depth.data.randomness import generator
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import INVALID_CODE, DepthStatistics, depth_of_code
from mtl_seg_depth.tasks.semseg.labels import IGNORE_INDEX

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

    def __call__(self, rgb: Tensor, semseg: Tensor, codes: Tensor, ids: list[int]) -> Batch:
        """A batch from rgb [B, H, W, 3] in 0..255, labels [B, H, W] and disparity codes [B, H, W] on the device."""
        return Batch(
            rgb=rgb.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last).div_(255),
            semseg=semseg.long(),
            depth=self.metres.index_select(0, codes.flatten().int()).view(codes.shape),
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
        place: Place = "auto",
    ) -> None:
        height, width = split.rgb.shape[1:3]
        check_sizes(len(split), (height, width), batch_size, crop_size)
        if split.semseg is None or split.depth is None:
            raise UserError(f"the {split.split} pictures have no labels to train on")
        self.pixels = choose_place((split.rgb, split.semseg, split.depth), device, place, split.check)
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
        self._placed: tuple[int, Tensor, Views] | None = None
        waits_for_host = device.type == "cuda" and isinstance(self.pixels, HostPixels)
        self._ahead = Ahead(self.make, device) if waits_for_host else None

    def __getitem__(self, step: int) -> Batch:
        """The batch of an optimiser step, counted from 0 over the whole training."""
        return self.make(step) if self._ahead is None else self._ahead[step]

    def make(self, step: int) -> Batch:
        """Make the batch of a step now, on the current stream."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order, all_views = self._plan_in_place(epoch)
        chosen = slice(position * self.batch_size, (position + 1) * self.batch_size)
        rows, views = order[chosen], all_views[chosen]
        ids = self.ids[self._plan(epoch)[0][chosen]].tolist()
        if self.augmentation.resamples:
            rgb, semseg, codes = self.pixels.whole(rows, self.picture)
            batch = self.decode(*resample(rgb, semseg, codes, views, self.crop_size), ids)
            if self.augmentation.rescale_depth:
                batch = self._nearer(batch, views)
        else:
            rgb, semseg, codes = self.pixels.views(rows, views, self.crop_size)
            batch = self.decode(rgb, semseg, codes, ids)
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

    def _plan_in_place(self, epoch: int) -> tuple[Tensor, Views]:
        """The plan of an epoch where the pixels are."""
        if self._placed is None or self._placed[0] != epoch:
            self._placed = (epoch, *self.pixels.plan(*self._plan(epoch)))
        return self._placed[1], self._placed[2]


class Ahead:
    """Batches made one ahead of the one asked for, by a thread and on a stream of their own.

    Args:
        make: makes the batch of a step; called by that one thread alone.
        device: that it is made on.
    """

    def __init__(self, make: Callable[[int], Batch], device: torch.device) -> None:
        self._make = make
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[tuple[Batch, torch.cuda.Event | None]]] | None = None

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step; that of the next one is begun."""
        started = self._next if self._next and self._next[0] == step else self._start(step)
        self._next = self._start(step + 1)
        batch, made = started[1].result()
        if made is not None:
            stream = torch.cuda.current_stream(batch.rgb.device)
            stream.wait_event(made)
            for tensor in (batch.rgb, batch.semseg, batch.depth):
                tensor.record_stream(stream)
        return batch

    def _start(self, step: int) -> tuple[int, Future[tuple[Batch, torch.cuda.Event | None]]]:
        return step, self._thread.submit(self._work, step)

    def _work(self, step: int) -> tuple[Batch, torch.cuda.Event | None]:
        if self._stream is None:
            return self._make(step), None
        with torch.cuda.stream(self._stream):
            return self._make(step), self._stream.record_event()


class ScoringBatches:
    """A whole split in order, every picture once, the last batch as small as it comes.

    Pictures are cropped from the top-left corner to multiples of 32 pixels. A split without labels gives ignored
    labels and invalid depths.
    """

    def __init__(self, split: PackedSplit, *, batch_size: int, device: torch.device, place: Place = "auto") -> None:
        if min(split.rgb.shape[1:3]) < SIZE_MULTIPLE:
            raise UserError(f"the {split.split} pictures are smaller than {SIZE_MULTIPLE} x {SIZE_MULTIPLE} pixels")
        self.split = split
        self.batch_size = batch_size
        self.decode = Decoder(device)
        labels = tuple(array for array in (split.semseg, split.depth) if array is not None)
        self.pixels = choose_place((split.rgb, *labels), device, place, split.check)
        height, width = split.rgb.shape[1:3]
        self.size = (height // SIZE_MULTIPLE * SIZE_MULTIPLE, width // SIZE_MULTIPLE * SIZE_MULTIPLE)

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Batch after batch, in the order of the pictures' numbers."""
        for start in range(0, len(self.split), self.batch_size):
            yield self._batch(slice(start, start + self.batch_size))

    def rows(self, rows: list[int]) -> Batch:
        """Chosen pictures, by their position in the split, as one batch."""
        return self._batch(rows)

    def _batch(self, rows: slice | list[int]) -> Batch:
        rgb, *labels = self.pixels.whole(rows, self.size)
        known = iter(labels)
        semseg, codes = (
            rgb.new_full(rgb.shape[:3], value) if array is None else next(known)
            for array, value in ((self.split.semseg, IGNORE_INDEX), (self.split.depth, INVALID_CODE))
        )
        return self.decode(rgb, semseg, codes, self.split.ids[rows].tolist())
