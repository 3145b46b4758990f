"""The moving average of a network's weights: the recursion itself, and what a training makes of it."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.composing import tiny
from helpers.two_tasks import TASKS, Tiny, batch, configured, step_with

from mtl_seg_depth.config import fingerprint, identity
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.training.averaging import MovingAverage

DECAY = 0.3
"""Below what the first updates keep from the third on: 2/11, 3/12, 4/13, ..."""


def changed(network: Any, number: int) -> Any:
    """The network with other weights and statistics."""
    torch.manual_seed(number)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.rand(value.shape) if value.is_floating_point() else torch.tensor(number))
    return network


def test_it_is_the_recursion_and_counters_are_copied() -> None:
    network: Any = Tiny()
    average = MovingAverage(network, DECAY)
    expected = {name: value.double().numpy().copy() for name, value in network.state_dict().items()}
    for number in range(1, 6):
        changed(network, number)
        average.update(network)
        keep = min(DECAY, (1 + number) / (10 + number))
        for name, value in network.state_dict().items():
            new = value.double().numpy()
            expected[name] = keep * expected[name] + (1 - keep) * new if value.is_floating_point() else new.copy()
    for name, value in average.network.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-5, err_msg=name)


def test_it_leaves_the_network_alone_and_asks_for_no_gradient() -> None:
    network: Any = Tiny()
    average = MovingAverage(network, 0.9)
    before = copy.deepcopy(changed(network, 1).state_dict())
    average.update(network)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    kept = copy.deepcopy(average.network.state_dict())
    changed(network, 2)
    assert all(value.equal(kept[name]) for name, value in average.network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in average.parameters())


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, float("nan")])
def test_a_decay_that_makes_no_sense_is_refused(decay: float) -> None:
    network: Any = Tiny()
    with pytest.raises(ValueError, match="share between 0 and 1"):
        MovingAverage(network, decay)


def test_a_step_trains_as_without_it() -> None:
    plain, averaged = (step_with(configured("task_weights=equal")) for _ in range(2))
    averaged.average = MovingAverage(averaged.network, 0.9)
    for number in range(4):
        plain(batch(number), 0.01)
        averaged(batch(number), 0.01)
    for name, value in plain.network.state_dict().items():
        assert value.equal(averaged.network.state_dict()[name])
    assert averaged.average.updates == 4
    assert plain.scored_network is plain.network
    assert averaged.scored_network is averaged.average.network
    assert averaged.scored_network.tasks == TASKS


class TestConfig:
    def test_without_one_the_fingerprint_is_as_before_there_was_one(self, tmp_path: Path) -> None:
        assert "ema" not in identity(tiny(tmp_path))
        keys = {fingerprint(tiny(tmp_path, *more)) for more in ([], ["ema=null"], ["ema=0.99"], ["ema=0.999"])}
        assert len(keys) == 3

    @pytest.mark.parametrize("decay", ["0", "1", "1.5", "-1", "nan", "fast"])
    def test_a_wrong_decay_is_named(self, decay: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"^ema="):
            tiny(tmp_path, f"ema={decay}")
