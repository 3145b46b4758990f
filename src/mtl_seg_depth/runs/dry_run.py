"""One training checked, and not run."""

from pathlib import Path

from rich.console import Console

from mtl_seg_depth.config import Settings, fingerprint
from mtl_seg_depth.runs.assembly import assemble, automatic_name, resolve
from mtl_seg_depth.runs.contents import SPLITS, Contents
from mtl_seg_depth.runs.pace import Pace
from mtl_seg_depth.runs.run import folder_of
from mtl_seg_depth.system.wording import duration


def dry_run(settings: Settings, console: Console) -> None:
    """Check one training, and say whether and how long it would run. Raises UserError for what does not fit."""
    settings, device = resolve(settings, dry=True)
    parts = assemble(settings, device, dry=True)
    data = Contents(pack=False).of(settings)
    if folder_of(settings, data).result is not None:
        guess = "trained before" if data.keys() >= set(SPLITS) else "trained before, if the data are the same"
    else:
        seconds = Pace(Path(settings.paths.outputs)).seconds(settings, parts.plan.steps)
        guess = "no finished run here tells how long" if seconds is None else f"about {duration(seconds)}"
    batch, minutes = settings.schedule.batch_size, settings.schedule.minutes
    length = f"{parts.plan.steps} steps of {batch}"
    if minutes is not None:
        length = f"as many steps of {batch} as fit into {duration(60 * minutes)}"
    console.print(
        f"{automatic_name(settings)} ({fingerprint(settings)}): {length} on {device}, {settings.precision}, "
        f"{parts.parameters / 1e6:.2f} M parameters; " + guess,
        highlight=False,
        soft_wrap=True,
    )
