"""What a camera does to an image, drawn at random: exposure, white balance, blur, noise and compression."""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth.data.augmentation import Views

GAMMA = 2.2
"""Of 8-bit images: light is the stored value to this power, roughly what sRGB is."""
BLOCK = 8
LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""JPEG's steps of quantisation for luma at quality 50, row by row (ITU-T T.81, annex K)."""
CHROMINANCE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99, *([99] * 32)),
)
"""Those for colour differences."""


def photographed(rgb: Tensor, views: Views, largest_blur: float, noise: Tensor) -> Tensor:
    """Images [B, 3, H, W] in 0..1 as cameras that differ would have taken and stored them.

    In linear light: exposure in stops and the gains of red and blue; then a Gaussian blur, and noise whose variance
    grows with the light, as a sensor's does; and last, in stored values, JPEG's quantisation of 8 x 8 blocks.

    Args:
        rgb: the images.
        views: B of them, with what each camera does; they cross to the images' device.
        largest_blur: standard deviation in pixels that no view's blur exceeds.
        noise: standard normal numbers of the images' shape.
    """
    views = views.to(rgb.device)

    def of_image(values: Tensor) -> Tensor:
        return values.to(rgb).view(-1, 1, 1, 1)

    gains = torch.stack([views.red, torch.ones_like(views.red), views.blue], dim=1)
    light = rgb.pow(GAMMA) * of_image(views.exposure).exp2() * gains.to(rgb)[:, :, None, None]
    if largest_blur > 0:
        light = blurred(light, views.blur.to(rgb), largest_blur)
    light = (light + of_image(views.noise) * light.clamp(min=0).sqrt() * noise).clamp(0, 1)
    stored = light.pow(1 / GAMMA)
    return torch.where(of_image(views.quality) < 100, compressed(stored, views.quality.to(rgb)), stored)


def blurred(images: Tensor, sigmas: Tensor, largest: float) -> Tensor:
    """Images [B, C, H, W], each through a Gaussian of its own deviation [B] in pixels, of which `largest` is one."""
    radius = max(1, math.ceil(3 * largest))
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    weights = (-offsets.square() / (2 * sigmas.clamp(min=1e-3).square())[:, None]).exp()
    weights = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)
    batch, channels, height, width = images.shape
    planes = images.reshape(1, batch * channels, height, width)
    for kernel, padding in ((weights[:, None, None, :], (radius, radius, 0, 0)), (weights[:, None, :, None], None)):
        padded = F.pad(planes, padding or (0, 0, radius, radius), mode="replicate")
        planes = F.conv2d(padded, kernel, groups=batch * channels)
    return planes.view(images.shape)


def compressed(rgb: Tensor, quality: Tensor) -> Tensor:
    """Images [B, 3, H, W] in 0..1 after JPEG's rounding at a quality [B] from 1 to 100, as libjpeg counts it.

    Colour differences keep their resolution, which most cameras halve.
    """
    height, width = rgb.shape[-2:]
    to_planes, steps, cosines = _jpeg(rgb.device)
    padded = F.pad(rgb, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    planes = torch.einsum("pc,bchw->bphw", to_planes, 255 * padded - 128)  # a grey has no colour, so luma alone moves
    batch, _, rows, columns = planes.shape
    blocks = planes.view(batch, 3, rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).transpose(3, 4)
    scale = torch.where(quality < 50, 50 / quality.clamp(min=1), (100 - quality) / 50).view(-1, 1, 1, 1)
    step = (steps * scale).round().clamp(min=1)[:, :, None, None]
    coefficients = cosines @ blocks @ cosines.T
    blocks = cosines.T @ ((coefficients / step).round() * step) @ cosines
    planes = blocks.transpose(3, 4).reshape(batch, 3, rows, columns)
    decoded = (torch.einsum("cp,bphw->bchw", torch.linalg.inv(to_planes), planes) + 128) / 255
    return decoded[..., :height, :width].clamp(0, 1)


@functools.cache
def _jpeg(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The matrix to luma and colour differences, the steps [3, 8, 8] at quality 50, and the cosine transform."""
    to_planes = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    steps = torch.tensor([LUMINANCE, CHROMINANCE, CHROMINANCE], dtype=torch.float32).view(3, BLOCK, BLOCK)
    frequency, place = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)[None]
    cosines = (math.pi * (2 * place + 1) * frequency / (2 * BLOCK)).cos() * (2 / BLOCK) ** 0.5
    cosines[0] /= 2**0.5
    return to_planes.to(device), steps.to(device), cosines.to(device)
