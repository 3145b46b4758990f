"""Shared by all tests; its place here also lets them import the helpers beside it, such as `tiny_data`."""

import os
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
    """A copy of the trained folder's runs; the data are shared, and so are the checkpoints: not to be written into."""

    def copy_or_link(source: str, target: str) -> None:
        (os.link if source.endswith(".pt") else shutil.copy2)(source, target)

    shutil.copytree(trained_folder / "outputs", tmp_path / "outputs", copy_function=copy_or_link)
    (tmp_path / "data").symlink_to(trained_folder / "data")
    return tmp_path
