import math

import pytest
import torch

from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.losses.gradient_matching import GradientMatching
from mtl_seg_depth.tasks.depth.losses.silog import SILog
from mtl_seg_depth.tasks.depth.norms import Log

NORM = Log(DepthStatistics(mean=20, std=10, min=4, max=300))


def extra(prediction: torch.Tensor, depth: torch.Tensor, scales: int = 1) -> float:
    """What it costs beside the SI-log error, with a weight of 1."""
    encoded = NORM.encode(prediction)
    both = GradientMatching(NORM, weight=1.0, scales=scales)(encoded, depth)
    return (both - SILog(NORM)(encoded, depth)).item()


def test_by_hand_the_mean_over_valid_neighbours_of_both_directions_and_of_every_scale() -> None:
    depth = torch.full((2, 2, 3), 10.0)
    depth[0, 1, 2] = math.nan
    ratios = torch.tensor([[[1.0, 2.0, 4.0], [1.0, 8.0, 9.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
    octave = math.log(2)
    # Across: 1, 1 and 3 octaves between neighbours; down: 0 and 2. The second image has no error, and counts as one.
    first = (octave * (1 + 1 + 3) / 3 + octave * (0 + 2) / 2) / 2
    assert extra(10 * ratios, depth) == pytest.approx(first, rel=1e-5)
    # Every second pixel of the first row: 2 octaves, and no row below it.
    assert extra(10 * ratios, depth, scales=2) == pytest.approx(first + octave * 2 / 2, rel=1e-5)


def test_a_wrong_scale_is_forgiven_and_a_blurred_edge_is_not() -> None:
    depth = torch.full((1, 8, 8), 10.0)
    depth[..., 4:] = 40
    blurred = depth.log().unfold(2, 3, 1).mean(-1).exp()
    blurred = torch.cat([depth[..., :1], blurred, depth[..., -1:]], dim=2)
    displaced = depth.roll(1, dims=2)
    assert extra(3 * depth, depth, scales=3) == pytest.approx(0, abs=1e-5)
    assert 0.01 < extra(blurred, depth) < extra(displaced, depth)


def test_without_weight_it_is_the_si_log_error() -> None:
    generator = torch.Generator().manual_seed(0)
    depth, prediction = 4 + 40 * torch.rand(2, 2, 6, 6, generator=generator)
    encoded = NORM.encode(prediction)
    assert GradientMatching(NORM, weight=0.0)(encoded, depth).equal(SILog(NORM)(encoded, depth))


@pytest.mark.parametrize(("arguments", "message"), [({"weight": -1}, "weight is 0"), ({"scales": 0}, "scales are 1")])
def test_what_makes_no_sense_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientMatching(NORM, **arguments)
