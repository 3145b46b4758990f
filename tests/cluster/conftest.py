"""What the tests of clusters share: they run where `make cluster` has installed what they need."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import postgres_server, sweeps_in

SWITCH = "MTL_SEG_DEPTH_CLUSTER"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Not in `make test`, however much is installed: a cluster takes minutes."""
    if not os.environ.get(SWITCH):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="make cluster runs it"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server."""
    if reason := postgres_server.missing():
        pytest.skip(reason)
    with postgres_server.running() as address:
        yield address


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """One whose name leaves room for those of sockets, which take 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="cluster_") as folder:
        yield Path(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweeps_in.prepare(tmp_path)
