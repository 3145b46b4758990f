"""Photos and trained networks that several of these files look at."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.exported import Make, one_thread, trainer
from helpers.photographs import picture, save


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos, one of them in a folder below."""
    folder = tmp_path / "my photos"
    save(folder / "b.png", picture(33, 51))
    save(folder / "été" / "a street (1).JPG", picture(48, 40))
    return folder


@pytest.fixture(scope="module")
def runs(real_resnets: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Trains networks by name, each once; while it is there, torch has one thread."""
    with one_thread():
        yield trainer(tmp_path_factory.mktemp("runs"))
