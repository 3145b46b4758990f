"""Cross-stitch networks by their formula, between single networks and one that shares all."""

import copy
import itertools

import pytest
import torch
from helpers.facts import OUTPUTS
from torch import nn

from mtl_seg_depth.models.cross_stitch import CrossStitch, CrossStitchUnit
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.models.single import Single

THREE = {"normals": 3, "semseg": 19, "depth": 1}
IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Few(Encoder):
    """Three stages of a convolution each."""

    strides = (2, 4, 8)
    out_channels = (4, 6, 8)

    def __init__(self):
        super().__init__()
        widths = (3, *self.out_channels)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(widths))

    def stage(self, index, before):
        return self.layers[index](before).relu()


def small(outputs=OUTPUTS, own=0.9):
    torch.manual_seed(0)
    return CrossStitch(Few(), outputs, own=own, aspp=False)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("outputs", [OUTPUTS, THREE])
def test_it_has_the_parameters_of_single_networks_and_a_weight_for_each_pair_of_tasks_and_channel(outputs):
    with torch.device("meta"):
        encoder = ResNetEncoder("resnet18")
        network = CrossStitch(encoder, outputs)
        alone = sum(count(Single(encoder, outputs, task=task)) for task in outputs)
    assert count(network) - alone == len(outputs) ** 2 * (64 + 64 + 128 + 256 + 512)


@pytest.mark.parametrize("own", [1.0, 0.9])
def test_at_the_identity_it_is_separate_single_networks_bit_for_bit(own):
    """Predictions, gradients and running statistics; with 0.9 they differ."""
    torch.manual_seed(0)
    network = CrossStitch(ResNetEncoder("resnet18", (False, False, True)), OUTPUTS, own=own)
    start = copy.deepcopy(network.state_dict())
    predictions = network(IMAGE)
    sum(raw[0].square().mean() for raw in predictions.values()).backward()
    state, gradients = network.state_dict(), {name: each.grad for name, each in network.named_parameters()}
    same = []
    for task in OUTPUTS:
        single = Single(ResNetEncoder("resnet18", (False, False, True)), OUTPUTS, task=task)
        place = {key: key.replace("encoder.", f"encoders.{task}.") for key in single.state_dict()}
        single.load_state_dict({key: start[place[key]] for key in place})
        alone = single(IMAGE)[task][0]
        alone.square().mean().backward()
        same += [alone.equal(predictions[task][0])]
        same += [each.grad.equal(gradients[place[name]]) for name, each in single.named_parameters()]
        same += [each.equal(state[place[name]]) for name, each in single.named_buffers() if name in place]
    assert all(same) == (own == 1.0)


@torch.no_grad()
def test_features_are_mixed_channel_by_channel_after_every_stage():
    """By hand, with weights that are all different."""
    network = small(THREE)
    for unit in network.units:
        for weights in unit.weights.values():
            nn.init.uniform_(weights)
    before = dict.fromkeys(THREE, IMAGE)
    mixed = network.encode(IMAGE)
    for index, unit in enumerate(network.units):
        own = {task: network.encoders[task].stage(index, before[task]) for task in THREE}
        for task in THREE:
            weights = unit.weights[task]
            assert weights.shape == (3, Few.out_channels[index])
            expected = torch.einsum("sc,sbchw->bchw", weights, torch.stack(list(own.values())))
            torch.testing.assert_close(mixed[task][index], expected)
        before = {task: features[index] for task, features in mixed.items()}


@pytest.mark.parametrize("tasks", [("a",), ("a", "b"), ("a", "b", "c")])
def test_the_weights_begin_near_the_identity_and_keep_the_scale(tasks):
    unit = CrossStitchUnit(tasks, 5, own=0.9)
    matrix = torch.stack([unit.weights[task] for task in tasks])
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(tasks), 5))
    own = torch.full((len(tasks), 5), 0.9 if len(tasks) > 1 else 1.0)
    torch.testing.assert_close(matrix.diagonal().T, own)
    same = [torch.randn(2, 5, 3, 4)] * len(tasks)
    for mixed in unit(same):
        torch.testing.assert_close(mixed, same[0])


def test_the_encoders_begin_alike_and_are_not_one():
    network = small()
    first, second = network.encoders.values()
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert not {*map(id, first.parameters())} & {*map(id, second.parameters())}


def test_gradients_reach_everything_and_all_but_the_last_weights_from_every_task():
    network = small(THREE)
    reached = dict.fromkeys((name for name, _ in network.named_parameters()), 0)
    for task in THREE:
        network.zero_grad()
        network(IMAGE)[task][0].square().mean().backward()
        for name, parameter in network.named_parameters():
            reached[name] += parameter.grad is not None and parameter.grad.count_nonzero() > 0
    own = ("bottlenecks.", "decoders.", "units.2.")
    for name, times in reached.items():
        assert times == (1 if name.startswith(own) else 3), name


def test_mixing_keeps_a_narrow_format():
    unit = CrossStitchUnit(("a", "b"), 3, own=0.9)
    mixed = unit([torch.ones(1, 3, 2, 2, dtype=torch.bfloat16)] * 2)
    assert {each.dtype for each in mixed} == {torch.bfloat16}


def test_an_encoder_without_stages_and_impossible_shares_are_refused():
    class Whole(Encoder):
        strides = (4,)
        out_channels = (4,)

        def forward(self, image):
            return [image]

    with pytest.raises(ValueError, match=r"Whole can only be run as a whole: it has no stage\(\)"):
        CrossStitch(Whole(), OUTPUTS)
    with pytest.raises(ValueError, match=r"own is a share, within 0\.\.1; not 1\.5"):
        small(own=1.5)
