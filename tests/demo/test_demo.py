"""The page to try networks on: who may ask it, what it answers, and what a person sees in a browser."""

import http.client
import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvicorn
from helpers.browser import BROWSER, Browser
from helpers.colours import viewer
from helpers.composing import compose
from helpers.photographs import picture, save
from PIL import Image

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.demo import server
from mtl_seg_depth.demo.answer import shown_size
from mtl_seg_depth.demo.show import HOST, listening, show
from mtl_seg_depth.inference.looking import Viewer
from mtl_seg_depth.system.errors import UserError

needs_a_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


@contextmanager
def serving(viewers: Sequence[Viewer]) -> Iterator[int]:
    """The page on a free port, as `demo.py` serves it."""
    with listening(0) as listener:
        port: int = listener.getsockname()[1]
        config = uvicorn.Config(server.application(viewers, port), lifespan="off", log_level="warning")
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield port
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    twice = viewer()
    with serving([viewer(), replace(twice, camera=replace(twice.camera, ratio=2.0))]) as port:
        yield port


def ask(
    port: int, path: str, body: bytes | None = None, host: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    named = {"Host": host or f"{HOST}:{port}", **headers}
    connection.request("GET" if body is None else "POST", path, body, named)
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def test_it_listens_to_this_machine_alone(port: int) -> None:
    own = [each.address for found in psutil.net_if_addrs().values() for each in found if each.family == socket.AF_INET]
    for address in {*own, "127.0.0.2"} - {HOST}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):
            pass
    socket.create_connection((HOST, port), timeout=5).close()


def test_what_another_site_has_a_browser_ask_is_refused(port: int) -> None:
    here = {f"{HOST}:{port}", f"localhost:{port}"}
    for host in here:
        assert ask(port, "/networks", host=host)[0] == 200
        assert ask(port, "/networks", host=host, Origin=f"http://{host}")[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"{HOST}:{port + 1}",
        f"{HOST}.evil.example:{port}",
        "0.0.0.0",
    ):
        assert ask(port, "/networks", host=host)[0] == 403
    for origin in ("http://evil.example", "null", f"https://{HOST}:{port}", f"http://{HOST}:{port + 1}", ""):
        status, _, answer = ask(port, "/see/0", png(picture(40, 40)), Origin=origin)
        assert (status, len(answer) < 100) == (403, True)


