"""Random views of images, in batches on the device, with depth that stays true to what the view shows."""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth.data.randomness import generator
from mtl_seg_depth.tasks.resize import Size

RescaleDepth = bool | Literal["inverse_divided"]


def _column(number: int) -> property:
    return property(lambda views: views.table[:, number])


PERFECT_CAMERA = {"exposure": 0.0, "red": 1.0, "blue": 1.0, "blur": 0.0, "noise": 0.0, "quality": 100.0}
"""What a camera that does nothing to an image has."""


@dataclass(frozen=True)
class Views:
    """How each of N images is looked at. One table, so that an epoch of them crosses to a device in one copy.

    Attributes:
        table: float64 [N, 14], a row an image; its columns are attributes too.
        top, left: where the view begins, in source pixels.
        flip: 1 for a mirror image.
        zoom, tilt: factor, and radians.
        brightness, contrast, saturation: factors.
        exposure, red, blue, blur, noise, quality: what a camera does; see `Augmentation`.
    """

    table: Tensor

    top, left, flip, zoom, tilt, brightness, contrast, saturation = map(_column, range(8))
    exposure, red, blue, blur, noise, quality = map(_column, range(8, 14))

    @staticmethod
    def of(
        top: Tensor,
        left: Tensor,
        flip: Tensor,
        zoom: Tensor,
        tilt: Tensor,
        brightness: Tensor,
        contrast: Tensor,
        saturation: Tensor,
        **camera: Tensor,
    ) -> "Views":
        """Views from their columns, [N] each; those of the camera are as if it did nothing where they are not given."""
        columns = [top, left, flip, zoom, tilt, brightness, contrast, saturation]
        columns += [camera.get(name, torch.full_like(zoom, value)) for name, value in PERFECT_CAMERA.items()]
        return Views(torch.stack([column.double() for column in columns], dim=1))

    def __getitem__(self, rows: slice | list[int]) -> "Views":
        """The views of some of the images."""
        return Views(self.table[rows])

    def to(self, device: torch.device) -> "Views":
        """The same views on a device."""
        return Views(self.table.to(device))


