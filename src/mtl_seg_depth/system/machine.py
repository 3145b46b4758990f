"""What is settled once for a process, before anything is computed."""

import ctypes
import os

KEEP_BYTES = (1 << 31) - 1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


def usable_cores() -> int:
    """How many of the processor's cores this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
