"""The update that two bargaining tasks would agree on."""

from torch import Tensor

from mtl_seg_depth.weighting.gradients import DIVISOR, GradientWeighting


class NashMTL(GradientWeighting):
    """Nash bargaining: the direction with the largest product of both tasks' improvements.

    Its weights solve `G^T G alpha = 1 / alpha`, G the gradients as columns. For two tasks with the cosine cos between
    their gradients that is `alpha_i = 1 / (|g_i| (1 + cos)^(1/2))`: both tasks improve alike, whatever their scales.
    The update of the shared parameters is then 2^(1/2) long in every step, so that learning rate and schedule alone
    say how far it goes. The authors' code also shortens it to length 1, which a smaller learning rate does as well.

    Opposite gradients leave nothing to agree on: the update vanishes. A task without gradient has no weight.

    Source: Navon et al., ICML 2022, section 3.
    """

    def combine(self, gram: Tensor) -> Tensor:
        """The bargaining solution."""
        lengths = gram.diagonal().sqrt()
        cosine = gram[0, 1] / lengths.prod().clamp(min=DIVISOR)
        alpha: Tensor = (lengths > 0) / (lengths.clamp(min=DIVISOR) * (1 + cosine).clamp(min=1e-6).sqrt())
        return alpha
