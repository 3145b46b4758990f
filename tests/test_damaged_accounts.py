"""JSON of any shape in any file that runs and sweeps leave: the page and the commands go on with the rest."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.composing import tiny
from helpers.report_store import Row, Store, report_rows, settings
from helpers.trained_runs import evaluate, only_run, quiet

from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.report.page import write_report
from mtl_seg_depth.runs.dry_run import dry_run
from mtl_seg_depth.runs.pace import Pace
from mtl_seg_depth.system.errors import UserError

CPU = torch.device("cpu")

WRONG: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**400, 1 << 64, 0.5, float("nan"), float("inf"), -float("inf")),
    *("", "x", "../..", "/etc/passwd", "\ud800", "a\nb", "[/x]", "$x", "y" * 300, "²"),
    *([], [None], [[]], {}, {"": None}, {"step": "x"}),
)
TEXTS = (b"", b"null", b"[" * 200_000, b'{"a": ' * 200_000, b"9" * 400, b"\xff\xfe{}", b"{}", b"[1]", b"NaN", b"\x00")


def damage(path: Path, chance: random.Random) -> str:
    """Change a file of JSON in one place, or replace the whole of it; what was done."""
    data = path.read_bytes()
    if chance.random() < 0.2:
        path.write_bytes(chance.choice([*TEXTS, data[: chance.randrange(len(data))]]))
        return "replaced"
    lines = data.splitlines()
    at = chance.randrange(len(lines)) if path.suffix == ".jsonl" else 0
    content = json.loads(lines[at] if path.suffix == ".jsonl" else data)
    holder: Any = {"whole": content}
    key: Any = "whole"
    while chance.random() < 0.75 and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    value = copy.deepcopy(chance.choice(WRONG))
    if holder is content and chance.random() < 0.1:
        del holder[key]
    elif key == "whole":
        content = value
    else:
        holder[key] = value
    lines[at if path.suffix == ".jsonl" else slice(None)] = (  # type: ignore[call-overload]
        json.dumps(content).encode() if path.suffix == ".jsonl" else [json.dumps(content).encode()]
    )
    path.write_bytes(b"\n".join(lines) + b"\n")
    return f"{key}={str(value)[:20]}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A table of the report, a sweep of one's own and a search."""
    store = Store(tmp_path / "outputs", steps=16, steps_per_epoch=8)
    store.study("loss", report_rows("loss")[:3])
    store.study(
        None, [Row([(60.0, 30.0), (61.0, 31.0)]), Row([(50.0, 35.0)], chosen={"evaluated": "flip"})], name="own"
    )
    searched = [Row([(40.0, 30.0 + i)], values=[10.0 - i], params={"lr.value": f"{i + 1}e-3"}) for i in range(3)]
    store.study(None, searched, name="searched", kind="search")
    return tmp_path


def test_the_page_is_written_whatever_one_file_of_the_store_holds(
    store: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    files = sorted(path for path in (store / "outputs").rglob("*") if path.suffix in (".json", ".jsonl"))
    assert {path.name for path in files} >= {"sweep.json", "run.json", "result.json", "metrics.jsonl", "views.json"}
    told = 0
    cases = extent(12, 800)
    for case in range(cases):
        chance = random.Random(case)
        path = chance.choice(files)
        whole = path.read_bytes()
        done = damage(path, chance)
        try:
            told += bool(write_report(settings(store)).document.problems)
        except Exception as error:
            pytest.fail(f"case {case}, {path.relative_to(store)}, {done}: {error!r}")
        path.write_bytes(whole)
    assert told > cases // 6
    assert not write_report(settings(store)).document.problems
    observed("one damaged file of a store never stops the report", cases=cases, told=told, traces=0)


OF_A_RUN = ("run.json", "result.json", "metrics.jsonl", "mlflow.json")


def test_a_damaged_run_is_one_message_and_never_stops_another(
    folder: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    outputs, damaged = folder / "outputs", only_run(folder, "first")
    evaluate(folder, "split=test")
    files = [*(damaged / name for name in OF_A_RUN), *(damaged / "evaluations").glob("*.json")]
    assert len(files) == 5
    whole = {path: path.read_bytes() for path in files}
    first, second = (tiny(folder, "schedule.epochs=1", f"seed={seed}", f"name={seed}") for seed in (0, 1))
    refused, cases = 0, extent(12, 600)
    for case in range(cases):
        chance = random.Random(case)
        path = chance.choice(files)
        done = damage(path, chance)
        try:
            for use in (
                lambda: load_trained("first", outputs, CPU),
                lambda: dry_run(first, quiet()),
                lambda: evaluate(folder, "split=test"),
            ):
                try:
                    use()
                except UserError as error:
                    refused += 1
                    assert "\n" not in str(error).partition("newest first there are")[0]
            load_trained("second", outputs, CPU)
            dry_run(second, quiet())
            Pace(outputs).seconds(second, 100)
        except Exception as error:
            pytest.fail(f"case {case}, {path.relative_to(folder)}, {done}: {error!r}")
        for file, data in whole.items():
            file.write_bytes(data)
    observed("a damaged run is one message, and other runs are used", cases=cases, refused=refused, traces=0)
