"""Mirrors a run folder while its training runs, or afterwards."""

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from filelock import FileLock, Timeout

from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking.sender import Sender, send_parent
from mtl_seg_depth.tracking.store import absolute_uri, mlflow_environment
from mtl_seg_depth.tracking.system import SystemSampler

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_SAMPLE_EVERY_S = 10.0  # system metrics, as often as MLflow's own monitor
_LONGEST_PAUSE_S = 60.0  # between two attempts to reach a server that is away
_PATIENCE_S = 3.0  # how long closing waits for a server known to be away


class Mirror:
    """Mirrors one run folder from a background thread, from `start` (or `with`) to `close`.

    One folder is one MLflow run; a resumed training continues it. A server that is away is reported once and tried
    again, ever more rarely; the record in the folder is complete without it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        tracking_uri: str,
        *,
        interval_s: float = 5.0,
        system_metrics: bool = True,
        gpu: str | None = None,
        checkpoint: bool = True,
    ) -> None:
        """The folder must have its run.json; `checkpoint` sends best.pt too when the run ends with a result.

        `gpu` is the GPU that system metrics look at, as `SystemSampler` takes it.

        Raises UserError for a folder without run.json and for an impossible URI.
        """
        self._folder = Path(folder)
        self._sender = Sender(self._folder, absolute_uri(tracking_uri), checkpoint)
        self._sender.state.finished = False  # it goes on, whatever it was
        self._interval_s = interval_s
        self._system_metrics = system_metrics
        self._gpu = gpu
        self._environment = ExitStack()
        self._closing = threading.Event()
        self._away = False
        self._given_up = False
        self._complete = False
        self._thread = threading.Thread(target=self._work, name="mlflow mirror", daemon=True)

    def start(self) -> None:
        """Start mirroring; returns at once."""
        self._environment.enter_context(mlflow_environment())
        self._thread.start()

    def close(self, timeout: float = 60.0) -> None:
        """Send the rest and the final status; wait for it up to `timeout` seconds, and 3 if the server is away.

        What could not be sent is reported, with the command that sends it later.
        """
        self._closing.set()
        begin = time.monotonic()
        while self._thread.is_alive() and not self._given_up:
            self._thread.join(0.05)
            self._given_up = time.monotonic() - begin > (min(timeout, _PATIENCE_S) if self._away else timeout)
        self._environment.close()
        if not self._complete:
            log.warning(
                "%s is not completely on the tracking server. Nothing is lost; send the rest with: %s",
                self._folder,
                _replay_command(self._folder, self._sender.uri),
            )

    def __enter__(self) -> Self:
        """Start mirroring."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, whatever happened."""
        self.close()

    def _work(self) -> None:
        try:
            with closing(SystemSampler(self._folder, self._gpu)) if self._system_metrics else nullcontext() as sampler:
                self._follow(sampler)
        except UserError as error:
            log.error("%s is not mirrored any further: %s", self._folder, error)

    def _follow(self, sampler: SystemSampler | None) -> None:
        next_sample = time.monotonic() + _SAMPLE_EVERY_S
        next_try = 0.0
        pause = self._interval_s
        while not self._closing.is_set():
            if sampler and time.monotonic() >= next_sample:
                sampler.sample()
                next_sample = time.monotonic() + _SAMPLE_EVERY_S
            if time.monotonic() >= next_try:
                pause = self._interval_s if self._attempt(self._sender.send) else min(2 * pause, _LONGEST_PAUSE_S)
                next_try = time.monotonic() + pause
            self._closing.wait(self._interval_s)
        if sampler:
            sampler.sample()
        if not self._given_up:
            self._complete = self._attempt(self._sender.finish)

    def _attempt(self, send: Callable[[], object]) -> bool:
        """Call `send`; False if the server is away, which is reported at the first time."""
        server = redact(self._sender.uri)
        try:
            send()
        except UserError:
            raise
        except Exception as error:  # nonsense from a server makes MLflow raise nearly anything
            if not self._away:
                log.warning("Tracking server %s is away (%s); the run goes on without.", server, _reason(error))
            self._away = True
            return False
        if self._away:
            log.warning("Tracking server %s is back.", server)
        self._away = False
        return True


def mirror_once(folder: str | os.PathLike[str], tracking_uri: str, *, checkpoint: bool = True) -> str:
    """Send whatever of a run folder the server lacks and set the run's final status; returns the MLflow run id.

    A run without result.json was killed, and is closed as such. Raises UserError when its training is still alive, or
    the server is away.
    """
    sender = Sender(Path(folder), absolute_uri(tracking_uri), checkpoint)
    return _alone(sender, sender.finish)


def mirror_again(folder: Path, tracking_uri: str, *, checkpoint: bool) -> bool:
    """Send what is new of a run that the server has already; whether it has. UserError as in `mirror_once`."""
    sender = Sender(folder, absolute_uri(tracking_uri), checkpoint)
    return _alone(sender, lambda: sender.known() is not None and bool(sender.finish()))


def find_run(folder: Path | None, tracking_uri: str | None) -> tuple[str, str]:
    """The tracking URI, made absolute, and the id of the MLflow run that a run folder has there.

    Where that is only this machine's own config or command line can say: what a folder says of it, others may have
    written. Raises UserError if there is none.
    """
    sender = Sender(folder, absolute_uri(tracking_uri), False) if folder and tracking_uri else None
    run_id = sender and _alone(sender, sender.known)
    if not sender or not run_id:
        raise UserError(
            f"log=true: {folder or 'a checkpoint outside a run folder'} has no MLflow run in "
            f"{redact(tracking_uri or 'tracking_uri=null')}; tracking_uri=<uri> says where it has one, and "
            "python -m mtl_seg_depth.tracking <run folder> --tracking-uri <uri> makes one"
        )
    return sender.uri, run_id


def _alone(sender: Sender, ask: Callable[[], Answer]) -> Answer:
    try:
        with FileLock(sender.folder / "lock", timeout=0), mlflow_environment():
            return ask()
    except Timeout as error:
        raise UserError(f"{sender.folder}: its training is alive, and mirrors it itself.") from error
    except UserError:
        raise
    except Exception as error:  # as in Mirror
        raise UserError(f"{sender.folder}: {redact(sender.uri)} did not take it: {_reason(error)}") from error


def mirror_rest(folder: Path, tracking_uri: str, *, checkpoint: bool) -> None:
    """Send what a run that was killed after its result could not; a server that is away is reported."""
    if Sender(folder, absolute_uri(tracking_uri), checkpoint).state.finished:
        return
    try:
        mirror_once(folder, tracking_uri, checkpoint=checkpoint)
    except UserError as error:
        log.warning("%s", error)


def mirror_sweep(folder: Path, tracking_uri: str, *, over: bool) -> None:
    """Send what is new of a sweep's own record, and its final status when it is over.

    A server that is away is reported, and told everything the next time.
    """
    uri = absolute_uri(tracking_uri)
    try:
        with mlflow_environment():
            send_parent(folder, uri, finish=over)
    except UserError:
        raise
    except Exception as error:  # as in Mirror
        log.warning("Tracking server %s is away (%s); the sweep goes on without.", redact(uri), _reason(error))


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom of it (connection refused), without what MLflow and requests wrap around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return redact((str(error) or type(error).__name__).splitlines()[0])


def _replay_command(folder: Path, uri: str) -> str:
    return shlex.join(["python", "-m", "mtl_seg_depth.tracking", str(folder.absolute()), "--tracking-uri", redact(uri)])
