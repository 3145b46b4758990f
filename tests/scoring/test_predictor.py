import pytest
import torch
from helpers.facts import CPU, tasks
from helpers.tiny_split import tiny_split
from torch import nn

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.scoring.scores import score
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.depth.norms import Log

TASKS = tasks(norm=Log)


class Tiny(nn.Module):
    """A network of one convolution and BatchNorm, with two predictions for each task."""

    tasks = ("semseg", "depth")

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20), nn.Dropout(0.5))
        self.body[1].running_var.fill_(0.1)

    def forward(self, image):
        out = self.body(image)
        return {"semseg": [-out[:, :19], out[:, :19]], "depth": [-out[:, 19:], out[:, 19:]]}


def predictor(precision="fp32"):
    return Predictor(Tiny(), TASKS, Precision(precision))


def test_the_last_prediction_of_each_task_becomes_classes_and_metres():
    predict, image = predictor(), torch.rand(2, 3, 32, 64)
    prediction = predict(image)
    with torch.no_grad():
        outputs = predict.network.eval()(image)
    assert torch.equal(prediction["semseg"], outputs["semseg"][1].argmax(dim=1))
    torch.testing.assert_close(prediction["depth"], TASKS["depth"].norm.to_metres(outputs["depth"][1][:, 0]))
    assert prediction["semseg"].dtype == torch.int64
    assert prediction["depth"].dtype == torch.float32
    assert prediction["depth"].min() >= 4
    assert prediction["depth"].max() <= 300


@pytest.mark.parametrize("training", [True, False])
def test_the_network_predicts_in_evaluation_mode_and_stays_in_the_mode_it_was_in(training):
    predict, image = predictor(), torch.rand(2, 3, 32, 32)
    predict.network.train(training)
    before = {key: value.clone() for key, value in predict.network.state_dict().items()}
    first, second = predict(image), predict(image)
    assert torch.equal(first["depth"], second["depth"])  # no dropout
    assert predict.network.training == training
    torch.testing.assert_close(predict.network.state_dict(), before, rtol=0, atol=0)  # no new statistics


def test_bfloat16_prediction_gives_float32_metres():
    image = torch.rand(1, 3, 64, 64)
    coarse, exact = predictor("bf16")(image)["depth"], predictor()(image)["depth"]
    assert coarse.dtype == torch.float32
    assert not torch.equal(coarse, exact)
    torch.testing.assert_close(coarse, exact, rtol=0.1, atol=0.1)


def test_tasks_that_the_network_has_not_are_not_predicted():
    network = Tiny()
    network.tasks = ("depth",)
    network.forward = lambda image: {"depth": [image[:, :1]]}
    assert set(Predictor(network, TASKS, Precision("fp32"))(torch.rand(1, 3, 32, 32))) == {"depth"}


def test_scores_do_not_depend_on_the_batch_size():
    split = tiny_split(count=17)
    one, sixteen = (
        score(predictor(), ScoringBatches(split, batch_size=size, tasks=TASKS, device=CPU), TASKS) for size in (1, 16)
    )
    assert torch.equal(one.confusion.matrix, sixteen.confusion.matrix)
    assert one.confusion.matrix.sum() == (split.targets["semseg"][:, :32, :64] != 255).sum()
    assert sixteen.flat("") == pytest.approx(one.flat(""), rel=1e-6)
