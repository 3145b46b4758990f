"""Every mistake that people make at a keyboard is answered in one message by the line that would have been right."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import Commands
from helpers.composing import CONF, ROOT, TINY, compose, places
from helpers.tiny_data import write_tiny_miniscapes

from mtl_seg_depth.cli.arguments import given_twice, names_a_sweep, read
from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.config import flatten

COMMANDS = sorted(path.stem for path in ROOT.glob("*.py"))
WITHOUT_BLANKS = "options are written key=value, without blanks"

ANSWERS = [
    # A group is given what one of its keys is for.
    ("train.py lr=1e-3", "lr=1e-3: lr is a group (constant, cosine, onecycle, poly, stairs); did you mean lr.value="),
    ("train.py ++lr=5", "lr is a group (constant, cosine, onecycle, poly, stairs); did you mean lr.value=5?"),
    ("train.py -m lr=1e-3,1e-4", "onecycle, poly, stairs); did you mean lr.value=1e-3,1e-4?"),
    ("train.py task_weights=0.3", "did you mean task_weights.semseg=0.3?"),
    ("train.py schedule=10", "did you mean schedule.epochs=10?"),
    ("train.py encoder=50", "did you mean encoder=resnet50?"),
    ("train.py dilation=16", "did you mean dilation=os16?"),
    ("train.py data=/data/miniscapes", "did you mean data.root=/data/miniscapes?"),
    ("train.py data=5", "did you mean data.train=5?"),
    ("train.py +model=5", "model is a group (branched, cross_stitch, distilled, joint, mtan, single)"),
    ("train.py model=null", "there has to be one; there are branched, cross_stitch, distilled, joint, mtan, single"),
    ("train.py augment=[flip,crop]", "one option at a time; there are camera, colour, crop, flip, full, scale"),
    ("train.py sweeps=[adam_lr,loss]", "one option at a time; there are adam_lr, "),
    ("train.py sweeps=adam_lr,loss", "sweeps=adam_lr,loss: one sweep at a time"),
    ("train.py hydra/sweeper/sampler=5", "hydra/sweeper/sampler is a group"),
    # A name that there is not.
    ("train.py optimzer=sgd", "optimzer: there is no such option; did you mean optimizer"),
    ("train.py optimizer=sdg", "there is no such option; did you mean sgd? There are adam, adamw, sgd."),
    ("train.py epochs=3", "epochs: there is no such option; did you mean schedule.epochs?"),
    ("train.py gate=shared", "there is no such option; did you mean model.gate (with model=distilled)?"),
    ("train.py lr.val=1e-3", "lr.val: there is no such option; did you mean lr.value?"),
    ("train.py lr.valu=3", "lr.valu: there is no such option; did you mean lr.value?"),
    (
        "train.py optimizer.momentum=0.9",
        "optimizer.momentum: there is no such option with these choices; optimizer=sgd has",
    ),
    (
        "train.py hydra.sweeper.njobs=2",
        "hydra.sweeper.njobs: there is no such option; did you mean hydra.sweeper.n_jobs?",
    ),
    ("train.py hydra.sweeper.n_trial=2", "did you mean hydra.sweeper.n_trials?"),
    (
        "train.py sweeps=adm_lr",
        "there is no such option; did you mean adam_lr or sgd_lr? There are adam_lr,",
    ),
    ("train.py sweep=adam_lr", "sweep: there is no such option; did you mean sweeps"),
    ("train.py experiment=adm_lr/1e-4", "adm_lr/1e-4: there is no such option; did you mean adam_lr/1e-4"),
    ("train.py experiment=adam_lr/1e-9", "adam_lr/1e-9: there is no such option; did you mean adam_lr/1e-"),
    ("train.py experiment=protocol_", "experiment=protocol_: there is no such option; did you mean protocol?"),
    ("train.py experiment=zzz", "experiment=zzz: there is no such option; --help lists what there is."),
    ("train.py hydra/sweeper/sampler=tp", "there is no such option; did you mean tpe? There are "),
    ("train.py +model.branch_at=5", "model.branch_at: there is no such option; there are aspp"),
    ("train.py LOSS=l1", "LOSS: there is no such option; did you mean loss?"),
    (
        "train.py loss=L1",
        "loss=L1: there is no such option; did you mean l1? There are berhu, gradient_matching, huber, l1, l2, silog.",
    ),
    ("train.py loss=berhu()", "loss=berhu(): there is no such option; did you mean berhu?"),
    ("train.py lr@x=poly", "lr@x: there is no such option; did you mean lr?"),
    ("train.py zzzz=1", "zzzz: there is no such option; --help lists what there is."),
    ("train.py é=1", "é: there is no such option"),
    # Words that are no key=value.
    ("train.py loss = l1", f"loss: {WITHOUT_BLANKS}; did you mean loss=l1?"),
    ("train.py loss= l1", f"loss=: {WITHOUT_BLANKS}; did you mean loss=l1?"),
    ("train.py loss =l1", f"loss: {WITHOUT_BLANKS}; did you mean loss=l1?"),
    ("train.py|loss = l1", f"loss = l1: {WITHOUT_BLANKS}; did you mean loss=l1?"),
    ("train.py loss=", f"loss=: {WITHOUT_BLANKS}"),
    ("train.py =l1", f"=l1: {WITHOUT_BLANKS}"),
    ("train.py loss:l1", "did you mean loss=l1?"),
    ("train.py loss/l1", "did you mean loss=l1?"),
    ("train.py lr.value:1e-3", "did you mean lr.value=1e-3?"),
    ("train.py lr:1e-3", "did you mean lr.value=1e-3?"),
    ("train.py data.crop_size=[64, 64]", "did you mean data.crop_size=[64,64]?"),
    ("train.py help", f"help: {WITHOUT_BLANKS}; did you mean --help?"),
    ("train.py berhu", "did you mean loss=berhu?"),
    ("train.py adam_lr", "did you mean sweeps=adam_lr?"),
    ("train.py dry_run", "did you mean dry_run=...?"),
    ("train.py foo", f"foo: {WITHOUT_BLANKS}; such as seed=1; --help lists them"),
    ("predict.py f49d2c photos/", "did you mean run=f49d2c input=photos/?"),
    ("evaluate.py f49d2c test", "did you mean run=f49d2c split=test?"),
    ("export.py f49d2c", "did you mean run=f49d2c?"),
    ("report.py page", "did you mean out=page?"),
    ("check_data.py /data", "did you mean data.root=/data?"),
    # Flags.
    ("train.py --epochs 10", "--epochs: there is no such flag; did you mean schedule.epochs=10?"),
    ("train.py --epochs=10", "--epochs=10: there is no such flag; did you mean schedule.epochs=10?"),
    ("train.py -lr 1e-3", "-lr: there is no such flag; did you mean lr.value=1e-3?"),
    ("train.py --dry-run", "did you mean dry_run=...?"),
    ("train.py --config x.yaml", "--config: there is no such flag; did you mean --config-"),
    ("train.py --multi", "--multi: there is no such flag; did you mean --multirun?"),
    ("train.py --multirun=true loss=l1,l2", "--multirun/-m: it takes no value"),
    ("train.py --cfg jobs", "--cfg/-c: invalid choice: 'jobs'"),
    ("predict.py --input x", "--input: there is no such flag; did you mean input=x?"),
    # Values.
    ("train.py model=joint,branched", "several values: add -m to run each of them"),
    (
        "train.py lr.value=0,5",
        "add -m to run each of them; a list is written [0,5]; a number is written 0.5",
    ),
    ("train.py schedule.epochs=1,000", "a number is written 1000"),
    ("train.py data.crop_size=64,64", "add -m to run each of them; a list is written [64,64]"),
    ("train.py data.crop_size=64", "data.crop_size=64: should be a list, such as [64,64]"),
    ("train.py data.crop_size=(64,64)", "data.crop_size=(64,64): should be a list, such as [64,64]"),
    ("train.py data.crop_size=64x64", "data.crop_size=64x64: should be a list, such as [64,64]"),
    ("train.py data.crop_size=[64,64", "data.crop_size=[64,64: should be a list, such as [64,64]"),
    ("train.py -m seeds=0,1", "seeds=0: should be a list, such as [0]"),
    ("train.py device=gpu", "device=gpu: should be auto, cpu, cuda, or one of several GPUs: cuda:0, cuda:1, ..."),
    ("train.py device=0", "device=0: should be auto, cpu, cuda, or"),
    ("train.py dry_run=ja", "dry_run=ja: should be a valid boolean"),
    ("train.py dry_run=true=true", "dry_run=true=true: should be a valid boolean"),
    ("train.py lr.value==1e-3", "lr.value==1e-3: should be a valid number"),
    ("train.py lr.value=1e-3,", "lr.value=1e-3,: should be a valid number"),
    ("train.py lr.value=1e-3;dry_run=true", "lr.value=1e-3;dry_run=true: should be a valid number"),
    ("train.py schedule.epochs=abc", "schedule.epochs=abc: should be a valid integer"),
    ("train.py schedule.epochs=null", "schedule.epochs=null: should be a valid integer"),
    ("train.py schedule.epochs=[1,2]", "schedule.epochs=[1,2]: should be a valid integer"),
    ("train.py precision=[fp32]", "precision=[fp32]: should be 'auto', 'fp32' or 'bf16'"),
    ("train.py hydra.sweeper.n_jobs=two", "hydra.sweeper.n_jobs=two: Value 'two' of type 'str' could not be converted"),
    ("train.py name=${nothing}", "name: Interpolation key 'nothing' not found"),
    ("train.py seed=${oops", "seed=${oops: should be a valid integer"),
    ("train.py data=miniscapes", "is not a folder; expected"),
    (r"train.py data=miniscapes data.root=C:\data\mini", r"C:\data\mini: is not a folder; expected"),
    ("predict.py run=f49d2c input=x write=labels", "write=labels: should be a list, such as [labels]"),
    ("report.py studies=adam_lr", "studies=adam_lr: should be a list, such as [adam_lr]"),
    ("check_data.py ~picture", "picture is missing: give it a value"),
    ("check_data.py picture=5", "picture=5: a file ending in .png"),
]


@pytest.mark.parametrize(("typed", "answer"), ANSWERS, ids=[typed for typed, _ in ANSWERS])
def test_a_mistake_is_one_message_without_a_trace_and_leaves_nothing_behind(
    command: Commands, tmp_path: Path, typed: str, answer: str
) -> None:
    script, *words = typed.split("|") if "|" in typed else typed.split(" ")
    if script == "train.py":
        words += [f"paths.outputs={tmp_path}/outputs", f"paths.datasets={tmp_path}/datasets"]
    done = command(script, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert answer in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not any(tells in done.stderr for tells in ("Traceback", "hydra.cc", "usage:", "pydantic"))
    assert not list(tmp_path.iterdir())


def test_of_a_key_that_is_given_twice_the_last_counts_and_is_named(command: Commands) -> None:
    done = command("train.py", "loss=l1", "seed=1", "loss=l2", "seed=1", "--cfg", "job")
    assert done.stderr == "note: loss=l2 counts, not loss=l1\n"
    assert "losses.L2" in done.stdout
    assert list(given_twice(["a=1", "b=1", "a=2"])) == ["a=2 counts, not a=1"]


@pytest.mark.parametrize("word", ["yes", "on", "True", "1"])
def test_yes_is_as_good_as_true(command: Commands, tmp_path: Path, word: str) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    done = command("train.py", *TINY, *places(tmp_path), f"dry_run={word}")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "model=joint,branched", "seeds=[0,1]"],
        ["lr={value:1e-3}", "name=null", "data.crop_size=[64,64]", "+trainer='a, b'"],
        ["experiment=[protocol,loss/berhu]", "~sweeps", "+data.x=${seed}"],
        ["--cfg", "job", "--resolve", "-m", "lr.value=choice(1e-3,1e-4)", "sweeps=adam_lr"],
    ],
)
def test_words_that_are_right_stay_as_they_are(words: list[str]) -> None:
    assert read(words, Options(CONF, "train")) == words


def test_a_group_that_is_nothing_by_itself_may_be_given_as_that() -> None:
    words = ["experiment=loss/l1", "seed=1", "experiment=null", "sweeps=null", "name=null"]
    assert read(words, Options(CONF, "train")) == ["seed=1", "name=null"]
    assert read(["experiment=null", "experiment=loss/l1"], Options(CONF, "train"))[-1] == "experiment=loss/l1"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["seed=1"], False),
        (["sweeps=adam_lr", "seed=1"], True),
        (["sweeps=null"], False),
        (["sweeps=adam_lr", "sweeps=null"], False),
        (["sweeps=null", "sweeps=adam_lr"], True),
    ],
)
def test_the_last_word_about_a_sweep_says_whether_there_is_one(words: list[str], named: bool) -> None:
    assert names_a_sweep(words) is named


@pytest.mark.parametrize("config", COMMANDS)
def test_a_config_without_one_of_its_keys_is_refused_by_name_or_does_without(
    command: Commands, tmp_path: Path, config: str, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    """In the very command and not in a dry run: folders and names are made of a config before anything is built."""
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1, "test": 1})
    words = {
        "train": [*TINY, *places(tmp_path), "schedule.max_steps=1", "tracking.panels=0"],
        "check_data": ["data=miniscapes", *places(tmp_path)],
        "make_miniscapes": [f"data.root={tmp_path}/data", f"to={tmp_path}/made"],
        "predict": ["run=nothing", f"input={tmp_path}/data"],
        "prune": [f"paths.outputs={tmp_path}"],
        "runs": [f"paths.outputs={tmp_path}"],
        "report": [f"paths.outputs={tmp_path}", f"out={tmp_path}/page"],
    }.get(config, ["run=nothing"])
    given = {word.partition("=")[0]: word for word in words}
    keys = [key for key, _ in flatten(compose(*words, config=config))]
    keys = sorted({*keys, *(key.partition(".")[0] for key in keys)} - {"paths.root"})
    chosen = [key for key in keys if key.endswith("_target_")]
    chosen += random.Random(0).sample(keys, min(len(keys), extent(3, 1000)))
    refused = 0
    for key in chosen:
        rest = [word for name, word in given.items() if not f"{name}.".startswith(f"{key}.")]
        done = command(f"{config}.py", *rest, f"~{key}", cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        refused += done.returncode == 2
        assert done.returncode in (0, 2)
        assert done.returncode == 0 or key.split(".")[0] in done.stderr or "run=nothing" in done.stderr, done.stderr
    observed("a config without one of its keys is refused by name, or does without", tried=len(chosen), refused=refused)
