"""What is tracked, as it arrives in a zip file or on Windows."""

import ast
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


def test_what_is_printed_is_text_whatever_brackets_a_name_has() -> None:
    """No console of ours reads markup, so that nothing has to be escaped: what has a style is a `Text`."""
    calls = [
        (path.name, call)
        for path in [*ROOT.glob("*.py"), *(ROOT / "src").rglob("*.py")]
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]
    consoles = [(name, call) for name, call in calls if call.func.id == "Console"]  # type: ignore[attr-defined]
    assert len(consoles) > 8
    assert [name for name, call in consoles if "markup=False" not in ast.unparse(call)] == []
    assert [name for name, call in calls if call.func.id == "TextColumn" and "markup" not in ast.unparse(call)] == []  # type: ignore[attr-defined]


def test_every_test_that_the_pages_name_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "trust.md").read_text()))
    assert len(named) > 100
    gone = [
        (path, name)
        for path, name in named
        if not re.search(rf"(def|class) {name}\b" if name else "", (ROOT / path).read_text())
    ]
    assert not gone
