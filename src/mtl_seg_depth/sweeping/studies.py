"""The database of the studies: SQLite, or PostgreSQL where workers on several machines share a sweep."""

import functools
import inspect
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from mtl_seg_depth.system.addresses import check_address, redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import uninterrupted
from mtl_seg_depth.tracking import sqlite_file

BEATS_TO_DEATH = 3
"""A worker that was not heard of for so many heartbeats is dead."""

_LOCK_KEY = 7_353_501  # any number, the same in every worker
_BUSY_SECONDS = 60  # how long a statement waits for another process's write

# Silence what Optuna says of every trial: the sweep says it itself.
optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
# Heartbeats are experimental in Optuna's words, and meant for its own loop; ours sends them itself (see trial.py).
warnings.filterwarnings("ignore", category=ExperimentalWarning)
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")


_within = threading.local()
"""Has `patiently` while a call of the storage is under way in this thread: what it calls itself needs no more care."""


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        if getattr(_within, "patiently", False):
            return method(*arguments, **options)
        _within.patiently = True
        try:
            with uninterrupted():
                return method(*arguments, **options)
        finally:
            _within.patiently = False

    return call


class _PatientStorage(RDBStorage):
    """Optuna's, but a stop waits for the end of a call: in the middle of a transaction it would leave a lock behind,
    which the stopped trial could then not be given back through."""


for _name, _method in vars(RDBStorage).items():
    if inspect.isfunction(_method) and not _name.startswith("__"):
        setattr(_PatientStorage, _name, _patient(_method))


class Studies:
    """The studies of one database, and the lock that makes its workers take turns."""

    def __init__(self, url: str, heartbeat_seconds: int) -> None:
        """Open the database, and create it where it is missing.

        Raises UserError for an address of another kind, and for a database that cannot be reached or written.
        """
        check_address("hydra.sweeper.storage", url)
        self.file = sqlite_file(url)
        self.url = f"sqlite:///{self.file}" if self.file else url
        if not self.file and not url.startswith("postgresql"):
            raise UserError(
                f"hydra.sweeper.storage={redact(url)}: studies are kept in sqlite:///<file> or postgresql://..."
            )
        try:
            if self.file:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._file_lock = FileLock(f"{self.file}.lock")
                # Tables are created on first use, which two processes must not do at once.
                with self._file_lock:
                    self.storage = self._open(heartbeat_seconds, {"connect_args": {"timeout": _BUSY_SECONDS}})
            else:
                engine = create_engine(self.url)
                with _advisory_lock(engine):
                    self.storage = self._open(heartbeat_seconds, {"pool_pre_ping": True})
        except (SQLAlchemyError, OSError, ImportError, RuntimeError) as error:
            reason = redact(str(error).splitlines()[0])
            raise UserError(f"hydra.sweeper.storage={redact(url)} cannot be opened: {reason}") from error

    def _open(self, heartbeat_seconds: int, engine: dict[str, object]) -> RDBStorage:
        return _PatientStorage(
            self.url,
            engine_kwargs=engine,
            heartbeat_interval=heartbeat_seconds,
            grace_period=BEATS_TO_DEATH * heartbeat_seconds,
        )

    def decides(self, name: str) -> dict[str, Any]:
        """All that decides which trials a study has; {} if that was not kept. An old one has it where people look."""
        number = self.storage.get_study_id_from_name(name)
        known = self.storage.get_study_user_attrs(number) | self.storage.get_study_system_attrs(number)
        return dict(known.get("sweep", {}))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other worker from planning: who takes, frees or adds trials does it in here."""
        if self.file:
            with self._file_lock:
                yield
            return
        with _advisory_lock(self.storage.engine):
            yield


@contextmanager
def database_errors_told(url: str) -> Iterator[None]:
    """Raise UserError for what goes wrong with an open database: it ends the sweep, and costs no training."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = redact(str(error.__cause__ or error).splitlines()[0])
        raise UserError(
            f"hydra.sweeper.storage={redact(url)}: {reason}. No training is lost with it: once it works again, "
            f"or is deleted, the same command goes on with what is in the outputs folder"
        ) from error


@contextmanager
def _advisory_lock(engine: Engine) -> Iterator[None]:
    """PostgreSQL's own lock, freed by the server where its holder dies."""
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({_LOCK_KEY})"))
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK_KEY})"))
