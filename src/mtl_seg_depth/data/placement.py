"""Where a split's pixels wait for their turn: in the device's memory, or on the host as mapped files.

Wherever they lie, a view of them is the same bytes. From the device's memory nothing crosses the bus in a step: order
and views of an epoch go there once. From the host come the bytes of the views alone, in pinned memory and, for
training, one batch ahead on a stream of their own.
"""

import gc
import warnings
from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from typing import Any, Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_seg_depth.data.augmentation import Views, crop
from mtl_seg_depth.system.memory import is_shortage
from mtl_seg_depth.tasks.resize import Size

Place = Literal["auto", "device", "host"]

LARGEST_SHARE: Final = 0.5
"""Of the device's free memory: what pixels may take. The rest is for networks, their gradients and larger batches."""

KEPT_BYTES: Final = 256 << 20
"""What a split may take to be copied into the host's memory: reading mapped files goes through many small pages."""

UPLOAD_BYTES: Final = 256 << 20
"""Copied to the device at a time: what the host needs beside the mapped files."""

Arrays = tuple[NDArray[Any], ...]
"""Arrays [N, H, W, ...] of one split, uint8 or uint16, all with the same N, H and W.

Numbers of 16 bits travel as signed ones: torch can do little with unsigned ones.
"""


Check = Callable[[Iterable[int]], None]
"""Sees that what lies in some rows of a split is what was packed; see `PackedSplit.check`."""


def trusting(rows: Iterable[int]) -> None:
    """The check of arrays that need none."""


class Pixels(Protocol):
    """A split's pixels, given out in batches on the device."""

    def plan(self, order: NDArray[np.int64], views: Views) -> tuple[Tensor, Views]:
        """Rows and views of an epoch as `views` wants slices of them."""

    def views(self, rows: Tensor, views: Views, size: Size) -> list[Tensor]:
        """What unzoomed views show, [B, *size, ...] of every array."""

    def whole(self, rows: Tensor | slice | list[int], size: Size) -> list[Tensor]:
        """The top-left corners of that size of some images, [B, *size, ...] of every array."""


class HostPixels:
    """Pixels on the host, a small split in memory and a large one mapped, copied to the device as they are needed."""

    def __init__(self, arrays: Arrays, device: torch.device, check: Check = trusting) -> None:
        with warnings.catch_warnings():  # mapped files are not writable, and nothing here writes to them
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            mapped = [torch.from_numpy(_signed(array)) for array in arrays]
        if sum(array.nbytes for array in arrays) <= KEPT_BYTES:
            check(range(len(arrays[0])))
            check = trusting
            # What has one shape, as labels and depth have, is cut in one go where it lies together.
            self._planes = [
                torch.stack(list(alike), dim=1)
                for _, alike in groupby(mapped, lambda array: (array.shape, array.dtype))
            ]
        else:
            self._planes = [array.unsqueeze(1) for array in mapped]
        self.arrays = [array.numpy() for planes in self._planes for array in planes.unbind(1)]
        self.device = device
        self.check = check

    def plan(self, order: NDArray[np.int64], views: Views) -> tuple[Tensor, Views]:
        """On the host, where slices are cut."""
        return torch.from_numpy(order), views

    def views(self, rows: Tensor, views: Views, size: Size) -> list[Tensor]:
        """Slices, cut on the host."""
        chosen = rows.tolist()
        self.check(chosen)
        cut = crop(self._planes, chosen, views, size)
        return [array for planes in cut for array in _send(planes, self.device).unbind(1)]

    def whole(self, rows: Tensor | slice | list[int], size: Size) -> list[Tensor]:
        """Copies of the corners."""
        chosen = rows.numpy() if isinstance(rows, Tensor) else rows
        self.check(np.arange(len(self.arrays[0]))[chosen])
        height, width = size
        # Rows in order are a slice of the file, which numpy copies much faster than a list of rows.
        parts = (array[chosen][:, :height, :width] for array in self.arrays)
        return [_send(torch.from_numpy(np.array(part, order="C")), self.device) for part in parts]


