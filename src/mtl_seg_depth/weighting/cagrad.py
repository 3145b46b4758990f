"""The update near the average gradient that helps the worse-off task most."""

from typing import Any

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import solve


class CAGrad(GradientWeighting):
    """Conflict-averse gradient descent: the best worst improvement within `c` times the average gradient of it.

    With g0 the average gradient and g_w = sum w_i g_i, the update is `g0 + c |g0| g_w / |g_w|` for the w that minimise
    the convex `<g_w, g0> + c |g0| |g_w|`, each 0 or more and their sum 1. At c = 0 it is the average; with c below 1
    it converges to a minimum of the average loss. It is taken K times, as the average is a Kth of the sum; the
    authors' code does so too, and then divides by 1 + c^2, which the paper does not.

    For two tasks, with the shares w and 1 - w, the minimum is a formula. With d = g_1 - g_2 and p = <d, g0>, the
    derivative by w is zero where u = <g_w, d> satisfies c |g0| u = -p |g_w|, and |g_w|^2 |d|^2 = u^2 + D, with D the
    determinant of the Gram matrix: hence u = -p (D / (c^2 |g0|^2 |d|^2 - p^2))^(1/2). Where that is no number the
    minimum is at an end.

    For more tasks an interior-point method finds it. |g_w| has no derivative where it vanishes, so it is written as
    `(|g_w|^2 / s + s) / 2`, which is smooth and convex in w and s > 0 together and smallest for s = |g_w|.

    Source: Liu, Liu, Jin, Stone & Liu, NeurIPS 2021, algorithm 1.
    """

    ITERATIONS = 25
    CENTRING = 0.4
    """How far an iteration lowers the barrier: slowly, or s is at its end before w is near the minimum."""
    REACH = 0.7
    """How much of the way to the boundary an iteration may go, for the same reason."""
    LOWEST_BARRIER = 1e-9

    def __init__(self, c: float = 0.4, **weighting: Any) -> None:
        super().__init__(**weighting)
        if c < 0:
            raise ValueError(f"c is 0 or more, not {c}")
        self.c = c

    def combine_two(self, gram: Tensor) -> Tensor:
        """Twice `1/2 + c |g0| / |g_w| (w, 1 - w)`."""
        a, b, c = gram[0, 0], gram[0, 1], gram[1, 1]
        radius = self.c * (a + 2 * b + c).clamp(min=0).sqrt() / 2
        difference = (a - 2 * b + c).clamp(min=DIVISOR)
        slope = (a - c) / 2
        room = radius.square() * difference - slope.square()
        u = -slope * ((a * c - b.square()).clamp(min=0) / room.clamp(min=DIVISOR)).sqrt()
        w = torch.where(room > 0, ((u - (b - c)) / difference).clamp(0, 1), slope < 0)
        return self._weights(gram, radius, torch.stack([w, 1 - w]))

    def combine_many(self, gram: Tensor) -> Tensor:
        """K times `1/K + c |g0| / |g_w| w`."""
        radius = self.c * gram.mean().clamp(min=0).sqrt()
        return self._weights(gram, radius, self._shares(gram / gram.trace().clamp(min=DIVISOR)))

    def _weights(self, gram: Tensor, radius: Tensor, shares: Tensor) -> Tensor:
        """The weights of w, on the scale of the sum."""
        # What is added leaves the average where g_w vanishes and has no direction.
        length = (shares @ gram @ shares).clamp(min=0).sqrt() + 1e-6 * gram.trace().sqrt()
        return 1 + len(gram) * radius / length.clamp(min=DIVISOR) * shares

    def _shares(self, gram: Tensor) -> Tensor:
        """The minimising w, of gradients whose squared lengths sum to 1.

        The function is divided by |g0|. A step is Newton's for `x z = barrier`, x being w and s and z their
        multipliers, on the plane where w sums to 1.
        """
        size = len(gram)
        to_average = gram.mean(dim=1) / gram.mean().clamp(min=1e-16).sqrt()
        one = torch.ones_like(to_average[:1])
        linear = torch.cat([to_average, self.c / 2 * one])
        in_sum = torch.cat([torch.ones_like(to_average), 0 * one])
        part = (1 + in_sum) / 2  # the half of the function, which its derivative by w loses to the square
        x = torch.cat([torch.full_like(to_average, 1 / size), one])
        z = torch.ones_like(x)
        eye = torch.eye(size, dtype=gram.dtype, device=gram.device)
        for _ in range(self.ITERATIONS):
            s = x[size]
            lift = torch.cat([eye, -x[None, :size] / s])
            curvature = self.c / s * (lift @ gram @ lift.T)
            slope = linear - s * part * curvature[size]
            barrier = (self.CENTRING / (size + 1) * (x @ z)).clamp(min=self.LOWEST_BARRIER)
            target, ratio = barrier / x, z / x
            rounding = 1e-13 + 1e-14 * curvature.trace()  # of the curvature, which has flat directions
            newton = solve(curvature + torch.diag(ratio + rounding), torch.stack([target - slope, in_sum], dim=1))
            in_plane = newton[:, 0] - newton[:size, 0].sum() / newton[:size, 1].sum() * newton[:, 1]
            change = target - z - ratio * in_plane
            to_boundary = torch.maximum(-in_plane / x, -change / z).max()
            step = (self.REACH / to_boundary.clamp(min=DIVISOR)).clamp(max=1)
            x, z = x + step * in_plane, z + step * change
        return x[:size] / x[:size].sum()
