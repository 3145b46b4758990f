"""Makes the pictures of docs/tour.md in tour/ beside this file: what a person sees in a terminal and in a browser.

python docs/figures/make_tour.py [name ...]        in a checkout; the first time it trains, for a quarter of an hour

Pictures are made of the runs in outputs/. The live line is to be seen only in a training that is not finished.
"""

import html
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.browser import Browser  # noqa: E402
from helpers.terminal import Recorded, on_a_terminal  # noqa: E402

from mtl_seg_depth.data.streets import render_scene  # noqa: E402

PLACE = Path(__file__).with_name("tour")
WORK = ROOT / "outputs" / "tour"
"""Photos and what is predicted of them."""
ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""As after `source .venv/bin/activate`."""
DEFAULT = "5ce40a"
"""The run of `make train`."""
SMALL = "data.train=32 data.width=128 data.height=64 data.crop_size=[64,128] schedule.epochs=4"
COLOURS = {
    **{"default": "#d8dee9", "black": "#2e3440", "red": "#ff6b6b", "green": "#8fd694", "brown": "#f2cc60"},
    **{"blue": "#7aa2f7", "magenta": "#d19af0", "cyan": "#7fd5e6", "white": "#eceff4"},
}


def shell(line: str) -> Recorded:
    """A command as it is typed, in the folder of the checkout."""
    heard = on_a_terminal(["bash", "-c", line], ROOT, environment=ENVIRONMENT)
    return replace(heard, written=[(at, text.replace(str(ROOT), "~/mtl_seg_depth")) for at, text in heard.written])


def screen(recorded: Recorded, before_s: float = float("inf")) -> str:
    """What a terminal shows, as HTML."""
    rows = recorded.rows(before_s)
    lines = []
    for row in rows:
        parts = []
        for cell in row:
            colour = COLOURS.get(cell.fg, f"#{cell.fg}")
            style = f"color:{colour}{';font-weight:bold' if cell.bold else ''}"
            parts.append(f'<span style="{style}">{html.escape(cell.data)}</span>' if cell.data.strip() else cell.data)
        lines.append("".join(parts).rstrip())
    return "\n".join(lines).rstrip()


def terminal(browser: Browser, name: str, *typed: tuple[str, str]) -> None:
    """A picture of a terminal with commands and what they answered."""
    wrapped = [
        (html.escape(" \\\n    ".join(textwrap.wrap(line, 74, break_on_hyphens=False))), seen) for line, seen in typed
    ]
    text = "\n\n".join(f'<b style="color:#8fd694">$</b> <b>{line}</b>\n{seen}' for line, seen in wrapped)
    page = WORK / "terminal.html"
    page.write_text(
        '<meta charset="utf-8"><body style="margin:0;background:#20242c"><pre style="margin:0;padding:16px 20px;'
        "display:inline-block;color:#d8dee9;width:80ch;"
        f'font:14px/1.35 DejaVu Sans Mono, monospace">{text}</pre>'
    )
    browser.resize(1000, 400)
    browser.open(page.as_uri())
    browser.wait_for("document.querySelector('pre') && document.readyState === 'complete'")
    box = browser.value("(b => [b.width, b.height])(document.querySelector('pre').getBoundingClientRect())")
    photograph(browser, name, *(int(np.ceil(side)) for side in box))


def photograph(browser: Browser, name: str, width: int, height: int) -> None:
    """A picture of the page in a window of this size."""
    browser.resize(width, height)
    time.sleep(0.5)
    browser.picture(WORK / f"{name}.png", whole=False)
    keep(name, WORK / f"{name}.png")


def keep(name: str, path: Path, width: int = 1280) -> None:
    """Store a picture in few colours, where it takes more than it shows otherwise."""
    image = Image.open(path).convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    few = image.quantize(200, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(PLACE / f"{name}.png", optimize=True)
    print(f"{name}: {(PLACE / f'{name}.png').stat().st_size / 1e3:.0f} kB", flush=True)


@contextmanager
def serving(line: str, ready: Callable[[str], bool]) -> Iterator[list[str]]:
    """A command that serves pages, and what it printed until it was `ready`."""
    words = ["bash", "-c", f"exec {line}"]
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed: list[str] = []
    while not printed or not ready(printed[-1]):
        printed.append(process.stdout.readline().rstrip())
        assert printed[-1] or process.poll() is None, printed
    try:
        yield printed
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def answers(browser: Browser, name: str, lines: Sequence[str]) -> None:
    """A terminal in which commands are typed one after the other."""
    terminal(browser, name, *((line, screen(shell(line))) for line in lines))


def train(browser: Browser) -> None:
    """The first training: its live line, its end, and its curves."""
    line = f"python train.py model=branched loss=berhu {SMALL}"
    recorded = shell(line)
    live = [at for at, rows in recorded.screens() if any("images/s" in row and "left" in row for row in rows)]
    if live:
        terminal(browser, "live", (line, screen(recorded, live[2 * len(live) // 3])))
    answers(browser, "trained", ["python train.py"])
    folder = next((ROOT / "outputs").glob(f"*-{DEFAULT}*"))
    keep("curves", folder / "artifacts" / "curves.png", 1000)


def sweep(browser: Browser) -> None:
    """A grid over methods and seeds, and a search."""
    line = f"python train.py -m model=joint,branched,distilled seeds=[0,1] {SMALL} hydra.sweeper.n_jobs=2"
    answers(browser, "sweep", [line])
    keep("sweep_plot", newest("sweeps/*/artifacts/plot.png"))
    line = f"python train.py sweeps=search_lr hydra.sweeper.n_trials=8 {SMALL}"
    answers(browser, "search", [line])
    for name in ("parallel", "importance"):
        keep(name, newest(f"sweeps/*/artifacts/{name}.png"), 1000)


def newest(pattern: str) -> Path:
    """The file among the outputs that was written last."""
    return max((ROOT / "outputs").glob(pattern), key=lambda path: path.stat().st_mtime)


def mlflow(browser: Browser) -> None:
    """Both views that `make ui` prints links to."""
    line = f"python -m mtl_seg_depth.tracking.pages --port {free_port()}"
    with serving(line, lambda printed: printed.startswith("Ctrl-C")) as printed:
        scores, curves = (text.split()[-1] for text in printed if "http" in text)
        browser.resize(1500, 620)
        browser.open(scores)
        browser.wait_for("document.body?.innerText.includes('best/mIoU')")
        time.sleep(4)
        photograph(browser, "mlflow_scores", 1500, 620)
        browser.resize(1500, 900)
        browser.open("about:blank")
        browser.open(curves)
        browser.wait_for("document.body?.innerText.includes('val/mIoU')")
        time.sleep(12)
        photograph(browser, "mlflow_curves", 1500, 900)


def dashboard(browser: Browser) -> None:
    """The search in Optuna's dashboard."""
    port = free_port()
    line = f"optuna-dashboard sqlite:///outputs/studies.db --host 127.0.0.1 --port {port}"
    with serving(line, lambda printed: "Booting worker" in printed):
        browser.resize(1280, 800)
        browser.open(f"http://127.0.0.1:{port}/dashboard")
        browser.wait_for("document.body?.innerText.includes('search_lr')")
        browser.value("[...document.querySelectorAll('a')].find(a => a.innerText.includes('search_lr')).click()")
        browser.wait_for("document.body?.innerText.includes('History')")
        time.sleep(6)
        photograph(browser, "dashboard", 1280, 800)


