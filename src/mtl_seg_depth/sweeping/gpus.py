"""Which of a machine's GPUs each of several workers gets."""

import itertools
import os

import torch

from mtl_seg_depth.system.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: by number or UUID.

    They are counted by the driver's management library: no context is made, which would take memory of the first one.
    """
    listed = os.environ.get(VISIBLE)
    if listed is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    # CUDA takes no notice of what follows an impossible one, which -1 is.
    return list(itertools.takewhile(lambda each: each and not each.startswith("-"), map(str.strip, listed.split(","))))


def shares(workers: int, *, each: int = 1, per_gpu: int = 1) -> list[dict[str, str]]:
    """What shows every worker its own GPUs; nothing if there are none.

    Args:
        workers: how many there are to be.
        each: the GPUs that one of them takes.
        per_gpu: how many of them may take the same one.

    Raises UserError for more workers than GPUs allow.
    """
    gpus = visible_gpus()
    if not gpus:
        return [{} for _ in range(workers)]
    if each > 1 and per_gpu > 1:
        raise UserError(f"hydra.sweeper.workers_per_gpu={per_gpu}: trials of {each} GPUs have those to themselves")
    if workers * each > len(gpus) * per_gpu:
        there = f"there {'is 1 GPU' if len(gpus) == 1 else f'are {len(gpus)} GPUs'} here"
        if each > 1:
            raise UserError(f"hydra.sweeper.n_jobs={workers} with hydra.sweeper.gpus_per_trial={each}: {there}")
        least = -(-workers // len(gpus))
        raise UserError(
            f"hydra.sweeper.n_jobs={workers}: {there}, for a worker each; "
            f"hydra.sweeper.workers_per_gpu={least} lets {least} of them share one"
        )
    taken = [[gpus[(worker * each + place) % len(gpus)] for place in range(each)] for worker in range(workers)]
    return [{VISIBLE: ",".join(one)} for one in taken]
