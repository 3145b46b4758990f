"""Shared by all tests; its place here also lets them, and the processes they start, import `helpers`."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.lengths import LONG, OBSERVATIONS
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from helpers.commands import Commands

os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

# Machines are shared and slow at times: how long an example takes says nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


LONGEST = ("test_kills", "test_benchmarks", "test_training", "test_sweep", "test_launchers", "test_tables")
"""Files, the longest first. Begun last, one of them would keep a single process busy for minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session", autouse=True)
def narrow_resnet18() -> Iterator[pytest.MonkeyPatch]:
    """What is trained in this process is small: see helpers/narrow.py."""
    from helpers import narrow

    with pytest.MonkeyPatch.context() as patch:
        narrow.install(patch)
        yield patch


@pytest.fixture(scope="module")
def real_resnet18(narrow_resnet18: pytest.MonkeyPatch) -> Iterator[None]:
    """torchvision's own, for tests of the network itself."""
    from helpers import narrow

    narrow_resnet18.undo()
    yield
    narrow.install(narrow_resnet18)


@pytest.fixture(scope="session")
def extent() -> Callable[[int, int], int]:
    """How much of something to try: the first number in `make test`, the second in `make trust`."""
    return lambda quick, long: long if LONG else quick


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Tells `make trust` what a test saw: the promise that held, and the numbers for docs/trust.md."""

    def write(promise: str, **numbers: float | str) -> None:
        path = os.environ.get(OBSERVATIONS)
        if path:
            line = {"test": request.node.nodeid, "promise": promise, "numbers": numbers}
            with Path(path).open("a") as file:
                file.write(json.dumps(line) + "\n")

    return write


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Commands"]:
    """Runs `train.py`, `evaluate.py` and the like in a moment: see helpers/commands.py."""
    from helpers.commands import serving

    with serving(tmp_path_factory.mktemp("printed")) as commands:
        yield commands


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny data and two trained runs; not to be written to."""
    from helpers.trained_runs import train_two

    return train_two(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty tracking database to copy: migrations take seconds."""
    from mtl_seg_depth.tracking import prepare_store

    path = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    prepare_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A copy of the trained folder's runs; the data are shared, and so are the checkpoints: not to be written into."""

    def copy_or_link(source: str, target: str) -> None:
        (os.link if source.endswith(".pt") else shutil.copy2)(source, target)

    shutil.copytree(trained_folder / "outputs", tmp_path / "outputs", copy_function=copy_or_link)
    (tmp_path / "data").symlink_to(trained_folder / "data")
    return tmp_path
