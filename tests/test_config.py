from pathlib import Path

import pytest
from helpers import miniatures
from helpers.composing import TINY, compose, groups, options, tiny
from helpers.tiny_data import write_tiny_miniscapes
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.config import fingerprint, flatten, identity, parse
from mtl_seg_depth.nodes import build, check
from mtl_seg_depth.runs.assembly import assemble, resolve, training_batches
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest

SMALL_STREETS = ["data.train=4", "data.val=2", "data.test=1", "data.height=32", "data.width=64"]


def key_of(*overrides: str) -> str:
    return fingerprint(parse(compose("precision=fp32", *overrides)))


def test_two_equal_configs_are_one_run() -> None:
    assert key_of() == key_of("lr.value=1e-4", "model=joint", "task_weights=equal")


@pytest.mark.parametrize(
    "override",
    [
        "name=another",
        "device=cpu",
        "paths.outputs=/elsewhere",
        "data.root=/elsewhere",
        "data.workers=7",
        "tracking=folder",
        "tracking.log_every=3",
        "checkpoint.every_minutes=1",
        "validation.batch_size=1",
        "resume=false",
        "rerun=true",
        "step=eager",
        "encoder.recompute=true",
        "encoder.freeze=false",
        "model.width=256",
        "semseg_loss=cross_entropy",
        "augment.exposure=0",
        "augment.jpeg=100",
        "optimizer.encoder_scale=1",
        "optimizer.layer_decay=1",
        "optimizer.decay_norms=true",
    ],
)
def test_places_display_and_bookkeeping_are_not_identity(override: str) -> None:
    assert key_of(override) == key_of()


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "precision=bf16",
        "deterministic=true",
        "clip_norm=1",
        "data.seed=1",
        "data.depth_mean=21",
        "data.crop_size=[64,64]",
        "augment=flip",
        "encoder=resnet34",
        "dilation=os8",
        "model=branched",
        "model.skip=false",
        "model.width=64",
        "depth_norm=log",
        "loss=berhu",
        "task_weights.depth=0.6",
        "optimizer=sgd",
        "optimizer.weight_decay=0",
        "lr=cosine",
        "lr.value=2e-4",
        "schedule.epochs=17",
        "schedule.max_steps=3",
        "validation.every_steps=7",
        "validation.absent_classes=zero",
        "data.depth_rules={cap: 50}",
        "schedule.accumulate=2",
        "model.skip=all",
        "encoder.freeze=true",
        "semseg_loss=class_balanced",
        "augment.exposure=1",
        "augment.jpeg=50",
        "optimizer.encoder_scale=0.1",
        "optimizer.layer_decay=0.8",
        "optimizer.decay_norms=false",
    ],
)
def test_whatever_changes_the_result_is_identity(override: str) -> None:
    assert key_of(override) != key_of()


def test_every_leaf_of_the_config_is_either_identity_or_listed_as_not() -> None:
    """A new key must be put on one side: this is the reminder."""
    off_by_default = ["ema=0.9", "data.depth_rules={cap: 50}", "encoder.freeze=true"]
    off_by_default += ["semseg_loss=hard_pixels", "schedule.accumulate=2", "augment=camera"]
    off_by_default += ["schedule.minutes=3", "validation.times=2", "model.width=64"]
    fine_tuning = ["optimizer.encoder_scale=0.1", "optimizer.layer_decay=0.8", "optimizer.decay_norms=false"]
    settings = parse(compose(*off_by_default, *fine_tuning))
    beside = {key for key, _ in flatten(settings.model_dump())} - {key for key, _ in flatten(identity(settings))}
    assert sorted({key.split(".")[0] for key in beside}) == [
        "checkpoint",
        "data",
        "device",
        "dry_run",
        "encoder",
        "name",
        "paths",
        "pretrained",
        "rerun",
        "resume",
        "schedule",
        "score",
        "seeds",
        "step",
        "tracking",
        "tta",
        "validation",
    ]
    assert {key for key in beside if key.startswith(("data", "encoder", "schedule", "validation"))} == {
        "schedule.epochs",  # minutes stand in for them
        "data.cache",
        "data.root",
        "data.workers",
        "encoder.recompute",
        "validation.batch_size",
    }


def test_a_seed_counts_once() -> None:
    with pytest.raises(UserError, match=r"seeds=.*each seed once"):
        parse(compose("seeds=[1,2,1]"))


