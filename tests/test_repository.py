"""What is tracked, as it arrives in a zip file or on Windows."""

import re
import subprocess

import pytest
from helpers.composing import ROOT


def test_nothing_tracked_is_a_symbolic_link() -> None:
    """Zip files and Windows lose links: a folder would arrive as a file that holds a path."""
    listed = subprocess.run(["git", "ls-files", "--stage"], capture_output=True, text=True, cwd=ROOT, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    entries = [line.partition("\t") for line in listed.stdout.splitlines()]
    assert entries
    assert [path for mode, _, path in entries if mode.startswith("120000")] == []


def test_every_test_that_the_pages_name_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "trust.md").read_text()))
    assert len(named) > 100
    gone = [
        (path, name)
        for path, name in named
        if not re.search(rf"(def|class) {name}\b" if name else "", (ROOT / path).read_text())
    ]
    assert not gone
