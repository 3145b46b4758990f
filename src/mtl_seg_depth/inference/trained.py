"""Networks that were trained before: found by what people call them, and built again from their own config."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator

from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.nodes import build
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.folder import RunFolder, check_links
from mtl_seg_depth.records.results import Card, Digests, Mirrored, other_data
from mtl_seg_depth.runs.assembly import build_network
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest
from mtl_seg_depth.tasks.configured import configured_tasks, read_specs
from mtl_seg_depth.tasks.task import Task

SHORTEST_REFERENCE = 6
"""Digits of a fingerprint or an MLflow run id that are taken for one."""


def _as_written(value: Any) -> Any:
    """A reference whose digits a command line took for a number, as text again."""
    if isinstance(value, float):
        raise ValueError("the command line takes this for a number; write run='\"...\"', or more of it")
    return str(value) if isinstance(value, int) else value


Reference = Annotated[str | None, BeforeValidator(_as_written)]
"""How people name a run in a command; None if they did not."""


@dataclass(frozen=True)
class Trained:
    """A network with its best weights, in evaluation mode, and where it comes from."""

    network: Network
    tasks: dict[str, Task]
    """Those that the network has, for data like those that it was trained on."""
    source: DataSet
    """The data set it was trained on, as configured there; nothing of it is read yet."""
    settings: Settings
    fingerprint: str
    step: int
    """The optimiser step of these weights."""
    scores: dict[str, float]
    """Validation scores of these weights, by name."""
    name: str
    """What people call the run; the file's name for a checkpoint that lies elsewhere."""
    folder: Path | None
    """The run's folder; None for a checkpoint that lies elsewhere."""
    data: Digests
    """Of what it was trained and validated on, as far as they are known."""


def find_checkpoint(reference: str | None, outputs: Path) -> Path:
    """The best weights of a run that `reference` names.

    A reference is a checkpoint's path, a run folder or its name, a run's name, or the beginning of its fingerprint or
    of its MLflow run id; of several runs of one config on the same data it is the newest. Raises UserError if none
    fits, or more than one config, or runs on different data.
    """
    runs = dict(_runs(outputs))
    if reference is None:
        raise UserError(f"run=<which one?> {_listed(runs, outputs)}")
    path = Path(reference).expanduser()
    for folder in (path, outputs / reference):
        if (folder / "best.pt").is_file():
            return folder / "best.pt"
        if (folder / "run.json").is_file():
            raise UserError(f"run={reference}: it has no best weights; it was not validated yet, or diverged before")
    if path.is_file():
        return path
    fitting = {folder: card for folder, card in runs.items() if _fits(reference, folder, card)}
    if not fitting:
        close = nearest(reference, {name for folder, card in runs.items() for name in (folder.name, card.name)})
        hint = f"did you mean {' or '.join(close)}?" if close else _listed(runs, outputs)
        raise UserError(f"run={reference}: no run in {outputs} is called so; {hint}")
    if len({card.fingerprint for card in fitting.values()}) > 1:
        raise UserError(f"run={reference} fits several runs; {_listed(fitting, outputs)}")
    newest = max(fitting, key=lambda folder: fitting[folder].started)
    data = RunFolder(newest).data
    if any(other_data(RunFolder(folder).data, data) for folder in fitting):
        raise UserError(f"run={reference} fits runs of one config on different data; {_listed(fitting, outputs)}")
    return newest / "best.pt"


def _listed(runs: Collection[Path], outputs: Path, most: int = 8) -> str:
    names = sorted(folder.name for folder in runs)
    if not names:
        return f"no run in {outputs} has best weights"
    more = f" and {len(names) - most} more in {outputs}" if len(names) > most else ""
    return f"there are {', '.join(names[:most])}{more}"


def _runs(outputs: Path) -> Iterator[tuple[Path, Card]]:
    """Every run folder with best weights, and its identity card."""
    for path in sorted(outputs.glob("*/run.json")):
        if (path.parent / "best.pt").is_file():
            card = stored.find(path, Card)  # one that is damaged stops no other
            if card is not None:
                yield path.parent, card


def _fits(reference: str, folder: Path, card: Card) -> bool:
    if reference == card.name:
        return True
    if len(reference) < SHORTEST_REFERENCE:
        return False
    sent = stored.find(folder / "mlflow.json", Mirrored)
    return card.fingerprint.startswith(reference) or (sent is not None and sent.run_id.startswith(reference))


def load_trained(reference: str | None, outputs: Path, device: torch.device) -> Trained:
    """Build the network that `reference` names (see `find_checkpoint`) and load its best weights.

    The config inside the checkpoint is data: only classes of this package are built from it.
    """
    path = find_checkpoint(reference, outputs)
    card = _card_beside(path)
    saved = checkpoint.load_best(path, device)
    if card is not None:
        known = {"fingerprint": card.fingerprint, **checkpoint.as_identity(card.data)}
        checkpoint.require_identity(path, saved.identity, {key: value for key, value in known.items() if value})
    with checkpoint.content_told(path):
        settings = parse(saved.config)
        # The checkpoint has the encoder's weights: none are fetched.
        settings = settings.model_copy(update={"encoder": {**settings.encoder, "weights": "none"}})
        source: DataSet = build("data", settings.data)
        # Checkpoints of before their data were in them have what the config says.
        specs = source.spec.targets if saved.spec is None else read_specs(saved.spec["targets"], str(path))
        tasks = configured_tasks(specs, settings.model_dump())
        with torch.device("meta"):  # a network is as large as its config says: shapes first, and then memory
            shapes = {name: value.shape for name, value in build_network(settings, tasks).state_dict().items()}
        if shapes != saved.shapes:
            different = min(name for name, _ in shapes.items() ^ saved.shapes.items())
            raise ValueError(f"its weights are not of the network that its config describes: {different}")
        network = build_network(settings, tasks)
        network.load_state_dict(saved.network)
        network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        fingerprint = saved.identity["fingerprint"]
    return Trained(
        network=network,
        tasks={name: tasks[name] for name in network.tasks},
        source=source,
        settings=settings,
        fingerprint=fingerprint,
        step=saved.step,
        scores=saved.scores,
        name=path.name if card is None else card.name,
        folder=None if card is None else path.parent,
        data=checkpoint.digests(saved.identity),
    )


def _card_beside(path: Path) -> Card | None:
    """Of the run whose folder a checkpoint lies in; UserError for a folder that reaches outside itself."""
    if not (path.parent / "run.json").exists():
        return None
    check_links(path.parent)
    return RunFolder(path.parent).card
