"""What torchrun says of this process in its environment, and how processes that it started take turns to speak."""

import os
import time

MOST_SECONDS_OF_SILENCE = 5.0


def count() -> int:
    """How many processes train together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This one's number among them."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Its number among those on this machine, each of which has a GPU of its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def give_way() -> None:
    """Let the processes before this one be the first to say what went wrong: mostly, all of them met the same.

    torchrun ends them all when one has failed, so that usually nobody comes back from here.
    """
    time.sleep(min(rank(), MOST_SECONDS_OF_SILENCE))
