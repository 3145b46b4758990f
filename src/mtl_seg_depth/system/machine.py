"""What is settled once for a process, before anything is computed."""

import ctypes
import math
import os
from pathlib import Path

KEEP_BYTES = (1 << 31) - 1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""

SPINS = 3_000
"""How often a thread of OpenMP looks whether the others are done before it sleeps.

The fewest that cost nothing on a quiet machine; on a busy one a step takes about half as long as with OpenMP's own
300 000 (benchmarks/openmp_wait.py).
"""


def usable_cores() -> int:
    """How many of the processor's cores this process may use: by its affinity, and by the quota of its control group,
    which containers and batch systems set; os.cpu_count() knows neither."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(mine, quota())))  # two threads on a core and a half would wait for each other


def quota(root: Path = Path("/")) -> float:
    """The cores' worth of time that control groups leave this process, of either version; inf without a limit.

    A limit holds for all groups below it. In a container the path of the own group may be the host's, which is not to
    be seen: then the container's own group is the top that is.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    least = math.inf
    for _, controllers, path in (line.split(":", 2) for line in groups):
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        for folder in (top / path.strip("/"), *(top / path.strip("/")).parents):
            if folder.is_relative_to(top):
                least = min(least, _limit(folder))
    return least


def _limit(group: Path) -> float:
    """Of one group: cpu.max of version 2 ("max 100000"), or the two files of version 1, where -1 is no limit."""
    try:
        if (both := group / "cpu.max").exists():
            quota, period = both.read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except OSError:
        return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)


def settle_threads() -> None:
    """Let OpenMP's threads share the cores with whoever else is there. To be called before torch, and its OpenMP, are
    loaded; what the environment says already stands."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    if usable_cores() < (os.cpu_count() or 1):  # OpenMP knows the affinity, and no quota
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def settle_memory() -> None:
    """Let the process keep its memory, in large pages, instead of asking the system anew in every step.

    A step's tensors are freed and allocated again all the time, and by default each large one is new memory, zeroed
    page by page: some 15 000 page faults a step of a ResNet34 at 256 x 256. To be called before torch is imported.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for transparent large pages
    # What `deterministic=true` takes of cuBLAS, which looks at it once in a process: at its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc alone has it
        libc.mallopt(M_MMAP_THRESHOLD, KEEP_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