class Augmentation:
    """A random crop, and on request flip, zoom, tilt, colour jitter and what a camera does (`camera_effects`).

    Zooming by s shows what a camera s times nearer would see, so metric depth is divided by s; a depth that leaves
    the valid range by that becomes invalid. Tilt turns the image about its axis and leaves planar depth as it is.
    Labels and depth are taken from the nearest pixel: nothing bleeds across an edge. What a tilted view shows beyond
    the image's border is ignored, and has no depth.

    Args:
        flip: probability of a left-right mirror image.
        zoom: lowest and highest zoom, drawn evenly on a log scale. Zooming out ends where the image does.
        tilt: largest turn to either side, in degrees.
        brightness, contrast, saturation: largest change of each as a share, 0.2 for a factor of 0.8 to 1.2.
        exposure: largest change of the exposure to either side, in stops: 1 for half to double the light.
        white_balance: largest change of the gains of red and blue as a share, in linear light.
        blur: largest standard deviation of a Gaussian blur, in pixels.
        noise: largest standard deviation of a sensor's noise at full light; it grows with the root of the light.
        jpeg: lowest quality of a JPEG file that the image comes from, 1 to 100; 100 for none.
        rescale_depth: divide depth by the zoom. False repeats an error of the template that the report started from;
            `inverse_divided` divides inverse depth, and so multiplies depth: an error that many published trainings on
            the small arrays of Cityscapes have, taken over from NYUv2, whose arrays hold metres.
    """

    def __init__(
        self,
        flip: float = 0.0,
        zoom: Sequence[float] = (1.0, 1.0),
        tilt: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        rescale_depth: RescaleDepth = True,
        exposure: float = 0.0,
        white_balance: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        jpeg: float = 100.0,
    ) -> None:
        if not 0 <= flip <= 1:
            raise ValueError(f"flip is a probability, within 0..1; not {flip}")
        if len(zoom) != 2 or not 0 < zoom[0] <= zoom[1]:
            raise ValueError(f"zoom is the lowest and the highest factor, above 0; not {list(zoom)}")
        if not 0 <= tilt <= 45:
            raise ValueError(f"tilt, in degrees, is within 0..45; not {tilt}")
        shares = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in (shares | {"white_balance": white_balance, "noise": noise}).items():
            if not 0 <= value < 1:
                raise ValueError(f"{name} is a share within 0..1; not {value}")
        for name, value, largest in (("exposure, in stops,", exposure, 8), ("blur, in pixels,", blur, 16)):
            if not 0 <= value <= largest:
                raise ValueError(f"{name} is within 0..{largest}; not {value}")
        if not 1 <= jpeg <= 100:
            raise ValueError(f"jpeg, a quality, is within 1..100; not {jpeg}")
        if not isinstance(rescale_depth, bool) and rescale_depth != "inverse_divided":
            raise ValueError(f"rescale_depth is true, false or inverse_divided; not {rescale_depth!r}")
        self.flip = flip
        self.zoom = (zoom[0], zoom[1])
        self.tilt = tilt
        self.colour = shares
        self.blur = blur
        self.camera = {
            "exposure": (-exposure, exposure),
            "red": (1 - white_balance, 1 + white_balance),
            "blue": (1 - white_balance, 1 + white_balance),
            "blur": (0.0, blur),
            "noise": (0.0, noise),
            "quality": (jpeg, 100.0),
        }
        self.rescale_depth = rescale_depth

    @property
    def resamples(self) -> bool:
        """Whether views are resampled; otherwise they are slices of the image, perhaps mirrored."""
        return self.zoom != (1.0, 1.0) or self.tilt > 0

    def depth_divisor(self, zoom: Tensor) -> Tensor | None:
        """What depth is divided by where an image is zoomed by `zoom`; None if it stays as it is."""
        if not (self.resamples and self.rescale_depth):
            return None
        return zoom.reciprocal() if self.rescale_depth == "inverse_divided" else zoom

    @property
    def changes_colour(self) -> bool:
        """Whether `colour` does anything."""
        return any(self.colour.values())

    @property
    def is_camera(self) -> bool:
        """Whether a camera does anything."""
        return any(range_ != (PERFECT_CAMERA[name],) * 2 for name, range_ in self.camera.items())

    def plan(self, count: int, picture: Size, crop: Size, seed: Sequence[int]) -> Views:
        """Views for `count` images, a pure function of the arguments; each choice has random numbers of its own."""

        def draw(name: str, low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator(*seed, name), dtype=torch.float64)

        low, high = (math.log(factor) for factor in self.zoom)
        smallest = max(crop[0] / picture[0], crop[1] / picture[1])
        zoom = draw("zoom", low, high).exp().clamp(min=smallest)

        def offset(name: str, whole: int, part: int) -> Tensor:
            free, share = whole - part / zoom, draw(name, 0, 1)
            # A whole pixel where the view is a slice, each of them equally likely; anywhere where it is resampled.
            return share * free if self.resamples else (share * (free + 1)).floor()

        return Views.of(
            top=offset("top", picture[0], crop[0]),
            left=offset("left", picture[1], crop[1]),
            flip=draw("flip", 0, 1) < self.flip,
            zoom=zoom,
            tilt=draw("tilt", -math.radians(self.tilt), math.radians(self.tilt)),
            **{name: draw(name, 1 - size, 1 + size) for name, size in self.colour.items()},
            **({name: draw(name, *range_) for name, range_ in self.camera.items()} if self.is_camera else {}),
        )


