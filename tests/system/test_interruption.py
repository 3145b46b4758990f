"""What must not be left half done, when a stop is asked for in the middle of it."""

import signal
import threading
from collections.abc import Iterator

import pytest

from mtl_seg_depth.system.interruption import Interruption, interruptible, uninterrupted

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Shells let what they start in the background ignore SIGINT; pytest may be such a thing."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
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


@SIGNALS
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


def test_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in Interruption.SIGNALS]
    with uninterrupted():
        assert [signal.getsignal(number) for number in Interruption.SIGNALS] != before
    assert [signal.getsignal(number) for number in Interruption.SIGNALS] == before


def test_other_threads_have_nothing_to_fear() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
