"""Batches on the device, from a packed split: random views to train on, or the whole split in order to score."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_seg_depth.data.augmentation import Augmentation, Views, jitter, resample
from mtl_seg_depth.data.camera_effects import photographed
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.data.placement import HostPixels, Pixels, Place
from mtl_seg_depth.data.placement import place as choose_place
from mtl_seg_depth.data.randomness import generator, seed_of
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.processes import ALONE, Processes
from mtl_seg_depth.tasks.resize import Size
from mtl_seg_depth.tasks.task import Task, ViewGeometry

SIZE_MULTIPLE = 32
"""Scored images are cropped from the top-left corner to multiples of this many pixels, as in the report."""


@dataclass(frozen=True)
class Batch:
    """B images with what is known of them, on one device.

    Attributes:
        image: float32 [B, 3, H, W] in 0..1, channels last in memory.
        targets: by task, [B, H, W, ...] as `Task.target` gives them.
        ids: the images' numbers in their split.
    """

    image: Tensor
    targets: dict[str, Tensor]
    ids: list[int]

    @property
    def tensors(self) -> list[Tensor]:
        """Image and targets."""
        return [self.image, *self.targets.values()]


def to_batch(image: Tensor, codes: Mapping[str, Tensor], tasks: Mapping[str, Task], ids: list[int]) -> Batch:
    """A batch from pixels [B, H, W, 3] in 0..255 and stored codes [B, H, W, ...], on the device: few bytes a pixel
    cross the bus."""
    return Batch(
        image=image.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last).div_(255),
        targets={name: tasks[name].target(_unsigned(values)) for name, values in codes.items()},
        ids=ids,
    )


def _unsigned(codes: Tensor) -> Tensor:
    """Codes of 16 bits, which travel as signed numbers, as what they are."""
    return codes.int().bitwise_and_(0xFFFF) if codes.dtype == torch.int16 else codes


def check_sizes(count: int, image: Size, batch_size: int, crop_size: Size) -> None:
    """Raise UserError unless a batch fits into `count` training images, and a crop into each of them."""
    if batch_size > count:
        raise UserError(f"schedule.batch_size={batch_size} is larger than the {count} training images")
    if crop_size[0] > image[0] or crop_size[1] > image[1]:
        raise UserError(
            f"data.crop_size={list(crop_size)} (height, width) is larger than the training images, "
            f"which are {image[0]} high and {image[1]} wide"
        )
    if min(crop_size) < SIZE_MULTIPLE:
        raise UserError(f"data.crop_size={list(crop_size)} is smaller than {SIZE_MULTIPLE} pixels")


def check_shares(batch_size: int, processes: int, parts: int = 1) -> None:
    """Raise UserError unless a batch can be divided evenly among processes, and each share into parts."""
    if batch_size % (processes * parts):
        among = f"{processes} processes" if processes > 1 else ""
        into = f"schedule.accumulate={parts} parts" + (" each" if among else "") if parts > 1 else ""
        raise UserError(
            f"schedule.batch_size={batch_size}, which is the whole batch, cannot be divided evenly among "
            f"{' of '.join(filter(None, (among, into)))}; take a multiple of {processes * parts}"
        )


def _placed(split: PackedSplit, tasks: Iterable[str], device: torch.device, where: Place) -> Pixels:
    """The images and these tasks' targets, where batches of them are best made from."""
    arrays = (split.images, *(split.targets[name] for name in tasks))
    identity = (split.content_digest, *tasks) if split.content_digest else ()
    return choose_place(arrays, device, where, split.check, identity=identity)


