"""What is set up on a GPU and what is not, with a stand-in for CUDA: who plans takes nothing of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet

from mtl_seg_depth.runs.assembly import assemble, find_device, resolve, settle_torch
from mtl_seg_depth.runs.dry_run import dry_run
from mtl_seg_depth.system.errors import OutOfMemoryError, UserError
from mtl_seg_depth.system.memory import peak

CUDA = torch.device("cuda:1")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.device]]:
    """Two cards; those that were made current, in order."""
    current: list[torch.device] = []
    for name, stand_in in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_capability": lambda _: (9, 0),
        "set_device": current.append,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
    yield current
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("name", ["cuda:1", "cuda", "auto"])
def test_a_device_is_the_current_one_once_it_is_found(name: str, cards: list[torch.device]) -> None:
    """Streams and graphs are on the current device unless somebody says otherwise."""
    device = find_device(name)
    assert cards == [device]
    assert device.type == "cuda"


@pytest.mark.parametrize("name", ["cuda", "cpu"])
def test_every_command_multiplies_fp32_as_the_training_did(name: str, cards: list[torch.device]) -> None:
    find_device(name)
    assert torch.backends.cuda.matmul.allow_tf32


def test_a_card_that_is_not_there_is_refused(cards: list[torch.device]) -> None:
    with pytest.raises(UserError, match="device=cuda:2: this machine has 2 CUDA devices"):
        find_device("cuda:2")
    assert cards == []


def test_a_card_that_others_have_filled_is_a_message(
    cards: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: torch.device) -> None:
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "set_device", full)
    stand_in_memory(monkeypatch, 0)
    with pytest.raises(OutOfMemoryError, match="device=cuda:1: cuda:1 is out of memory"):
        find_device("cuda:1")


@pytest.mark.parametrize("weighting", ["equal", "uncertainty", "gradnorm"])
def test_planning_takes_nothing_of_a_gpu(
    weighting: str, tmp_path: Path, cards: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever plans a sweep keeps some of it beside the workers."""

    def touched(*_: Any) -> None:
        raise AssertionError("CUDA was started")

    monkeypatch.setattr(torch.cuda, "_lazy_init", touched)
    write_tiny_miniscapes(tmp_path / "data")
    dry_run(tiny(tmp_path, "device=cuda:1", "precision=auto", f"task_weights={weighting}"), quiet())
    assert cards == []


def test_a_compiled_step_is_refused_where_everything_is_to_repeat_on_a_gpu(
    tmp_path: Path, cards: list[torch.device]
) -> None:
    write_tiny_miniscapes(tmp_path / "data")
    with pytest.raises(UserError, match=r"step=compile: .* with deterministic=true take step=auto"):
        settings, device = resolve(tiny(tmp_path, "device=cuda", "step=compile", "deterministic=true"), dry=True)
        assemble(settings, device, dry=True)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "/bin/false", "/nowhere/g++"])
def test_a_compiled_step_without_a_compiler_is_a_message_that_names_it(compiler: str, tmp_path: Path) -> None:
    from torch._inductor import config

    write_tiny_miniscapes(tmp_path / "data")
    words = rf"step=compile: there is no working C\+\+ compiler {re.escape(compiler)}; .*step=auto"
    with config.patch({"cpp.cxx": (None, compiler)}), pytest.raises(UserError, match=words):
        assemble(tiny(tmp_path, "step=compile"), torch.device("cpu"), dry=True)


def stand_in_memory(monkeypatch: pytest.MonkeyPatch, reserved: int) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: reserved // 2)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: reserved)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Test GPU")


def test_memory_is_what_a_gpu_has_to_have_and_not_what_tensors_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool of a captured step is reserved for good, whatever is in it."""
    stand_in_memory(monkeypatch, 2 << 30)
    assert str(peak(CUDA)) == "2.00 GiB at most, 25.0% of Test GPU"


@pytest.mark.parametrize(("before", "after"), [(None, ":4096:8"), (":16:8", ":16:8")])
def test_cublas_is_told_before_its_first_use_whatever_is_trained_first(before: str | None, after: str) -> None:
    """In a process of its own, as what is set here stays set."""
    environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    environment |= {} if before is None else {"CUBLAS_WORKSPACE_CONFIG": before}
    code = "from mtl_seg_depth.system.machine import settle_memory as s; import os; s(); print(os.environ['%s'])"
    command = [sys.executable, "-c", code % "CUBLAS_WORKSPACE_CONFIG"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == after


def test_memory_is_not_filled_for_those_who_never_read_it(tmp_path: Path) -> None:
    try:
        settle_torch(tiny(tmp_path, "deterministic=true"))
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    finally:
        settle_torch(tiny(tmp_path))
