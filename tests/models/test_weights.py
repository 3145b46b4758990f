import dataclasses
import hashlib
import logging
import os
import pickle
import socket
import urllib.request
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet18_Weights, resnet

from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.models.weights import load_pretrained
from mtl_seg_depth.system.errors import UserError


@pytest.fixture(scope="module")
def trained():
    """torchvision's own ResNet18, as its weights come: with a classifier."""
    torch.manual_seed(9)
    net = resnet.resnet18()
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.normal_()
        else:
            value.fill_(7)
    return net.state_dict()


@pytest.fixture(scope="module")
def net():
    """A ResNet18 without values, for files that are refused before any is taken."""
    with torch.device("meta"):
        return resnet.resnet18()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The cache folder of torch.hub, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No network: only file:// addresses can be opened."""

    def urlopen(request, **keywords):
        if request.type == "file":
            return urllib.request.urlopen(request, **keywords)
        raise URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(torch.hub, "urlopen", urlopen)


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Let torchvision's ImageNet weights of ResNet18 be at a file:// address that names this hash."""

    def publish(state, digest=None):
        path = tmp_path / "published.pth"
        torch.save(state, path)
        digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        path = path.rename(tmp_path / f"resnet18-{digest}.pth")
        entry = ResNet18_Weights.IMAGENET1K_V1
        monkeypatch.setattr(entry, "_value_", dataclasses.replace(entry.value, url=path.as_uri()))
        return path

    return publish


def assert_taken(encoder, state):
    """Every tensor of the encoder is the file's, in torchvision's order."""
    theirs = {key: value for key, value in state.items() if not key.startswith("fc.")}
    for (key, ours), value in zip(encoder.state_dict().items(), theirs.values(), strict=True):
        assert torch.equal(ours, value), key


class Malicious:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_state_dict_of_torchvision_loads_from_a_file(trained, tmp_path, suffix, caplog):
    path = tmp_path / f"resnet18{suffix}"
    save_file(trained, path) if suffix == ".safetensors" else torch.save(trained, path)
    with caplog.at_level(logging.INFO):
        encoder = ResNetEncoder("resnet18", (False, False, True), weights=str(path))
    assert_taken(encoder, trained)
    assert f"{path}: 120 tensors taken, fresh: none, unused: none" in caplog.text


def test_imagenet_weights_load_from_the_cache_folder_of_torch_hub(trained, hub):
    torch.save(trained, hub / "resnet18-f37072fd.pth")
    assert_taken(ResNetEncoder("resnet18", weights="imagenet"), trained)


def test_without_network_and_cache_the_message_names_the_file_to_put_in_place(net, hub):
    with pytest.raises(UserError) as error:
        load_pretrained(net, "resnet18", "imagenet")
    message = str(error.value)
    assert f"put it here: {hub / 'resnet18-f37072fd.pth'}\n" in message
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert "Name or service not known" in message
    assert "encoder.weights=none" in message


def test_a_download_is_cached_once_its_hash_is_right(trained, hub, publish):
    path = publish(trained)
    assert_taken(ResNetEncoder("resnet18", weights="imagenet"), trained)
    assert (hub / path.name).read_bytes() == path.read_bytes()


def test_a_download_with_another_hash_is_refused_and_not_cached(net, trained, hub, publish):
    publish(trained, digest="00000000")
    with pytest.raises(UserError, match="hash"):
        load_pretrained(net, "resnet18", "imagenet")
    assert not any(hub.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", pickle.dumps(Malicious("never"), 2)], ids=["empty", "page", "code"]
)
def test_a_damaged_file_in_the_cache_folder_is_named(net, hub, content):
    (hub / "resnet18-f37072fd.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"resnet18-f37072fd\.pth"):
        load_pretrained(net, "resnet18", "imagenet")


def test_weights_that_torchvision_lacks_are_refused_with_those_it_has(net):
    with pytest.raises(UserError, match="imagenet_v2: torchvision has only IMAGENET1K_V1 for resnet18"):
        load_pretrained(net, "resnet18", "imagenet_v2")


def test_a_file_that_is_not_there_is_refused(net):
    with pytest.raises(UserError, match=r"no file no/such.pth; it takes none, imagenet, .* or the best.pt"):
        load_pretrained(net, "resnet18", "no/such.pth")


def test_a_malicious_pickle_is_refused_and_not_executed(net, tmp_path):
    harm, path = tmp_path / "harm", tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": Malicious(harm)}, protocol=2))
    with pytest.raises(UserError, match="more than tensors and plain values"):
        load_pretrained(net, "resnet18", str(path))
    torch.save({"conv1.weight": Malicious(harm)}, path)
    with pytest.raises(UserError, match="more than tensors and plain values"):
        load_pretrained(net, "resnet18", str(path))
    assert not harm.exists()
    torch.load(path, weights_only=False)  # what it would have done
    assert harm.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"some text", b"PK\x03\x04 half a zip", b"\x80\x02}."], ids=repr)
