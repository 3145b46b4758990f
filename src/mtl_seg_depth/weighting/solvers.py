"""Linear algebra of K x K matrices, K a number of tasks, that never waits for the device.

torch.linalg reads back whether a factorisation succeeded: the host waits, and nothing can be captured. Here the
operations are the same whatever the values are. Meant for a dozen rows; each function is a few hundred small kernels.
"""

import torch
from torch import Tensor

RIDGE = 1e-8
"""What bounds the weights of gradients that depend on each other; far below what the methods ask for."""
TINY = torch.finfo(torch.float64).tiny


def normalised(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The lengths [k] of gradients, and their cosines [k, k] with a RIDGE; no gradient is a direction of its own."""
    lengths = gram.diagonal().sqrt()
    cosines = gram / torch.outer(lengths, lengths).clamp(min=TINY)
    return lengths, cosines + torch.diag(RIDGE + (lengths == 0))


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """X [K, R] with `matrix X = right`, by Gauss-Jordan elimination.

    Without pivoting, which a symmetric positive definite matrix does not need.
    """
    size = len(matrix)
    both = torch.cat([matrix, right], dim=1)
    eye = torch.eye(size, dtype=both.dtype, device=both.device)
    for pivot in range(size):
        both = torch.addr(both, both[:, pivot] - eye[pivot], both[pivot] / both[pivot, pivot], alpha=-1)
    return both[:, size:]


def non_negative(matrix: Tensor, linear: Tensor) -> Tensor:
    """The x of 0 or more, [K], with the least `x^T matrix x / 2 + linear x`.

    By an interior-point method for `x z = barrier`, z being the multipliers: Newton's steps, each 0.9 of the way to the
    boundary at most, and a tenth of the barrier from one to the next.
    """
    x = torch.ones_like(linear)
    z = torch.ones_like(linear)
    for _ in range(16):
        barrier = (0.1 * (x * z).mean()).clamp(min=1e-13)
        target, ratio = barrier / x, z / x
        newton = solve(matrix + torch.diag(ratio), (target - matrix @ x - linear)[:, None]).squeeze(1)
        change = target - z - ratio * newton
        step = (0.9 / torch.maximum(-newton / x, -change / z).max().clamp(min=TINY)).clamp(max=1)
        x, z = x + step * newton, z + step * change
    return x


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [N] and eigenvectors [K, N] as columns of a symmetric matrix, in no order.

    By Jacobi's rotations, with small eigenvalues as exact as large ones where it is the lengths of gradients that
    differ. An odd K is padded with a zero: then N is K + 1, and one eigenvalue and its vector are 0.

    Source: Golub & Van Loan, Matrix Computations, section 8.5, with the parallel ordering of algorithm 8.5.4.
    """
    size = len(matrix)
    padding = size % 2
    matrix = torch.nn.functional.pad(matrix, (0, padding, 0, padding))
    vectors = torch.eye(size + padding, dtype=matrix.dtype, device=matrix.device)
    # Each round turns the pairs (0, 1), (2, 3) ... and then moves every row but the first, until all have met.
    even, odd = list(range(0, len(matrix), 2)), list(range(1, len(matrix), 2))
    moved = list(zip([0, *odd[:1], *even[1:-1]], [*odd[1:], even[-1]], strict=True)) if len(even) > 1 else [(0, 1)]
    order = [row for pair in moved for row in pair]
    sweeps = 4 + len(matrix) // 2
    for _ in range(sweeps * (len(matrix) - 1)):
        first, second = matrix.diagonal()[0::2], matrix.diagonal()[1::2]
        twice, difference = 2 * matrix.diagonal(1)[0::2], first - second
        angle = torch.atan2(torch.where(difference < 0, -twice, twice), difference.abs()) / 2
        cosine, sine = angle.cos(), angle.sin()
        beside = torch.stack([sine, torch.zeros_like(sine)], dim=1).flatten()[:-1]
        turn = torch.diag(torch.stack([cosine, cosine], dim=1).flatten())
        turn = turn + torch.diag(beside, -1) - torch.diag(beside, 1)
        turn = torch.stack([turn[:, column] for column in order], dim=1)
        matrix = turn.T @ matrix @ turn
        vectors = vectors @ turn
    return matrix.diagonal(), vectors[:size]
