import math

import pytest
import torch
from torch.nn import functional as F

from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.losses.huber import Huber
from mtl_seg_depth.tasks.depth.norms import Standard

NORM = Standard(DepthStatistics(mean=20, std=10, min=4, max=300))


@pytest.mark.parametrize("delta", [0.1, 1.0, 3.0])
def test_equals_torch_where_everything_is_valid(delta):
    prediction, target = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    expected = F.huber_loss(prediction, target, delta=delta)
    torch.testing.assert_close(Huber(NORM, delta)(prediction, NORM.decode(target)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("delta", [0, -1, math.nan])
def test_a_delta_that_is_not_above_zero_is_refused(delta):
    with pytest.raises(ValueError, match="delta is above 0"):
        Huber(NORM, delta)
