"""A real terminal of so many columns for a command, and what a person sees on it at any time."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

LINES = 40
SCROLLED_BACK = 10_000
"""Lines that are kept above the screen."""


@dataclass
class Recorded:
    """What a command wrote, and when."""

    columns: int
    written: list[tuple[float, str]]
    """Seconds since its start, and text with the terminal's control sequences."""
    code: int

    def rows(self, before_s: float = float("inf"), columns: int | None = None) -> "list[list[pyte.screens.Char]]":
        """Every line of the screen and above it, as it was then; `columns` is of another terminal that hears it."""
        screen = pyte.HistoryScreen(columns or self.columns, LINES, history=SCROLLED_BACK)
        stream = pyte.Stream(screen)
        for seconds, text in self.written:
            if seconds <= before_s:
                stream.feed(text)
        seen = [*screen.history.top, *(screen.buffer[line] for line in range(LINES))]
        return [[row[column] for column in range(screen.columns)] for row in seen]

    def screens(self) -> Iterator[tuple[float, list[str]]]:
        """What the screen showed after each thing that was written, and when."""
        screen = pyte.Screen(self.columns, LINES)
        stream = pyte.Stream(screen)
        for seconds, text in self.written:
            stream.feed(text)
            yield seconds, [line.rstrip() for line in screen.display]

    def text(self, before_s: float = float("inf"), columns: int | None = None) -> list[str]:
        """The same as text, without the blanks at its ends."""
        lines = ["".join(cell.data for cell in row).rstrip() for row in self.rows(before_s, columns)]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def on_a_terminal(
    words: Sequence[str], cwd: Path, columns: int = 80, environment: Mapping[str, str] | None = None
) -> Recorded:
    """Run a command on a terminal of its own, up to its end."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    wanted = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        wanted.pop(name, None)
    began, written = time.monotonic(), b""
    chunks: list[tuple[float, str]] = []
    with subprocess.Popen(words, cwd=cwd, env=wanted, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        while True:
            try:
                read = os.read(master, 2**16)
            except OSError:  # Linux's word for its end
                break
            if not read:
                break
            written += read
            whole = written.decode(errors="ignore")
            chunks.append((time.monotonic() - began, whole))
            written = written[len(whole.encode()) :]
    os.close(master)
    return Recorded(columns, chunks, process.returncode)
