"""What the Tab key offers, without a shell around it; tests/cli/test_terminal.py asks one."""

from pathlib import Path

import pytest
from helpers.composing import CONF, ROOT, options

from mtl_seg_depth.cli.completion import offers, registration
from mtl_seg_depth.cli.options import Options


def offered(line: str) -> list[str]:
    words = line.split()
    name = words[1 if words[0] == "python" else 0].removesuffix(".py").removeprefix("mtl-").replace("-", "_")
    return offers(line, Options(CONF, name))


def test_a_command_offers_its_own_groups_and_keys_and_no_others() -> None:
    found = offered("python predict.py ")
    assert {"run=", "input=", "tta=", "tta.", "paths."} <= set(found)
    assert not any(word.startswith(("model", "loss", "_target_")) for word in found)
    assert offered("mtl-check-data pict") == ["picture="]
    assert offered("python train.py hydra.sweeper.n_j") == ["hydra.sweeper.n_jobs="]


def test_a_group_offers_its_options_and_those_in_folders() -> None:
    assert offered("python train.py loss=") == [f"loss={name}" for name in options("loss")]
    assert offered("python train.py sweeps=sgd") == ["sweeps=sgd_lr"]
    assert offered("mtl-train experiment=loss/") == [f"experiment=loss/{name}" for name in options("experiment/loss")]


def test_the_keys_of_a_group_are_those_of_the_option_that_is_chosen() -> None:
    assert offered("python train.py optimizer.mom") == []
    assert offered("python train.py optimizer=sgd optimizer.mom") == ["optimizer.momentum="]


@pytest.mark.parametrize(
    ("word", "values"),
    [("precision=", ["auto", "bf16", "fp32"]), ("dry_run=", ["false", "true"]), ("model.aspp=", ["false", "true"])],
)
def test_a_key_offers_what_it_may_be(word: str, values: list[str]) -> None:
    assert offered(f"python train.py {word}") == [f"{word}{value}" for value in values]
    assert offered(f"python train.py {word}{values[0][:2]}") == [f"{word}{values[0]}"]


def test_run_offers_the_runs_there_are(tmp_path: Path) -> None:
    for name in (
        "streets-joint-76d19bc2ee2521d4",
        "streets-joint-76d19bc2ee2521d4.2",
        "streets-single-c3f0f14471cf9253",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.pt").touch()
    (tmp_path / "streets-joint-0123456789abcdef").mkdir()  # it has no weights to use
    place = f"python predict.py paths.outputs={tmp_path} input=x"
    assert offered(f"{place} run=") == [
        *("run=best", "run=demo", "run=latest"),
        *("run=streets-joint-76d19bc2ee2521d4", "run=streets-joint-76d19bc2ee2521d4.2"),
        "run=streets-single-c3f0f14471cf9253",
    ]
    assert offered(f"{place} run=la") == ["run=latest"]
    assert offered(f"{place} run=streets-s") == ["run=streets-single-c3f0f14471cf9253"]
    assert offered(f"{place} run=76d") == ["run=76d19b"]
    assert offered(f"python predict.py paths.outputs={tmp_path}/nowhere run=") == ["run=best", "run=demo", "run=latest"]


def test_places_offer_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    (tmp_path / "photo.jpg").touch()
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    assert offered("mtl-predict run=latest input=") == ["input=photo.jpg", "input=photos/"]
    assert offered("mtl-predict run=latest input=photos/") == ["input=photos/a.png"]
    assert offered(f"mtl-predict input={tmp_path}/.h") == [f"input={tmp_path}/.hidden"]
    assert offered("mtl-predict input=nowhere/") == []


@pytest.mark.parametrize(
    "line", ["python train.py 'name=a b' mod", "python train.py run==x =y ~z mod", "mtl-train mod"]
)
def test_words_that_are_no_words_of_ours_do_not_matter(line: str) -> None:
    assert offered(line) == ["model.", "model="]


def test_every_command_is_registered() -> None:
    names = {f"mtl-{path.stem.replace('_', '-')}" for path in ROOT.glob("*.py")}
    assert names == set(registration(CONF).partition("hydra_bash_completion")[2].split())
