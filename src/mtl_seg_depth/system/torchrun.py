"""What torchrun says of this process in its environment, and how processes that it started take turns to speak."""

import os
import time
from datetime import timedelta

SILENCE_S = 3.0


def count() -> int:
    """How many processes train together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This one's number among them."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Its number among those on this machine, each of which has a GPU of its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def may_speak() -> bool:
    """Whether this process is the one to say what went wrong: the first that asks, as mostly all of them met the same.

    The others give it time to do so: torchrun ends all of them when one has.
    """
    if count() == 1:
        return True
    speaks = _asked_first() if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else rank() == 0
    if not speaks:
        time.sleep(SILENCE_S)
    return speaks


def _asked_first() -> bool:
    """Whether nobody asked before, by a counter that torchrun itself keeps for its processes."""
    from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]  # not at a start

    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        asked: int = TCPStore(*place, timeout=timedelta(seconds=SILENCE_S)).add(f"mtl_seg_depth/speaks/{attempt}", 1)
    except DistError:  # torchrun itself is gone
        return True
    return asked == 1
