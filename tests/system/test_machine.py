"""Memory is kept: in a process of its own, since it cannot be undone. Cores are counted as the system limits them."""

import ast
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mtl_seg_depth.system.machine import SPINS, quota, usable_cores

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


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, math.inf),
        ({"proc/self/cgroup": "0::/\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "150000 100000\n"}, 1.5),
        (  # the limit of a job holds for its steps
            {
                "proc/self/cgroup": "0::/job/step\n",
                "sys/fs/cgroup/job/step/cpu.max": "max 100000\n",
                "sys/fs/cgroup/job/cpu.max": "400000 100000\n",
            },
            4,
        ),
        (  # version 1, in a container that does not see the host's path
            {
                "proc/self/cgroup": "5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n3:cpuset:/docker/1f\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/job\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
    ],
)
def test_cores_are_what_control_groups_leave(files: Mapping[str, str], cores: float, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota(tmp_path) == cores


ONE_CORE = """
import os
from mtl_seg_depth.system.machine import usable_cores
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(usable_cores())
"""


def test_cores_are_what_the_affinity_leaves() -> None:
    done = subprocess.run([sys.executable, "-c", ONE_CORE], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1


SPINNING = """
import os
from mtl_seg_depth.system import machine
machine.os.cpu_count = lambda: machine.usable_cores() + 1
machine.settle_threads()
print({name: os.environ.get(name) for name in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")})
"""


@pytest.mark.parametrize(
    ("chosen", "spins", "threads"),
    [
        ({}, str(SPINS), str(usable_cores())),
        ({"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "3"}, "7", "3"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None, str(usable_cores())),
    ],
)
def test_threads_wait_and_are_as_many_as_the_environment_says(
    chosen: Mapping[str, str], spins: str | None, threads: str
) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | dict(chosen)
    done = subprocess.run([sys.executable, "-c", SPINNING], capture_output=True, text=True, check=True, env=environment)
    assert ast.literal_eval(done.stdout) == {"GOMP_SPINCOUNT": spins, "OMP_NUM_THREADS": threads}
