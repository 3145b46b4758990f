"""What all architectures have in common: parameters, shapes, and what they refuse."""

from functools import partial

import pytest
import torch
from helpers.facts import OUTPUTS
from torch import nn

from mtl_seg_depth.models.aspp import ASPP, Projection
from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.cross_stitch import CrossStitch
from mtl_seg_depth.models.decoder import Decoder, PyramidDecoder
from mtl_seg_depth.models.distilled import Distilled
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.models.joint import Joint
from mtl_seg_depth.models.mtan import MTAN
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.models.single import Single
from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation

OS16 = (False, False, True)
HEADS_SE = {"aspp_se": True, "decoder_se": True}
ARCHITECTURES = {
    "baseline": partial(Joint, aspp=False, skip=False),
    "joint": Joint,
    "branched": Branched,
    "distilled, one gate": Distilled,
    "distilled, two gates": partial(Distilled, gate="per_task"),
    "mtan": MTAN,
    "cross-stitch": CrossStitch,
    "semseg alone": partial(Single, task="semseg"),
    "depth alone": partial(Single, task="depth"),
    "skips from all scales": partial(Branched, skip="all"),
    "squeeze-and-excitation": partial(Branched, **HEADS_SE),
}
every_architecture = pytest.mark.parametrize("build", ARCHITECTURES.values(), ids=ARCHITECTURES)


def on_meta(build, name="resnet18", flags=OS16, se=False, **arguments):
    """A network without values: quick to build and run, and its shapes are real."""
    with torch.device("meta"):
        return build(ResNetEncoder(name, flags, se=se), OUTPUTS, **arguments).eval()


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("build", "arguments", "encoder", "expected"),
    [
        (Joint, {"aspp": False, "skip": False}, {}, 21_421_396),
        (Joint, {}, {}, 26_716_084),
        (Branched, {}, {}, 32_142_356),
        (Distilled, {"gate": "shared"}, {}, 33_327_144),
        (Distilled, {"gate": "per_task"}, {}, 34_506_792),
        (Joint, HEADS_SE, {}, 26_733_012),
        (Branched, HEADS_SE, {}, 32_176_212),
        (Distilled, HEADS_SE, {}, 33_361_000),
        (Branched, {}, {"name": "resnet50"}, 57_190_676),
        (Branched, HEADS_SE, {"name": "resnet50", "se": True}, 59_755_524),
    ],
)
def test_the_report_s_networks_have_its_parameter_counts(build, arguments, encoder, expected):
    assert count(on_meta(build, **{"name": "resnet34", **encoder}, **arguments)) == expected