def test_a_file_that_holds_something_else_is_refused(net, tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=path.name):
        load_pretrained(net, "resnet18", str(path))


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"state_dict": {}}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_tensors_in_another_arrangement_are_refused(net, tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="it should map names to tensors alone"):
        load_pretrained(net, "resnet18", str(tmp_path / "weights.pth"))


def small(name):
    """The names and shapes of a torchvision ResNet, without memory for its values."""
    with torch.device("meta"):
        state = getattr(resnet, name)().state_dict()
    return {key: torch.zeros(()).expand(value.shape) for key, value in state.items()}


@pytest.mark.parametrize(
    ("file", "encoder"),
    [
        ("resnet34", "resnet18"),
        ("resnet18", "resnet34"),
        ("resnet50", "resnet34"),
        ("resnet101", "resnet50"),
        ("resnet50", "resnet101"),
        ("wide_resnet50_2", "resnet50"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path, file, encoder):
    path = tmp_path / "weights.pth"
    torch.save(small(file), path)
    with torch.device("meta"), pytest.raises(UserError, match=f"weights.pth does not hold a {encoder}"):
        ResNetEncoder(encoder, weights=str(path))


def test_a_file_with_other_names_is_refused(net, tmp_path):
    torch.save({f"module.{key}": value for key, value in small("resnet18").items()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="does not hold a resnet18"):
        load_pretrained(net, "resnet18", str(tmp_path / "weights.pth"))


def test_the_counters_that_old_files_lack_may_stay_fresh(trained, tmp_path, caplog):
    path = tmp_path / "old.pth"
    torch.save({key: value for key, value in trained.items() if "num_batches" not in key}, path)
    with caplog.at_level(logging.INFO):
        encoder = ResNetEncoder("resnet18", weights=str(path))
    assert torch.equal(encoder.stages[3][1].bn2.running_var, trained["layer4.1.bn2.running_var"])
    assert "100 tensors taken, fresh: bn1.num_batches_tracked, " in caplog.text


def test_squeeze_excitation_starts_fresh_beside_pretrained_convolutions(trained, tmp_path):
    torch.save(trained, tmp_path / "weights.pth")
    torch.manual_seed(0)
    encoder = ResNetEncoder("resnet18", weights=str(tmp_path / "weights.pth"), se=True)
    block = encoder.stages[3][1]
    norm, attention = block.bn2
    assert torch.equal(block.conv2.weight, trained["layer4.1.conv2.weight"])
    assert torch.equal(norm.running_mean, trained["layer4.1.bn2.running_mean"])
    assert attention.excite[0].weight.abs().max() <= 512**-0.5  # nn.Linear's own start


def test_pretrained_weights_win_over_zero_init_residual(trained, tmp_path):
    torch.save(trained, tmp_path / "weights.pth")
    encoder = ResNetEncoder("resnet18", weights=str(tmp_path / "weights.pth"), zero_init_residual=True)
    assert_taken(encoder, trained)


@pytest.mark.parametrize("se", [False, True])
def test_the_best_weights_of_a_run_give_their_encoder(tmp_path, se, caplog):
    donor = nn.ModuleDict({"encoder": ResNetEncoder("resnet18", se=se), "head": nn.Conv2d(1, 1, 1)})
    torch.save({"config": {}, "network": donor.state_dict()}, tmp_path / "best.pt")
    with caplog.at_level(logging.INFO):
        encoder = ResNetEncoder("resnet18", weights=str(tmp_path / "best.pt"), se=se)
    assert "120 tensors taken, fresh: none, unused: none" in caplog.text
    own, donated = encoder.state_dict(), donor["encoder"].state_dict()
    same = {key for key in own if torch.equal(own[key], donated[key])}
    assert {key for key in own if ".1.excite" not in key} <= same


def test_the_best_weights_of_another_encoder_are_refused(net, tmp_path):
    donor = nn.ModuleDict({"encoder": ResNetEncoder("resnet34")})
    torch.save({"config": {}, "network": donor.state_dict()}, tmp_path / "best.pt")
    with pytest.raises(UserError, match="does not hold a resnet18"):
        load_pretrained(net, "resnet18", str(tmp_path / "best.pt"))
