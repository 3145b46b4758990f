"""Images brought to sizes that a network's patches and strides divide, and features brought back."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """An image [B, C, H, W], its last row and column repeated until `multiple` divides both sides."""
    height, width = image.shape[-2:]
    if not torch.compiler.is_compiling():
        rows, columns = -height % multiple, -width % multiple
        return F.pad(image, (0, columns, 0, rows), mode="replicate") if rows or columns else image
    return _gathered(_gathered(image, 2, multiple), 3, multiple)


def cut(feature: Tensor, height: int, width: int) -> Tensor:
    """The top left part of a feature [B, C, h, w]."""
    if not torch.compiler.is_compiling():
        return feature[..., :height, :width]
    rows, columns = (torch.arange(side, device=feature.device) for side in (height, width))
    return feature.index_select(2, rows).index_select(3, columns)


def _gathered(image: Tensor, axis: int, multiple: int) -> Tensor:
    """Padded along one axis, in a program of any size.

    The number of multiples is a number that the program computes, of which nothing is known while it is traced: what
    follows from `(side + 31) // 32` for the sizes in a network is more than the tracer can work out.
    """
    side = image.shape[axis]
    count = torch.scalar_tensor((side + multiple - 1) // multiple, dtype=torch.int64).item()
    torch._check(count >= 1)
    places = torch.arange(count * multiple, device=image.device).clamp(max=side - 1)
    return image.index_select(axis, places)


class ConvOfMultiples(nn.Conv2d):
    """TensorFlow's `SAME` padding for a convolution whose stride divides the sides of what it gets.

    More on the right and below than on the left and above, as timm's `Conv2dSame` has it for any side. For these sides
    it is the same on all of them, and known while a program of any size is traced.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve features [B, C, h, w]."""
        rows, columns = (
            (kernel - 1) * dilation + 1 - stride
            for kernel, dilation, stride in zip(self.kernel_size, self.dilation, self.stride, strict=True)
        )
        rows, columns = max(rows, 0), max(columns, 0)
        padded = F.pad(input, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


def pad_by_multiples(net: nn.Module, same: type[nn.Conv2d]) -> None:
    """Turn convolutions of the type `same` into `ConvOfMultiples`, in place; names and weights stay."""
    for module in net.modules():
        if type(module) is same:
            module.__class__ = ConvOfMultiples
