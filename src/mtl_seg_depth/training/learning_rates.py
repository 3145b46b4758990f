"""Learning-rate schedules: pure functions of the optimiser step, so that resuming needs no state of theirs."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """How long a training is, in optimiser steps."""

    epochs: float
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """All steps of the training."""
        return round(self.epochs * self.steps_per_epoch)


class LearningRate:
    """Base: `value` shaped over the training, after a linear warm-up from zero.

    Args:
        span: the length of the training.
        value: the rate at its height, above 0.
        warmup_epochs: the first epochs, over which the rate rises to what the schedule has there.
    """

    def __init__(self, span: Span, value: float, warmup_epochs: float = 0.0) -> None:
        if not value > 0:
            raise ValueError(f"value, the learning rate, is above 0; not {value}")
        if not 0 <= warmup_epochs <= span.epochs:
            raise ValueError(f"warmup_epochs is within 0..{span.epochs}, the epochs; not {warmup_epochs}")
        self.span = span
        self.value = value
        self.warmup_steps = warmup_epochs * span.steps_per_epoch

    def factor(self, step: int) -> float:
        """The schedule without warm-up, as a share of `value`, for a step counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} has no factor()")

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.value * warmup * self.factor(step)


class Constant(LearningRate):
    """The same rate throughout."""

    def factor(self, step: int) -> float:  # noqa: ARG002
        """Always 1."""
        return 1.0


class Poly(LearningRate):
    """Polynomial decay, `max(1e-6, (1 - epoch / epochs) ** power)`, one stair an epoch as in the report.

    `per_step=true` lets it fall with every step instead. Source: Liu et al., ParseNet, 2015; DeepLab's schedule.
    """

    def __init__(
        self, span: Span, value: float, power: float = 0.9, per_step: bool = False, warmup_epochs: float = 0.0
    ) -> None:
        super().__init__(span, value, warmup_epochs)
        if not power > 0:
            raise ValueError(f"power is above 0, not {power}")
        self.power = power
        self.per_step = per_step

    def factor(self, step: int) -> float:
        """Share of the rate left in this epoch (or at this step)."""
        done = step / self.span.steps if self.per_step else step // self.span.steps_per_epoch / self.span.epochs
        return float(max(1e-6, (1 - done) ** self.power))


class Stairs(LearningRate):
    """Multiplied by `gamma` after every `every_epochs` epochs, as torch's StepLR does."""

    def __init__(
        self, span: Span, value: float, every_epochs: int = 100, gamma: float = 0.5, warmup_epochs: float = 0.0
    ) -> None:
        super().__init__(span, value, warmup_epochs)
        if every_epochs < 1:
            raise ValueError(f"every_epochs is 1 or more, not {every_epochs}")
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma, a share of the rate, is above 0 and at most 1; not {gamma}")
        self.every_epochs = every_epochs
        self.gamma = gamma

    def factor(self, step: int) -> float:
        """Share of the rate left on this stair."""
        return float(self.gamma ** (step // self.span.steps_per_epoch // self.every_epochs))


class Cosine(LearningRate):
    """Half a cosine from 1 down to `floor`, step by step (Loshchilov & Hutter, SGDR, 2017, without restarts)."""

    def __init__(self, span: Span, value: float, floor: float = 0.0, warmup_epochs: float = 0.0) -> None:
        super().__init__(span, value, warmup_epochs)
        if not 0 <= floor <= 1:
            raise ValueError(f"floor, a share of the rate, is within 0..1; not {floor}")
        self.floor = floor

    def factor(self, step: int) -> float:
        """Share of the rate at this step."""
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * step / self.span.steps)) / 2


class OneCycle(LearningRate):
    """Up and down once, both along half cosines (Smith & Topin, 2018); only the rate cycles, not the momentum.

    Args:
        span: the length of the training.
        value: the rate at the top.
        rise: share of the training that the rate rises.
        start: share of the rate at the beginning.
        end: share of the rate at the end.
    """

    def __init__(self, span: Span, value: float, rise: float = 0.3, start: float = 0.04, end: float = 4e-6) -> None:
        super().__init__(span, value)
        if not 0 < rise < 1:
            raise ValueError(f"rise, a share of the training, is between 0 and 1; not {rise}")
        if not (0 < start <= 1 and 0 < end <= 1):
            raise ValueError(f"start and end, shares of the rate, are above 0 and at most 1; not {start} and {end}")
        self.rise, self.start, self.end = rise, start, end

    def factor(self, step: int) -> float:
        """Share of the rate at this step; the top is reached after `rise`, the end at the last step."""
        last = max(1, self.span.steps - 1)
        top = self.rise * last
        if step <= top:
            return _half_cosine(self.start, 1.0, step / top)
        return _half_cosine(1.0, self.end, (step - top) / (last - top))


def _half_cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2
