"""Tracking servers and databases: their addresses, their creation, their errors."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from mtl_seg_depth.system.addresses import check_address, redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking.views import view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
ARTIFACTS = "mlartifacts"
"""The folder of all artifacts, beside a database file."""

_SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks")


def absolute_uri(tracking_uri: str) -> str:
    """The same URI, an SQLite one independent of the working directory.

    Raises UserError for a URI that MLflow cannot track to.
    """
    scheme = tracking_uri.partition(":")[0].partition("+")[0]
    if "://" in tracking_uri and scheme in _SCHEMES and not tracking_uri.endswith(("sqlite://", ":memory:")):
        check_address("tracking.uri", tracking_uri)
        database = sqlite_file(tracking_uri)
        return tracking_uri if database is None else f"sqlite:///{database}"
    raise UserError(
        f"tracking.uri={redact(tracking_uri)}: MLflow no longer tracks to folders, nor can it to this. "
        "Give a database file (sqlite:///runs/mlflow.db), the address of a server (http://host:5000) or a database."
    )


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite URI, None for any other."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def may_have_run(uri: str, run_id: str) -> bool:
    """Whether a server may have a run; a database file is looked into, and a server is not asked."""
    database = sqlite_file(uri)
    if database is None:
        return True
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", [run_id]).fetchone() is not None
    except sqlite3.Error:
        return False


def _follow(database: Path) -> None:
    """Let a database that was moved with the artifacts beside it, as with its checkout, know where they are by now."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for (location,) in connection.execute("SELECT artifact_location FROM experiments").fetchall():
            before, _, name = str(location).rpartition(f"/{ARTIFACTS}/")
            here = (database.parent / ARTIFACTS / unquote(name)).as_uri()
            is_local = before.startswith("file://") and location != here
            if is_local and (_path_of(here).exists() or not _path_of(location).exists()):
                connection.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", [here, location]
                )
                connection.execute(
                    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
                    [here, len(location) + 1, len(location) + 1, f"{location}/"],
                )


def _path_of(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def prepare_store(tracking_uri: str) -> str:
    """Create the tracking database if it is an SQLite file that is not there yet; returns the absolute URI.

    MLflow builds its tables on first use, and dies when several processes do so at once: this takes a lock beside
    the file, and may be called from any number of processes. Raises UserError if no database can be.
    """
    uri = absolute_uri(tracking_uri)
    database = sqlite_file(uri)
    if database is not None:
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            if database.is_dir():  # MLflow would try for a minute
                raise FileExistsError("it is a folder")
            with FileLock(f"{database}.lock"), mlflow_environment():
                new_client(uri).search_experiments(max_results=1)
                if database.exists():  # it may have been deleted while this process has it open
                    _follow(database)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise UserError(f"No tracking database can be kept at {database}: {error}") from error
    return uri


def new_client(uri: str) -> "MlflowClient":
    """A client that does not chat; raises one of `server_errors()` when a database is away."""
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)  # migrations announce themselves at length
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what fails here is raised as well
    return MlflowClient(uri)


def experiment_id(client: "MlflowClient", uri: str, name: str) -> str:
    """The id of the experiment `name`, with its views.

    It is created where it is missing, for SQLite with its artifacts beside the file. UserError if it was deleted.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        database = sqlite_file(uri)
        folder = name.replace("/", "_").lstrip(".") or "_"  # never a way up
        location = (database.parent / ARTIFACTS / folder).as_uri() if database else None
        try:
            return client.create_experiment(name, location, view_tags())
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:  # it did not fail because another process was faster
                raise
    if experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"Experiment {name!r} was deleted from {redact(uri)}. Restore it (mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}), or give the runs another experiment."
        )
    for key, value in view_tags().items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return str(experiment.experiment_id)


def server_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises when a server or database is away, locked or broken (requests' errors are OSErrors)."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


@contextmanager
def mlflow_environment() -> Iterator[None]:
    """MLflow as a mirror wants it: quick to give up (the mirror tries again itself) and quiet.

    MLflow takes these settings from the environment only. What the user has set stands.
    """
    settings = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; default 120
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the password in the URI
        "MLFLOW_DISABLE_TELEMETRY": "true",  # its threads would outlive the mirror
    }
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
