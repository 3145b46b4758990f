"""What must not be left half done, when a stop is asked for in the middle of it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl_seg_depth.system import interruption
from mtl_seg_depth.system.interruption import Interruption, interruptible, uninterrupted

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALS = pytest.mark.parametrize("number", ALL)


@pytest.fixture(autouse=True)
def _all_are_heard(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Shells let what they start in the background ignore SIGINT, nohup SIGHUP; pytest may be such a thing."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(interruption, "SIGNALS", ALL)
    yield
    signal.signal(signal.SIGINT, previous)


@SIGNALS
def test_a_stop_waits_for_the_end(number: int) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        with uninterrupted(), uninterrupted():
            signal.raise_signal(number)
            done.append("the rest")
        done.append("what comes after")
    assert done == ["the rest"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_does_not_wait(number: int) -> None:
    with interruptible(), pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(number)
        signal.raise_signal(number)
        pytest.fail("went on")


@SIGNALS
def test_a_training_hears_of_it_afterwards(number: int) -> None:
    with Interruption() as interruption:
        with uninterrupted():
            signal.raise_signal(number)
            assert not interruption.requested
        assert interruption.requested
    Interruption.in_this_process = False


def test_a_closed_terminal_is_told_of_twice_and_stops_once() -> None:
    with Interruption() as stop:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    Interruption.in_this_process = False


@pytest.mark.parametrize(("ignored", "code"), [(False, 75), (True, 0)])
def test_a_closed_terminal_ends_what_nohup_did_not_start(ignored: bool, code: int, tmp_path: Path) -> None:
    """What writes to a terminal that is gone gets an error: the process must not meet it before it has saved."""
    script = (
        "import os, signal, sys\n"
        "from mtl_seg_depth.system.interruption import Interruption\n"
        "with Interruption() as stop:\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "    print('going on', flush=True)\n"
        "open('saved', 'w').close()\n"
        "sys.exit(75 if stop.requested else 0)\n"
    )
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, handler),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if not ignored:
        process.stdout.close()  # as what was in the same terminal: a pipe to tee
    process.send_signal(signal.SIGHUP)
    process.stdin.close()
    assert process.wait(60) == code
    assert (tmp_path / "saved").exists()


def test_a_child_ends_with_its_parent_however_that_one_ends() -> None:
    script = (
        "import os, sys, time\n"
        "from mtl_seg_depth.system.interruption import follow_parent\n"
        "follow_parent(lambda: os.read(0, 1), lambda: os._exit(3))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.stdin.close()
    assert child.wait(60) == 3


def test_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in ALL]
    with uninterrupted():
        assert [signal.getsignal(number) for number in ALL] != before
    assert [signal.getsignal(number) for number in ALL] == before


def test_other_threads_have_nothing_to_fear() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
