"""Sends one run folder to one server, and keeps in the folder's mlflow.json how far it got.

What is sent twice (after a kill between sending and noting it) is sent with the recorded steps and times: MLflow's
stores ignore exact duplicates.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mtl_seg_depth.records.folder import check_links, inside
from mtl_seg_depth.records.record import parse_point
from mtl_seg_depth.records.results import Card, Mirrored, Outcome
from mtl_seg_depth.system import stored
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking.names import LAYOUT, best_metrics, metric_name
from mtl_seg_depth.tracking.store import experiment_id, may_have_run, new_client, prepare_store, sqlite_file
from mtl_seg_depth.tracking.views import PANELS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run
    from PIL.Image import Image

# A diverged run is a result like any other; the tag `status` tells it from one that has scores.
_MLFLOW_STATUS = {
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
_KEY_TAG = "run_folder_key"  # finds a folder's MLflow run again, whatever address the server has by now
_PARENT_TAG = "mlflow.parentRunId"  # what MLflow's own nested runs have
_LONGEST_PARAM = 6000  # characters that MLflow stores of a parameter
_METRICS_PER_BATCH = 1000  # what MLflow takes in one request
_NOTE_TAG = "mlflow.note.content"  # the description of a run, on its page
_LONGEST_DIGEST = 36  # characters that MLflow stores of a data set's digest
_CONTEXTS = {"train": "training", "val": "validation", "test": "testing"}  # MLflow's words for splits
_PANEL = re.compile(r"panels/step_(\d+)\.png")  # of an artifact that is one of a series


class Sender:
    """Sends a folder in the caller's thread; raises one of `server_errors()` when the server is away."""

    def __init__(self, folder: Path, uri: str, checkpoint: bool) -> None:
        if not (folder / "run.json").exists():
            raise UserError(f"{folder} is no run folder: it has no run.json.")
        self.uri = uri
        self.folder = folder
        self._checkpoint = checkpoint
        check_links(folder)
        self._card = stored.read(folder / "run.json", Card)
        self._client: MlflowClient | None = None
        self._parent = _sweep_of(folder, self._card.parent)
        path = folder / "mlflow.json"
        self.state = stored.read(path, Mirrored) if path.exists() else Mirrored(key=secrets.token_hex(16))
        if self.state.tracking_uri != redact(uri) or not may_have_run(uri, self.state.run_id):
            self.state.finished = False
        self.state.tracking_uri = redact(uri)
        if self.state.layout != LAYOUT:
            self.state.sent, self.state.artifacts, self.state.layout = {}, {}, LAYOUT

    def send(self) -> "MlflowClient":
        """Send the points and artifacts that are new since the last call; returns the client that did."""
        client = self._client or self._attach()
        self._client = None  # after an error the next call attaches anew: the server may be another by then
        for name in ("metrics.jsonl", "system.jsonl"):
            for batch, end in self._unsent(name):
                client.log_batch(self.state.run_id, metrics=batch, synchronous=True)
                self.state.sent[name] = end
                self._save()
        root = self.folder / "artifacts"
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                self._send_file(client, path, path.relative_to(root).as_posix())
        self._client = client
        return client

    def known(self) -> str | None:
        """The id of the folder's MLflow run on the server, which is asked; None if it has none. Nothing is created."""
        if (database := sqlite_file(self.uri)) and not database.exists():
            return None
        client = new_client(self.uri)
        experiment = client.get_experiment_by_name(self._card.experiment)
        found = self._find(client, experiment.experiment_id) if experiment else []
        return found[0].info.run_id if found else None

    def _find(self, client: "MlflowClient", experiment: str) -> Sequence["Run"]:
        return client.search_runs([experiment], f"tags.{_KEY_TAG} = '{self.state.key}'", max_results=1)

    def finish(self) -> str:
        """Send the rest and close the MLflow run with the status of result.json; returns its id."""
        from mlflow.entities import Metric

        client = self.send()
        result = self.folder / "result.json"
        outcome = stored.read(result, Outcome) if result.exists() else Outcome(status="interrupted")
        status = outcome.status
        best = self.folder / "best.pt"
        if self._checkpoint and _MLFLOW_STATUS[status] == "FINISHED" and best.exists():
            self._send_file(client, best, best.name)
        client.set_tag(self.state.run_id, "status", status)
        # A run that is sent days later ended with its result, or when it was last written to; evaluations come after.
        files = [path for path in (result, self.folder / "metrics.jsonl") if path.exists()]
        ended = files[0].stat().st_mtime_ns // 1_000_000 if files else self._card.started
        scores = best_metrics(outcome.best, outcome.best_step).items()
        metrics = [Metric(name, value, ended, outcome.best_step) for name, value in scores]
        client.log_batch(self.state.run_id, metrics=metrics, synchronous=True)
        client.set_terminated(self.state.run_id, _MLFLOW_STATUS[status], ended)
        self.state.finished = result.exists()
        self._save()
        return self.state.run_id

    def _attach(self) -> "MlflowClient":
        """Find or create the folder's MLflow run and, unless it is finished, set it running."""
        from mlflow.entities import Param, RunTag

        self._save()  # the key must be on disk before a run is created with it
        prepare_store(self.uri)
        client = new_client(self.uri)
        experiment = experiment_id(client, self.uri, self._card.experiment)
        found = self._find(client, experiment)
        if found:
            run = found[0]
        else:
            tags = {_KEY_TAG: self.state.key}
            if self._parent is not None:
                tags[_PARENT_TAG] = send_parent(self._parent, self.uri)
            run = client.create_run(experiment, self._card.started, tags, self._card.name)
        if run.info.run_id != self.state.run_id:  # a server that has nothing of this folder yet
            self.state = Mirrored(
                key=self.state.key,
                tracking_uri=redact(self.uri),
                experiment_id=experiment,
                run_id=run.info.run_id,
                layout=LAYOUT,
            )
            self._save()
        if not self.state.finished:
            # MLflow refuses a second value for a parameter: what the first start sent stands.
            params = {key: value for key, value in self._card.params.items() if key not in run.data.params}
            client.log_batch(
                run.info.run_id,
                params=[Param(key, _shortened(value)) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in self._tags(run.data.tags).items()],
                synchronous=True,  # whatever MLFLOW_ENABLE_ASYNC_LOGGING says: what is noted as sent has to be there
            )
            if self._card.data:
                client.log_inputs(run.info.run_id, self._data_sets())
            client.update_run(run.info.run_id, "RUNNING")
        return client

    def _tags(self, known: Mapping[str, str]) -> dict[str, str]:
        """The card's tags, and what MLflow's pages show of a run; a description that somebody wrote stands."""
        card = self._card
        tags = {**card.tags, "folder": self.folder.absolute().name}
        if card.user:
            tags["mlflow.user"] = card.user
        if commit := card.tags.get("git_commit"):
            tags["mlflow.source.git.commit"] = commit
        if card.command:
            tags |= {"mlflow.source.name": card.command, "mlflow.source.type": "LOCAL"}
            if _NOTE_TAG not in known:
                tags[_NOTE_TAG] = f"```\n{card.command}\n```\n\nIn the folder `{tags['folder']}`."
        return tags

    def _data_sets(self) -> "list[DatasetInput]":
        """The splits that the run depends on, as MLflow's column Dataset names them."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name = self._card.params.get("data", "data").rpartition(".")[2]
        return [
            DatasetInput(
                Dataset(f"{name}, {split}", digest[:_LONGEST_DIGEST], "local", json.dumps({"uri": name})),
                [InputTag("mlflow.data.context", _CONTEXTS[split])],
            )
            for split, digest in self._card.data.items()
            if split in _CONTEXTS
        ]

    def _unsent(self, file: str) -> Iterator[tuple[list["Metric"], int]]:
        """The points not sent yet, in batches that MLflow takes, each with the position in the file after it."""
        from mlflow.entities import Metric

        path = self.folder / file
        if not path.exists():
            return
        batch: list[Metric] = []
        with path.open("rb") as lines:
            end = lines.seek(self.state.sent.get(file, 0))
            for line in lines:
                if not line.endswith(b"\n"):  # still being written
                    break
                point = parse_point(line, f"{path}, byte {end}")
                if batch and len(batch) + len(point.metrics) > _METRICS_PER_BATCH:
                    yield batch, end
                    batch = []
                for name, value in point.metrics.items():
                    if (shown := metric_name(name, of_sweep="study" in self._card.tags)) is not None:
                        batch.append(Metric(shown, value, point.time, point.step))
                end += len(line)
        if batch:
            yield batch, end

    def _send_file(self, client: "MlflowClient", path: Path, artifact: str) -> None:
        """Send a file as the artifact of that name, unless it was sent as it is; a panel as its step's image."""
        stat = path.stat()
        folder, _, name = artifact.rpartition("/")
        noted = f"{folder or '.'}/{name}"
        stamp = [stat.st_size, stat.st_mtime_ns]
        if self.state.artifacts.get(noted) == stamp:
            return
        panel = _PANEL.fullmatch(artifact)
        if panel and (image := _image(path)):
            client.log_image(self.state.run_id, image, key=PANELS, step=int(panel[1]), synchronous=True)
        else:
            client.log_artifact(self.state.run_id, str(path), folder or None)
        self.state.artifacts[noted] = stamp
        self._save()

    def _save(self) -> None:
        stored.write(self.folder / "mlflow.json", self.state)


def send_parent(folder: Path, uri: str, *, finish: bool = False) -> str:
    """Send what is new of a sweep's folder, whose workers take turns at it; returns its MLflow run id."""
    with FileLock(folder / "mlflow.lock"):
        sender = Sender(folder, uri, checkpoint=False)
        if finish:
            return sender.finish()
        sender.state.finished = False  # it goes on, whatever it was
        sender.send()
        return sender.state.run_id


def _sweep_of(folder: Path, parent: str | None) -> Path | None:
    """The folder of a run's sweep, which lies in sweeps/ beside the run; None for any other."""
    sweeps = folder.parent / "sweeps"
    try:
        path = inside(sweeps, os.path.relpath(folder / (parent or "."), sweeps))
    except UserError:
        return None
    return path if (path / "run.json").exists() else None


def _image(path: Path) -> "Image | None":
    """A panel's image; None for a file that is not one, which is sent as it is."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.convert("RGB")
    except Exception:  # what is raised for damaged files is not to be listed
        return None


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST_PARAM else value[: _LONGEST_PARAM - 1] + "…"