class TrainingBatches:
    """Random views of a split; `batches[step]` is the batch of an optimiser step, whichever steps came before.

    Every epoch goes through the split in an order of its own and drops the last partial batch. Order and views are
    pure functions of seed and epoch. A batch that is computed in parts has these one after another, and several
    processes share each of them evenly: what is in a part does not depend on how many they are.
    """

    def __init__(
        self,
        split: PackedSplit,
        augmentation: Augmentation,
        *,
        batch_size: int,
        crop_size: Size,
        tasks: Mapping[str, Task],
        seed: int,
        device: torch.device,
        place: Place = "auto",
        processes: Processes = ALONE,
        parts: int = 1,
    ) -> None:
        height, width = split.images.shape[1:3]
        check_sizes(len(split), (height, width), batch_size, crop_size)
        if missing := [name for name in tasks if name not in split.targets]:
            raise UserError(f"the {split.split} images have no {' and no '.join(missing)} labels to train on")
        self.tasks = tasks
        self.pixels = _placed(split, tasks, device, place)
        self.ids = split.ids
        self.image_size = (height, width)
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.crop_size = crop_size
        self.seed = seed
        self.steps_per_epoch = len(split) // batch_size
        check_shares(batch_size, processes.count, parts)
        size = batch_size // (processes.count * parts)
        begins = [(part * processes.count + processes.rank) * size for part in range(parts)]
        self._share = [row for begin in begins for row in range(begin, begin + size)]
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
        begin = position * self.batch_size
        whole = slice(begin, begin + self.batch_size)
        chosen = whole if len(self._share) == self.batch_size else [begin + row for row in self._share]
        rows, views = order[chosen], all_views[chosen]
        ids = self.ids[self._plan(epoch)[0][chosen]].tolist()
        augmentation = self.augmentation
        if augmentation.resamples:
            image, *planes = self.pixels.whole(rows, self.image_size)
            outside = {name: task.outside for name, task in self.tasks.items()}
            image, codes = resample(image, dict(zip(self.tasks, planes, strict=True)), outside, views, self.crop_size)
        else:
            image, *planes = self.pixels.views(rows, views, self.crop_size)
            codes = dict(zip(self.tasks, planes, strict=True))
        batch = to_batch(image, codes, self.tasks, ids)
        tilt = views.tilt if augmentation.resamples else None
        view = ViewGeometry(views.flip, augmentation.depth_divisor(views.zoom), tilt)
        targets = {name: task.seen(batch.targets[name], view) for name, task in self.tasks.items()}
        rgb = jitter(batch.image, views) if augmentation.changes_colour else batch.image
        if augmentation.is_camera:
            rgb = photographed(rgb, views, augmentation.blur, self._noise(step, rgb))
            rgb = rgb.contiguous(memory_format=torch.channels_last)
        return Batch(rgb, targets, ids)

    def _noise(self, step: int, rgb: Tensor) -> Tensor:
        """This share of standard normal numbers for the whole batch of a step, in the shape of `rgb`."""
        random = torch.Generator(rgb.device).manual_seed(seed_of(self.seed, step, "noise"))
        whole = torch.randn((self.batch_size, *rgb.shape[1:]), generator=random, device=rgb.device, dtype=rgb.dtype)
        return whole if len(self._share) == self.batch_size else whole[self._share]

    def _plan(self, epoch: int) -> tuple[NDArray[np.int64], Views]:
        """Row numbers and views of one epoch, in the order they are trained on; the last epoch asked for is kept."""
        if self._planned is None or self._planned[0] != epoch:
            seed = (self.seed, epoch)
            order = torch.randperm(len(self.ids), generator=generator(*seed, "order")).numpy()
            views = self.augmentation.plan(len(order), self.image_size, self.crop_size, seed)
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
            stream = torch.cuda.current_stream(batch.image.device)
            stream.wait_event(made)
            for tensor in batch.tensors:
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
    """A whole split in order, every image once, the last batch as small as it comes.

    Images are cropped from the top-left corner to multiples of 32 pixels. Batches have the targets of those tasks that
    the split has labels for.
    """

    def __init__(
        self,
        split: PackedSplit,
        *,
        batch_size: int,
        tasks: Mapping[str, Task],
        device: torch.device,
        place: Place = "auto",
    ) -> None:
        height, width = split.images.shape[1:3]
        if min(height, width) < SIZE_MULTIPLE:
            raise UserError(f"the {split.split} images are smaller than {SIZE_MULTIPLE} x {SIZE_MULTIPLE} pixels")
        self.split = split
        self.batch_size = batch_size
        self.device = device
        self.tasks = {name: task for name, task in tasks.items() if name in split.targets}
        self.pixels = _placed(split, self.tasks, device, place)
        self.whole = (height, width)
        self.size = (height // SIZE_MULTIPLE * SIZE_MULTIPLE, width // SIZE_MULTIPLE * SIZE_MULTIPLE)

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Batch after batch, in the order of the images' numbers; targets are what is scored of them."""
        return self.share(0, 1)

    def share(self, rank: int, count: int) -> Iterator[Batch]:
        """Every `count`th batch from number `rank` on: what one of several processes scores."""
        for start in range(rank * self.batch_size, len(self.split), count * self.batch_size):
            batch = self.rows(slice(start, start + self.batch_size))
            targets = {name: self.tasks[name].scored(target, self.whole) for name, target in batch.targets.items()}
            yield replace(batch, targets=targets)

    def rows(self, rows: slice | list[int]) -> Batch:
        """Chosen images, by their position in the split, as one batch."""
        image, *planes = self.pixels.whole(rows, self.size)
        return to_batch(image, dict(zip(self.tasks, planes, strict=True)), self.tasks, self.split.ids[rows].tolist())