def test_the_fingerprint_wants_a_decided_precision() -> None:
    with pytest.raises(ValueError, match="precision"):
        fingerprint(parse(compose("precision=auto")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.epochs=abc", "schedule.epochs=abc: should be a valid integer"),
        ("schedule.epochs=0", "schedule.epochs=0: should be greater than 0"),
        ("+schedule.epoch=1", "schedule.epoch: there is no such option; did you mean epochs?"),
        ("+optimiser=1", "optimiser: there is no such option; did you mean optimizer?"),
        ("seed=-1", "seed=-1: should be greater than or equal to 0"),
        ("precision=fp16", "precision=fp16: should be 'auto', 'fp32' or 'bf16'"),
        ("device=gpu", "device=gpu: "),
        ("dilation.replace_stride_with_dilation=[true]", "dilation.replace_stride_with_dilation"),
    ],
)
def test_a_mistake_in_a_section_is_one_line_with_its_key(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(compose(override))
    assert message in str(error.value)
    assert "pydantic" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+model.branch_at=5", "model.branch_at: there is no such option; there are aspp, aspp_se"),
        ("+model.askip=5", "model.askip: there is no such option; did you mean skip"),
        ("model.aspp=maybe", "model.aspp=maybe: should be a valid boolean"),
        ("model.atrous_rates=[3,x]", "model.atrous_rates.1=x: should be a valid integer"),
        ("model.aspp=true model.atrous_rates=[0]", "model: atrous_rates takes whole numbers from 1"),
        ("model._target_=os.system", "model._target_='os.system': only what lies in mtl_seg_depth"),
        ("model._target_=mtl_seg_depth.runs.run.subprocess.run", "run.subprocess.run: no model is called so"),
        ("model._target_=mtl_seg_depth.models.Jiont", "did you mean mtl_seg_depth.models.Joint"),
        ("model._target_=mtl_seg_depth.models.ResNetEncoder", "ResNetEncoder: no model is called so"),
        ("model._target_=mtl_seg_depth.models.network.Network", "Network: no model is called so"),
        ("loss._target_=mtl_seg_depth.training.adam", "training.adam: no loss is called so"),
        ("optimizer._target_=mtl_seg_depth.training.Poly", "training.Poly: no optimizer is called so"),
        ("lr.value=-1", "lr: value, the learning rate, is above 0; not -1.0"),
        ("optimizer.betas=[0.9]", "optimizer: betas are two numbers"),
        ("task_weights.depth=-1", "task_weights: task weights are 0 or more"),
        ("+task_weights.semsge=1", "task_weights.semsge: there is no such option; did you mean semseg?"),
        ("encoder.weights=/nowhere.pth", "there is no file /nowhere.pth"),
        ("schedule.batch_size=9", "schedule.batch_size=9 is larger than the 6 training images"),
        ("data.crop_size=[64,64]", "data.crop_size=[64, 64] (height, width) is larger than the training images"),
        ("data.depth_mean=1", "data: depth statistics need 0 < min < mean < max"),
        ("data.depth_rules={clamp:true}", "data: clamp=true moves predictions to min and cap, and there is neither"),
        ("data.depth_rules={corp:garg}", "data.depth_rules.corp: there is no such option; did you mean crop?"),
        ("data.depth_rules={cap:far}", "data.depth_rules.cap=far: should be metres above 0, or none"),
        ("precision=bf16", "precision=bf16: on a CPU it takes crops of at least 64 pixels a side"),
        ("model.aspp_se=true", "model: aspp_se=true puts squeeze-and-excitation after the ASPP"),
    ],
)
def test_a_mistake_in_a_node_is_found_before_a_picture_is_read(tmp_path: Path, override: str, message: str) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 6, "val": 2})
    with pytest.raises(UserError) as error:
        assemble(*resolve(tiny(tmp_path, *override.split())))
    assert message in str(error.value)
    assert not (tmp_path / "packed").exists()


def test_batch_size_1_is_refused_where_image_pooling_would_normalise_one_value(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 2, "val": 1})
    settings = tiny(tmp_path, "schedule.batch_size=1")
    assert assemble(*resolve(settings)).plan.steps == 4
    with pytest.raises(UserError, match=r"schedule\.batch_size=1 "):
        assemble(*resolve(tiny(tmp_path, "schedule.batch_size=1", "model.aspp=true")))


