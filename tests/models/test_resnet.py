import pytest
import torch
from torchvision.models import resnet
from torchvision.models._utils import IntermediateLayerGetter

from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation

NAMES = ["resnet18", "resnet34", "resnet50", "resnet101"]
FLAGS = [
    (False, False, False),
    (False, False, True),
    (False, True, True),
    (True, True, True),
    (True, False, False),
    (False, True, False),
]


def on_meta(*arguments, **keywords):
    """An encoder without values: quick to build, and its shapes are real."""
    with torch.device("meta"):
        return ResNetEncoder(*arguments, **keywords).eval()


def rates(encoder):
    """The dilation of every block's conv2, stage by stage; its padding keeps the size."""
    for stage in encoder.stages:
        assert all(block.conv2.padding == block.conv2.dilation for block in stage)
    return [[block.conv2.dilation[0] for block in stage] for stage in encoder.stages]


def randomise_norms(net):
    """Running statistics and weights as after a training: as they start, many mistakes would not show."""
    generator = torch.Generator().manual_seed(5)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low in ((module.running_mean, -0.5), (module.running_var, 0.5), (module.weight, 0.5)):
                values.data.copy_(low + torch.rand(values.shape, generator=generator))
            module.bias.data.copy_(torch.rand(module.bias.shape, generator=generator) - 0.5)


def torchvision_features(net, rgb):
    names = ["relu", "layer1", "layer2", "layer3", "layer4"]
    return list(IntermediateLayerGetter(net.eval(), dict(zip(names, names, strict=True)))(rgb).values())


def with_weights_of(net, name, flags=(False, False, False)):
    encoder = on_meta(name, flags)
    theirs = [value for key, value in net.state_dict().items() if not key.startswith("fc.")]
    encoder.load_state_dict(dict(zip(encoder.state_dict(), theirs, strict=True)), assign=True)
    return encoder


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_undilated_features_are_torchvisions(name):
    net = getattr(resnet, name)()
    randomise_norms(net)
    encoder = with_weights_of(net, name)
    rgb = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(encoder(rgb), torchvision_features(net, rgb), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("flags", [(False, False, True), (True, False, False)])
def test_dilated_features_are_torchvisions_once_the_first_blocks_have_its_rates(flags):
    net = resnet.resnet50(replace_stride_with_dilation=flags)
    randomise_norms(net)
    encoder = with_weights_of(net, "resnet50", flags)
    rgb = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = torchvision_features(net, rgb)
        assert not torch.allclose(encoder(rgb)[-1], expected[-1], atol=1e-3)
        for stage, theirs in zip(encoder.stages[1:], (net.layer2, net.layer3, net.layer4), strict=True):
            conv = stage[0].conv2
            conv.dilation, conv.padding = theirs[0].conv2.dilation, theirs[0].conv2.padding
        for ours, theirs in zip(encoder(rgb), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((False, False, False), [[1] * 3, [1] * 4, [1] * 6, [1] * 3]),
        ((False, False, True), [[1] * 3, [1] * 4, [1] * 6, [2] * 3]),
        ((False, True, True), [[1] * 3, [1] * 4, [2] * 6, [2, 4, 4]]),
        ((True, True, True), [[1] * 3, [2] * 4, [2, 4, 4, 4, 4, 4], [2, 8, 8]]),
    ],
    ids=["os32", "os16", "os8", "os4"],
)
def test_rates_double_with_every_dilated_stage_whose_first_block_has_two(name, flags, expected):
    encoder = on_meta(name, flags)
    assert rates(encoder) == expected


def test_only_conv2_is_dilated():
    for name in NAMES:
        for block in [block for stage in on_meta(name, (True, True, True)).stages for block in stage]:
            others = {key: module for key, module in block.named_modules() if isinstance(module, torch.nn.Conv2d)}
            assert others.pop("conv2") is block.conv2
            assert all(module.dilation == (1, 1) for module in others.values())


@pytest.mark.parametrize("flags", FLAGS)
def test_a_stage_that_strides_after_a_dilated_one_has_the_rates_of_torchvision(flags):
    ours = rates(on_meta("resnet50", flags))
    with torch.device("meta"):
        theirs = resnet.resnet50(replace_stride_with_dilation=flags)
    for dilated, stage, their_stage in zip(flags, ours[1:], (theirs.layer2, theirs.layer3, theirs.layer4), strict=True):
        expected = [block.conv2.dilation[0] for block in their_stage]
        assert stage == ([2, *expected[1:]] if dilated else expected)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_strides_and_channels_are_what_comes_out(name, flags):
    encoder = on_meta(name, flags)
    features = encoder(torch.empty(1, 3, 130, 250, device="meta"))
    assert encoder.out_channels == [feature.shape[1] for feature in features]
    for feature, stride in zip(features, encoder.strides, strict=True):
        assert tuple(feature.shape[2:]) == (-(-130 // stride), -(-250 // stride))
    assert encoder.strides[-1] == 32 >> sum(flags)


def test_convolutions_start_kaiming_normal_fan_out_and_norms_at_one():
    encoder = ResNetEncoder("resnet18")
    conv = encoder.stages[3][1].conv2
    assert conv.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize(
    ("name", "last", "se"), [("resnet18", "bn2", False), ("resnet18", "bn2", True), ("resnet50", "bn3", False)]
)
def test_zero_init_residual_starts_the_last_norm_of_every_block_at_zero(name, last, se):
    encoder = ResNetEncoder(name, zero_init_residual=True, se=se)
    zeros = {key for key, value in encoder.named_parameters() if "weight" in key and (value == 0).all()}
    norm = f"{last}.0" if se else last
    blocks = [f"stages.{i}.{j}" for i, stage in enumerate(encoder.stages) for j in range(len(stage))]
    assert zeros == {f"{block}.{norm}.weight" for block in blocks}


@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_squeeze_excitation_scales_every_block_before_the_residual_sum(name, last):
    encoder = ResNetEncoder(name, se=True).eval()
    for stage in encoder.stages:
        for block in stage:
            norm, attention = getattr(block, last)
            assert isinstance(attention, SqueezeExcitation)
            assert attention.excite[0].in_features == norm.num_features
    # Attention that lets nothing through leaves the residual path alone: a block without downsampling is its ReLU.
    block = encoder.stages[0][1]
    getattr(block, last)[1].excite[2].bias.data.fill_(-1e4)
    x = torch.randn(1, encoder.out_channels[1], 4, 4)
    torch.testing.assert_close(block(x), x.relu())


@pytest.mark.parametrize("flags", [(), (True,), (False, False, False, True)])
def test_another_number_of_flags_is_refused(flags):
    with pytest.raises(ValueError, match="takes three flags"):
        on_meta("resnet18", flags)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'resnet9'.*resnet18, resnet34, resnet50, resnet101"):
        on_meta("resnet9")
