"""MTAN by its formulas: masks of the encoder's features, and what every task picks on the way down."""

import itertools

import pytest
import torch
from helpers.facts import OUTPUTS
from torch import nn

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.mtan import MTAN, Bottleneck
from mtl_seg_depth.models.resnet import ResNetEncoder

OS16 = (False, False, True)


class Features(Encoder):
    """Stands for an encoder that is not asked to encode."""

    def __init__(self, strides=(2, 4, 8, 32, 32), out_channels=(4, 8, 12, 16, 20)):
        super().__init__()
        self.strides, self.out_channels = strides, out_channels

    def features(self, height=64, width=96):
        random = torch.Generator().manual_seed(0)
        return [
            torch.randn(2, channels, -(-height // stride), -(-width // stride), generator=random)
            for stride, channels in zip(self.strides, self.out_channels, strict=True)
        ]


def small(encoder=None):
    torch.manual_seed(0)
    return MTAN(encoder or Features(), OUTPUTS, aspp=False).eval()


def saturate(network, task, value):
    """Let all masks of a task be `value` everywhere, through the bias before their sigmoid."""
    for mask in network.masks[task]:
        norm = mask[-2]
        nn.init.zeros_(norm.weight)
        nn.init.constant_(norm.bias, {0: -200.0, 1: 200.0}[value])


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_what_it_adds_to_branched_is_masks_for_each_task_and_blocks_for_all(name):
    with torch.device("meta"):
        encoder = ResNetEncoder(name, OS16)
        added = count(MTAN(encoder, OUTPUTS)) - count(Branched(encoder, OUTPUTS))
    widths = encoder.out_channels[1:]
    masks = sum(
        seen * (c // 4) + 2 * (c // 4) + (c // 4) * c + 2 * c
        for seen, c in zip([widths[0], *(2 * c for c in widths[1:])], widths, strict=True)
    )
    blocks = sum(
        a * (b // 4) + 9 * (b // 4) ** 2 + (b // 4) * b + a * b + 2 * (2 * (b // 4) + 2 * b)
        for a, b in itertools.pairwise(widths)
    )
    assert added == len(OUTPUTS) * masks + blocks


@torch.no_grad()
def test_with_masks_of_one_every_task_sees_the_shared_features_and_decodes_as_branched():
    network = small()
    features = network.encoder.features()
    for task in OUTPUTS:
        saturate(network, task, 1)
        assert all(map(torch.equal, network.attend(task, features), features))
    branched = Branched(Features(), OUTPUTS, aspp=False).eval()
    branched.load_state_dict({key: network.state_dict()[key] for key in branched.state_dict()})
    expected = branched.decode(features)
    assert all(raw[0].equal(expected[task][0]) for task, raw in network.decode(features).items())


@torch.no_grad()
def test_masks_are_a_task_s_own_and_within_0_and_1():
    network = small()
    features = network.encoder.features()
    seen = {task: network.attend(task, features) for task in OUTPUTS}
    for index, shared in enumerate(features):
        if index == 0:
            assert all(own[0] is shared for own in seen.values()), "finer than stride 4: nobody decodes it"
            continue
        shares = {task: own[index] / shared for task, own in seen.items()}
        assert all(share.min() > 0 and share.max() < 1 for share in shares.values())
        assert not torch.allclose(shares["semseg"], shares["depth"])
    saturate(network, "depth", 0)
    assert all(own.count_nonzero() == 0 for own in network.attend("depth", features)[1:])
    assert all(map(torch.equal, network.attend("semseg", features), seen["semseg"]))


@torch.no_grad()
def test_a_mask_is_made_of_the_stage_s_features_and_of_what_was_picked_before():
    """By hand, stage by stage; between strides 8 and 32 the pooling is over 4 x 4."""
    network = small()
    features = network.encoder.features()
    masks, attended, picked = network.masks["depth"], network.attend("depth", features), None
    for place, (shared, own) in enumerate(zip(features[1:], attended[1:], strict=True)):
        seen = shared if picked is None else torch.cat([shared, picked], dim=1)
        torch.testing.assert_close(own, masks[place](seen) * shared)
        if place < 3:
            size = {0: 2, 1: 4, 2: 1}[place]
            block = network.blocks[place](own)
            picked = block.unflatten(2, (-1, size)).unflatten(4, (-1, size)).amax(dim=(3, 5))


def test_a_bottleneck_by_hand():
    block = Bottleneck(4, 8).eval()
    x = torch.randn(1, 4, 5, 6)
    with torch.no_grad():
        expected = (block.residual(x) + block.shortcut(x)).clamp(min=0)
        assert block(x).equal(expected)
        nn.init.zeros_(block.residual[-1].weight)
        torch.testing.assert_close(block(x), block.shortcut(x).clamp(min=0))


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (130, 250)])
def test_sizes_that_the_strides_do_not_divide(size):
    network = small()
    features = network.encoder.features(*size)
    for shared, own in zip(features, network.attend("semseg", features), strict=True):
        assert own.shape == shared.shape


def test_gradients_reach_everything():
    network = MTAN(ResNetEncoder("resnet18"), OUTPUTS)
    predictions = network(torch.rand(2, 3, 64, 64))
    sum(raw[0].square().mean() for raw in predictions.values()).backward()
    assert all(parameter.grad.count_nonzero() for parameter in network.parameters())


def test_strides_that_no_pooling_leads_through_are_refused():
    with pytest.raises(ValueError, match=r"between strides 4, 6 .*mtan takes encoders whose strides are multiples"):
        small(Features((2, 4, 6), (4, 4, 4)))
