"""A name may be anything that the system takes: on a command line, as a path, in a plot, on the console."""

import random
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from helpers.commands import Commands
from helpers.composing import CONF, TINY
from helpers.photographs import picture, save
from helpers.tiny_data import write_tiny_miniscapes
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.cli.arguments import NAMES, read
from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.report.drawing import Line, Panel, draw

STRANGE = (
    *(
        "müller",
        "Mini (1)",
        "läufe",
        "[/x] [bold]",
        "a $x_{$ b$",
        "two, or three",
        "quote\"s 'n ticks`",
        "back\\slash\\",
    ),
    *("line\nbreak", "%s {0} ${oops", "2024", "1e5", "a=b", "#~!&;|<>*?", "日本", "tab\there", "x" * 150, "true"),
)

letters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/")
names = st.one_of(
    st.sampled_from(STRANGE),
    st.text(letters, min_size=1, max_size=20),
    st.text("ab ,=()[]{}'\"\\$~:.*?#0123é\n", min_size=1, max_size=12),
    st.lists(st.sampled_from(STRANGE), min_size=2, max_size=3).map("".join),
)


def test_a_name_reaches_the_command_as_it_was_typed(
    extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    options = Options(CONF, "train")
    parser = OverridesParser.create()
    seen = {"read": 0, "quoted by the person": 0}

    @hypothesis.settings(max_examples=extent(200, 2000), derandomize=True)
    @given(name=names.filter(lambda name: name.strip() == name), key=st.sampled_from(sorted(NAMES)))
    def attempt(name: str, key: str) -> None:
        own = name.casefold() == "null" or (name[0] == name[-1] and name[0] in "\"'" and len(name) > 1)
        if own or ("${" in name and "}" in name) or (key == "input" and name[0] == "[" and name[-1] == "]"):
            seen["quoted by the person"] += 1
            read([f"{key}={name}"], options)
            return
        (word,) = read([f"{key}={name}"], options)
        assert str(parser.parse_override(word).value()).replace("\\${", "${") == name
        assert read([word], options) == [word], "a worker reads the words again"
        seen["read"] += 1

    attempt()
    observed("a name reaches the command as it was typed, whatever it is", **seen, traces=0)


def test_a_working_folder_that_hydra_cannot_read_is_a_message(command: Commands, tmp_path: Path) -> None:
    (tmp_path / "a ${b").mkdir()
    done = command("train.py", "dry_run=true", cwd=tmp_path / "a ${b")
    assert done.returncode == 2
    told = f"error: {tmp_path}/a ${{b: commands do not work in or from a folder with ${{ in its name; rename it"
    assert done.stderr.startswith(told)


def test_in_a_sweep_commas_stand_between_names() -> None:
    options = Options(CONF, "train")
    assert read(["-m", "data.root=Mini (1),müller,2024"], options) == ["-m", 'data.root="Mini (1)","müller","2024"']
    assert read(["-m", "name=a,b", "run=x"], options) == ["-m", "name=a,b", "run=x"]
    assert read(["input=[a b.png,ü.png]"], Options(CONF, "predict")) == ['input=["a b.png","ü.png"]']


def test_every_command_takes_any_name_for_everything(
    command: Commands, tmp_path: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    write_tiny_miniscapes(tmp_path / "plain", {"train": 4, "val": 1, "test": 1})
    chosen = random.Random(extent(3, 0)).sample(STRANGE, extent(1, len(STRANGE)))
    traces = 0
    for name in chosen:
        home = tmp_path / f"at {name}"
        (home / name).parent.mkdir(parents=True)
        (home / name).symlink_to(tmp_path / "plain")
        save(home / "photos" / f"{name}.png", picture(33, 40))
        data = [f"data.root={home / name}", f"data.cache={home}/packed {name}"]
        outputs = f"paths.outputs={home}/outputs {name}"
        store = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
        training = ["schedule.max_steps=1", f"name={name}", f"tracking.experiment={name}", "tracking=mlflow", store]
        for words in (
            ["train.py", *[word for word in TINY if word != "tracking=folder"], *data, outputs, *training],
            ["evaluate.py", f"run={name}", outputs, f"submission={home}/{name}.zip", "split=test", "device=cpu"],
            ["predict.py", f"run={name}", outputs, f"input={home}/photos/{name}.png", f"output={home}/to {name}"],
            ["check_data.py", "data=miniscapes", *data, f"picture={home}/{name}.png"],
            ["report.py", outputs, f"out={home}/page {name}"],
        ):
            done = command(*words, cwd=tmp_path if "${" in name else home)
            traces += "Traceback" in done.stderr
            assert done.returncode == 0, (name, words[0], done.stderr)
        assert (home / f"to {name}" / f"{Path(name).name}_labels.png").exists()
    observed("every command takes any name for everything", names=len(chosen), commands=5 * len(chosen), traces=traces)


@pytest.mark.parametrize("key", ["paths.outputs", "data.root", "data.cache", "paths.datasets", "encoder.weights"])
@pytest.mark.parametrize("name", ["x" * 300, "loop", "file/below"])
def test_a_place_that_cannot_be_is_a_message(command: Commands, tmp_path: Path, key: str, name: str) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    places = {"data.root": "data", "data.cache": "packed", "paths.outputs": "outputs", "paths.datasets": "sets"}
    places = {key: f"{tmp_path}/{place}" for key, place in places.items()} | {key: f"{tmp_path}/{name}"}
    if key == "paths.datasets":  # where they are looked for without data.root
        places = {key: place for key, place in places.items() if not key.startswith("data.")}
    done = command("train.py", *TINY, *(f"{key}={place}" for key, place in places.items()), "schedule.max_steps=1")
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr
    assert name.split("/")[0] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", STRANGE)
def test_a_plot_shows_any_name_as_it_is(name: str) -> None:
    lines = [Line(name, [1, 2], [1, 2], 0), Line("b", [1], [1], 1)]
    drawing = draw("figure", name, name, [Panel(name, name, lines)])
    assert drawing.svg is not None
    shown = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert all(line.strip() in drawing.svg for line in shown.split("\n"))


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_without_arrows_ends_no_command(
    folder: Path, tmp_path: Path, command: Commands, encoding: str
) -> None:
    save(tmp_path / "photo.png", picture(33, 40))
    outputs = f"paths.outputs={folder}/outputs"
    data = [f"data.root={folder}/data", f"data.cache={folder}/packed"]
    one = [*TINY, *data, "schedule.max_steps=1"]
    commands = (
        ["train.py", *one, f"paths.outputs={tmp_path}/läufe"],
        ["train.py", "-m", *one, "name=müller ↑", "seed=0,1", f"paths.outputs={tmp_path}/b"],
        ["evaluate.py", "run=first", outputs, "device=cpu"],
        ["predict.py", "run=first", outputs, f"input={tmp_path}/photo.png", f"output={tmp_path}/日本"],
        ["export.py", "run=first", outputs, "format=torch_export", f"output={tmp_path}/é.pt2"],
        ["check_data.py", "data=miniscapes", *data],
        ["report.py", outputs, f"out={tmp_path}/↑"],
        ["train.py", "--help"],
    )
    for words in commands if encoding == "latin-1" else commands[:1]:
        done = command(*words, cwd=tmp_path, encoding=encoding)
        assert done.returncode == 0, (words[0], done.stderr)
        assert done.stdout
        assert "Traceback" not in done.stderr
