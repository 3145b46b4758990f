"""What only a GPU can show: the host hands out work and never waits for it."""

import pytest
import torch
from helpers.composing import options
from helpers.two_tasks import batch, configured, step_with

OPTIONS = [option for option in options("task_weights") if not option.startswith("w0")]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("option", OPTIONS)
def test_the_host_never_waits_for_the_device(option: str) -> None:
    step = step_with(configured(f"task_weights={option}"), device="cuda")
    batches = [batch(number, "cuda") for number in range(3)]
    step(batches[0], 0.01)  # libraries start up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for one in batches:
            step(one, 0.01)
    finally:
        torch.cuda.set_sync_debug_mode("default")