def test_a_function_with_defaults_is_checked_like_a_class() -> None:
    node = {"_target_": "mtl_seg_depth.training.sgd", "momentum": 0.5}
    assert check("optimizer", node, ["parameters"]) == {
        "momentum": 0.5,
        "weight_decay": 1e-4,
        "nesterov": False,
        "encoder_scale": 1.0,
        "layer_decay": 1.0,
        "decay_norms": True,
    }
    with pytest.raises(UserError, match=r"lr\.value is missing: give it a value"):
        build("lr", {"_target_": "mtl_seg_depth.training.Constant"}, span=None)


FREE = {"_target_": "mtl_seg_depth.weighting.Fixed"}
"""A node whose target takes one number per task, by the task's name."""


def test_arguments_by_task_are_checked_for_their_type() -> None:
    given = ["tasks", "steps_per_epoch", "noise_factors"]
    assert check("task_weights", FREE | {"semseg": 1, "depth": "0.5"}, given) == {"semseg": 1.0, "depth": 0.5}
    assert check("task_weights", FREE, given) == {}
    with pytest.raises(UserError) as error:
        check("task_weights", FREE | {"semseg": "much", "depth": None, "dpeth": 1.0}, given)
    assert str(error.value).splitlines() == [
        "task_weights.semseg=much: should be a valid number, unable to parse string as a number",
        "task_weights.depth=null: should be a valid number",
        "task_weights.dpeth: there is no such option; did you mean depth?",
    ]


def test_what_a_target_names_keeps_its_own_type_beside_arguments_by_task() -> None:
    assert check("task_weights", FREE | {"tasks": ["a"], "steps_per_epoch": 3, "depth": 1.0}) == {
        "tasks": ["a"],
        "steps_per_epoch": 3,
        "noise_factors": None,
        "depth": 1.0,
    }


@pytest.fixture(scope="module")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    write_tiny_miniscapes(root / "data", {"train": 4, "val": 2}, height=32, width=64)
    return root


@pytest.mark.parametrize("choice", [f"{group}={option}" for group in groups() for option in options(group)])
def test_every_option_of_every_group_composes_builds_and_takes_a_step(tiny_root: Path, choice: str) -> None:
    overrides = [override for override in TINY if override.split("=")[0] != choice.split("=")[0]]
    places = [f"data.root={tiny_root}/data", f"data.cache={tiny_root}/packed"]
    group, option = choice.split("=")
    if choice in ("data=streets", "data=streets_any"):
        places = [f"paths.datasets={tiny_root}/streets", *SMALL_STREETS]
    elif group == "data" and option in miniatures.MINIATURES:
        places = [f"data.root={tiny_root}/{option}", f"data.cache={tiny_root}/packed"]
        choice, *more = miniatures.write(option, tiny_root / option)
        overrides = [override for override in overrides if not override.startswith("data")] + more
    if choice.startswith("schedule="):
        overrides = [override for override in overrides if not override.startswith("schedule.")]
        overrides.append("schedule.batch_size=2")
    if choice.startswith("dilation=") or choice.startswith("encoder="):
        overrides.append("model.aspp=true")
    settings, device = resolve(parse(compose(*overrides, *places, choice)))
    parts = assemble(settings, device)
    batches = training_batches(settings, parts, parts.source.open("train", progress=False), device)
    before = [parameter.clone() for parameter in parts.network.parameters()]
    losses = parts.step(batches[0], 1e-3)
    assert set(losses) == set(parts.network.tasks)
    assert all(loss.isfinite() for loss in losses.values())
    changed = [not old.equal(new) for old, new in zip(before, parts.network.parameters(), strict=True)]
    assert sum(changed) > len(changed) / 2


def test_group_options_differ_from_each_other() -> None:
    for group in groups():
        contents = [compose(f"{group}={option}")[group] for option in options(group)]
        for index, content in enumerate(contents):
            assert content not in contents[:index], f"{group} has two options that say the same"


def test_the_nearest_names() -> None:
    names = ["optimizer", "optimizer.betas", "schedule.epochs", "model.gate", "lr.value"]
    assert nearest("optimzer", names)[0] == "optimizer"
    assert nearest("epochs", names) == ["schedule.epochs"]
    assert nearest("lr.valu", names) == ["lr.value"]
    assert nearest("zzz", names) == []


@given(st.dictionaries(st.sampled_from(["schedule", "seed", "model", "lr", "whatever"]), st.integers() | st.text()))
def test_nonsense_is_a_user_error(change: dict[str, int | str]) -> None:
    tree = compose() | change
    try:
        parse(tree)
    except UserError as error:
        assert str(error)
    else:
        assert set(change) <= {"seed"}
