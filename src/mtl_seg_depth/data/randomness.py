"""Random numbers as pure functions of where they are used, so that continuing a run needs no generator's state."""

import zlib

import numpy as np
import torch


def generator(*place: int | str) -> torch.Generator:
    """A CPU generator for one use, such as `generator(seed, epoch, "flip")`; different places are independent."""
    return torch.Generator().manual_seed(seed_of(*place))


def seed_of(*place: int | str) -> int:
    """63 bits for one place, for a generator that is there already."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in place]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