class DevicePixels:
    """Pixels in the device's memory."""

    def __init__(self, arrays: Arrays, device: torch.device, check: Check = trusting) -> None:
        check(range(len(arrays[0])))
        self.arrays = [_upload(array, device) for array in arrays]
        self.device = device

    def plan(self, order: NDArray[np.int64], views: Views) -> tuple[Tensor, Views]:
        """On the device: one copy an epoch."""
        return _send(torch.from_numpy(order), self.device), Views(_send(views.table, self.device))

    def views(self, rows: Tensor, views: Views, size: Size) -> list[Tensor]:
        """Slices, each pixel fetched by its index."""
        picture_height, picture_width = self.arrays[0].shape[1:3]
        down, across = (torch.arange(side, device=self.device) for side in size)
        mirrored = torch.where(views.flip[:, None] > 0, across.flip(0), across)
        y = views.top.long()[:, None] + down
        x = views.left.long()[:, None] + mirrored
        index = (rows[:, None] * picture_height + y)[:, :, None] * picture_width + x[:, None]
        return [array.flatten(0, 2)[index] for array in self.arrays]

    def whole(self, rows: Tensor | slice | list[int], size: Size) -> list[Tensor]:
        """The corners of the rows."""
        return [array[rows][:, : size[0], : size[1]] for array in self.arrays]


Identity = tuple[str, ...]
"""The digest of a split's content and the names of its arrays; () if that is not known."""

_kept: Final[dict[tuple[Identity, torch.device], tuple[Identity, DevicePixels]]] = {}
"""What lies on a device, by its digest: the next trial of a sweep finds it there."""


def forget_all_but(digests: Collection[str]) -> None:
    """Let go of the pixels of all splits but those with these digests."""
    for key in [key for key in _kept if key[0][0] not in digests]:
        del _kept[key]


def place(
    arrays: Arrays,
    device: torch.device,
    where: Place = "auto",
    check: Check = trusting,
    free: int | None = None,
    identity: Identity = (),
) -> Pixels:
    """The pixels where they are best: on the device if it is a GPU with room for them, else on the host.

    Args:
        arrays: a split's.
        device: that computes.
        where: "device" or "host" to say so.
        check: called with the rows that are about to be read.
        free: bytes of the device's memory; None to ask it.
        identity: of the arrays; what has one stays on the device for whoever asks for the same next.
    """
    if where == "host" or (where == "auto" and device.type != "cuda"):
        return HostPixels(arrays, device, check)
    key = (identity[:1], device)
    known, kept = _kept.get(key, ((), None))
    if kept is None or known != identity:
        _kept.pop(key, None)
        kept = None  # its memory is free before more is taken
        kept = DevicePixels(arrays, device, check) if where == "device" else _if_it_fits(arrays, device, check, free)
    if kept is not None and identity:
        _kept[key] = (identity, kept)
    return kept or HostPixels(arrays, device, check)


def _if_it_fits(arrays: Arrays, device: torch.device, check: Check, free: int | None) -> DevicePixels | None:
    """The pixels on the device; None if it has no room for them."""
    gc.collect()
    torch.cuda.empty_cache()  # what trainings before have let go of is free
    room = torch.cuda.mem_get_info(device)[0] if free is None else free
    if sum(array.nbytes for array in arrays) > LARGEST_SHARE * room:
        return None
    try:
        return DevicePixels(arrays, device, check)
    except Exception as error:
        if not is_shortage(error):
            raise
        return None  # another process was faster


def _upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """A copy of an array on the device, made piece by piece: it may be larger than the host's memory."""
    array = _signed(array)
    target = torch.empty(array.shape, dtype=torch.uint8 if array.dtype == np.uint8 else torch.int16, device=device)
    step = max(1, UPLOAD_BYTES // (array.nbytes // len(array)))
    for start in range(0, len(array), step):
        target[start : start + step] = torch.from_numpy(np.array(array[start : start + step]))
    return target


def _signed(array: NDArray[Any]) -> NDArray[Any]:
    """The same bytes, as torch takes them."""
    return array if array.dtype == np.uint8 else array.view(np.int16)


def _send(pixels: Tensor, device: torch.device) -> Tensor:
    """The same on the device; the host does not wait for a GPU to have it."""
    return pixels.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else pixels