def crop(planes: Sequence[Tensor], rows: Iterable[int], views: Views, size: Size) -> list[Tensor]:
    """What unzoomed views show of every [N, P, H, W, ...] on the host: [len(rows), P, *size, ...], copied.

    Raises IndexError for a view that reaches beyond its image.
    """
    corners = [
        (row, int(top), int(left), flip > 0)
        for row, (top, left, flip, *_) in zip(rows, views.table.tolist(), strict=True)
    ]
    count, _, height, width = planes[0].shape[:4]
    for row, top, left, _ in corners:
        if not (0 <= row < count and 0 <= top <= height - size[0] and 0 <= left <= width - size[1]):
            raise IndexError(f"views of {size} reach beyond {count} images of {height} x {width}")

    def shown(array: Tensor) -> Iterator[Tensor]:
        shape = (array.shape[1], *size, *array.shape[4:])
        by_row, *strides = array.stride()
        origin = array.storage_offset()
        for row, top, left, flip in corners:
            # In half the time of slicing by three indices, which shows where images are small.
            part = array.as_strided(shape, strides, origin + row * by_row + top * strides[1] + left * strides[2])
            yield part.flip(2) if flip else part

    return [torch.stack(list(shown(array))) for array in planes]


def resample(
    image: Tensor, targets: Mapping[str, Tensor], outside: Mapping[str, int], views: Views, size: Size
) -> tuple[Tensor, dict[str, Tensor]]:
    """What zoomed and tilted views show: images float 0..255 [B, *size, 3], codes [B, *size, ...] by task.

    Args:
        image: whole images, uint8 [B, H, W, 3].
        targets: their codes [B, H, W, ...] by task.
        outside: the code of what lies beyond the image's border, by task.
        views: B views, on any device; they cross to the images' in one copy.
        size: of the result.
    """
    height, width = image.shape[1:3]
    x, y = _source_positions(views.to(image.device), size)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)
    smooth = F.grid_sample(image.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False)
    column, row = x.floor().long(), y.floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)

    def nearest(codes: Tensor, beyond: int) -> Tensor:
        flat = codes.flatten(1, 2)
        rest = (1,) * (flat.dim() - 2)
        places = index.flatten(1).view(*index.shape[:1], -1, *rest).expand(-1, -1, *flat.shape[2:])
        found = flat.gather(1, places).view(*index.shape, *flat.shape[2:])
        return torch.where(inside.view(*inside.shape, *rest), found, beyond)

    return smooth.permute(0, 2, 3, 1), {name: nearest(codes, outside[name]) for name, codes in targets.items()}


def _source_positions(views: Views, size: Size) -> tuple[Tensor, Tensor]:
    """Where in the source each output pixel's centre lies: x and y [B, *size], pixel i covering i..i+1."""

    def per_picture(values: Tensor) -> Tensor:
        return values.float().view(-1, 1, 1)

    (height, width), device = size, views.table.device
    zoom, tilt = per_picture(views.zoom), per_picture(views.tilt)
    across = torch.arange(width, device=device) + 0.5 - width / 2
    down = torch.arange(height, device=device) + 0.5 - height / 2
    across = across.view(1, 1, -1) * torch.where(per_picture(views.flip) > 0, -1, 1)
    down = down.view(1, -1, 1)
    x = per_picture(views.left) + (width / 2 + tilt.cos() * across - tilt.sin() * down) / zoom
    y = per_picture(views.top) + (height / 2 + tilt.sin() * across + tilt.cos() * down) / zoom
    return x, y


def jitter(rgb: Tensor, views: Views) -> Tensor:
    """Change brightness, then contrast, then saturation of rgb [B, 3, H, W] in 0..1, each by its view's factor.

    Contrast moves colours away from the image's mean luma (ITU-R BT.601), saturation away from each pixel's.
    """
    weights, views = _luma_weights(rgb.device), views.to(rgb.device)

    def factor(values: Tensor) -> Tensor:
        return values.to(rgb).view(-1, 1, 1, 1)

    rgb = (rgb * factor(views.brightness)).clamp(0, 1)
    mean = (rgb * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    rgb = torch.lerp(mean, rgb, factor(views.contrast)).clamp(0, 1)
    luma = (rgb * weights).sum(dim=1, keepdim=True)
    return torch.lerp(luma.expand_as(rgb), rgb, factor(views.saturation)).clamp(0, 1)


@functools.cache
def _luma_weights(device: torch.device) -> Tensor:
    """Of red, green and blue, [1, 3, 1, 1]; made once, since the host waits for what it sends to a device."""
    return torch.tensor([0.299, 0.587, 0.114], device=device).view(1, 3, 1, 1)
