"""MLflow's pages on this machine, and where in them the runs are:

    mtl-ui --tracking-uri sqlite:///mlflow.db

One process answers, tells nobody what it is asked, and says who may reach it and what goes wrong.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.installation import root
from mtl_seg_depth.system.interruption import interruptible
from mtl_seg_depth.tracking.store import experiment_id, mlflow_environment, new_client, prepare_store
from mtl_seg_depth.tracking.views import CURVES, SCORES, view_address

_LONGEST_START_S = 300.0
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of prompts and agents, which runs have none of
    "PYTHONWARNINGS": "ignore",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the runs of a tracking database in a browser, until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="mtl-ui", description=main.__doc__)
    parser.add_argument("--tracking-uri", default=f"sqlite:///{root()}/mlflow.db", help="the database (%(default)s)")
    parser.add_argument("--experiment", default="mtl_seg_depth", help="the one to begin with (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="(%(default)s)")
    options = parser.parse_args(arguments)
    try:
        return _show(options.tracking_uri, options.experiment, options.host, options.port)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _show(uri: str, experiment: str, host: str, port: int) -> int:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise UserError(f"port {port} of {host} is taken; --port takes another ({error.strerror})") from error
    print("Starting MLflow, which takes some seconds ...", flush=True)
    uri = prepare_store(uri)
    with mlflow_environment():
        number = experiment_id(new_client(uri), uri, experiment)
    listening = ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--registry-store-uri", uri, *listening],
        env={**os.environ, **_QUIET},
        stdout=subprocess.DEVNULL,  # what goes wrong is on the other
    )
    root = f"http://{host}:{port}/"
    try:
        with interruptible():
            _wait(server, f"{root}health")
            print(f"Scores and choices of all runs: {root}{view_address(number, SCORES)}")
            print(f"Curves and images, run by run:  {root}{view_address(number, CURVES)}")
            print("Ctrl-C ends it.", flush=True)
            return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def _wait(server: "subprocess.Popen[bytes]", address: str) -> None:
    """Until the server answers; UserError if it ended, or takes far too long."""
    deadline = time.monotonic() + _LONGEST_START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UserError(
                f"MLflow's server ended (exit code {server.returncode}); is {address} taken? --port=<other>"
            )
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError(f"MLflow's server does not answer at {address}")


if __name__ == "__main__":
    sys.exit(main())
