"""Names of studies: any string works, in everything that is named after the study, or is refused before anything is."""

import random
import sqlite3
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import sweeps_in
from helpers.sweeps_in import described, sweep, tiny
from hydra.core.override_parser.types import Quote, QuotedString

from mtl_seg_depth.sweeping.plan import name_before, study_name
from mtl_seg_depth.sweeping.queue import noted
from mtl_seg_depth.sweeping.settings import LONGEST_NAME

NAMED = "any string names a study, or is refused before anything is created"
PARTS = [
    *("a", "b", " ", "  ", "'", '"', "$", "${", "$x^2$", "(", ")", "[", "]", "[/x]", "[bold]", "{", "}", "=", ",", ":"),
    *("/", "\\", "..", ".", "~", "#", "%", "*", "?", "|", "<", ">", "&", ";", "ü", "é", "名前", "🙂", "\u202e"),
    *("\t", "\n", "@", "!", "-", "+", "x" * 90, string.ascii_letters),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweeps_in.prepare(tmp_path_factory.mktemp("names"))


def named(folder: Path, data: Path, name: str, *more: str) -> int:
    """A sweep of one row that is trained already, but for the first time."""
    places = [each.replace(str(folder / "data"), str(data / "data")) for each in sweeps_in.places(folder)]
    places = [each.replace(str(folder / "resnet18.pth"), str(data / "resnet18.pth")) for each in places]
    quoted = QuotedString(name, Quote.double).with_quotes()
    row = ("-m", "loss=choice(l2)", "seed=0,1", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")
    return sweep(*row, *places, *tiny(steps=1), f"hydra.sweeper.study_name={quoted}", *more)


def test_any_name_of_a_study_works_or_is_refused_before_anything_is_created(
    data: Path,
    tmp_path: Path,
    extent: Callable[[int, int], int],
    observed: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    dice = random.Random(5)
    worked = refused = traces = 0
    good = ("lr (1)", "a=b", "läufe", "it's", 'say "x"', "$x^2$", "[/x]")
    bad = ("a/b", "..", "a\\b", "x" * 300, "a\nb", "${x}", " ")
    drawn = ("".join(dice.choices(PARTS, k=dice.randint(1, 6))) for _ in range(extent(0, 200)))
    for name in [*good[:: extent(3, 1)], *bad, *drawn]:
        before = sorted(path for path in tmp_path.rglob("*"))
        code = named(tmp_path, data, name)
        said = capfd.readouterr()
        traces += "Traceback" in said.out + said.err
        assert code in (0, 2), (name, said)
        if code == 0:
            worked += 1
            assert described(tmp_path)["study"] == name
            assert (tmp_path / "outputs" / "sweeps" / name / "artifacts" / "plot.png").exists()
            assert len(name.encode()) <= LONGEST_NAME
        else:
            refused += 1
            assert "hydra.sweeper.study_name" in said.err, (name, said)
            assert sorted(path for path in tmp_path.rglob("*")) == before
    assert worked >= 2
    assert refused >= 7
    assert traces == 0
    observed(NAMED, tried=worked + refused, worked=worked, refused=refused, traces=traces)


def test_a_study_is_named_by_what_varies_in_whatever_order_it_was_typed() -> None:
    one, other = ({"distributions": dict.fromkeys(keys, "")} for keys in (("model", "lr.value"), ("lr.value", "model")))
    assert study_name(None, one) == study_name(None, other)
    assert study_name(None, one).startswith("lr-x-model-")
    assert study_name("adam_lr", one).startswith("adam_lr-")
    many = {"distributions": dict.fromkeys([*"abcdef", "x" * 500], "")}
    assert study_name(None, many).startswith("a-x-b-x-c-x-more-")
    assert len(study_name(None, {"distributions": {"x" * 500: ""}}).encode()) < LONGEST_NAME


def test_a_study_of_before_names_said_what_varies_is_found_again_and_goes_on(
    data: Path, tmp_path: Path, trained: list[str]
) -> None:
    for name in ("data", "resnet18.pth"):
        (tmp_path / name).symlink_to(data / name)
    row = ("-m", "loss=l2", "seed=0,1", "model=joint", "dilation=os32", "model.aspp=false", "model.skip=false")
    command = (*row, *sweeps_in.places(tmp_path), *tiny(steps=1))
    assert sweep(*command) == 0
    study = described(tmp_path)["study"]
    assert study.startswith("seed-")
    old = name_before(study)
    with sqlite3.connect(tmp_path / "studies.db") as database:
        assert database.execute("UPDATE studies SET study_name = ?", (old,)).rowcount == 1
        assert database.execute("UPDATE trials SET state = 'WAITING' WHERE number = 1").rowcount == 1
        for of in ("trial", "study"):
            columns, there, here = f"{of}_id, key, value_json", f"{of}_user_attributes", f"{of}_system_attributes"
            database.execute(f"INSERT INTO {there} ({columns}) SELECT {columns} FROM {here}")
            database.execute(f"DELETE FROM {here}")
    sweeps = tmp_path / "outputs" / "sweeps"
    (sweeps / study).rename(sweeps / old)
    assert sweep(*command) == 0
    assert [path.name for path in sweeps.iterdir()] == [old]
    assert [(trial.state.name, noted(trial)["attempt"]) for trial in sweeps_in.trials(tmp_path)] == [
        ("COMPLETE", 1)
    ] * 2
    assert len(trained) == 2
