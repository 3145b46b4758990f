import pytest
import torch
from helpers.facts import OUTPUTS

from mtl_seg_depth.models.distilled import Distilled
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.gate import Gate

OTHER = {"semseg": "depth", "depth": "semseg"}
FEATURES = [torch.randn(2, 8, side, side) for side in (16, 8, 4, 2)] + [torch.randn(2, 16, 2, 2)]


class Features(Encoder):
    """Stands for an encoder that is not asked to encode."""

    strides = (2, 4, 8, 16, 32)
    out_channels = (8, 8, 8, 8, 16)


def distilled(gate="shared"):
    torch.manual_seed(0)
    return Distilled(Features(), OUTPUTS, gate=gate, aspp=False).eval()


def with_features_of(network, task, factor):
    """Multiply what one task's decoder hands on; its first prediction stays as it is."""
    branch = network.branch

    def scaled(name, *inputs):
        features, prediction = branch(name, *inputs)
        return (features * factor if name == task else features), prediction

    network.branch = scaled
    return network


@torch.no_grad()
@pytest.mark.parametrize("gate", ["shared", "per_task"])
@pytest.mark.parametrize("task", OTHER)
def test_second_predictions_are_of_own_features_plus_the_other_task_s_message(task, gate):
    network = distilled(gate)
    own, first = network.branch(task, FEATURES)
    others, _ = network.branch(OTHER[task], FEATURES)
    predictions = network.decode(FEATURES)[task]
    torch.testing.assert_close(predictions[0], first)
    torch.testing.assert_close(predictions[1], network.refined[task](own + network.gates[OTHER[task]](others)))


@torch.no_grad()
@pytest.mark.parametrize("task", OTHER)
def test_a_task_without_features_sends_no_message_and_still_hears_the_other(task):
    network = distilled()
    before, (heard, _) = network.decode(FEATURES), network.branch(OTHER[task], FEATURES)
    after = with_features_of(network, task, 0).decode(FEATURES)
    # The silent one predicts from the message alone, the other one from its own features alone.
    torch.testing.assert_close(after[task][1], network.refined[task](network.gates[OTHER[task]](heard)))
    torch.testing.assert_close(after[OTHER[task]][1], network.refined[OTHER[task]](heard))
    for name in OTHER:
        torch.testing.assert_close(after[name][0], before[name][0])


def test_the_shared_gate_is_one_module_and_per_task_are_two():
    shared, own = distilled("shared").gates, distilled("per_task").gates
    assert shared["semseg"] is shared["depth"]
    assert own["semseg"] is not own["depth"]
    assert not torch.equal(own["semseg"].message.weight, own["depth"].message.weight)


def test_with_a_gate_each_it_is_the_sender_s_that_a_message_passes():
    network = distilled("per_task")
    network.decode(FEATURES)["depth"][1].sum().backward()
    assert network.gates["semseg"].message.weight.grad is not None
    assert network.gates["depth"].message.weight.grad is None


def test_a_gate_starts_half_open_and_learns():
    gate, features = Gate(3), torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(gate(features), gate.message(features) / 2)
    gate(features).square().sum().backward()
    assert (gate.gate.weight.grad != 0).any()


def test_a_gate_by_hand():
    gate = Gate(1)
    for conv, weight in ((gate.message, 3.0), (gate.gate, -2.0)):
        conv.weight.data.zero_()
        conv.weight.data[0, 0, 1, 1] = weight
    x = torch.tensor([[[[-1.0, 0.5]]]])
    torch.testing.assert_close(gate(x), 3 * x * torch.sigmoid(-2 * x))
    assert gate.message.bias is None
    assert gate.gate.bias is None
