import math
import os
import pickle

import pytest
import torch

from mtl_seg_depth import checkpoint
from mtl_seg_depth.errors import UserError

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
        lambda: torch.save({"x": Malicious(harm)}, path),
        lambda: path.write_bytes(pickle.dumps(Malicious(harm), 2)),
    ):
        write()
        with pytest.raises(UserError, match=r"last\.pt"):
            checkpoint.load(path, CPU)
        assert not harm.exists()
    pickle.loads(path.read_bytes())  # what it would have done
    assert harm.exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.randn(1000)})
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(UserError, match=r"last\.pt is damaged"):
        checkpoint.load(path, CPU)


def test_something_else_than_a_checkpoint_is_refused(tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    with pytest.raises(UserError, match=r"list\.pt is no checkpoint of ours: it holds a list"):
        checkpoint.load(tmp_path / "list.pt", CPU)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch, error):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"step": 1})
    before = path.read_bytes()

    def fail_halfway(state, temporary):
        temporary.write_bytes(before[:100])
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
