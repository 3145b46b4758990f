"""Networks that were trained before: found by what people call them, and built again from their own config."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator

from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.inference.listing import SHORTEST_ID, Listed, best_first, in_a_message, list_runs
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
from mtl_seg_depth.tasks.resize import Size
from mtl_seg_depth.tasks.task import Task


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
    stored_size: Size | None
    """Height and width of its training images, where its checkpoint knows them."""

    @property
    def image_size(self) -> Size | None:
        """Height and width of its training images; None if neither its checkpoint knows them nor they are still there.

        Checkpoints of before they were kept in them have what the config or the files say.
        """
        if self.stored_size is not None:
            return self.stored_size
        try:
            return self.source.describe("train")[1]
        except UserError:
            return None


def find_checkpoint(reference: str | None, outputs: Path) -> Path:
    """The best weights of a run that `reference` names.

    A reference is a checkpoint's path, a run folder or its name, a run's name, or the beginning of its fingerprint or
    of its MLflow run id; of several runs of one config on the same data it is the newest. `latest` is the run that
    began last and `best` the one with the best validation scores, among those that have best weights; `demo` is the
    network that the package ships. Raises UserError if none fits, or more than one config, or runs on different data.
    """
    if reference is None:
        raise UserError(f"run=<which one?> {in_a_message(list_runs(outputs), outputs)}")
    path = Path(reference).expanduser()
    for folder in (path, outputs / reference):
        if (folder / "best.pt").is_file():
            return folder / "best.pt"
        if (folder / "run.json").is_file():
            raise UserError(f"run={reference}: it has no best weights; it was not validated yet, or diverged before")
    if path.is_file():
        return path
    every = list_runs(outputs)
    runs = [run for run in every if run.usable]
    fitting = [run for run in runs if _fits(reference, run)]
    if not fitting and runs and reference in ORDERS:
        return ORDERS[reference](runs)[0].folder / "best.pt"
    if not fitting and reference == "demo":
        return SHIPPED
    if not fitting:
        close = nearest(reference, {name for run in runs for name in (run.folder.name, run.card.name)})
        hint = f"did you mean {' or '.join(close)}?" if close else in_a_message(every, outputs)
        raise UserError(f"run={reference}: no run in {outputs} is called so; {hint}")
    if len({run.card.fingerprint for run in fitting}) > 1:
        raise UserError(f"run={reference} fits several runs; {in_a_message(fitting, outputs)}")
    data = RunFolder(fitting[0].folder).data
    if any(other_data(RunFolder(run.folder).data, data) for run in fitting):
        names = ", ".join(run.folder.name for run in fitting)
        raise UserError(f"run={reference} fits runs of one config on different data; there are {names}")
    return fitting[0].folder / "best.pt"


SHIPPED = Path(__file__).with_name("demo.pt")
"""A small network that was trained on street scenes, by experiment=recipe/demo; docs/recipes.md has its scores."""

ORDERS: dict[str, Callable[[list[Listed]], list[Listed]]] = {"latest": list, "best": best_first}
"""Names for the first run of an order, where no run is called so; a list of runs has the newest first."""


def _fits(reference: str, run: Listed) -> bool:
    if reference == run.card.name:
        return True
    if len(reference) < SHORTEST_ID:
        return False
    sent = stored.find(run.folder / "mlflow.json", Mirrored)
    return run.card.fingerprint.startswith(reference) or (sent is not None and sent.run_id.startswith(reference))


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
        name=card.name if card else path.stem if path == SHIPPED else path.name,
        folder=None if card is None else path.parent,
        data=checkpoint.digests(saved.identity),
        stored_size=saved.image_size,
    )


def _card_beside(path: Path) -> Card | None:
    """Of the run whose folder a checkpoint lies in; UserError for a folder that reaches outside itself."""
    if not (path.parent / "run.json").exists():
        return None
    check_links(path.parent)
    return RunFolder(path.parent).card
