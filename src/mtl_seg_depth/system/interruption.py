"""Ctrl-C, SIGTERM, a closed terminal and a parent's death as a request to stop after saving, not a stack trace."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import ClassVar, Self

AGAIN = 75
"""Exit code of a run that was asked to stop and can be continued by the same command (EX_TEMPFAIL of sysexits.h)."""

# SIGHUP is what a terminal sends that is closed; `nohup` has it ignored, and so do we then.
_HANGUP = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
SIGNALS = (signal.SIGINT, signal.SIGTERM, *_HANGUP)
"""What asks a process to stop."""


class Interrupted(Exception):  # noqa: N818  (it is no error)
    """The run stopped because it was asked to; everything up to now is saved."""


@contextmanager
def caught(handle: Callable[[int], None]) -> Iterator[None]:
    """While entered, `handle` is called for what asks this process to stop, with the signal's number.

    The shell and the system both tell of a closed terminal: the second SIGHUP is none. Outside the main thread nothing
    can be caught, and nothing interrupts.
    """
    heard: set[int] = set()

    def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if number == signal.SIGHUP:
            _leave_terminal()
        if number != signal.SIGHUP or number not in heard:
            heard.add(number)
            handle(number)

    catchable = SIGNALS if threading.current_thread() is threading.main_thread() else ()
    previous = {number: signal.signal(number, hear) for number in catchable}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave_terminal() -> None:
    """What is written to a closed terminal, or to a program that was in it, would raise before anything is saved."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        with suppress(OSError):  # it may be closed
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextmanager
def interruptible() -> Iterator[None]:
    """While entered, whatever asks for a stop is a KeyboardInterrupt, wherever nothing more careful catches it."""
    with caught(_interrupt):
        yield


def _interrupt(number: int) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """While entered, the first signal waits for the end, a second one interrupts at once.

    For what must not be left half done, and is over soon.
    """
    waiting: list[int] = []

    def wait(number: int) -> None:
        if waiting:
            raise KeyboardInterrupt
        waiting.append(number)

    try:
        with caught(wait):
            yield
    finally:
        if waiting:
            signal.raise_signal(waiting[0])


class Interruption:
    """While entered, the first signal sets `requested`, a second one interrupts at once.

    Works in the main thread only; elsewhere signals cannot be caught and `requested` stays False.
    """

    in_this_process: ClassVar = False
    """Whether anything in this process was asked to stop; who runs several things one after another looks here."""

    def __init__(self) -> None:
        self.requested = False
        self._caught = caught(self._request)

    def __enter__(self) -> Self:
        """Catch the signals."""
        self._caught.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back to whoever had them."""
        self._caught.__exit__(None, None, None)

    def _request(self, number: int) -> None:  # noqa: ARG002
        if self.requested:
            raise KeyboardInterrupt
        self.requested = Interruption.in_this_process = True


def follow_parent(wait: Callable[[], object], end: Callable[[], object]) -> None:
    """What every process does that we start: it ends when its parent is gone, however that one ended.

    Args:
        wait: returns when the parent is gone: it reads a pipe whose other end nobody else holds.
        end: ends this process.
    """

    def follow() -> None:
        wait()
        end()

    threading.Thread(target=follow, name="follow parent", daemon=True).start()
