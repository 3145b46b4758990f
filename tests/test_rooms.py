"""The map in CONTRIBUTING.md is true: rooms import rooms below them alone, and no import leads back."""

import ast
import re
from pathlib import Path

import pytest
from helpers.composing import ROOT

SRC = ROOT / "src"
PACKAGE = "mtl_seg_depth"


def rooms_of_the_map() -> list[str]:
    """The rooms as the map lists them, from the top down; those of one line stand beside each other."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.search(r"^src/mtl_seg_depth/\n(.*?)^\S", text, re.MULTILINE | re.DOTALL)
    assert found, "CONTRIBUTING.md has a map of src/mtl_seg_depth/"
    return re.findall(r"^  (\w+)(?:/|\.py) ", found[1], re.MULTILINE)


def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports, wherever in it; those for type checkers alone are left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if all(map(file_of, names)) else {node.module, *names}
    return {name for name in found if name.startswith(f"{PACKAGE}.") and file_of(name) is not None}


def file_of(module: str) -> Path | None:
    base = SRC / Path(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def module_of(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted((SRC / PACKAGE).rglob("*.py"))}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_is_on_the_map_and_nothing_else_is() -> None:
    there = {room(module) for module in FILES} - {""}
    assert set(rooms_of_the_map()) == there


@pytest.mark.parametrize("module", [module for module in FILES if room(module)])
def test_no_room_imports_from_a_room_above_it(module: str) -> None:
    order = rooms_of_the_map()
    upward = [name for name in imports(FILES[module]) if order.index(room(name)) < order.index(room(module))]
    assert not upward


def test_no_import_leads_back_to_where_it_came_from() -> None:
    below = {module: imports(path) & set(FILES) - {module} for module, path in FILES.items()}
    # A room's own __init__ is loaded with any of its files: what it hands out is not an import of theirs.
    state: dict[str, str] = {}
    trail: list[str] = []

    def visit(module: str) -> None:
        state[module] = "open"
        trail.append(module)
        for other in sorted(below[module]):
            assert state.get(other) != "open", f"a circle: {' -> '.join([*trail[trail.index(other) :], other])}"
            if other not in state:
                visit(other)
        trail.pop()
        state[module] = "closed"

    for module in FILES:
        if module not in state:
            visit(module)
