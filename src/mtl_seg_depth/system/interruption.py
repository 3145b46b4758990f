"""Ctrl-C and SIGTERM as a request to stop after saving, instead of a stack trace."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ClassVar, Self

AGAIN = 75
"""Exit code of a run that was asked to stop and can be continued by the same command (EX_TEMPFAIL of sysexits.h)."""


class Interrupted(Exception):  # noqa: N818  (it is no error)
    """The run stopped because it was asked to; everything up to now is saved."""


@contextmanager
def interruptible() -> Iterator[None]:
    """While entered, SIGTERM is what Ctrl-C is: a KeyboardInterrupt, wherever nothing more careful catches it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """While entered, the first SIGINT or SIGTERM waits for the end, a second one interrupts at once.

    For what must not be left half done, and is over soon. Outside the main thread nothing interrupts anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if waiting:
            raise KeyboardInterrupt
        waiting.append(number)

    previous = {number: signal.signal(number, wait) for number in Interruption.SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])


class Interruption:
    """While entered, the first SIGINT or SIGTERM sets `requested`, a second one interrupts at once.

    Works in the main thread only; elsewhere signals cannot be caught and `requested` stays False.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    in_this_process: ClassVar = False
    """Whether anything in this process was asked to stop; who runs several things one after another looks here."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        """Catch the signals."""
        catchable = self.SIGNALS if threading.current_thread() is threading.main_thread() else ()
        self._previous = {number: signal.signal(number, self._request) for number in catchable}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.requested:
            raise KeyboardInterrupt
        self.requested = Interruption.in_this_process = True
