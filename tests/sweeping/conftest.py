"""What tests of sweeps share."""

import pytest

from mtl_seg_depth.training.loop import Training


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The run folders whose training loop was entered, in order."""
    entered: list[str] = []
    original = Training.run

    def run(self: Training) -> str:
        entered.append(self.record.folder.name)
        return original(self)

    monkeypatch.setattr(Training, "run", run)
    return entered
