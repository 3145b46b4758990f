import numpy as np
import pytest
import torch
from torch import Tensor

from mtl_seg_depth.tasks.semseg.pools import Probabilities, Votes


def random_outputs(seed: int) -> Tensor:
    return torch.randn(2, 19, 6, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("views", [1, 2, 3, 4, 7])
def test_votes_agree_with_a_count_one_pixel_at_a_time(views: int) -> None:
    logits = [random_outputs(seed)[:, :4] for seed in range(views)]  # four classes, so that votes are often even
    logits = [torch.cat([view, torch.full((2, 15, 6, 5), -9.0)], dim=1) for view in logits]
    votes = Votes((6, 5))
    for view in logits:
        votes.add(view, zoom=1.0, mirrored=False)
    counted = votes.result()
    for b, y, x in np.ndindex(2, 6, 5):
        ballots = [int(view[b, :, y, x].argmax()) for view in logits]
        most = max(ballots.count(c) for c in ballots)
        winners = sorted({c for c in ballots if ballots.count(c) == most})
        assert counted[b, y, x] == (ballots[0] if ballots[0] in winners else winners[0])


def test_probabilities_are_added_up_in_the_size_of_the_image() -> None:
    """By hand, of three views of one pixel."""
    pool = Probabilities((4, 4))
    for logits in ([0.0, 3.0**0.5], [1.0, 0.0], [0.5, 0.0]):
        pool.add(torch.tensor(logits).view(1, 2, 1, 1), zoom=1.0, mirrored=False)
    shares = [torch.tensor(logits).softmax(0) for logits in ([0.0, 3.0**0.5], [1.0, 0.0], [0.5, 0.0])]
    expected = int(torch.stack(shares).sum(0).argmax())
    assert torch.equal(pool.result(), torch.full((1, 4, 4), expected))


@pytest.mark.parametrize("kind", [Probabilities, Votes])
def test_one_view_is_its_likeliest_class(kind: type[Probabilities] | type[Votes]) -> None:
    logits = random_outputs(3)
    pool = kind((6, 5))
    pool.add(logits, zoom=1.0, mirrored=False)
    assert torch.equal(pool.result(), logits.argmax(dim=1))
