"""The contract of a task: everything that is true of one task stands in its class, and nobody else asks for its name.

A task is defined by one subclass of `Task` and the spec that data sets describe its targets with. Defining the class is
all it takes to make it known: data sets that have a target of its name train it, score it, draw it and report it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_seg_depth.tasks import HEADLINES
from mtl_seg_depth.tasks.headline import Headline
from mtl_seg_depth.tasks.resize import Size

Image = NDArray[np.uint8]
"""Red, green and blue, uint8 [H, W, 3]."""


@dataclass(frozen=True)
class ViewGeometry:
    """How B images are looked at, as far as it changes what is true of a pixel.

    Attributes:
        flip: [B], above 0 for a mirror image.
        zoom: [B], the factor by which the camera came nearer; None if targets are not to follow it.
        tilt: [B], by which the camera was turned about its axis, in radians; None for not at all.
    """

    flip: Tensor
    zoom: Tensor | None
    tilt: Tensor | None


@dataclass(frozen=True)
class Confusion:
    """Pixels by class: int64 [C, C], rows by label, columns by prediction, and the classes' names."""

    matrix: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What a meter saw.

    Attributes:
        headline: the value of the task's headline score; nan where no pixel counted.
        details: every other number by name; nan where it does not exist.
        confusion: of tasks that tell classes apart.
        broken: whether a pixel that counted was predicted to be nan.
    """

    headline: float
    details: dict[str, float] = field(default_factory=dict)
    confusion: Confusion | None = None
    broken: bool = False


class Meter(Protocol):
    """Running sums over batches, on the device, read by `compute`."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: predictions as `Task.decode` gives them against targets as `Task.target` does.

        One that is not finite is wrong, as wrong as can be, and never left out.
        """

    @property
    def sums(self) -> Sequence[Tensor]:
        """All that `update` adds to: meters of several shares of a split are one, if these are added up in place."""

    def compute(self) -> Measured:
        """The scores of everything seen; waits for the device."""


class Pool(Protocol):
    """Several views of one batch on their way to one prediction."""

    def add(self, raw: Tensor, zoom: float, mirrored: bool) -> None:
        """Add a view's raw prediction [B, C, h, w], float32; one of a mirror image is turned back already.

        `zoom` is how much nearer the camera seemed to stand, 1 if nothing is to follow it.
        """

    def result(self) -> Tensor:
        """The prediction, as `Task.decode` gives it, in the size of the images."""


class Task(ABC):
    """What one task is.

    A subclass states its `headline`, its `channels` and the type of its `spec` (a dataclass of plain values).
    """

    headline: ClassVar[Headline]
    spec_type: ClassVar[type]
    channels: int
    """Of a raw prediction."""
    noise_factor: float = 0.5
    """Of L / s^2 in the likelihood of its noise s: 1/2 for a regression, 1 for a classification (Kendall et al.)."""
    outside: int = 0
    """The stored code of what a view shows beyond the image's border."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the task known by its name."""
        super().__init_subclass__(**kwargs)
        TASKS[cls.headline.key] = cls
        HEADLINES[cls.headline.key] = cls.headline

    @classmethod
    def configured(cls, spec: Any, settings: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """The task for targets of this spec, with what the composed settings say of it."""
        return cls(spec)  # type: ignore[call-arg]

    @property
    def name(self) -> str:
        """The task's name, which is that of its target and of its headline score."""
        return self.headline.key

    def misfit(self, spec: Any) -> str | None:  # noqa: ARG002
        """Why predictions of this task cannot be scored on targets of another data set's spec; None if they can."""
        return None

    @abstractmethod
    def target(self, codes: Tensor) -> Tensor:
        """What loss and meter take, [B, H, W, ...], from stored codes [B, H, W, ...] of any integer type."""

    def seen(self, target: Tensor, view: ViewGeometry) -> Tensor:  # noqa: ARG002
        """The target as a view shows it, which was cut and mirrored as pixels already."""
        return target

    def scored(self, target: Tensor, whole: Size) -> Tensor:  # noqa: ARG002
        """A target [B, h, w, ...] without what is not scored: the top left part of an image of the size `whole`."""
        return target

    @abstractmethod
    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """A scalar from a raw prediction [B, C, H, W]; zero where nothing counts. No boolean indexing, no waiting."""

    @abstractmethod
    def decode(self, raw: Tensor) -> Tensor:
        """The prediction that a raw one [B, C, H, W] means: classes or metres [B, H, W], ...; none for nan."""

    @abstractmethod
    def meter(self, device: torch.device, detailed: bool = False) -> Meter:
        """A new meter; a `detailed` one measures what takes more time, too."""

    @abstractmethod
    def pool(self, size: Size, how: str | None = None) -> Pool:
        """A new pool for test-time augmentation of images of this size; `how` chooses if a task has several ways."""

    def report_pool(self, size: Size, divisor: float) -> Pool | None:  # noqa: ARG002
        """A new pool that brings views together as the report did (section 4.4); None if it left this task alone."""
        return None

    def counts(self, codes: NDArray[Any]) -> bool:  # noqa: ARG002
        """Whether any pixel of stored codes [N, H, W, ...] is trained on and scored."""
        return True

    @abstractmethod
    def constant(self, codes: NDArray[Any]) -> Tensor:
        """One pixel's prediction that looks at nothing, [...], from many images' stored codes [N, H, W, ...]."""

    def enlarged(self, prediction: Tensor, size: Size) -> Tensor:
        """A prediction [B, H, W, ...] in another size: by default that of the nearest pixel."""
        rows, columns = (
            ((2 * torch.arange(new, device=prediction.device) + 1) * old).div(2 * new, rounding_mode="floor")
            for new, old in zip(size, prediction.shape[1:3], strict=True)
        )
        return prediction[:, rows][:, :, columns]

    def pooled(self, pool: Pool, size: Size) -> Tensor:
        """What a pool of this task's says, in another size than the images'; by default its result, `enlarged`."""
        return self.enlarged(pool.result(), size)

    @abstractmethod
    def paint(self, values: NDArray[Any]) -> Image:
        """Targets or predictions [H, W, ...] in colours."""

    def panels(self, target: NDArray[Any], prediction: NDArray[Any]) -> dict[str, Image]:
        """Images of one target and its prediction, by caption."""
        return {self.name: self.paint(target), f"predicted {self.name}": self.paint(prediction)}


TASKS: dict[str, type[Task]] = {}
"""Every task that is defined, by its name."""
