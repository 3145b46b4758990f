"""Shared by all tests; its place here also lets them import the helpers beside it, such as `tiny_data`."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines are shared and slow at times: how long an example takes says nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny data and two trained runs; not to be written to."""
    from trained_runs import train_two

    return train_two(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A copy of the trained folder's runs; the data are shared."""
    shutil.copytree(trained_folder / "outputs", tmp_path / "outputs")
    (tmp_path / "data").symlink_to(trained_folder / "data")
    return tmp_path
