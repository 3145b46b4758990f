import pytest
import torch
from torch import nn

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.depth.codec import DepthStatistics
from mtl_seg_depth.tasks.depth.losses.l1 import L1
from mtl_seg_depth.tasks.depth.losses.l2 import L2
from mtl_seg_depth.tasks.depth.norms import Standard
from mtl_seg_depth.tasks.semseg.cross_entropy import CrossEntropy
from mtl_seg_depth.training.step import Step

NORM = Standard(DepthStatistics(mean=20, std=10, min=4, max=300))


class Scale(nn.Module):
    """Predicts the first channel times each of its weights as depth: one prediction a weight."""

    tasks = ("depth",)

    def __init__(self, *weights):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, image):
        return {"depth": [weight * image[:, :1] for weight in self.weights]}


class Both(nn.Module):
    """A 1x1 convolution to both tasks."""

    tasks = ("semseg", "depth")

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 20, 1)

    def forward(self, image):
        out = self.conv(image)
        return {"semseg": [out[:, :19]], "depth": [out[:, 19:]]}


class WeightedSum:
    """Stands for a weighting."""

    def __init__(self, semseg, depth):
        self.weights = {"semseg": semseg, "depth": depth}

    def prepare(self, network):
        """Nothing to keep."""

    def backward(self, losses, *_):
        sum(self.weights[task] * loss for task, loss in losses.items()).backward()

    def after_step(self, *_):
        """Nothing to learn."""


def batch(depth):
    """One image of ones with these depths, normalised."""
    depth = NORM.decode(torch.tensor([[depth]]))
    labels = torch.zeros(depth.shape, dtype=torch.int64)
    return Batch(torch.ones(1, 3, 1, depth.shape[2]), {"semseg": labels, "depth": depth}, [0])


def of_depth(loss):
    """A depth loss as a step calls it: with a raw prediction of one channel."""
    criterion = loss(NORM)
    return lambda raw, depth: criterion(raw.squeeze(1), depth)


def step_of(network, losses=None, weighting=None, precision="fp32", momentum=0.0, **options):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=momentum)
    return Step(
        network,
        losses or {"depth": of_depth(L2)},
        weighting or WeightedSum(0.5, 0.5),
        optimizer,
        Precision(precision),
        **options,
    )


def test_one_sgd_step_by_hand():
    network = Scale(3.0)
    losses = step_of(network)(batch([1.0, 0.0]), learning_rate=0.1)
    # Residuals 2 and 3: loss (4 + 9) / 2; slope (2 + 3) / 2 * 2 = 5, halved by the weight of the task.
    assert losses["depth"].item() == pytest.approx(6.5)
    assert network.weights.item() == pytest.approx(3 - 0.1 * 2.5)


def test_the_learning_rate_of_each_step_is_the_one_it_is_given():
    network = Scale(3.0)
    step = step_of(network)
    for rate in (0.0, 0.5, 0.125):
        before = network.weights.item()
        step(batch([0.0]), learning_rate=rate)
        assert network.weights.item() == pytest.approx(before - rate * before)  # slope 2 w, halved


def test_gradients_of_the_step_before_are_forgotten():
    network = Scale(3.0)
    step = step_of(network, losses={"depth": of_depth(L1)})
    for _ in range(3):
        step(batch([0.0]), learning_rate=0.1)
    assert network.weights.item() == pytest.approx(3 - 3 * 0.1 * 0.5)


def test_the_losses_of_several_predictions_are_averaged():
    network = Scale(3.0, 1.0)
    losses = step_of(network)(batch([0.0]), learning_rate=0.1)
    assert losses["depth"].item() == pytest.approx((9 + 1) / 2)
    # Each slope is 2 w, halved by the mean over two predictions and again by the task's weight.
    torch.testing.assert_close(network.weights.detach(), torch.tensor([3 - 0.1 * 1.5, 1 - 0.1 * 0.5]))


def test_the_weighting_decides_how_the_tasks_add_up():
    data = batch([1.0, 0.0])
    gradients = []
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.3, 0.7)):
        network = Both()
        step = step_of(network, {"semseg": CrossEntropy(), "depth": of_depth(L2)}, WeightedSum(*weights))
        losses = step(data, learning_rate=0.1)
        gradients.append(network.conv.weight.grad)
    assert set(losses) == {"semseg", "depth"}
    torch.testing.assert_close(gradients[2], 0.3 * gradients[0] + 0.7 * gradients[1])
    assert (gradients[0][19] == 0).all()
    assert (gradients[1][:19] == 0).all()


@pytest.mark.parametrize(("clip_norm", "moved"), [(None, 3.0), (1.0, 1.0), (100.0, 3.0)])
def test_a_gradient_longer_than_clip_norm_is_shortened_to_it(clip_norm, moved):
    network = Scale(3.0)
    step_of(network, clip_norm=clip_norm)(batch([0.0]), learning_rate=1.0)
    assert network.weights.item() == pytest.approx(3 - moved, rel=1e-5)


@pytest.mark.parametrize("tasks", [("semseg",), ("depth",), ("semseg", "depth", "normals"), ()])
def test_losses_for_other_tasks_than_the_network_s_are_refused_at_construction(tasks):
    losses = dict.fromkeys(tasks, of_depth(L2)) or {"normals": of_depth(L2)}
    with pytest.raises(ValueError, match=r"predicts \['depth', 'semseg'\], the losses are for"):
        step_of(Both(), losses)


def test_the_losses_returned_hold_no_graph():
    losses = step_of(Scale(3.0))(batch([0.0]), learning_rate=0.1)
    assert not losses["depth"].requires_grad


def test_with_bfloat16_the_network_computes_in_it_and_losses_and_weights_stay_float32():
    network, seen = Both(), []
    network.conv.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    data = Batch(
        torch.rand(2, 3, 8, 8),
        {"semseg": torch.randint(19, (2, 8, 8)), "depth": 20 + 10 * torch.rand(2, 8, 8)},
        [0, 1],
    )
    losses = step_of(network, {"semseg": CrossEntropy(), "depth": of_depth(L2)}, precision="bf16")(data, 0.1)
    exact = step_of(Both(), {"semseg": CrossEntropy(), "depth": of_depth(L2)})(data, 0.1)
    assert seen == [torch.bfloat16]
    for task, loss in losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() != exact[task].item()
        assert loss.item() == pytest.approx(exact[task].item(), rel=0.05)
    assert network.conv.weight.dtype == network.conv.weight.grad.dtype == torch.float32
