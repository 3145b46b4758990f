"""Proof that encoders are objects: other strides, channels and normalisation, without an edit elsewhere."""

from pathlib import Path

import pytest
import torch
from helpers.composing import tiny
from helpers.facts import OUTPUTS
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet
from torch import Tensor, nn

from mtl_seg_depth import models
from mtl_seg_depth.models.encoder import Encoder
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.errors import UserError


class Pyramid(Encoder):
    """Three stages of strides 2, 8 and 16 that take images in -1..1."""

    out_channels = (6, 10, 14)
    strides = (2, 8, 16)
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        channels = (3, *self.out_channels)
        factors = (2, 4, 2)
        self.seen: list[Tensor] = []
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels[i], channels[i + 1], factor + 1, factor, factor // 2), nn.ReLU())
            for i, factor in enumerate(factors)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        self.seen = [image.detach()]
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        return features


class Staged(Pyramid):
    """The same, told stage by stage."""

    def stage(self, index: int, before: Tensor) -> Tensor:
        after: Tensor = self.stages[index](before)
        return after


@pytest.fixture(autouse=True)
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoder in (Pyramid, Staged):
        monkeypatch.setattr(models, encoder.__name__, encoder, raising=False)
    monkeypatch.setattr(models, "__all__", [*models.__all__, "Pyramid", "Staged"])


@pytest.mark.parametrize("architecture", [models.Joint, models.Branched, models.Distilled, models.MTAN])
@pytest.mark.parametrize("size", [(32, 64), (45, 67)])
def test_every_architecture_stands_on_it(architecture: type, size: tuple[int, int]) -> None:
    encoder = Pyramid()
    network = architecture(encoder=encoder, outputs=OUTPUTS).eval()
    predictions = network(torch.full((2, 3, *size), 0.75))
    assert {task: raw[-1].shape for task, raw in predictions.items()} == {
        "semseg": (2, 19, *size),
        "depth": (2, 1, *size),
    }
    assert encoder.seen[0].unique().tolist() == [0.5], "normalised as the encoder says"
    features = encoder(torch.rand(2, 3, *size))
    assert network.fine(features).shape[1] == 10, "stride 8 is the finest that is not finer than 4"
    assert network.deepest(features).shape[1] == 14


def test_it_trains_from_a_config(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 2}, height=32, width=64)
    composed = tiny(tmp_path)
    settings = composed.model_copy(update={"encoder": {"_target_": "mtl_seg_depth.models.Pyramid", "width": 2}})
    result = run(settings, quiet())
    assert result.status == "finished"
    dilated = settings.model_copy(update={"dilation": tiny(tmp_path, "dilation=os8").dilation})
    with pytest.raises(UserError, match="this encoder has no stages that dilate"):
        run(dilated, quiet())


def test_one_that_has_stages_can_be_stitched_and_one_that_has_none_is_refused(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 2}, height=32, width=64)
    composed = tiny(tmp_path, "model=cross_stitch")
    staged = composed.model_copy(update={"encoder": {"_target_": "mtl_seg_depth.models.Staged"}})
    assert run(staged, quiet()).status == "finished"
    whole = composed.model_copy(update={"encoder": {"_target_": "mtl_seg_depth.models.Pyramid"}})
    with pytest.raises(UserError, match=r"model: cross-stitch units .* Pyramid can only be run as a whole"):
        run(whole, quiet())
