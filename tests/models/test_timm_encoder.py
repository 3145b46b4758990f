"""timm's networks on the contract of encoders, and whole trainings with ten of them."""

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from helpers.composing import compose, options, tiny
from helpers.facts import OUTPUTS
from helpers.lengths import LONG
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet
from rich.console import Console

from mtl_seg_depth import models
from mtl_seg_depth.inference import exporting
from mtl_seg_depth.inference.deployed import Deployed, describe
from mtl_seg_depth.inference.loaded import load
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.models.timm_encoder import TimmEncoder
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import Interrupted
from mtl_seg_depth.training.step import Step

TEN = {
    "convnext_atto": "ConvNeXt",
    "tf_efficientnet_lite0": "EfficientNet",
    "mobilenetv4_conv_small": "MobileNetV3",
    "regnety_002": "RegNet",
    "resnet18": "ResNet",
    "hrnet_w18_small": "HighResolutionNet",
    "pvt_v2_b0": "PyramidVisionTransformerV2",
    "edgenext_xx_small": "EdgeNeXt",
    "vit_tiny_patch16_224": "VisionTransformer",
    "eva02_tiny_patch14_224": "Eva",
}
"""Small ones, by name, and their families."""
OFFERED = [compose(f"encoder={option}")["encoder"]["name"] for option in options("encoder")]
NAMES = sorted({*TEN, *(name for name in OFFERED if timm.is_model(name.partition(".")[0]) and "." in name)})


def made(name: str, *flags: bool, **arguments: Any) -> TimmEncoder:
    return TimmEncoder(name, flags or (False, False, False), **arguments)


def outline(name: str, *flags: bool) -> TimmEncoder:
    """Shapes alone."""
    with torch.device("meta"):
        return made(name, *flags)


