"""What every worker gets of the machine."""

import pytest
import torch

from mtl_seg_depth.sweeping.workers import gpu_of


@pytest.mark.parametrize(
    ("visible", "there", "expected"),
    [
        (None, 0, [None, None, None]),
        (None, 1, [None, None, None]),
        (None, 2, ["0", "1", "0"]),
        ("", 0, [None, None, None]),
        ("3", 1, [None, None, None]),
        ("3,1", 2, ["3", "1", "3"]),
        ("GPU-8f,GPU-2a,GPU-00", 3, ["GPU-8f", "GPU-2a", "GPU-00"]),
    ],
)
def test_each_worker_has_a_gpu_of_its_own_of_those_that_may_be_used(
    visible: str | None, there: int, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu_of(worker).get("CUDA_VISIBLE_DEVICES") for worker in range(3)] == expected
