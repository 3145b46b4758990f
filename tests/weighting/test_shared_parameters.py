"""Which parameters the gradient methods touch, and that all others are trained as ever."""

import copy

import pytest
import torch
from helpers.facts import OUTPUTS
from helpers.two_tasks import GIVEN, TASKS, Tiny, batch
from torch import Tensor, nn

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.joint import Joint
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.weighting.aligned_mtl import AlignedMTL
from mtl_seg_depth.weighting.cagrad import CAGrad
from mtl_seg_depth.weighting.gradients import GradientWeighting
from mtl_seg_depth.weighting.nash_mtl import NashMTL
from mtl_seg_depth.weighting.pcgrad import PCGrad

METHODS = [PCGrad, CAGrad, NashMTL, AlignedMTL]


class Unequal(GradientWeighting):
    """Weights that tell the tasks, and the shared parameters, apart."""

    def combine(self, gram: Tensor) -> Tensor:
        return torch.tensor([2.0, -3.0], dtype=gram.dtype)


def losses_of(network: nn.Module, rgb: Tensor) -> dict[str, Tensor]:
    return {task: predictions[-1].square().mean() for task, predictions in network(rgb).items()}


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    names, values = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, values, retain_graph=True, allow_unused=True)
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("architecture", [Joint, Branched, Tiny])
def test_shared_gradients_are_combined_and_the_others_left(architecture: type[nn.Module]) -> None:
    torch.manual_seed(0)
    if architecture is Tiny:
        network = architecture()
    else:
        network = architecture(ResNetEncoder("resnet18", (False, False, False)), OUTPUTS, aspp=False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    losses = losses_of(network, torch.rand(2, 3, 32, 32))
    semseg, depth = (gradients(network, losses[task]) for task in TASKS)
    weighting = Unequal(**GIVEN)
    weighting.backward(losses, network)
    shared = 0
    for name, parameter in network.named_parameters():
        first, second = semseg[name], depth[name]
        if first is not None and second is not None:
            expected, shared = 2 * first - 3 * second, shared + 1
        else:
            expected = first if second is None else second
        assert (parameter.grad is None) == (expected is None)
        if parameter.grad is not None:
            assert parameter.grad.stride() == parameter.stride()  # fused optimisers read both in memory order
            torch.testing.assert_close(parameter.grad, expected)
    trunk = {Joint: network, Branched: getattr(network, "encoder", None), Tiny: getattr(network, "trunk", None)}
    assert shared == len(list(trunk[architecture].parameters()))


@pytest.mark.parametrize("method", METHODS)
def test_one_task_is_trained_as_if_there_were_no_method(method: type[GradientWeighting]) -> None:
    network = Tiny(("depth",))
    plain = copy.deepcopy(network)
    rgb = batch(0).image
    method(tasks=("depth",), steps_per_epoch=3).backward(losses_of(network, rgb), network)
    losses_of(plain, rgb)["depth"].backward()
    for parameter, expected in zip(network.parameters(), plain.parameters(), strict=True):
        assert expected.grad is not None
        assert parameter.grad is not None
        assert parameter.grad.equal(expected.grad)


def test_the_cosine_is_that_of_the_shared_gradients() -> None:
    torch.manual_seed(0)
    network = Tiny()
    losses = losses_of(network, batch(0).image)
    vectors = []
    for task in TASKS:
        found = gradients(network.trunk, losses[task])
        vectors.append(torch.cat([gradient.flatten() for gradient in found.values() if gradient is not None]))
    weighting = PCGrad(**GIVEN)
    weighting.backward(losses, network)
    expected = torch.cosine_similarity(vectors[0], vectors[1], dim=0)
    torch.testing.assert_close(weighting.logged()["gradient_cosine"], expected)


def test_frozen_parameters_stay_without_gradient() -> None:
    network = Tiny()
    network.trunk.requires_grad_(False)
    weighting = PCGrad(**GIVEN)
    weighting.backward(losses_of(network, batch(0).image), network)
    assert all(parameter.grad is None for parameter in network.trunk.parameters())
    assert all(parameter.grad is not None for parameter in network.heads.parameters())
    assert weighting.weights.tolist() == [1, 1]
