"""Quick forms of tests for every change, long ones for `make trust`."""

import os
from typing import Any

import pytest

OBSERVATIONS = "MTL_SEG_DEPTH_OBSERVATIONS"
"""Environment variable: a file to add what tests observed to. Where it is set, tests take their long form."""

LONG = bool(os.environ.get(OBSERVATIONS))

only_long = pytest.mark.skipif(not LONG, reason="make trust runs it")


def quick_or_long(*quick: Any, long: tuple[Any, ...] = ()) -> list[Any]:
    """Parameters of a test: the first ones in its quick form, all of them in the long one."""
    return [*quick, *(long if LONG else ())]
