"""Which parameters the gradient methods touch, and that all others are trained as ever."""

import copy

import pytest
import torch
from helpers.facts import OUTPUTS
from helpers.two_tasks import GIVEN, TASKS, Tiny, batch
from torch import Tensor, nn

from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.cross_stitch import CrossStitch
from mtl_seg_depth.models.joint import Joint
from mtl_seg_depth.models.mtan import MTAN
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.weighting.aligned_mtl import AlignedMTL
from mtl_seg_depth.weighting.cagrad import CAGrad
from mtl_seg_depth.weighting.fairgrad import FairGrad
from mtl_seg_depth.weighting.gradients import GradientWeighting
from mtl_seg_depth.weighting.gradvac import GradVac
from mtl_seg_depth.weighting.imtl_g import IMTLG
from mtl_seg_depth.weighting.mgda import MGDA
from mtl_seg_depth.weighting.nash_mtl import NashMTL
from mtl_seg_depth.weighting.pcgrad import PCGrad
from mtl_seg_depth.weighting.upgrad import UPGrad

METHODS = [PCGrad, CAGrad, NashMTL, AlignedMTL, MGDA, IMTLG, FairGrad, GradVac, UPGrad]


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


@pytest.mark.parametrize("architecture", [Joint, Branched, MTAN, CrossStitch, Tiny])
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
    trunk = {
        Joint: [""],
        Branched: ["encoder."],
        MTAN: ["encoder.", "blocks."],
        CrossStitch: ["encoders.", *(f"units.{index}." for index in range(4))],  # the last has weights of each task
        Tiny: ["trunk."],
    }
    assert shared == sum(name.startswith(tuple(trunk[architecture])) for name, _ in network.named_parameters())


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


ABC = ("a", "b", "c")


class Sharing(nn.Module):
    """A vector for each name, which is made of the tasks that it serves; each task pulls at its vectors its own way."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vectors = nn.ParameterDict({name: nn.Parameter(torch.randn(5)) for name in names})

    def losses(self, tasks: tuple[str, ...] = ABC) -> dict[str, Tensor]:
        pulls = torch.randn(len(tasks), 5, generator=torch.Generator().manual_seed(1))
        return {
            task: sum(
                ((vector - pull).square().sum() for name, vector in self.vectors.items() if task in name), pull[0]
            )
            for task, pull in zip(tasks, pulls, strict=True)
        }


def whole_vectors(network: Sharing, losses: dict[str, Tensor], names: list[str]) -> Tensor:
    """Each task's gradient over these vectors as a row, zeros where it does not reach."""
    rows = []
    for loss in losses.values():
        found = gradients(network, loss)
        present = [found[f"vectors.{name}"] for name in names]
        rows.append(torch.cat([torch.zeros(5) if gradient is None else gradient for gradient in present]))
    return torch.stack(rows).double()


def check_combined(network: Sharing, weights: Tensor, losses: dict[str, Tensor]) -> None:
    """Every shared vector has the weighted sum over the tasks that reach it; every other one its task's gradient."""
    own = [gradients(network, loss) for loss in losses.values()]
    expected = {}
    for name in network.vectors:
        found = [(weight, task[f"vectors.{name}"]) for weight, task in zip(weights, own, strict=True)]
        present = [(weight, gradient) for weight, gradient in found if gradient is not None]
        alone = len(present) == 1
        expected[name] = sum((gradient if alone else weight * gradient for weight, gradient in present), torch.zeros(5))
    torch.testing.assert_close({name: vector.grad for name, vector in network.vectors.items()}, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("names", [["abc", "ab", "c"], ["abc"], ["ab", "bc", "a"], ["ab", "bc", "ac"], ["ac", "bc"]])
def test_parameters_of_some_tasks_are_combined_over_those(method: type[GradientWeighting], names: list[str]) -> None:
    """With one set of weights, from the inner products over whatever more than one task reaches."""
    network = Sharing(*names)
    losses = network.losses()
    rows = whole_vectors(network, losses, [name for name in names if len(name) > 1])
    weighting = method(tasks=ABC, steps_per_epoch=3)
    expected = method(tasks=ABC, steps_per_epoch=3).combine(rows @ rows.T).float()
    weighting.backward(losses, network)
    torch.testing.assert_close(weighting.weights, expected, rtol=1e-4, atol=1e-5)
    check_combined(network, weighting.weights, network.losses())
    cosines = torch.nn.functional.normalize(rows) @ torch.nn.functional.normalize(rows).T
    logged = weighting.logged()
    assert set(logged) == {f"weight/{task}" for task in ABC} | {
        f"gradient_cosine/{two}" for two in ("a-b", "a-c", "b-c")
    }
    assert logged["gradient_cosine/a-c"].item() == pytest.approx(cosines[0, 2].item(), abs=1e-6)
    assert logged["gradient_cosine/b-c"].item() == pytest.approx(cosines[1, 2].item(), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_task_that_shares_nothing_has_no_part_in_it(method: type[GradientWeighting]) -> None:
    """The other two are weighed as if they were alone."""
    network = Sharing("ac", "a", "b")
    losses = network.losses()
    pair = copy.deepcopy(network)
    weighting, of_two = method(tasks=ABC, steps_per_epoch=3), method(tasks=("a", "c"), steps_per_epoch=3)
    weighting.backward(losses, network)
    of_two.backward({task: loss for task, loss in pair.losses().items() if task != "b"}, pair)
    assert weighting.weights.tolist() == [of_two.weights[0], 1.0, of_two.weights[1]]
    assert network.vectors["ac"].grad is not None
    assert network.vectors["ac"].grad.equal(pair.vectors["ac"].grad)
    assert weighting.logged()["gradient_cosine/a-c"] == of_two.logged()["gradient_cosine"]
    assert weighting.logged()["gradient_cosine/a-b"] == 0
    check_combined(network, weighting.weights, network.losses())