@pytest.mark.parametrize("name", NAMES)
def test_features_have_the_sizes_of_the_contract_and_parameters_are_timm_s(name: str) -> None:
    encoder = made(name).eval()
    for height, width in ((64, 96), (45, 67)):
        features = encoder(torch.zeros(1, 3, height, width))
        assert [tuple(each.shape) for each in features] == [
            (1, channels, -(-height // stride), -(-width // stride))
            for channels, stride in zip(encoder.out_channels, encoder.strides, strict=True)
        ]
    with torch.device("meta"):
        theirs = timm.create_model(name, features_only=True)
    # Its last norm, which timm leaves out of features, is for those of a plain transformer.
    ours = [
        p.numel() for key, p in encoder.net.named_parameters() if encoder.neck is None or not key.startswith("norm.")
    ]
    assert sum(ours) == sum(p.numel() for p in theirs.parameters())
    config = timm.get_pretrained_cfg(name)
    assert (encoder.mean, encoder.std) == (config.mean, config.std)


@pytest.mark.parametrize("name", TEN)
def test_every_parameter_is_trained_and_of_one_layer(name: str) -> None:
    encoder = made(name)
    sum(feature.square().mean() for feature in encoder(torch.randn(2, 3, 32, 64))).backward()
    assert not [key for key, parameter in encoder.named_parameters() if parameter.grad is None]
    of_layers = [parameter for layer in encoder.layerwise_parameters() for parameter in layer]
    assert len(of_layers) == len(set(of_layers))
    assert set(of_layers) == set(encoder.net.parameters())
    assert set(encoder.undecayed()) <= set(of_layers)


def test_a_layer_of_a_plain_transformer_is_a_block_and_the_patches_come_first() -> None:
    encoder = outline("vit_tiny_patch16_224")
    layers = encoder.layerwise_parameters()
    assert len(layers) == 1 + 12
    assert {encoder.net.pos_embed, encoder.net.patch_embed.proj.weight} <= set(layers[0])
    assert set(encoder.net.blocks[3].parameters()) == set(layers[4])
    assert set(encoder.undecayed()) == {encoder.net.pos_embed, encoder.net.cls_token}


@pytest.mark.parametrize(("flags", "stride"), [((False, False, True), 16), ((False, True, True), 8)])
@pytest.mark.parametrize("name", ["convnext_atto", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_the_output_stride_is_what_was_asked_for(name: str, flags: tuple[bool, ...], stride: int) -> None:
    encoder = made(name, *flags).eval()
    assert encoder.strides[-1] == stride
    assert encoder.strides == [min(each, stride) for each in made(name).strides]
    features = encoder(torch.zeros(1, 3, 45, 67))
    assert features[-1].shape[-2:] == (-(-45 // stride), -(-67 // stride))


def test_a_plain_transformer_s_patches_of_14_pixels_stand_for_16() -> None:
    encoder = made("vit_tiny_patch16_224"), made("eva02_tiny_patch14_224")
    seen = []
    for each in encoder:
        each.net.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
        each.eval()(torch.zeros(1, 3, 50, 32))
    assert seen == [(64, 32), (56, 28)]


@pytest.mark.parametrize("architecture", [models.Joint, models.Branched, models.Distilled, models.MTAN])
@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
@pytest.mark.parametrize("skip", [True, "all"])
def test_every_architecture_but_cross_stitch_stands_on_them(architecture: Any, name: str, skip: Any) -> None:
    network = architecture(encoder=made(name), outputs=OUTPUTS, skip=skip).eval()
    predictions = network(torch.rand(1, 3, 45, 67))
    assert {task: raw[-1].shape for task, raw in predictions.items()} == {
        "semseg": (1, 19, 45, 67),
        "depth": (1, 1, 45, 67),
    }
    with pytest.raises(ValueError, match=r"cross-stitch units .* TimmEncoder can only be run as a whole"):
        models.CrossStitch(encoder=outline(name), outputs=OUTPUTS)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("convnext_atoo", {}, "timm has no network 'convnext_atoo'; did you mean convnext_atto"),
        ("convnext_atto.in22k", {}, "timm has no weights 'convnext_atto.in22k'; of convnext_atto there are d2_in1k"),
        ("hf-hub:some/where", {}, "timm has no network"),
        ("swin_tiny_patch4_window7_224", {"flags": True}, "no stages that dilate .*; take dilation=os32"),
        ("hrnet_w18_small", {"flags": True}, "no stages that dilate .*; take dilation=os32"),
        ("levit_128s", {}, "levit_128s has features of strides 16, 32, 64"),
        ("maxvit_rmlp_pico_rw_256", {}, "takes images of 256 x 256 pixels alone"),
        ("densenet121", {"drop_path": 0.1}, "densenet121 has no paths to drop"),
        ("convnext_atto", {"drop_path": 1.0}, "drop_path is a share"),
    ],
)
def test_what_a_network_cannot_is_said(name: str, arguments: dict[str, Any], message: str) -> None:
    flags = (False, False, bool(arguments.pop("flags", False)))
    with pytest.raises(ValueError, match=message):
        TimmEncoder(name, flags, **arguments)


def test_other_dilations_than_those_of_an_output_stride_are_refused() -> None:
    with pytest.raises(ValueError, match="output stride of 8, 16 or 32"):
        TimmEncoder("convnext_atto", (True, True, True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timm")
    write_tiny_miniscapes(folder / "data", {"train": 4, "val": 1}, height=32, width=64)
    return folder


def train(folder: Path, name: str, *overrides: str) -> RunResult:
    small = ["schedule.epochs=1", "tracking.panels=0", "optimizer=sgd", "optimizer.momentum=0", "model.skip=all"]
    settings = tiny(folder, *small, "encoder=timm", f"encoder.name={name}", *overrides)
    return run(settings, Console(file=io.StringIO()))


@pytest.mark.parametrize("name", TEN)
def test_it_trains_goes_on_after_a_kill_to_the_same_weights_and_predicts(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(outline(name).net).__name__ == TEN[name]
    drop_path = "0.0" if name.startswith("hrnet") else "0.2"
    there = [f"encoder.drop_path={drop_path}", f"paths.outputs={tmp_path}/whole"]
    whole = train(data, name, *there)
    assert whole.steps == 2

    original = Step.__call__

    def stopping(self: Step, *arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    there[-1] = f"paths.outputs={tmp_path}/parts"
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Step, "__call__", stopping)
        train(data, name, *there)
    parts = train(data, name, *there)
    assert parts.last == whole.last
    first, second = (checkpoint.load(each.folder / "best.pt", torch.device("cpu")) for each in (whole, parts))
    for key, values in first["network"].items():
        assert values.equal(second["network"][key]), key

    picture = np.random.default_rng(0).integers(0, 256, (45, 67, 3), np.uint8)
    seen = load(parts.folder, device="cpu").predict(picture)
    assert seen.labels is not None and seen.depth is not None
    assert seen.labels.shape == seen.depth.shape == (45, 67)


def written_as_onnx(name: str, data: Path, folder: Path) -> None:
    """After a step so small that rounding stays small: a large one makes float32 itself differ by a thousandth."""
    result = train(data, name, f"paths.outputs={folder}", "schedule.max_steps=1", "lr.value=1e-6")
    trained = load_trained(str(result.folder), folder, torch.device("cpu"))
    trained.network.to(memory_format=torch.contiguous_format)
    deployed = Deployed(trained.network, trained.tasks).eval()
    exporting.write_onnx(folder / "network.onnx", deployed, describe(trained, deployed))


@pytest.mark.parametrize("name", [*TEN, "test_convnext", "test_vit"] if LONG else ["test_vit"])
def test_it_is_exported_to_onnx_for_images_of_any_size(name: str, data: Path, tmp_path: Path) -> None:
    """`write_onnx` compares what was written with the network, at even and odd sizes."""
    written_as_onnx(name, data, tmp_path)


@pytest.mark.parametrize("name", ["mobilevit_xxs", *(["swin_tiny_patch4_window7_224"] if LONG else [])])
def test_windows_that_are_filled_up_by_a_picture_s_size_are_not_exported(name: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Swin's and MobileViT's are such encoders"):
        written_as_onnx(name, data, tmp_path)
    assert not (tmp_path / "network.onnx").exists()


def test_without_timm_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'mtl_seg_depth\[timm\]'"):
        run(tiny(data, "encoder=timm"), quiet())
