"""One process alone is a group of one, and what cannot meet says where."""

import socket

import pytest
import torch

from mtl_seg_depth.system import torchrun
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.processes import ALONE, Agreement, averaged, batch_mean, largest, together, total, whole

CPU = torch.device("cpu")


def test_alone_nothing_waits_and_nothing_changes() -> None:
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    assert total(value) is largest(value) is whole(value) is value
    averaged([value])()
    assert batch_mean(value.sum(), torch.tensor(0)).item() == 3
    with together(CPU) as processes:
        assert processes == ALONE
        assert processes.from_first("said") == "said"
        assert processes.first_before(lambda: "done") == "done"
        processes.require_same({"data": "any"})
    assert Agreement(ALONE)(True, 3.0) == (True, 3.0)


def test_a_port_that_another_program_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)):
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=f"does not meet the others at 127.0.0.1:{port} "), together(CPU):
            pass


def test_without_torchrun_every_process_speaks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torchrun.may_speak()
    monkeypatch.setattr(torchrun, "SILENCE_S", 0.0)
    for rank, speaks in (("0", True), ("1", False)):  # several processes, and nobody to ask who was first
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        assert torchrun.may_speak() is speaks
