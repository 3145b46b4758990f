"""What `demo.py` does: load the networks, and serve the page until Ctrl-C."""

import os
import socket
from typing import Annotated, Any

from pydantic import Field
from rich.console import Console

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.inference.looking import LookingSettings, load_viewer
from mtl_seg_depth.inference.trained import Reference
from mtl_seg_depth.system.errors import UserError

HOST = "127.0.0.1"
"""This machine; there is no option for another, as whoever reaches the page can have everything computed."""


class DemoSettings(LookingSettings):
    """What `demo.py` composes; `beside` is a second run, `port` 0 any port that is free."""

    beside: Reference
    port: Annotated[int, Field(ge=0, le=65535)]


def show(config: dict[str, Any]) -> int:
    """Serve the page that the config says until Ctrl-C; the exit code.

    Raises UserError for runs that there are not, and for a port that is taken.
    """
    import uvicorn

    from mtl_seg_depth.demo.server import application

    settings = parse_as(DemoSettings, config)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    with listening(settings.port) as listener:
        runs = [settings.run, *([] if settings.beside is None else [settings.beside])]
        viewers = [load_viewer(settings, run) for run in runs]
        port = listener.getsockname()[1]
        console.print(f"Trying {' beside '.join(viewer.trained.name for viewer in viewers)}:")
        console.print(f"  http://{HOST}:{port}/")
        console.print("Ctrl-C ends it.")
        served = uvicorn.Config(
            application(viewers, port),
            lifespan="off",
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        try:
            uvicorn.Server(served).run(sockets=[listener])
        except KeyboardInterrupt:
            return 0
    return 0


def listening(port: int) -> socket.socket:
    """A socket of this machine alone; UserError if the port is taken."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # the error's own words have the address again
        raise UserError(f"port={port}: it cannot be had ({reason}); take another, or 0 for any") from error
