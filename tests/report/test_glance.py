"""The page's first screen: what a sweep shows in sentences, plots and images, at any width."""

import functools
import io
import json
import random
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recomputing import HIGHER, delta_m, summary
from helpers.report_store import STREETS, Row, Store, report_rows, settings, write_panel
from PIL import Image

from mtl_seg_depth.report.document import Document
from mtl_seg_depth.report.glance import Glance
from mtl_seg_depth.report.page import read_report, write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
METHODS = ("equal", "good", "bad", "like equal")
GAIN = {"equal": 0.0, "good": 0.2, "bad": -0.3, "like equal": 0.0}
SECONDS = {"semseg": 30.0, "depth": 40.0, "equal": 100.0, "good": 150.0, "bad": 300.0, "like equal": 90.0}
LEVELS = {"semseg": 40.0, "pixel_accuracy": 80.0, "depth_errors/mae": 5.0, "depth_errors/abs_rel": 0.25}


def write_sweep(outputs: Path, *, seeds: int = 3, references: bool = True, panels: bool = True) -> None:
    """A sweep whose truth is known: `good` is better than `equal`, `bad` is worse, by more than its noise."""
    generator, rows = random.Random(0), []
    names = [*(("semseg", "depth") if references else ()), *METHODS]
    for number, name in enumerate(names):
        task = name if name in ("semseg", "depth") else None
        runs = []
        for seed in range(seeds):
            folder = outputs / f"run-{number}-{seed}"
            folder.mkdir(parents=True)
            keys = [
                key for key in LEVELS if task is None or (key in ("semseg", "pixel_accuracy")) == (task == "semseg")
            ]
            scores = {
                f"val/{key}": LEVELS[key]
                * (1 + (1 if HIGHER[key] else -1) * (GAIN.get(name, 0.1) + generator.gauss(0, 0.004)))
                for key in keys
            }
            cost = {
                "seconds": SECONDS[name], "data_share": 0.1, "images_per_second": 1.0, "parameters": 11_000_000,
                "peak_memory_bytes": 1, "peak_memory_share": 0.1, "memory": "", "device": "CPU",
            }  # fmt: skip
            result = {
                "status": "finished", "fingerprint": "", "steps": 48, "best_step": 4, "best": scores, "last": scores,
                "mean_of_last_10": scores, "averaged": 10, "cost": cost,
            }  # fmt: skip
            (folder / "result.json").write_text(json.dumps(result))
            params = {"data": "streets", "data.width": "256", "data.height": "128", "encoder.name": "resnet18"}
            card = {"name": folder.name, "params": params, "tags": {"git_commit": "abcdef0123456789"}}
            (folder / "run.json").write_text(json.dumps(card))
            if panels:
                write_panel(folder / "artifacts" / "panels" / "step_000004.png", number)
            told = {key.removeprefix("val/"): value for key, value in scores.items() if key != "val/pixel_accuracy"}
            runs.append({"seed": seed, "folder": folder.name, "status": "finished", "scores": told})
        more: dict[str, Any] = {"reference": task, "params": {"alone": task}}
        if task is None:
            more = {"params": {"task_weights": name}}
            more |= {"references": {"semseg": 0, "depth": 1}} if references else {}
        rows.append({"number": number, "label": f"task_weights={name}", "state": "complete", "runs": runs, **more})
    account = {
        "study": "s", "sweep": "methods", "kind": "grid", "started": 0, "updated": 1_790_000_000_000, "rows": rows,
        "objective": ["margin"], "directions": ["maximize"], "seeds": list(range(seeds)),
        "baseline": names.index("equal"), "config": {"data": STREETS},
    }  # fmt: skip
    (outputs / "sweeps" / "s").mkdir(parents=True)
    (outputs / "sweeps" / "s" / "sweep.json").write_text(json.dumps(account))


def read(tmp_path: Path, **how: Any) -> tuple[Document, Glance]:
    write_sweep(tmp_path / "outputs", **how)
    document = read_report(settings(tmp_path))
    (found,) = document.glances
    return document, found


def scores(tmp_path: Path, number: int, seed: int) -> dict[str, float]:
    best = json.loads((tmp_path / "outputs" / f"run-{number}-{seed}" / "result.json").read_text())["best"]
    return {key.removeprefix("val/"): value for key, value in best.items()}


