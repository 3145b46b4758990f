"""Gradients turned until they are orthogonal and of one length."""

import torch
from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting
from mtl_seg_depth.weighting.solvers import eigen


class AlignedMTL(GradientWeighting):
    """Aligned-MTL: the closest gradients with condition number 1, so that no task dominates or contradicts.

    The gradients, as rows of G with the Gram matrix M, become `B G` with `B = l^(1/2) M^(-1/2)`, l the smallest
    eigenvalue of M; the update is their sum. They are as long as the smallest singular value of G: the more alike the
    gradients, the smaller the step. Gradients that depend on each other to rounding span fewer directions; those stay,
    with l the smallest eigenvalue that is more than noise.

    For two tasks `M^(1/2) = (M + s) / (trace + 2 s)^(1/2)` with s^2 the determinant, and with it B, is a formula.

    Source: Senushkin, Patakin, Kuznetsov & Konushin, CVPR 2023, algorithm 1 (Aligned-MTL, equal task weights).
    """

    def combine_two(self, gram: Tensor) -> Tensor:
        """The column sums of B."""
        trace = gram.trace()
        s = (gram[0, 0] * gram[1, 1] - gram[0, 1].square()).clamp(min=0).sqrt()
        spread = torch.hypot(gram[0, 0] - gram[1, 1], 2 * gram[0, 1])
        largest = ((trace + spread) / 2).clamp(min=DIVISOR)
        eye = torch.eye(2, dtype=gram.dtype, device=gram.device)
        # M^(-1/2) is (adjugate + s) / (s (trace + 2 s)^(1/2)) and l^(1/2) is s / largest^(1/2): s cancels.
        full = (trace * eye - gram + s * eye) / ((trace + 2 * s).clamp(min=DIVISOR) * largest).sqrt()
        # s^2 is |g_1|^2 |g_2|^2 (1 - cos^2); the gradients are float32, so a sine smaller than this is noise.
        parallel = s.square() <= 2 * torch.finfo(torch.float32).eps * gram.diagonal().prod()
        return torch.where(parallel, gram / largest, full).sum(dim=0)

    def combine_many(self, gram: Tensor) -> Tensor:
        """The column sums of B, from the eigenvalues and eigenvectors of M."""
        values, vectors = eigen(gram)
        # The gradients are float32: rounding alone can make an eigenvalue this large, and for two tasks it is the
        # same bound as above.
        noise = (vectors.abs().T @ gram.diagonal().sqrt()).square() * torch.finfo(torch.float32).eps / 2
        real = values > noise
        smallest = torch.where(real, values, torch.inf).min()
        shares = torch.where(real, (smallest / values.clamp(min=DIVISOR)).sqrt(), 0.0)
        return vectors @ (shares * vectors.sum(dim=0))
