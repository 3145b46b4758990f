"""What runs that are over left on the disk and nothing needs: older versions kept the checkpoints to go on from."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from mtl_seg_depth.config import Paths, Section
from mtl_seg_depth.records.folder import RunFolder, inside
from mtl_seg_depth.system.errors import UserError


class PruneSettings(Section):
    """What `prune.py` composes."""

    dry_run: bool
    paths: Paths


@dataclass(frozen=True)
class Freed:
    """What a run's folder had too much."""

    folder: Path
    bytes: int


def prune(settings: PruneSettings) -> list[Freed]:
    """Every run that is over and what its checkpoints take, which are removed unless it is a dry run.

    A run that somebody is in, or that cannot be read, is left as it is.
    """
    freed = []
    outputs = Path(settings.paths.outputs)
    for result in sorted(outputs.glob("*/result.json")):
        try:
            folder = RunFolder(inside(outputs, result.parent.name))
            if not folder.leftovers():
                continue
            with nullcontext() if settings.dry_run else folder.locked(wait=False):
                left = folder.leftovers()
                freed.append(Freed(folder.path, sum(path.lstat().st_size for path in left)))
                for path in [] if settings.dry_run else left:
                    path.unlink()
        except UserError:
            continue
    return freed
