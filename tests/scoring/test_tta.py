"""Test-time augmentation on networks whose answer is known, and the report's variant by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.composing import compose, options
from helpers.facts import OUTPUTS, STATISTICS, tasks
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mtl_seg_depth.models.joint import Joint
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.nodes import build
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.scoring.tta import MULTISCALE, AveragedViews, ReportViews, workable_size
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.depth.norms import Log, MinMax
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.resize import resize

TASKS = tasks(norm=MinMax)
NORM = MinMax(STATISTICS)


class Fake(torch.nn.Module):
    """A network that answers what a function of the image says, metres and logits."""

    tasks: tuple[str, ...] = ("semseg", "depth")

    def __init__(self, depth: Callable[[Tensor], Tensor], logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.depth, self.logits = depth, logits
        self.sizes: list[tuple[int, int]] = []

    def forward(self, rgb: Tensor) -> dict[str, list[Tensor]]:
        self.sizes.append((rgb.shape[-2], rgb.shape[-1]))
        return {"semseg": [self.logits(rgb)], "depth": [NORM.encode(self.depth(rgb)).unsqueeze(1)]}


def no_logits(rgb: Tensor) -> Tensor:
    return torch.zeros(len(rgb), 19, *rgb.shape[-2:])


def predictor_of(network: torch.nn.Module) -> Predictor:
    return Predictor(network, TASKS, Precision("fp32"))  # type: ignore[arg-type]


def pinhole(rgb: Tensor) -> Tensor:
    """`f * H / size`: the depth of the one white square, 2 m high, seen with f = 200 pixels, by its pixels' area."""
    size = rgb[:, 0].sum(dim=(1, 2)).sqrt()
    return (200 * 2 / size).view(-1, 1, 1).expand(-1, *rgb.shape[-2:])


def square(side: int) -> Tensor:
    rgb = torch.zeros(1, 3, 128, 160)
    rgb[:, :, 40 : 40 + side, 50 : 50 + side] = 1
    return rgb


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [[0.5], [2.0], [0.5, 1.0, 2.0], [0.75, 1.25, 3.0]])
def test_depth_whose_zoom_is_undone_is_that_of_the_picture_itself(scales: list[float], flip: bool) -> None:
    predict = AveragedViews(scales, flip).around(predictor_of(Fake(pinhole, no_logits)))
    depth = predict(square(40))["depth"]
    assert depth.shape == (1, 128, 160)
    torch.testing.assert_close(depth, torch.full_like(depth, 10.0), rtol=2e-3, atol=0)


def test_depth_whose_zoom_is_left_is_averaged_as_it_was_seen() -> None:
    predict = AveragedViews([1.0, 2.0], undo_zoom=False).around(predictor_of(Fake(pinhole, no_logits)))
    depth = predict(square(20))["depth"]  # 20 m, at scale 2 as if 10 m
    torch.testing.assert_close(depth, torch.full_like(depth, 200**0.5), rtol=2e-3, atol=0)


def test_a_near_object_is_not_clamped_before_its_zoom_is_undone() -> None:
    predict = AveragedViews([4.0]).around(predictor_of(Fake(pinhole, no_logits)))
    depth = predict(square(80))["depth"]  # at 5 m; seen at scale 4 as if at 1.25 m, less than any valid depth
    torch.testing.assert_close(depth, torch.full_like(depth, 5.0), rtol=2e-3, atol=0)


def test_depth_stays_within_the_valid_range() -> None:
    for rgb, expected in ((torch.ones(1, 3, 128, 160), 4.0), (square(1), 300.0)):
        depth = AveragedViews([1.0, 2.0]).around(predictor_of(Fake(pinhole, no_logits)))(rgb)["depth"]
        torch.testing.assert_close(depth, torch.full_like(depth, expected))


