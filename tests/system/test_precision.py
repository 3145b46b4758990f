"""The format of `precision=auto` is the faster one of the machine, asked once and remembered."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.facts import CPU

from mtl_seg_depth.system import precision

AMX = {"amx_bf16": True, "avx512_bf16": True}
AVX = {"amx_bf16": False, "avx512_bf16": True}
NEITHER = {"amx_bf16": False, "avx512_bf16": False, "avx2": True}

Machine = Callable[..., list[int]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """Makes this a machine of these instructions and times; returns a list that has an entry for every measurement."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def become(able: dict[str, bool], fp32: float, bf16: float) -> list[int]:
        measured: list[int] = []

        def measure() -> precision.Seconds:
            measured.append(1)
            return precision.Seconds(fp32=fp32, bf16=bf16)

        precision._machine.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
        monkeypatch.setattr(precision, "measure", measure)
        return measured

    yield become  # type: ignore[misc]
    precision._machine.cache_clear()


@pytest.mark.parametrize(
    ("able", "fp32", "bf16", "expected"),
    [
        (AMX, 1.0, 0.3, "bf16"),
        (AVX, 1.0, 0.5, "bf16"),  # multiplies twice as many
        (AVX, 1.0, 1.6, "fp32"),  # has the instructions, and is slower with them
        (AMX, 1.0, 0.95, "fp32"),  # wins, but not clearly
        (AMX, 1.0, 0.905, "bf16"),
    ],
)
def test_a_cpu_takes_bf16_where_it_is_clearly_faster(
    machine: Machine, able: dict[str, bool], fp32: float, bf16: float, expected: str
) -> None:
    measured = machine(able, fp32, bf16)
    assert precision.native(CPU) == expected
    assert precision.native(CPU) == expected
    assert len(measured) == 1


def test_a_cpu_without_any_instruction_for_bf16_is_not_even_asked(machine: Machine) -> None:
    measured = machine(NEITHER, 1.0, 0.1)
    assert precision.native(CPU) == "fp32"
    assert not measured


def test_what_a_machine_said_is_kept_beside_what_others_did(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(AMX, 1.0, 0.3)
    assert precision.native(CPU) == "bf16"
    measured = machine(AVX, 1.0, 1.6)
    assert precision.native(CPU) == "fp32"
    assert len(measured) == 1
    monkeypatch.setattr(torch, "__version__", "99.0")
    precision._machine.cache_clear()
    assert precision.native(CPU) == "fp32"
    assert len(measured) == 2
    measured = machine(AMX, 1.0, 1.6)
    monkeypatch.undo()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"a": 1}', '{"MACHINE": {}}', '{"MACHINE": {"fp32": NaN, "bf16": 1}}', "\0" * 99],
)
def test_a_damaged_memory_is_measured_anew(machine: Machine, tmp_path: Path, content: str) -> None:
    measured = machine(AMX, 1.0, 0.3)
    path = tmp_path / "cache" / "mtl_seg_depth" / "precision.json"
    path.parent.mkdir(parents=True)
    path.write_text(content.replace("MACHINE", precision._machine()))
    assert [precision.native(CPU), precision.native(CPU)] == ["bf16", "bf16"]
    assert len(measured) == 1
    assert len(json.loads(path.read_text())) >= 1


@pytest.mark.parametrize("home", ["a file", "a read-only folder", "none"])
def test_without_a_place_to_remember_it_measures_every_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    measured = machine(AMX, 1.0, 0.3)
    (tmp_path / "file").write_text("")
    if home == "none":
        monkeypatch.delenv("XDG_CACHE_HOME")

        def no_home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", no_home)
    elif home == "a file":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "locked"))
        if os.access(tmp_path / "locked", os.W_OK):  # root writes anywhere
            monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    assert [precision.native(CPU), precision.native(CPU)] == ["bf16", "bf16"]
    assert len(measured) == 2


def test_both_formats_are_really_measured_and_the_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    seconds = precision.measure()
    assert 0 < seconds.fp32 < 60
    assert 0 < seconds.bf16 < 60
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
