"""The door that every stored JSON file goes through: what is damaged or not ours is one message that names it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_seg_depth.records.record import Point
from mtl_seg_depth.records.results import Card, Evaluation, Mirrored, RunResult, SweepRecord
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.stored import find, parse, read, write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Invalid JSON: EOF while parsing"),
        ("{" * 200_000, "Invalid JSON: "),
        ('{"name": ' + "[" * 200_000, "Invalid JSON: recursion limit exceeded"),
        (
            '{"name": "a", "started": ' + "9" * 400 + "}",
            "started: Input should be less than 92233",
        ),
        ('{"name": "a", "started": ' + "9" * 40_000 + "}", "Invalid JSON: number out of range"),
        ('{"name": "a", "started": NaN}', "started: Input should be a finite number, not nan"),
        ('{"name": "\\ud800"}', "Invalid JSON: "),
        ('{"name": "a"', "Invalid JSON: EOF while parsing an object"),
        ("[1]", "Input should be an object"),
        ("null", "Input should be an object"),
        ("{}", "name: Field required"),
        ('{"name": "a", "params": {"steps": 3}}', "params.steps: Input should be a valid string, not 3"),
        (b"\xff\xfe", "Invalid JSON: "),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_file_of_a_wrong_shape_is_one_line_that_names_it(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as raised:
        read(path, Card)
    assert str(raised.value).startswith(f"{path} is damaged, or not ours: {message}")
    assert len(str(raised.value)) < 300
    assert "\n" not in str(raised.value)
    assert find(path, Card) is None


def test_a_file_that_is_far_too_large_or_missing_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"name": "x" * 100}))
    monkeypatch.setattr(stored, "LARGEST", 50)
    with pytest.raises(UserError, match=r"run\.json: \d+ bytes are more than any file of ours has"):
        read(tmp_path / "run.json", Card)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "nothing.json", Card)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
def test_what_is_no_plain_file_is_neither_followed_nor_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.json"
    write(tmp_path / "real.json", Card(name="elsewhere"))
    {
        "link": lambda: path.symlink_to(tmp_path / "real.json"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    with pytest.raises(UserError, match=r"run\.json (cannot be read: (it is a link|Is a)|is damaged, or not ours: it)"):
        read(path, Card)


def test_a_name_that_is_no_unicode_is_written_and_read_again(tmp_path: Path) -> None:
    name = os.fsdecode(b"l\xe4ufe")
    write(tmp_path / "a.json", Mirrored.model_construct(key="0" * 32, tracking_uri=name))
    assert read(tmp_path / "a.json", Mirrored).tracking_uri == "l?ufe"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_whatever_json_stands_in_a_file_it_is_of_the_type_or_refused(
    extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    models = (Card, RunResult, Evaluation, SweepRecord, Mirrored, Point)
    seen = {"cases": 0, "refused": 0}

    @settings(max_examples=extent(60, 3000), database=None, derandomize=True)
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        for model in models:
            keys = list(getattr(model, "model_fields", None) or model.__dataclass_fields__)
            content = data.draw(ANYTHING | st.dictionaries(st.sampled_from(keys), ANYTHING))
            text = json.dumps(content).encode()
            text = text[: data.draw(st.just(len(text)) | st.integers(0, len(text)))]
            seen["cases"] += 1
            try:
                assert isinstance(parse(text, model, "it"), model)
            except UserError:
                seen["refused"] += 1

    attack()
    observed("JSON of any shape in a file of a run or sweep is of its type, or one message", **seen, traces=0)
