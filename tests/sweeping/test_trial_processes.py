"""A trial in several processes: how it ended is what the first of them says, or the one that could not go on."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mtl_seg_depth.sweeping.trial_processes import Outcome, Part, train_in

PLAY = """
import os, sys, time
from mtl_seg_depth.sweeping.trial_processes import Outcome, leave, own_part
from mtl_seg_depth.system.torchrun import rank
part = own_part()
with open(part.folder / f"began_{rank()}", "w") as file:
    file.write(f"{os.getpid()} {os.environ['WORLD_SIZE']} {part.overrides}")
"""
ENDS = PLAY + "leave(Outcome(state='complete', values=[float(rank() + 5)]))"
FAILS = PLAY + "time.sleep(600 * (1 - rank())); leave(Outcome(state='failed', reason=f'{rank()}')); sys.exit(1)"
WAITS = PLAY + "time.sleep(600)"


def play(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", code])
    return train_in(2, Part(study="a", number=3, job=4, overrides=["loss=l1"], folder=folder))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_first_process_says_how_a_trial_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(ENDS, tmp_path, monkeypatch) == Outcome(state="complete", values=[5.0])
    for number in range(2):
        assert (tmp_path / f"began_{number}").read_text().partition(" ")[2] == "2 ['loss=l1']"
    assert list((tmp_path / "trials").iterdir()) == []


def test_a_process_that_cannot_go_on_ends_the_others_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert play(FAILS, tmp_path, monkeypatch) == Outcome(state="failed", reason="1")
    assert not any(is_alive(int((tmp_path / f"began_{number}").read_text().split()[0])) for number in range(2))


def test_a_stop_reaches_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        while not all((tmp_path / f"began_{number}").exists() for number in range(2)):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        play(WAITS, tmp_path, monkeypatch)
    assert not any(is_alive(int((tmp_path / f"began_{number}").read_text().split()[0])) for number in range(2))