def report(browser: Browser) -> None:
    """The page's first screen, on a desk and on a phone."""
    shell("python report.py")
    browser.resize(1280, 900)
    browser.open((ROOT / "report" / "index.html").as_uri())
    browser.wait_for("document.readyState === 'complete'")
    photograph(browser, "report", 1280, 1000)
    photograph(browser, "report_phone", 390, 844)


def photos(browser: Browser) -> None:
    """A photo of a street that no data set holds."""
    street = WORK / "street.png"
    if not street.exists():
        Image.fromarray(render_scene(1, "test", 3, 1536, 2048).rgb).save(street)
    answers(browser, "predict", [f"python predict.py run={DEFAULT} input=outputs/tour/street.png output=outputs/tour"])
    keep("sheet", WORK / "street_sheet.png", 960)


def demo(browser: Browser) -> None:
    """The page to try a network on."""
    port = free_port()
    with serving(f"python demo.py run={DEFAULT} port={port}", lambda printed: "http://" in printed):
        browser.resize(1280, 760)
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for("document.querySelector('#figures')?.ariaBusy === 'false'")
        browser.value("document.querySelector('input[value=depth]').click()")
        left, top, width, height = browser.value(
            "(b => [b.x, b.y, b.width, b.height])(document.querySelector('canvas').getBoundingClientRect())"
        )
        browser.point(round(left + 0.55 * width), round(top + 0.6 * height))
        photograph(browser, "demo", 1280, 760)


def use(browser: Browser) -> None:
    """What else is done with a trained network."""
    answers(browser, "evaluate", [f"python evaluate.py run={DEFAULT} split=test"])
    answers(browser, "export", [f"python export.py run={DEFAULT} format=mlflow"])
    answers(browser, "runs", ["python runs.py sort=best most=8"])


def mistakes(browser: Browser) -> None:
    """What is answered to what people type."""
    lines = ["lr=1e-3", "-m model=joint,brancht", "augment=[flip,crop]", "momentum=0.9", "--epochs 10", "device=gpu"]
    answers(browser, "mistakes", [f"python train.py {line}" for line in lines])


def own_data(browser: Browser) -> None:
    """A look at the data."""
    answers(browser, "check_data", ["python check_data.py picture=outputs/tour/data.png"])


JOURNEYS = {
    each.__name__: each for each in (train, sweep, mlflow, dashboard, report, photos, demo, use, mistakes, own_data)
}


def main() -> None:
    """Every journey, or those that are named."""
    PLACE.mkdir(exist_ok=True)
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder)) as browser:
        for name in sys.argv[1:] or JOURNEYS:
            JOURNEYS[name](browser)


if __name__ == "__main__":
    main()