def test_the_first_screen_says_who_is_ahead_whether_it_is_shown_and_at_what_cost(tmp_path: Path) -> None:
    document, found = read(tmp_path)
    assert document.title == "What the trainings show"
    assert document.made == (
        "Made of 18 trainings in 1 sweep, the last of 2026-09-21 14:13 UTC; on CPU; code abcdef012345."
    )
    values = {}
    for name, number in (("good", 3), ("equal", 2)):
        alone = [scores(tmp_path, 0, seed) | scores(tmp_path, 1, seed) for seed in range(3)]
        deltas = [delta_m(scores(tmp_path, number, seed), alone[seed])["delta_m/over_metrics"] for seed in range(3)]
        mean, _, low, high = summary(deltas)
        values[name] = f"{mean:.2f} % [{low:.2f}, {high:.2f}]".replace("-", "−")
    assert found.sentences == (
        f"good is first of 4 by Δm (metrics): {values['good']}, all of the interval below 0, so better than training "
        f"each task alone. equal, the baseline, has {values['equal']}.",
        "Against equal, by Δm (metrics): 1 is shown to be better (good), 1 is shown to be worse (bad), of 1 no "
        "difference can be shown with 3 seeds.",
        "A training of good took 2 min 30 s, 1.50 times that of equal; the costliest, bad, 3.00 times; each task "
        "alone, 0.70 times in all.",
    )
    assert found.link in {section.id for section in document.begun}


def test_without_references_each_task_is_told_by_its_own_score_and_one_seed_shows_nothing(tmp_path: Path) -> None:
    _, found = read(tmp_path, references=False, seeds=1, panels=False)
    first, second, shown, cost = found.sentences
    nearest = scores(tmp_path, 1, 0)["depth_errors/mae"]
    assert second.startswith(f"good is first of 4 by abs. err.: {nearest:.4f} m. equal, the baseline, has")
    assert first.startswith(
        f"good is first of 4 by mIoU: {scores(tmp_path, 1, 0)['semseg']:.2f} %. equal, the baseline,"
    )
    assert shown == "One seed shows nothing of the 3 others against equal."
    assert "each task alone" not in cost
    assert [figure.suffix for figure in found.figures] == [".png", ".png"]


def test_a_sweep_of_one_task_alone_beside_a_reference_of_the_other_is_told_by_what_its_rows_have(
    tmp_path: Path,
) -> None:
    write_sweep(tmp_path / "outputs", panels=False)
    for path in (tmp_path / "outputs").glob("run-[2-5]-*/result.json"):
        result = json.loads(path.read_text())
        for name in ("best", "last", "mean_of_last_10"):
            result[name] = {key: value for key, value in result[name].items() if "depth" in key}
        path.write_text(json.dumps(result))
    (found,) = read_report(settings(tmp_path)).glances
    assert found.sentences[0].startswith("good is first of 4 by abs. err.:")


def test_the_plots_have_every_row_and_the_same_images_stand_side_by_side(tmp_path: Path) -> None:
    _, found = read(tmp_path)
    ranked, cost, *images = found.figures
    assert ranked.svg is not None
    for name in METHODS:
        assert name in ranked.svg
    assert cost.svg is not None
    for name in ("good", "like equal", "each task alone"):
        assert name in cost.svg
    assert len(images) == 2
    assert images[0].image is not None
    picture = Image.open(io.BytesIO(images[0].image))
    assert picture.size == (176 + 3 * 168 + 2 * 4, 5 * 88 - 4), "truth, each alone, good, equal, bad"
    truth = np.asarray(picture)[:84, 176:344].astype(int)
    panel = Image.open(tmp_path / "outputs" / "run-2-0" / "artifacts" / "panels" / "step_000004.png")
    shown = np.asarray(panel.convert("RGB").crop((0, 20, 256, 148)).resize((168, 84))).astype(int)
    assert np.abs(truth - shown).mean() < 25, "the image of the scene, as a JPEG has it"


def test_a_panel_that_cannot_be_read_costs_the_images_alone_and_is_told(tmp_path: Path) -> None:
    write_sweep(tmp_path / "outputs")
    (tmp_path / "outputs" / "run-2-0" / "artifacts" / "panels" / "step_000004.png").write_bytes(b"nothing")
    document = read_report(settings(tmp_path))
    assert [figure.suffix for figure in document.glances[0].figures] == [".png", ".png"]
    assert any("step_000004.png cannot be read" in problem for problem in document.problems)


