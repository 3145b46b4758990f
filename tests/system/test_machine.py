"""Memory is kept: in a process of its own, since it cannot be undone."""

import subprocess
import sys

FAULTS = """
import resource, sys
if sys.argv[1] == "settled":
    from mtl_seg_depth.system.machine import settle_memory
    settle_memory()
import torch
def work():
    for _ in range(20):
        torch.zeros(16 << 20)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_large_tensors_take_the_memory_of_those_before_them() -> None:
    settled = faults("settled")
    assert settled < 1000  # 20 tensors of 16 384 pages
    assert settled <= faults("unsettled")  # few too where the system gives large pages to everyone
