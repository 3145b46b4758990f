"""Shared by all tests; its place here also lets them, and the processes they start, import `helpers`."""

import json
import os
import shutil
from collections import defaultdict
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


LONGEST = (
    *("test_sweep", "test_tables", "test_launchers", "test_benchmarks", "test_kills", "test_training"),
    *(
        "test_signals",
        "test_export",
        "test_names",
        "test_faults",
        "test_installed",
        "test_config",
        "test_graphed_step",
        "test_mistakes",
    ),
    *("test_placement", "test_cli", "test_served", "test_study_database", "test_tracking", "test_damaged_accounts"),
)
"""Files, the longest first, where nothing is known of this machine."""
SECONDS = "mtl_seg_depth/seconds"
"""What every test took when it last ran, in pytest's cache."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest file first: begun last, one of them would keep a single process busy while the others are idle."""
    known = last_seconds(config)
    files: dict[Path, float] = defaultdict(float)
    for item in items:
        files[item.path] += known.get(item.nodeid, 0.0)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (-files[item.path], rank.get(item.path.stem, len(rank)), item.path))


def last_seconds(config: pytest.Config) -> dict[str, float]:
    cache = getattr(config, "cache", None)  # there is none with -p no:cacheprovider
    return dict(cache.get(SECONDS, {})) if cache else {}


class Stopwatch:
    """Keeps what tests took for the next run; in the process that hands them out, which hears of all of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if cache := getattr(session.config, "cache", None):
            cache.set(SECONDS, {**last_seconds(session.config), **self.seconds})


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # one of xdist's
        config.pluginmanager.register(Stopwatch())


@pytest.fixture(scope="session", autouse=True)
def small_networks() -> Iterator[pytest.MonkeyPatch]:
    """What is trained in this process is small: see helpers/small_resnets.py."""
    from helpers import small_resnets

    with pytest.MonkeyPatch.context() as patch:
        small_resnets.install(patch)
        yield patch


@pytest.fixture(scope="module")
def real_resnets(small_networks: pytest.MonkeyPatch) -> Iterator[None]:
    """torchvision's own, for tests of the networks themselves."""
    from helpers import small_resnets

    small_networks.undo()
    yield
    small_resnets.install(small_networks)


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