def test_every_switch_of_squeeze_excitation_adds_its_own_blocks():
    plain = count(on_meta(Branched))
    assert count(on_meta(Branched, aspp_se=True)) - plain == 2 * 8_464
    assert count(on_meta(Branched, decoder_se=True)) - plain == 2 * 8_464
    in_encoder = sum(2 * (2 * c * (c // 16) + c // 16 + c) for c in (64, 128, 256, 512))
    assert count(on_meta(Branched, se=True)) - plain == in_encoder


@every_architecture
def test_a_width_is_that_of_bottlenecks_and_decoders(build):
    narrow = on_meta(build, width=8)
    assert count(narrow) < count(on_meta(build))
    made = [module for name, module in narrow.named_modules() if name and not name.startswith("encoder")]
    of_width = (ASPP, Projection, Decoder, PyramidDecoder)
    assert {module.out_channels for module in made if isinstance(module, of_width)} == {8}
    assert all(module.excite[0].out_features == 1 for module in made if isinstance(module, SqueezeExcitation))
    assert narrow(torch.empty(2, 3, 64, 96, device="meta"))
    with pytest.raises(ValueError, match="width takes whole numbers from 1, not 0"):
        on_meta(build, width=0)


@every_architecture
def test_predictions_have_the_picture_s_size(build):
    network = on_meta(build)
    for size in ((352, 704), (256, 256), (130, 250), (375, 1242), (155, 47)):
        predictions = network(torch.empty(2, 3, *size, device="meta"))
        assert tuple(predictions) == network.tasks
        expected = {"semseg": (2, 19, *size), "depth": (2, 1, *size)}
        for task, several in predictions.items():
            assert len(several) == (2 if isinstance(network, Distilled) else 1)
            assert all(tuple(prediction.shape) == expected[task] for prediction in several)


@pytest.mark.parametrize("flags", [(False, False, False), (False, True, True), (True, True, True)])
def test_any_output_stride_fits_the_decoders(flags):
    predictions = on_meta(Distilled, flags=flags)(torch.empty(1, 3, 64, 96, device="meta"))
    assert predictions["semseg"][-1].shape[2:] == (64, 96)


@every_architecture
def test_a_picture_that_is_too_small_is_refused_with_its_size(build):
    network = on_meta(build)
    for height, width in ((31, 64), (64, 31)):
        with pytest.raises(ValueError, match=f"at least 32 x 32 pixels, not {width} x {height}"):
            network(torch.empty(1, 3, height, width, device="meta"))


def test_the_smallest_picture_passes():
    assert on_meta(Joint)(torch.empty(1, 3, 32, 32, device="meta"))["depth"][0].shape == (1, 1, 32, 32)


def test_images_are_normalised_with_the_encoder_s_statistics_which_are_imagenet_s():
    network = Joint(ResNetEncoder("resnet18"), OUTPUTS, aspp=False, skip=False).eval()
    seen = []
    network.encoder.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    rgb = torch.tensor([0.485, 0.456 + 0.224, 0.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    with torch.no_grad():
        network(rgb)
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([0, 1, -0.406 / 0.225]))
    assert not {"mean", "std"} & network.state_dict().keys()


def test_predictions_are_bilinear_enlargements_of_stride_four():
    network = Joint(ResNetEncoder("resnet18"), OUTPUTS).eval()
    coarse = torch.randn(1, 20, 16, 24)
    network.decode = lambda features: {"semseg": [coarse[:, :19]], "depth": [coarse[:, 19:]]}
    with torch.no_grad():
        predictions = network(torch.zeros(1, 3, 64, 96))
    full = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(predictions["semseg"][0], full[:, :19])
    torch.testing.assert_close(predictions["depth"][0], full[:, 19:])


def test_without_a_skip_the_fine_features_do_not_matter():
    for skip in (False, True):
        network = Branched(ResNetEncoder("resnet18"), OUTPUTS, skip=skip).eval()
        fine, deepest = torch.randn(2, 1, 64, 8, 8), torch.randn(1, 512, 1, 1)
        with torch.no_grad():
            one, other = (network.decode([None, features, deepest])["semseg"][0] for features in fine)
        assert torch.equal(one, other) != skip


def test_the_branches_of_a_branched_network_share_nothing_but_the_encoder():
    network = Branched(ResNetEncoder("resnet18"), OUTPUTS, aspp=False, skip=False)
    network(torch.rand(2, 3, 32, 32))["depth"][0].sum().backward()
    with_gradient = {key for key, value in network.named_parameters() if value.grad is not None}
    assert with_gradient == {key for key, _ in network.named_parameters() if ".semseg." not in key}
    assert any(key.startswith("encoder.") for key in with_gradient)


@pytest.mark.parametrize("rates", [(1,), (3, 6, 9), (6, 12, 18, 24)])
def test_any_number_of_atrous_rates(rates):
    network = on_meta(Branched, atrous_rates=rates)
    assert network(torch.empty(1, 3, 64, 64, device="meta"))["depth"][0].shape == (1, 1, 64, 64)
    per_rate = 512 * 256 * 9 + 2 * 256 + 256 * 256  # a 3x3, its BatchNorm, and its share of the projection
    assert count(network) - count(on_meta(Branched)) == 2 * per_rate * (len(rates) - 3)


@pytest.mark.parametrize("rates", [(), (0,), (3, -6)])
def test_atrous_rates_below_one_or_none_at_all_are_refused(rates):
    with pytest.raises(ValueError, match="atrous_rates"):
        on_meta(Joint, atrous_rates=rates)


def test_squeeze_excitation_after_an_aspp_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="needs aspp=true"):
        on_meta(Joint, aspp=False, aspp_se=True)


def test_unknown_tasks_and_gates_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match="'normals'; there are semseg, depth"):
        on_meta(Single, task="normals")
    with pytest.raises(ValueError, match="shared or per_task, not 'both'"):
        on_meta(Distilled, gate="both")


class Strided(Encoder):
    """An encoder of other strides and channels than a ResNet, which states no statistics."""

    def __init__(self, *strides):
        super().__init__()
        self.strides = strides
        self.out_channels = [8 * (index + 1) for index in range(len(strides))]
        self.convolutions = nn.ModuleList(nn.Conv2d(3, channels, 1) for channels in self.out_channels)

    def forward(self, image):
        return [
            convolution(nn.functional.avg_pool2d(image, stride, ceil_mode=True))
            for convolution, stride in zip(self.convolutions, self.strides, strict=True)
        ]


@pytest.mark.parametrize("strides", [(4, 8, 16), (1, 2, 4, 32), (8, 16), (2, 3), (2,)])
def test_any_encoder_that_keeps_the_contract_fits_every_architecture_that_leaves_it_whole(strides):
    for build in (Joint, Branched, Distilled, MTAN):
        with torch.device("meta"):
            network = build(Strided(*strides), OUTPUTS).eval()
        predictions = network(torch.empty(2, 3, 64, 96, device="meta"))
        assert {task: several[-1].shape[1:] for task, several in predictions.items()} == {
            "semseg": (19, 64, 96),
            "depth": (1, 64, 96),
        }


def test_an_encoder_without_statistics_sees_images_as_they_are():
    network = Joint(Strided(4, 8), OUTPUTS, aspp=False, skip=False).eval()
    seen = []
    network.encoder.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        network(image)
    torch.testing.assert_close(seen[0], image, rtol=0, atol=0)


@pytest.mark.parametrize("build", [Joint, Branched, Distilled, MTAN, CrossStitch])
def test_any_number_of_tasks_of_any_number_of_channels(build):
    outputs = {"normals": 3, "semseg": 5, "depth": 1}
    with torch.device("meta"):
        network = build(ResNetEncoder("resnet18"), outputs, aspp=False).eval()
    assert network.tasks == ("normals", "semseg", "depth")
    predictions = network(torch.empty(2, 3, 32, 64, device="meta"))
    assert {task: several[-1].shape[1:] for task, several in predictions.items()} == {
        task: (channels, 32, 64) for task, channels in outputs.items()
    }
