"""Any override either trains a step or is refused with a message that names what is wrong."""

import functools
import json
import resource
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import hypothesis
import pytest
import torch
from helpers.composing import CONF, TINY, compose, groups, options, tiny
from helpers.lengths import LONG
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet
from hypothesis import given
from hypothesis import strategies as st

from mtl_seg_depth.cli.messages import message_of
from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.config import fingerprint, flatten, parse
from mtl_seg_depth.runs.assembly import assemble, resolve, scoring_batches, training_batches
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.scoring.scores import score
from mtl_seg_depth.system.errors import UserError


@functools.cache
def keys() -> list[str]:
    """Every key of every option."""
    trees = [compose(f"{group}={option}") for group in groups() for option in options(group)]
    return sorted({key for tree in trees for key, _ in flatten(tree) if not key.startswith("hydra")})


@functools.cache
def defaults() -> list[str]:
    """Overrides that say what holds without them."""
    return [
        f"{key}={'null' if value is None else str(value).replace(' ', '')}"
        for key, value in flatten(compose(*TINY))
        if isinstance(value, bool | int | float | list | None) and key.split(".")[0] != "paths"
    ]


numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, -(2**63), 10**30]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e-320, 1e308, 0.5, 1e-4]),
)
plain = st.one_of(numbers.map(str), st.sampled_from(["true", "false", "null", "", "auto", "none", "cpu", "???"]))
quoted = st.text(max_size=12).map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
listed = st.lists(plain, max_size=4).map(lambda items: f"[{','.join(items)}]")
strange = st.sampled_from(
    ["${seed}", "${nowhere}", "${oc.env:NOWHERE}", "${", "{a:1}", "[[1,2],[3]]", "é", "a b", "../..", "/", "os.system"]
)
values = st.one_of(plain, plain, listed, quoted, strange, st.text(max_size=8))

choices = st.sampled_from(groups()).flatmap(
    lambda group: st.sampled_from([*options(group), "nothing", "null"]).map(lambda option: f"{group}={option}")
)
known = st.tuples(
    st.sampled_from(["", "", "", "+", "++", "~"]), st.deferred(lambda: st.sampled_from(keys())), values
).map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}")
right = st.deferred(lambda: st.sampled_from(defaults()))
unknown = st.tuples(st.sampled_from(["", "+", "++"]), st.text(max_size=8), values).map(
    lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"
)
overrides = st.lists(st.one_of(choices, right, right, known, known, unknown), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its folder; the working directory is another, as a cache can be any place from there."""
    root = tmp_path_factory.mktemp("data")
    here = root / "some" / "where"
    here.mkdir(parents=True)
    with chdir(here):
        yield write_tiny_miniscapes(root / "data", {"train": 4, "val": 2}).parent


@pytest.fixture(scope="module", autouse=True)
def little_memory() -> Iterator[None]:
    """Numbers out of proportion are to meet a limit of ours, not this machine's."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def trained_or_message(data: Path, words: list[str]) -> str | None:
    """Train a step as the command would; None, or what the person is told."""
    tiny = {word.split("=")[0]: word for word in TINY}
    chosen = {word.split("=")[0] for word in words}
    places = [f"data.root={data}/data", f"data.cache={data}/packed", f"paths.outputs={data}/outputs"]
    kept = [word for key, word in tiny.items() if key not in chosen]
    try:
        tree = compose(*kept, *(place for place in places if place.split("=")[0] not in chosen), *words)
    except Exception as error:  # composing: the entry points make a message of whatever Hydra raises
        return message_of(error, Options(CONF, "train"), words)
    try:
        configured, device = resolve(parse(tree))
        fingerprint(configured)
        parts = assemble(configured, device)
        parts.learning_rate(parts.plan.steps - 1)
        batches = training_batches(configured, parts, parts.source.open("train", progress=False), device)
        parts.step(batches[0], parts.learning_rate(0))
        validation = scoring_batches(configured, parts, parts.source.open("val", progress=False), device)
        score(parts.predictor, validation, parts.tasks)
    except UserError as error:
        return str(error)
    finally:
        torch.use_deterministic_algorithms(False)
    return None


def test_any_override_trains_a_step_or_is_refused_by_name(data: Path, observed: Callable[..., None]) -> None:
    seen = {"trained": 0, "refused": 0}

    @hypothesis.settings(max_examples=1000 if LONG else 50, derandomize=True)
    @given(words=overrides)
    def attempt(words: list[str]) -> None:
        message = trained_or_message(data, words)
        seen["trained" if message is None else "refused"] += 1
        if message is not None:
            assert message
            parts = {part for word in words for part in word.partition("=")[0].lstrip("+~").split(".")}
            wholes = {word.partition("=")[0].lstrip("+~") for word in words}
            named = any(part in message for part in parts) or any(word in message for word in words)
            assert named or any(group in message for group in wholes), message

    attempt()
    assert min(seen.values()) > 0
    observed("any override trains a step or is refused with a message that names it", tried=sum(seen.values()), **seen)


def test_any_name_can_be_given_to_a_run(data: Path) -> None:
    """Square brackets are markup in a terminal, and a line is one parameter."""
    settings = tiny(data, "schedule.max_steps=1").model_copy(update={"name": "[/red] été\nsecond line"})
    result = run(settings, quiet())
    assert json.loads((result.folder / "run.json").read_text())["name"] == settings.name
