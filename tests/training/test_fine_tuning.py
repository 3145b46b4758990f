"""Rates of an encoder's own, what does not decay, what is frozen, recomputed and dropped."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.composing import tiny
from helpers.facts import OUTPUTS
from helpers.tiny_data import write_tiny_miniscapes
from rich.console import Console
from torch import Tensor, nn

from mtl_seg_depth.config import fingerprint
from mtl_seg_depth.models import Branched, CrossStitch, Joint, ResNetEncoder, TimmEncoder
from mtl_seg_depth.models.recomputing import is_random, restores_random_numbers
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.results import RunResult
from mtl_seg_depth.runs.assembly import Parts, assemble, resolve
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.training.graphed_step import obstacle
from mtl_seg_depth.training.optimizers import sgd
from mtl_seg_depth.training.parameter_groups import parameter_groups, set_rate
from mtl_seg_depth.weighting import Fixed

VIT = ("encoder=timm", "encoder.name=test_vit")
LITE = ("encoder=timm", "encoder.name=test_efficientnet")


def joint(encoder: Any = None) -> Joint:
    return Joint(encoder or ResNetEncoder("resnet18"), OUTPUTS)


def names(network: nn.Module, group: dict[str, Any]) -> set[str]:
    known = {parameter: name for name, parameter in network.named_parameters()}
    return {known[parameter] for parameter in group["params"]}


class TestGroups:
    def test_with_nothing_asked_for_it_is_one_group_in_the_network_s_order(self) -> None:
        network = joint()
        (group,) = parameter_groups(network, 1.0, 1.0, True)
        assert set(group) == {"params"}
        assert all(one is other for one, other in zip(group["params"], network.parameters(), strict=True))

    def test_the_encoder_has_its_share_of_the_rate_and_the_heads_all_of_it(self) -> None:
        network = joint()
        encoder, heads = parameter_groups(network, 0.1, 1.0, True)
        assert (encoder["lr_scale"], heads["lr_scale"]) == (0.1, 1.0)
        assert names(network, encoder) == {
            name for name, _ in network.named_parameters() if name.startswith("encoder.")
        }
        assert names(network, encoder) | names(network, heads) == {name for name, _ in network.named_parameters()}
        assert not names(network, encoder) & names(network, heads)

    def test_by_hand_each_layer_of_a_resnet_has_a_share_of_the_next_one_s_rate(self) -> None:
        network = joint()
        groups = parameter_groups(network, 0.5, 0.8, True)
        shares = {name: group["lr_scale"] for group in groups for name in names(network, group)}
        assert shares["encoder.stem.0.weight"] == pytest.approx(0.5 * 0.8**4)
        assert shares["encoder.stages.0.0.conv1.weight"] == pytest.approx(0.5 * 0.8**3)
        assert shares["encoder.stages.1.0.bn1.bias"] == pytest.approx(0.5 * 0.8**2)
        assert shares["encoder.stages.3.0.conv1.weight"] == 0.5
        assert shares["decoder.predict.weight"] == shares["bottleneck.0.project.0.weight"] == 1
        assert len(groups) == 6

    def test_by_hand_each_block_of_a_transformer_and_a_neck_as_the_heads(self) -> None:
        network = joint(TimmEncoder("test_vit"))
        groups = parameter_groups(network, 1.0, 0.5, True)
        shares = {name: group["lr_scale"] for group in groups for name in names(network, group)}
        assert shares["encoder.net.patch_embed.proj.weight"] == shares["encoder.net.pos_embed"] == 0.5**6
        assert shares["encoder.net.blocks.0.attn.qkv.weight"] == 0.5**5
        assert shares["encoder.net.blocks.5.mlp.fc1.bias"] == shares["encoder.net.norm.weight"] == 1
        assert shares["encoder.neck.steps.0.0.weight"] == 1

    def test_norms_biases_and_position_embeddings_need_not_decay(self) -> None:
        network = joint(TimmEncoder("test_vit"))
        decayed, undecayed = sorted(parameter_groups(network, 1.0, 1.0, False), key=lambda each: "weight_decay" in each)
        assert undecayed["weight_decay"] == 0
        assert "weight_decay" not in decayed and "lr_scale" not in decayed
        plain = {
            name
            for name, parameter in network.named_parameters()
            if parameter.ndim > 1 and name not in ("encoder.net.pos_embed", "encoder.net.cls_token")
        }
        assert names(network, decayed) == plain
        assert "encoder.net.blocks.0.norm1.weight" in names(network, undecayed)
        assert "decoder.predict.bias" in names(network, undecayed)

    def test_all_of_it_at_once(self) -> None:
        network = joint()
        groups = parameter_groups(network, 0.1, 0.5, False)
        found = {(round(group["lr_scale"], 6), group.get("weight_decay")) for group in groups}
        scales = [0.1 * 0.5**depth for depth in range(5)]
        assert found == {(round(scale, 6), decay) for scale, decay in itertools.product([*scales, 1.0], [None, 0.0])}

    def test_every_encoder_of_cross_stitched_networks_has_its_share(self) -> None:
        network = CrossStitch(ResNetEncoder("resnet18"), OUTPUTS)
        encoders, heads = sorted(parameter_groups(network, 0.1, 1.0, True), key=lambda group: group["lr_scale"])
        assert {name.split(".")[0] for name in names(network, encoders)} == {"encoders"}
        assert {name.split(".")[0] for name in names(network, heads)} == {"bottlenecks", "decoders", "units"}

    @pytest.mark.parametrize(("arguments", "message"), [((0.0, 1.0), "encoder_scale"), ((1.0, 1.5), "layer_decay")])
    def test_shares_that_make_no_sense_are_refused(self, arguments: tuple[float, float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parameter_groups(joint(), *arguments, True)

    def test_shares_are_for_networks(self) -> None:
        with pytest.raises(ValueError, match="for the parameters of a network"):
            sgd([torch.zeros(1, requires_grad=True)], encoder_scale=0.1)

    def test_a_rate_is_shared_out_whether_it_is_a_number_or_a_tensor(self) -> None:
        optimizer = sgd(lambda *rules: parameter_groups(joint(), *rules), encoder_scale=0.1)
        for rate in (0.5, torch.tensor(0.5)):
            set_rate(optimizer, rate)
            assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.05, 0.5])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fine_tuning")
    write_tiny_miniscapes(folder / "data", {"train": 4, "val": 1}, height=32, width=64)
    return folder


def parts_of(data: Path, *overrides: str) -> Parts:
    return assemble(*resolve(tiny(data, *overrides)))


def train(data: Path, outputs: Path, *overrides: str) -> RunResult:
    short = ["schedule.epochs=1", "tracking.panels=0", "tracking.log_every=1", f"paths.outputs={outputs}"]
    return run(tiny(data, *short, *overrides), Console(file=io.StringIO()))


def weights_of(result: RunResult) -> dict[str, Tensor]:
    network: dict[str, Tensor] = checkpoint.load(result.folder / "best.pt", torch.device("cpu"))["network"]
    return network


class TestTraining:
    def test_the_first_step_of_each_group_is_its_share_of_a_plain_one(self, data: Path, tmp_path: Path) -> None:
        """SGD without momentum: a step is the rate times the gradient, which is the same at the first step."""
        plain = ("optimizer=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0", "lr=constant", "lr.value=1e-3")
        one, other = (
            train(data, tmp_path, "schedule.max_steps=1", *plain, *more)
            for more in ([], ["optimizer.encoder_scale=0.25"])
        )
        begun = parts_of(data, *plain).network.state_dict()
        first, second = weights_of(one), weights_of(other)
        for name, start in begun.items():
            if name.endswith("conv1.weight") or name.startswith("decoder.predict"):
                share = 0.25 if name.startswith("encoder.") else 1.0
                torch.testing.assert_close(second[name] - start, share * (first[name] - start), rtol=1e-2, atol=1e-7)
        logged = [json.loads(line) for line in (other.folder / "metrics.jsonl").read_text().splitlines()]
        rates = {key: value for line in logged for key, value in line.items() if "learning_rate" in key}
        assert "train/smallest_learning_rate" in json.dumps(logged), rates

    def test_what_is_without_decay_does_not_decay(self, data: Path) -> None:
        parts = parts_of(data, "optimizer=adamw", "optimizer.decay_norms=false", "optimizer.weight_decay=0.3")
        decays = {
            name: group["weight_decay"]
            for group in parts.step.optimizer.param_groups
            for name in names(parts.network, group)
        }
        assert decays["encoder.stages.0.0.bn1.weight"] == 0
        assert decays["encoder.stages.0.0.conv1.weight"] == 0.3


class TestFrozen:
    @pytest.mark.parametrize("encoder", [("encoder=resnet18",), VIT, LITE])
    def test_nothing_of_it_changes_but_a_neck_and_no_gradient_reaches_it(
        self, data: Path, tmp_path: Path, encoder: tuple[str, ...]
    ) -> None:
        words = (*encoder, "encoder.freeze=true", "model.skip=all")
        begun = parts_of(data, *words)
        own = "encoder." if encoder == ("encoder=resnet18",) else "encoder.net."
        features = begun.network.encoder(torch.rand(2, 3, 32, 64))
        assert [feature.requires_grad for feature in features] == [encoder == VIT] * len(features)
        trained = weights_of(train(data, tmp_path, *words))
        for name, start in begun.network.state_dict().items():
            if name.startswith(own):
                assert trained[name].equal(start), name
            elif name.endswith(".weight"):
                assert not trained[name].equal(start), name
        assert begun.parameters == sum(
            value.numel() for name, value in begun.network.named_parameters() if not name.startswith(own)
        )

    def test_it_stays_in_evaluation_mode_when_training_goes_on(self) -> None:
        network = joint(ResNetEncoder("resnet18", freeze=True))
        for mode in (False, True):
            network.train(mode)
            assert not any(module.training for module in network.encoder.modules())
            assert network.decoder.training is mode
        vit = TimmEncoder("test_vit", freeze=True).train()
        assert vit.training and vit.neck is not None and vit.neck.training
        assert not any(module.training for module in vit.net.modules())

    def test_squeeze_excitation_would_stay_random(self) -> None:
        with pytest.raises(ValueError, match="squeeze-and-excitation starts fresh"):
            ResNetEncoder("resnet18", se=True, freeze=True)

    def test_copies_for_each_task_are_frozen_too(self) -> None:
        network = CrossStitch(ResNetEncoder("resnet18", freeze=True), OUTPUTS).train()
        for encoder in network.encoders.values():
            assert not any(parameter.requires_grad for parameter in encoder.parameters())
            assert not any(module.training for module in encoder.modules())

    def test_gradient_methods_need_something_shared_that_is_trained(self, data: Path) -> None:
        frozen = ("encoder.freeze=true", "task_weights=pcgrad")
        with pytest.raises(UserError, match=r"task_weights: PCGrad combines .* encoder\.freeze=true .* model=joint"):
            parts_of(data, "model=branched", *frozen)
        assert parts_of(data, "model=joint", *frozen)
        assert parts_of(data, "model=branched", *VIT, *frozen), "the neck is shared"
        assert parts_of(data, "model=branched", "encoder.freeze=true")


class TestRecomputed:
    @pytest.mark.parametrize(
        "encoder",
        [("encoder=resnet18",), (*VIT, "encoder.drop_path=0.3"), (*LITE, "encoder.drop_path=0.3")],
        ids=["resnet18", "vit", "efficientnet"],
    )
    def test_the_result_is_the_same_bit_for_bit(self, data: Path, tmp_path: Path, encoder: tuple[str, ...]) -> None:
        plain, other = (
            train(data, tmp_path / more, *encoder, f"encoder.recompute={more}") for more in ("false", "true")
        )
        assert plain.fingerprint == other.fingerprint
        first, second = weights_of(plain), weights_of(other)
        for name, values in first.items():
            assert values.equal(second[name]), name

    def test_blocks_are_computed_twice_and_keep_no_more_than_their_inputs(self) -> None:
        def looked_at(recompute: bool) -> tuple[int, int]:
            """How often a convolution was computed in a step, and how many numbers are kept for the backward pass."""
            encoder = ResNetEncoder("resnet18", recompute=recompute)
            calls, sizes = [0], [0]

            def count(*_: Any) -> None:
                calls[0] += 1

            def keep(value: Tensor) -> Tensor:
                sizes[0] += value.numel()
                return value

            encoder.stages[3][0].conv2.register_forward_hook(count)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
                features = encoder(torch.rand(2, 3, 64, 64))
            of_the_step = sizes[0]
            features[-1].sum().backward()
            return calls[0], of_the_step

        (once, all_of_it), (twice, inputs) = looked_at(False), looked_at(True)
        assert (once, twice) == (1, 2)
        assert inputs < 0.6 * all_of_it

    def test_a_step_that_restores_random_numbers_is_not_captured(self) -> None:
        network = joint(TimmEncoder("test_vit", recompute=True, drop_path=0.1))
        assert is_random(network) and restores_random_numbers(network)
        assert not restores_random_numbers(joint(TimmEncoder("test_vit", recompute=True)))
        assert not restores_random_numbers(joint(TimmEncoder("test_vit", drop_path=0.1)))
        optimizer = sgd([torch.zeros(1, requires_grad=True)])
        weighting = Fixed(tasks=("semseg",), steps_per_epoch=1, semseg=1.0)
        reason = obstacle(torch.device("cuda"), optimizer, weighting, network)
        assert reason is not None and "encoder.recompute=true" in reason
        assert obstacle(torch.device("cuda"), optimizer, weighting, joint()) is None


def test_drop_path_rises_to_its_share_and_is_a_function_of_seed_and_step(data: Path, tmp_path: Path) -> None:
    encoder = TimmEncoder("test_vit", drop_path=0.3)
    shares = [
        block.drop_path1.drop_prob if hasattr(block.drop_path1, "drop_prob") else 0 for block in encoder.net.blocks
    ]
    assert shares == pytest.approx([0.3 * place / 5 for place in range(6)])
    one, again, none = (
        weights_of(train(data, tmp_path / place, *VIT, f"encoder.drop_path={share}"))
        for place, share in (("one", 0.3), ("again", 0.3), ("none", 0.0))
    )
    assert all(values.equal(again[name]) for name, values in one.items())
    assert not all(values.equal(none[name]) for name, values in one.items())


GOLDEN = {
    (): "0d38d5a7ce12f837",
    ("model=branched", "loss=berhu"): "b63392e16dd2a4b4",
    ("encoder=resnet50_se", "optimizer=sgd", "augment=full"): "678a1241c3223491",
    ("model=mtan", "optimizer=adamw", "lr=cosine"): "30d854117fa1acd0",
    ("experiment=protocol",): "715ae4f7760861e7",
}
"""Fingerprints of trainings before any of this was there."""


@pytest.mark.parametrize("words", GOLDEN)
def test_trainings_without_any_of_it_have_the_fingerprints_of_before(words: tuple[str, ...]) -> None:
    from helpers.composing import compose

    from mtl_seg_depth.config import parse

    assert fingerprint(parse(compose("precision=fp32", *words))) == GOLDEN[words]


def test_pyramid_decoders_have_the_fine_size_and_see_every_scale() -> None:
    network = Branched(ResNetEncoder("resnet18"), OUTPUTS, skip="all").eval()
    features = network.encoder(torch.rand(1, 3, 64, 96))
    assert [skip.shape[-1] for skip in network.skips(features)] == [24, 12, 6]
    for place in range(1, len(features)):
        changed = [feature * (2 if index == place else 1) for index, feature in enumerate(features)]
        assert not network.decode(changed)["depth"][0].equal(network.decode(features)["depth"][0]), place
    with pytest.raises(ValueError, match="skip is true, false or all"):
        Joint(ResNetEncoder("resnet18"), OUTPUTS, skip="some")  # type: ignore[arg-type]