def test_the_reports_findings_are_drawn_where_they_were_judged_with_their_leads(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    store.study("loss", report_rows("loss", seeds=3))
    store.study("dilation", report_rows("dilation", seeds=3))
    document = read_report(settings(tmp_path))
    (found,) = document.glances
    assert found.sentences == (document.lede,)
    forest, cost = found.figures
    assert forest.svg is not None
    assert "BerHu is best" in forest.svg
    assert "ImageNet" not in forest.svg
    assert cost.svg is not None
    assert "dilation" in cost.svg
    assert {section.id for section in document.begun} == {"loss", "dilation"}
    assert len(document.waiting) == 10
    assert all(" training" in section.cost and "about" in section.cost for section in document.waiting)


def test_a_search_says_what_it_found_and_which_parameters_mattered(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    rows = [Row([(60.0 + trial, 30)], f"lr.value=1e-{trial}", values=[30.0 + trial]) for trial in range(5)]
    shares = {"lr.value": 0.7, "loss": 0.2, "$x_1$": 0.1}
    store.study("search_lr", rows, kind="search", importance=shares, objective=["multitask"])
    (found,) = read_report(settings(tmp_path)).glances
    assert found.sentences == (
        "Trial 4 is the best of 5: multitask 34.00, with lr.value=1e-4.",
        "What mattered, as shares of what tells the best trials from the others: lr.value (0.70), loss (0.20), "
        "$x_1$ (0.10).",
    )
    (figure,) = found.figures
    assert figure.svg is not None
    assert all(name in figure.svg for name in shares)


def test_nothing_that_was_run_is_no_glance(tmp_path: Path) -> None:
    document = read_report(settings(tmp_path))
    assert document.glances == ()
    assert document.made == ""
    store = Store(tmp_path / "outputs")
    store.study(None, [Row([(60, 30)])])
    assert read_report(settings(tmp_path)).glances == ()


def test_names_of_any_kind_stand_in_plots_and_sentences(tmp_path: Path) -> None:
    write_sweep(tmp_path / "outputs")
    path = tmp_path / "outputs" / "sweeps" / "s" / "sweep.json"
    for name in ("$\\frac<script>%s{}", "a" * 300, "ä\n\u202eb"):
        account = json.loads(path.read_text())
        account["rows"][3]["params"] = {"task_weights": name}
        path.write_text(json.dumps(account))
        written = write_report(settings(tmp_path))
        assert "<script" not in written.html.read_text()
        assert written.document.glances[0].sentences[0].startswith(name)


WRAPPER = """<!DOCTYPE html><title>w</title><script>
const widths = [390, 768, 1280], found = [];
function measure(frame, width) {
  const page = frame.contentDocument, root = page.documentElement;
  const verdict = page.querySelector("td .verdict").getBoundingClientRect();
  const first = page.querySelector(".glance figure").getBoundingClientRect();
  found.push([width, root.scrollWidth, Math.ceil(verdict.right), Math.ceil(first.bottom)]);
  if (found.length === widths.length) document.title = JSON.stringify(found);
}
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style.width = width + "px"; frame.style.height = "900px"; frame.style.border = 0;
  frame.onload = () => measure(frame, width);
  frame.src = "index.html";
  document.documentElement.append(frame);
}
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_nothing_overflows_at_any_width_and_verdicts_and_the_first_plot_are_in_sight(tmp_path: Path) -> None:
    assert BROWSER is not None
    write_sweep(tmp_path / "outputs")
    folder = write_report(settings(tmp_path)).html.parent
    (folder / "wrapper.html").write_text(WRAPPER)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
        more = [f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1900,1200", "--virtual-time-budget=20000"]
        address = f"http://127.0.0.1:{server.server_port}/wrapper.html"
        done = subprocess.run(
            [BROWSER, *words, *more, address], capture_output=True, text=True, timeout=120, check=True
        )
        server.shutdown()
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    found = json.loads(title)
    assert sorted(width for width, *_ in found) == [390, 768, 1280]
    for width, all_of_it, verdict, plot in found:
        assert all_of_it <= width, "the page scrolls sideways"
        assert verdict <= width, "the verdict is out of sight"
        assert plot <= (900 if width > 700 else 1600), "the first plot is far down"
