"""A batch in parts: what the network learns of it, and what it costs."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.two_tasks import Tiny, batch, configured, step_with
from torch import Tensor, nn

from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.training.sharing import InParts
from mtl_seg_depth.training.step import Step

CPU = torch.device("cpu")


def stepped(weighting: str, parts: int, *, normalised: bool = False) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
    """Losses and weights after three steps of a small network; without BatchNorm unless it is asked for."""
    step = step_with(configured(f"task_weights={weighting}"))
    assert isinstance(step.network, Tiny)
    if not normalised:
        step.network.trunk[1] = nn.Identity()
    if parts > 1:
        step.forward = InParts(step.network, parts)
    for number in range(3):
        losses = step(batch(number), 0.01)
    return losses, step.network.state_dict()


@pytest.mark.parametrize("weighting", ["equal", "uncertainty", "famo", "pcgrad"])
def test_parts_learn_what_the_whole_does(weighting: str) -> None:
    whole, in_parts = stepped(weighting, 1), stepped(weighting, 2)
    for one, other in zip(whole, in_parts, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weighting", ["equal", "famo", "pcgrad"])
def test_batch_norm_sees_each_part_by_itself_and_once(weighting: str) -> None:
    _, weights = stepped(weighting, 2, normalised=True)
    assert weights["trunk.1.num_batches_tracked"] == 3 * 2
    step = step_with(configured("task_weights=equal"))
    images = batch(0).image
    assert isinstance(step.network, Tiny)
    together = InParts(step.network, 2)(images)
    apart = [step.network(part) for part in images.chunk(2)]
    assert together["depth"][0].equal(torch.cat([part["depth"][0] for part in apart]))


def saved_for_gradients(step: Step, image: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, besides the weights."""
    own = {tensor.data_ptr() for tensor in step.network.state_dict().values()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            sizes[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = step.forward(image)
    assert held
    return sum(sizes.values())


def test_before_the_backward_pass_no_part_keeps_more_than_its_images(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 8, "val": 1})
    image = torch.rand(8, 3, 32, 32)
    whole, in_parts = (
        saved_for_gradients(
            assemble(tiny(tmp_path, "schedule.batch_size=8", f"schedule.accumulate={parts}"), CPU).step, image
        )
        for parts in (1, 4)
    )
    assert in_parts < whole / 10


def test_parts_that_are_not_alike_are_refused(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 8, "val": 1})
    with pytest.raises(UserError, match=r"batch_size=8, .* schedule.accumulate=3 parts; take a multiple of 3"):
        assemble(tiny(tmp_path, "schedule.batch_size=8", "schedule.accumulate=3"), CPU)
