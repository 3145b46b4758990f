import math
import os
import pickle
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.system.errors import UserError

CPU = torch.device("cpu")


class Malicious:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    odd = torch.tensor([math.nan, -0.0, math.inf, 1e-45])
    saved = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "half": torch.randn(5).bfloat16(),
        "odd": odd,
        "plain": {"step": 3, "rank": (70.5, -1e-300), "names": ["a", "b"], "nothing": None, "nan": math.nan},
    }
    checkpoint.save(tmp_path / "last.pt", saved)
    loaded = checkpoint.load(tmp_path / "last.pt", CPU)
    assert list(loaded) == list(saved)
    assert loaded["odd"].view(torch.int32).tolist() == odd.view(torch.int32).tolist()
    assert math.isnan(loaded["plain"].pop("nan"))
    assert loaded["plain"] == {"step": 3, "rank": (70.5, -1e-300), "names": ["a", "b"], "nothing": None}
    for key in ("network", "half", "optimizer"):
        torch.testing.assert_close(loaded[key], saved[key], rtol=0, atol=0)
    optimizer.load_state_dict(loaded["optimizer"])


def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path):
    harm, path = tmp_path / "harm", tmp_path / "last.pt"
    for write in (
        lambda: path.write_bytes(pickle.dumps(Malicious(harm), 2)),
        lambda: torch.save({"x": Malicious(harm)}, path),
        lambda: checkpoint.save(path, {"x": Malicious(harm)}),  # its checksum is right
    ):
        write()
        with pytest.raises(UserError, match=r"last\.pt") as refused:
            checkpoint.load(path, CPU)
        assert not harm.exists()
    assert "it holds more than tensors and plain values" in str(refused.value)
    torch.load(path, weights_only=False)  # what it would have done
    assert harm.exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.randn(1000)})
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(UserError, match=r"last\.pt is damaged"):
        checkpoint.load(path, CPU)


def test_something_else_than_a_checkpoint_is_refused(tmp_path):
    checkpoint.save(tmp_path / "list.pt", [torch.zeros(3)])
    with pytest.raises(UserError, match=r"list\.pt is no checkpoint of ours: it holds a list"):
        checkpoint.load(tmp_path / "list.pt", CPU)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch, error):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"step": 1})
    before = path.read_bytes()

    def fail_halfway(state, file):
        file.write(before[:100])
        raise error

    monkeypatch.setattr(torch, "save", fail_halfway)
    with pytest.raises(type(error)):
        checkpoint.save(path, {"step": 2})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "last.pt"
    for step in (1, 2):
        checkpoint.save(path, {"step": step})
    assert checkpoint.load(path, CPU) == {"step": 2}
    assert list(tmp_path.iterdir()) == [path]


STATE = {"network": {"weight": torch.linspace(-1, 1, 300)}, "state": {"step": 7, "best": {"val/multitask": 40.5}}}


@pytest.fixture
def whole(tmp_path):
    checkpoint.save(tmp_path / "last.pt", STATE)
    return (tmp_path / "last.pt").read_bytes()


def refused(path):
    """Whether it is seen that the file is damaged."""
    try:
        checkpoint.load(path, CPU)
    except checkpoint.DamagedCheckpointError as error:
        return "last.pt is damaged" in str(error)
    return False


def test_torch_alone_reads_what_we_save_and_does_not_see_a_flipped_bit(tmp_path, whole):
    """Why there is a checksum."""
    path = tmp_path / "last.pt"
    assert torch.load(path, weights_only=True)["network"]["weight"].equal(STATE["network"]["weight"])
    flipped = bytearray(whole)
    flipped[whole.index(STATE["network"]["weight"].numpy().tobytes()) + 402] ^= 1
    path.write_bytes(flipped)
    assert not torch.load(path, weights_only=True)["network"]["weight"].equal(STATE["network"]["weight"])
    assert refused(path)


def test_any_flipped_bit_is_found(tmp_path, whole, extent, observed):
    chance, path, found = random.Random(0), tmp_path / "last.pt", []
    for _ in range(extent(300, 20_000)):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        found.append(refused(path))
    assert all(found)
    observed("a checkpoint of which a bit is another is refused", flipped=len(found), undetected=found.count(False))


def test_any_torn_write_is_found(tmp_path, whole, extent, observed):
    """Power fails: the file ends early, or a part of it was never written and reads as zeros or as what was there."""
    chance, path, found = random.Random(1), tmp_path / "last.pt", []
    before = checkpoint_bytes(tmp_path / "before.pt", {**STATE, "state": {"step": 6, "best": {"val/multitask": 40.5}}})
    for _ in range(extent(100, 5000)):
        start = chance.randrange(len(whole) - 1)
        end = chance.randrange(start + 1, len(whole))
        for damaged in (
            whole[:start],
            whole[:start] + bytes(end - start) + whole[end:],
            whole[:start] + before[start:end] + whole[end:],
            whole + whole[start:end],
        ):
            if damaged != whole:
                path.write_bytes(damaged)
                found.append(refused(path))
    assert all(found)
    observed("a checkpoint that was half written is refused", torn=len(found), undetected=found.count(False))


def checkpoint_bytes(path, state):
    checkpoint.save(path, state)
    return path.read_bytes()


def test_a_disk_that_gives_back_something_else_is_noticed_before_the_old_file_goes(tmp_path, whole, monkeypatch):
    path = tmp_path / "last.pt"
    original = torch.save

    def lossy(state, sealed):
        write = sealed.file.write
        sealed.file = SimpleNamespace(write=lambda data: write(bytes(data).replace(b"weight", b"height")))
        original(state, sealed)

    monkeypatch.setattr(torch, "save", lossy)
    with pytest.raises(OSError, match="does not give back what was written"):
        checkpoint.save(path, {"weight": 8}, previous=tmp_path / "previous.pt")
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_before_is_kept_where_told(tmp_path):
    path, previous = tmp_path / "last.pt", tmp_path / "last.previous.pt"
    for step in range(3):
        checkpoint.save(path, {"step": step}, previous)
    assert checkpoint.load(path, CPU) == {"step": 2}
    assert checkpoint.load(previous, CPU) == {"step": 1}


def test_a_full_disk_is_an_os_error_with_its_reason(tmp_path):
    """torch makes a RuntimeError of it, which nobody upstream would take for a full disk."""
    code = f"""
import errno, resource, signal
from pathlib import Path
import torch
from mtl_seg_depth.records import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save(Path({str(tmp_path)!r}, "last.pt"), {{"weights": torch.zeros(100_000)}})
except OSError as error:
    assert error.errno == errno.EFBIG
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.pt cannot be read: No such file"):
        checkpoint.load(tmp_path / "none.pt", CPU)