def test_a_scale_too_small_for_the_network_counts_as_the_smallest_workable_one() -> None:
    network = Fake(pinhole, no_logits)
    depth = AveragedViews([0.1]).around(predictor_of(network))(square(40))["depth"]
    assert network.sizes == [(32, 40)]
    torch.testing.assert_close(depth, torch.full_like(depth, 10.0), rtol=2e-3, atol=0)


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 4))
def test_sizes_are_workable_and_keep_the_shape(height: int, width: int, scale: float) -> None:
    scaled = workable_size((height, width), scale)
    assert min(scaled) >= Network.SMALLEST_SIDE
    zoom = max(scale, Network.SMALLEST_SIDE / min(height, width))
    assert scaled == pytest.approx((height * zoom, width * zoom), abs=0.5)
    assert workable_size((64, 96), 1.0) == (64, 96)


def test_depths_are_averaged_as_logarithms_and_probabilities_as_they_are() -> None:
    """Two views by hand: the plain one, and the mirrored one that answers otherwise."""
    rgb = torch.zeros(1, 3, 32, 32)
    rgb[..., 0] = 1  # a white left edge; mirrored it is at the right

    def mirrored(picture: Tensor) -> bool:
        return bool(picture[0, 0, 0, -1] == 1)

    def depth(picture: Tensor) -> Tensor:
        return torch.full((1, 32, 32), 40.0 if mirrored(picture) else 10.0)

    def logits(picture: Tensor) -> Tensor:
        result = no_logits(picture) - 50
        result[:, 3], result[:, 7] = (0.0, 1.0) if mirrored(picture) else (3.0, 0.0)
        return result

    prediction = AveragedViews([1.0], flip=True).around(predictor_of(Fake(depth, logits)))(rgb)
    torch.testing.assert_close(prediction["depth"], torch.full((1, 32, 32), 20.0))
    plain, other = np.exp(3) / (1 + np.exp(3)), 1 / (1 + np.exp(1))
    assert (plain + other) / 2 > 0.5
    assert (prediction["semseg"] == 3).all()


def small_network() -> Joint:
    torch.manual_seed(0)
    encoder = ResNetEncoder("resnet18", replace_stride_with_dilation=(False, False, False), weights="none")
    return Joint(encoder, OUTPUTS, aspp=False, skip=False).eval()


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(small_network(), tasks(norm=Log), Precision("fp32"))


@pytest.fixture
def rgb() -> Tensor:
    return torch.rand(2, 3, 48, 72, generator=torch.Generator().manual_seed(1))


def test_none_is_the_plain_predictor_itself(predictor: Predictor) -> None:
    assert build("tta", compose("tta=none", config="evaluate")["tta"]).around(predictor) is predictor


def test_narrow_pictures_are_computed_in_fp32_on_a_cpu(predictor: Predictor, rgb: Tensor) -> None:
    fast = Predictor(predictor.network, predictor.tasks, Precision("bf16"))
    narrow = rgb[..., :38]
    assert fast.outputs(narrow)["depth"].equal(predictor.outputs(narrow)["depth"])
    assert fast.outputs(rgb)["depth"].dtype == torch.bfloat16


@pytest.mark.parametrize("semseg", ["probabilities", "votes"])
def test_scale_1_through_the_averaging_is_plain_prediction(
    predictor: Predictor, rgb: Tensor, semseg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AveragedViews, "name", "not skipped")
    prediction, plain = AveragedViews([1.0], semseg=semseg).around(predictor)(rgb), predictor(rgb)
    assert prediction["semseg"].equal(plain["semseg"])
    torch.testing.assert_close(prediction["depth"], plain["depth"])


@pytest.mark.parametrize("scales", [[1.0], [0.75, 1.0]])
@pytest.mark.parametrize("semseg", ["probabilities", "votes"])
def test_a_mirrored_picture_gives_the_mirrored_prediction(
    predictor: Predictor, rgb: Tensor, scales: list[float], semseg: str
) -> None:
    predict = AveragedViews(scales, flip=True, semseg=semseg).around(predictor)
    straight, mirrored = predict(rgb), predict(rgb.flip(-1))
    torch.testing.assert_close(mirrored["depth"].flip(-1), straight["depth"])
    if semseg == "probabilities":  # even votes follow the first view, which is another one then
        agree = (mirrored["semseg"].flip(-1) == straight["semseg"]).float().mean()
        assert agree > 0.999  # two classes can be equally probable to the last bit but one


