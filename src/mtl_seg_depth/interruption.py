"""Ctrl-C and SIGTERM as a request to stop after saving, instead of a stack trace."""

import signal
import threading
from types import FrameType
from typing import Self

AGAIN = 75
"""Exit code of a run that was asked to stop and can be continued by the same command (EX_TEMPFAIL of sysexits.h)."""


class Interrupted(Exception):  # noqa: N818  (it is no error)
    """The run stopped because it was asked to; everything up to now is saved."""


class Interruption:
    """While entered, the first SIGINT or SIGTERM sets `requested`, a second one interrupts at once.

    Works in the main thread only; elsewhere signals cannot be caught and `requested` stays False.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

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
        self.requested = True