def test_nothing_from_elsewhere_is_loaded_and_nothing_is_kept(port: int) -> None:
    for path in ("/", "/page.css", "/page.js", "/networks", "/street/0", "/nothing"):
        _, headers, body = ask(port, path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert not re.search(rb"https?://", body)


def opened(answer: bytes) -> tuple[dict[str, object], np.ndarray, np.ndarray, np.ndarray]:
    """The text, metres, classes and pixels of an answer, read by the layout that is written down."""
    length = int.from_bytes(answer[:4], "little")
    text = json.loads(answer[4 : 4 + length])
    shape, at = (text["height"], text["width"]), 4 + length
    metres = np.frombuffer(answer, "<f4", shape[0] * shape[1], at).reshape(shape)
    at += metres.nbytes
    labels = np.frombuffer(answer, np.uint8, shape[0] * shape[1], at).reshape(shape)
    rgb = np.frombuffer(answer, np.uint8, -1, at + labels.nbytes).reshape(*shape, 3)
    return text, metres, labels, rgb


def test_an_answer_holds_what_was_predicted_to_the_bit(port: int) -> None:
    rgb = picture(45, 67)
    for network, ratio in ((0, 1), (1, 2)):
        status, _, answer = ask(port, f"/see/{network}", png(rgb))
        assert status == 200
        text, metres, labels, seen = opened(answer)
        expected = viewer().see(rgb).prediction
        assert (metres == ratio * expected["depth"]).all()
        assert (labels == expected["semseg"]).all()
        assert (seen == rgb).all()
        assert text["why"] == f"metres are the network's times {ratio} (focal_ratio)"


def test_large_images_are_shown_smaller() -> None:
    assert shown_size((3000, 4000)) == (960, 1280)
    assert shown_size((40, 30)) == (40, 30)
    assert shown_size((1, 60_000)) == (1, 1280)


def test_what_is_no_image_or_too_much_is_answered_in_words(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = png(picture(40, 40))
    for body, message in ((b"", "is no image"), (b"%!PS", "is no image"), (whole[:-900], "cannot be read")):
        status, _, answer = ask(port, "/see/0", body)
        assert (status, json.loads(answer)["error"].startswith(f"This file {message}")) == (422, True)
    assert ask(port, "/see/2", whole)[0] == ask(port, f"/street/{server.STREETS}")[0] == 404
    assert ask(port, "/see/0")[0] == 405
    monkeypatch.setattr(server, "LARGEST_FILE", 2**20)
    status, _, answer = ask(port, "/see/0", bytes(2**20 + 1))
    assert (status, json.loads(answer)["error"]) == (413, "This file has more than 1 MiB")
    assert ask(port, "/see/0", whole)[0] == 200


def test_the_command_shows_two_runs_until_ctrl_c(
    trained_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[tuple[str, int]] = []

    def run(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        heard.append(sockets[0].getsockname())
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", run)
    places = [f"paths.outputs={trained_folder}/outputs", "device=cpu", "run=first"]
    assert show(compose(*places, "beside=second", "port=0", config="demo")) == 0
    printed = capsys.readouterr().out
    assert "Trying first beside second:" in printed
    assert f"http://127.0.0.1:{heard[0][1]}/" in printed
    with socket.create_server((HOST, 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port={number}: it cannot be had \(Address already in use\)"):
            show(compose(*places, f"port={number}", config="demo"))
    for wrong, message in (
        ("beside=frist", "did you mean first"),
        ("port=70000", "port=70000"),
        ("run=null", "run=<which"),
    ):
        with pytest.raises(UserError, match=message):
            show(compose(*places, "port=0", wrong, config="demo"))


def tags(browser: Browser) -> list[str]:
    return list(browser.value("[...document.querySelectorAll('.tag')].map(tag => tag.hidden ? '' : tag.innerText)"))


def told(label: int, metres: float) -> str:
    return f"{CITYSCAPES.names[label]} {metres:.{2 if metres < 10 else 1}f} m"


@needs_a_browser
def test_in_a_browser_metres_under_the_cursor_are_the_networks_and_two_runs_stand_side_by_side(
    port: int, tmp_path: Path
) -> None:
    street = np.asarray(Image.open(io.BytesIO(ask(port, "/street/0")[2])).convert("RGB"))
    with Browser(tmp_path / "browser") as browser:
        browser.open(f"http://{HOST}:{port}/")
        ready = "document.querySelector('#figures')?.ariaBusy === 'false'"
        browser.wait_for(ready)
        box = "document.querySelector('canvas').getBoundingClientRect()"
        left, top, width, height = browser.value(f"(b => [b.x, b.y, b.width, b.height])({box})")
        assert browser.value("document.querySelectorAll('canvas[tabindex]').length") == 2
        seen = viewer().see(street).prediction
        for x, y in ((0.2, 0.7), (0.71, 0.4), (0.5, 0.95)):
            at = round(left + x * width), round(top + y * height)
            browser.point(*at)
            row = int((at[1] - top) / height * street.shape[0])
            column = int((at[0] - left) / width * street.shape[1])
            label, metres = int(seen["semseg"][row, column]), float(seen["depth"][row, column])
            assert tags(browser) == [told(label, metres), told(label, 2 * metres)]

        # A picture of one colour, uncovered: every pixel shows the class's colour, and then the depth's.
        save(tmp_path / "plain.png", np.full((50, 80, 3), (28, 51, 0), np.uint8))  # class 2, 24 m
        browser.choose_file("#file", tmp_path / "plain.png")
        browser.wait_for(f"{ready} && document.querySelector('canvas').width === 80")
        set_divider = (
            "(d => {{ d.value = {}; d.dispatchEvent(new Event('input')) }})(document.querySelector('#divider'))"
        )
        pixel = "[...document.querySelector('canvas').getContext('2d').getImageData({}, 20, 1, 1).data].slice(0, 3)"
        browser.value(set_divider.format(50))
        assert browser.value(pixel.format(10)) == [28, 51, 0]
        mixed = [0.72 * colour + 0.28 * own for colour, own in zip(CITYSCAPES.colours[2], (28, 51, 0), strict=True)]
        np.testing.assert_allclose(browser.value(pixel.format(70)), mixed, atol=1)
        browser.value("document.querySelector('input[value=depth]').click()")
        painted = viewer().tasks["depth"].paint(np.full((1, 1), 24, np.float32))[0, 0]
        np.testing.assert_allclose(browser.value(pixel.format(70)), painted, atol=6)
        assert browser.value("document.querySelector('.ticks').innerText").split()[-2:] == ["300", "m"]

        # A street that is long in coming does not take the place of a picture that was chosen after it.
        save(tmp_path / "later.png", np.full((50, 90, 3), (28, 51, 0), np.uint8))
        browser.value(
            "(fetched => { window.fetch = async (place, ...more) => { if (/street/.test(place)) await new Promise("
            "done => { window.arrive = done; }); return fetched(place, ...more); }; })(window.fetch)"
        )
        browser.value("document.querySelector('#streets button').click()")
        browser.choose_file("#file", tmp_path / "later.png")
        browser.wait_for(f"{ready} && document.querySelector('canvas').width === 90")
        browser.value("window.arrive()")
        time.sleep(1)
        assert browser.wait_for(f"{ready} && document.querySelector('canvas').width") == 90

        (tmp_path / "broken.png").write_bytes(b"no image")
        browser.choose_file("#file", tmp_path / "broken.png")
        notice = "!document.querySelector('#notice').hidden && document.querySelector('#notice').innerText"
        assert browser.wait_for(notice) == "This file is no image that can be read"
        for size in (390, 768, 1280):
            browser.resize(size, 844)
            assert browser.value("document.documentElement.scrollWidth") <= size
        assert {address.split("/")[2] for address in browser.requested if address.startswith("http")} == {
            f"{HOST}:{port}"
        }
