"""Shared by the tests of networks."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These images are tiny: more threads cost more than they bring, above all where others want the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def of_the_real_network(real_resnets: None) -> None:
    """What is said of a network here is said of the one that people train."""
