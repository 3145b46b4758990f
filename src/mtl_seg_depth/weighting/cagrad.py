"""The update near the average gradient that helps the worse-off task most."""

from typing import Any

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting


class CAGrad(GradientWeighting):
    """Conflict-averse gradient descent: the best worst improvement within `c` times the average gradient of it.

    With g0 the average gradient and g_w = w g_1 + (1 - w) g_2, the update is `g0 + c |g0| g_w / |g_w|` for the w in
    0..1 that minimises the convex `<g_w, g0> + c |g0| |g_w|`. At c = 0 it is the average; with c below 1 it converges
    to a minimum of the average loss. It is taken twice, as the average is half the sum; the authors' code does so too,
    and then divides by 1 + c^2, which the paper does not.

    For two tasks the minimum is a formula. With d = g_1 - g_2 and p = <d, g0>, the derivative by w is zero where
    u = <g_w, d> satisfies c |g0| u = -p |g_w|, and |g_w|^2 |d|^2 = u^2 + D, with D the determinant of the Gram matrix:
    hence u = -p (D / (c^2 |g0|^2 |d|^2 - p^2))^(1/2). Where that is no number the minimum is at an end.

    Source: Liu, Liu, Jin, Stone & Liu, NeurIPS 2021, algorithm 1.
    """

    def __init__(self, c: float = 0.4, **weighting: Any) -> None:
        super().__init__(**weighting)
        if c < 0:
            raise ValueError(f"c is 0 or more, not {c}")
        self.c = c

    def combine(self, gram: Tensor) -> Tensor:
        """Twice `1/2 + c |g0| / |g_w| (w, 1 - w)`."""
        a, b, c = gram[0, 0], gram[0, 1], gram[1, 1]
        radius = self.c * (a + 2 * b + c).clamp(min=0).sqrt() / 2
        difference = (a - 2 * b + c).clamp(min=DIVISOR)
        slope = (a - c) / 2
        room = radius.square() * difference - slope.square()
        u = -slope * ((a * c - b.square()).clamp(min=0) / room.clamp(min=DIVISOR)).sqrt()
        w = torch.where(room > 0, ((u - (b - c)) / difference).clamp(0, 1), slope < 0)
        shares = torch.stack([w, 1 - w])
        # What is added leaves the average where g_w vanishes and has no direction.
        length = (shares @ gram @ shares).clamp(min=0).sqrt() + 1e-6 * gram.trace().sqrt()
        return 1 + 2 * radius / length.clamp(min=DIVISOR) * shares
