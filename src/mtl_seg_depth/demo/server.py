"""The page's server: it listens to this machine, and answers nothing that another site has a browser ask."""

import functools
import io
import threading
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl_seg_depth.data.streets import render_scene
from mtl_seg_depth.demo.answer import answer, described
from mtl_seg_depth.inference.looking import Viewer
from mtl_seg_depth.system.errors import UserError

LARGEST_FILE = 32 * 2**20
"""Bytes of an image file."""

STREETS = 6
"""How many scenes are built in."""

STREET_SEED, STREET_SIZE = 2022, (256, 512)
"""No training by the defaults has them: those have another seed."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer: nothing is fetched from elsewhere, framed or kept."""


def application(viewers: Sequence[Viewer], port: int) -> ASGIApp:
    """The page, for one network or several of them side by side, reached at `port` of this machine."""
    one_at_a_time = threading.Lock()

    def networks(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse({"networks": [described(viewer) for viewer in viewers], "streets": STREETS})

    def street(request: Request) -> Response:
        index = request.path_params["index"]
        if index >= STREETS:
            return _refused(404, f"there are {STREETS} streets")
        return Response(_street(index), media_type="image/png")

    async def see(request: Request) -> Response:
        index, file = request.path_params["network"], bytearray()
        if index >= len(viewers):
            return _refused(404, f"there are {len(viewers)} networks")
        async for chunk in request.stream():
            file += chunk
            if len(file) > LARGEST_FILE:
                return _refused(413, f"This file has more than {LARGEST_FILE // 2**20} MiB")
        try:
            return Response(await run_in_threadpool(seen, viewers[index], bytes(file)), media_type="application/x-seen")
        except UserError as error:
            return _refused(422, str(error))

    def seen(viewer: Viewer, file: bytes) -> bytes:
        with one_at_a_time:
            return answer(viewer, file)

    routes = [Route(path, _file(name)) for path, name in (("/", "page.html"), *((f"/{n}", n) for n in ASSETS))]
    routes += [Route("/networks", networks), Route("/street/{index:int}", street)]
    routes.append(Route("/see/{network:int}", see, methods=["POST"]))
    return _guarded(Starlette(routes=routes), port)


ASSETS = ("page.css", "page.js")


def _file(name: str) -> "functools.partial[Response]":
    return functools.partial(_sent, Path(__file__).with_name(name))


def _sent(path: Path, request: Request) -> Response:  # noqa: ARG001
    return FileResponse(path)


def _refused(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)


@functools.lru_cache(STREETS)
def _street(index: int) -> bytes:
    """A built-in street as a PNG."""
    file = io.BytesIO()
    Image.fromarray(render_scene(STREET_SEED, "test", index, *STREET_SIZE).rgb).save(file, "PNG")
    return file.getvalue()


def _guarded(application: ASGIApp, port: int) -> ASGIApp:
    """Only what names this machine as its host, and comes from this page or from no page at all.

    A site elsewhere can have a browser ask 127.0.0.1, and have its own name lead there.
    """
    hosts = {f"{host}:{port}" for host in ("127.0.0.1", "localhost")}
    origins = {f"http://{host}" for host in hosts}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        if headers.get("host") not in hosts or headers.get("origin", next(iter(origins))) not in origins:
            refused = PlainTextResponse("This page is for the machine that it runs on.", 403)
            await refused(scope, receive, send_with_headers)
            return
        await application(scope, receive, send_with_headers)

    return guarded
