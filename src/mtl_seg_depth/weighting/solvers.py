"""Linear algebra of K x K matrices, K a number of tasks, that never waits for the device.

torch.linalg reads back whether a factorisation succeeded: the host waits, and nothing can be captured. Here the
operations are the same whatever the values are. Meant for a dozen rows; each function is a few hundred small kernels.
"""

import torch
from torch import Tensor


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