def test_two_views_by_hand(predictor: Predictor, rgb: Tensor) -> None:
    predicted = AveragedViews([1.0, 0.75]).around(predictor)(rgb)
    small = resize(rgb, (36, 54))
    plain, other = predictor.outputs(rgb), predictor.outputs(small)
    probabilities = plain["semseg"].softmax(1) + resize(other["semseg"], (48, 72)).softmax(1)
    assert predicted["semseg"].equal(probabilities.argmax(1))
    depth = predictor.tasks["depth"]
    assert isinstance(depth, Depth)
    near = (depth.norm.decode(other["depth"]) * 0.75).clamp(4, 300)
    logarithm = resize(near.log(), (48, 72))[:, 0] + predictor(rgb)["depth"].log()
    torch.testing.assert_close(predicted["depth"], (logarithm / 2).exp())


def test_the_reports_variant_by_hand(predictor: Predictor, rgb: Tensor) -> None:
    predicted = build("tta", compose("tta=report", config="evaluate")["tta"]).around(predictor)(rgb)
    maps = [
        resize(predictor(resize(rgb, size))["depth"][:, None], (48, 72))[:, 0]
        for size in ((48, 72), (24 * 4 // 3, 48), (96, 144), (144, 216))
    ]
    torch.testing.assert_close(predicted["depth"], (sum(maps) / 3).clamp(4, 300))
    assert predicted["semseg"].equal(predictor(rgb)["semseg"])


def test_views_of_one_task_predict_it_alone() -> None:
    network = Fake(pinhole, no_logits)
    network.tasks = ("semseg",)
    network.forward = lambda rgb: {"semseg": [no_logits(rgb)]}  # type: ignore[method-assign]
    for views in (AveragedViews([1.0, 2.0]), ReportViews()):
        assert set(views.around(predictor_of(network))(square(9))) == {"semseg"}


@pytest.mark.parametrize("option", options("tta"))
def test_every_option_builds_predicts_and_is_called_what_it_is(predictor: Predictor, rgb: Tensor, option: str) -> None:
    views = build("tta", compose(f"tta={option}", config="evaluate")["tta"])
    assert views.name == option
    prediction = views.around(predictor)(rgb)
    assert prediction["semseg"].shape == prediction["depth"].shape == (2, 48, 72)
    assert prediction["semseg"].dtype == torch.int64
    assert ((prediction["depth"] >= 4) & (prediction["depth"] <= 300)).all()


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("tta.scales=[1,1.5]", "scales_1_1.5"),
        ("tta=flip tta.semseg=votes", "flip_votes"),
        ("tta=multiscale_flip tta.undo_zoom=false", "multiscale_flip_zoomed"),
        ("tta=multiscale tta.scales=[1] tta.semseg=votes", "none"),
        ("tta=multiscale_flip tta.scales=[1]", "flip"),
    ],
)
def test_names_follow_the_values_not_the_file(overrides: str, name: str) -> None:
    assert build("tta", compose(*overrides.split(), config="evaluate")["tta"]).name == name
    assert len(set(MULTISCALE)) == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tta.scales=[]", "tta: scales are one or more numbers above 0"),
        ("tta.scales=[1,0]", "tta: scales are one or more numbers above 0"),
        ("tta.scales=[1,1]", "each once"),
        ("tta.scales=[inf]", "tta: scales"),
        ("tta.scales=[1,1001]", "tta: scales are one or more numbers above 0 and up to 1000"),
        ("tta.scales=[1e17]", "tta: scales are one or more numbers above 0 and up to 1000"),
        ("tta.scales=[1,x]", "tta.scales.1=x: should be a valid number"),
        ("tta.semseg=mean", "tta.semseg=mean: should be 'probabilities' or 'votes'"),
        ("+tta.semsge=votes", "tta.semsge: there is no such option; did you mean semseg?"),
        ("+tta.flop=true", "tta.flop: there is no such option; did you mean flip?"),
    ],
)
def test_a_mistake_is_a_message(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        build("tta", compose(override, config="evaluate")["tta"])
    assert message in str(error.value)
