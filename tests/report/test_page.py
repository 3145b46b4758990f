"""The page from end to end: HTML and Markdown of a store, whole, empty, half-written and hostile."""

import html
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.commands import Commands
from helpers.composing import places
from helpers.report_store import MINISCAPES, Row, Store, report_rows, settings, write, write_panel
from helpers.tiny_data import write_tiny_miniscapes

from mtl_seg_depth.report.document import Document, Section
from mtl_seg_depth.report.glance import Glance
from mtl_seg_depth.report.page import read_report, render_html, write_report
from mtl_seg_depth.report.tables import in_words
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks import HEADLINES
from mtl_seg_depth.tasks.headline import Headline

SCRIPT = "<script>alert('x')</script>"


class Tables(HTMLParser):
    """The cells of a page's tables, row by row, bold ones in stars, without headings of groups; and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.cell: str | None = None
        self.in_groups = False
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.in_groups = ("class", "groups") in attributes
            if not self.in_groups:
                self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""
        elif tag == "strong" and self.cell is not None:
            self.cell += "**"

    def handle_endtag(self, tag: str) -> None:
        if tag == "strong" and self.cell is not None:
            self.cell += "**"
        elif tag in ("td", "th") and self.cell is not None:
            if not self.in_groups:
                self.tables[-1][-1].append(self.cell.strip())
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell += data


def markdown_tables(text: str) -> list[list[list[str]]]:
    tables: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("| "):
            if not inside:
                tables.append([])
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            plain = [re.sub(r"^\[(.*)\]\(#.*\)$", r"\1", cell) for cell in cells]
            tables[-1].append([html.unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in plain])
        inside = line.startswith("| ")
    return [[row for row in table if not set("".join(row)) <= set("-:")] for table in tables]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


def page(tmp_path: Path, *studies: str) -> tuple[str, str, Document]:
    written = write_report(settings(tmp_path, *studies))
    return written.html.read_text(), written.markdown.read_text(), written.document


def section(document: Document, name: str) -> Section:
    return next(section for section in document.sections if section.id == name)


def rows(document: Document, name: str, table: int = 0) -> list[dict[str, str]]:
    """Cells by heading, the group's before it; a star for bold."""
    found = section(document, name).tables[table]
    titles = [f"{column.group.split(',')[0]} {column.title}".strip() for column in found.columns]
    return [dict(zip(titles, (cell.text + "*" * cell.bold for cell in cells), strict=True)) for cells in found.rows]


def test_an_empty_store_is_a_page_of_the_reports_numbers_with_the_commands_that_run_them(tmp_path: Path) -> None:
    text, markdown, document = page(tmp_path)
    assert document.lede == "Of 18 findings of the report, 18 lack the runs they need."
    assert document.banner is None
    for name in ("sgd_lr", "adam_lr", "epochs_batch", "task_weights", "pretrained", "dilation", "aspp_skip",
                 "architecture", "squeeze_excitation", "depth_norm", "loss", "tta"):  # fmt: skip
        for output in (text, markdown):
            assert f"python train.py sweeps={name}" in output
        assert {row["state"] for row in rows(document, name)} == {"not run yet"}
    adam = rows(document, "adam_lr")[4]
    assert adam["learning rate"] == "1e-4"
    assert (adam["report multitask ↑"], adam["report mIoU, % ↑"]) == ("43.17*", "69.80*")
    assert adam["ours multitask ↑"] == "–"


def test_ours_stand_as_mean_deviation_and_number_of_seeds_with_the_best_in_bold(tmp_path: Path, store: Store) -> None:
    store.study("dilation", [Row([(60, 30), (62, 30), (64, 33)]), Row([(70, 20)])])
    first, second = rows(page(tmp_path)[2], "dilation")
    assert first["ours mIoU, % ↑"] == "62.00 ± 2.00 (3)"
    assert first["ours SI-log ↓"] == "31.00 ± 1.73 (3)"
    assert second["ours mIoU, % ↑"] == "70.00 (1)*"
    assert second["ours SI-log ↓"] == "20.00 (1)*"
    assert (first["place report"], first["place ours"]) == ("2", "2")


def test_a_task_that_the_report_does_not_know_has_columns_where_a_run_has_its_score(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = Headline("normals", "mean angular error", "angle", "°", higher_is_better=False)
    monkeypatch.setitem(HEADLINES, "normals", error)
    path = store.study("dilation", [Row([(10, 90)]), Row([(10, 90)])])
    store.study("loss", report_rows("loss"))
    account = json.loads(path.read_text())
    for row, angle in zip(account["rows"], (20.0, 12.0), strict=True):
        row["runs"][0]["scores"]["normals"] = angle
    write(path, account)
    document = page(tmp_path)[2]
    assert [row["ours angle, ° ↓"] for row in rows(document, "dilation")] == ["20.00 (1)", "12.00 (1)*"]
    assert [row["ours multitask ↑"] for row in rows(document, "dilation")] == ["0.00 (1)", "0.00 (1)*"]
    assert not any("angle" in title for title in rows(document, "loss")[0])
    assert [row["place ours"] for row in rows(document, "loss")] == ["3", "2", "1"]


def test_the_embedded_data_give_places_and_a_banner_and_no_differences(tmp_path: Path, store: Store) -> None:
    store.study("loss", report_rows("loss", shift=1), overrides=["data.train=64"], encoder="resnet18")
    text, markdown, document = page(tmp_path)
    assert document.banner is not None
    assert document.lede.endswith("None of it is on the report's own data.")
    for output in (text, markdown):
        assert document.banner in html.unescape(output)
    found = section(document, "loss")
    assert found.data == "not Miniscapes"
    for table in found.tables:
        assert "embedded street scenes (64 training images of 256 x 128), not Miniscapes" in table.caption
    caption = found.tables[0].caption
    assert "encoder resnet18 (report: resnet50)" in caption
    assert "initial weights none (report: imagenet)" in caption
    assert "steps 128 (report: 80 000)" in caption
    assert "precision fp32; on NVIDIA Test GPU" in caption
    assert "fixed besides the sweep: data.train=64." in caption
    assert not any(title.startswith("ours −") for title in rows(document, "loss")[0])
    assert [row["place ours"] for row in rows(document, "loss")] == ["3", "2", "1"]


def test_miniscapes_gives_differences_and_no_banner(tmp_path: Path, store: Store) -> None:
    store.steps_per_epoch = 5000
    store.study("loss", report_rows("loss", shift=1), data=MINISCAPES)
    document = page(tmp_path)[2]
    assert document.banner is None
    assert section(document, "loss").data == "Miniscapes"
    assert document.lede.endswith("All of it is on the report's own data.")
    first = rows(document, "loss")[0]
    differences = [first[f"ours − report {title}"] for title in ("multitask ↑", "mIoU, % ↑", "SI-log ↓")]
    # The report's own multitask is its rounded one, 68.916, and not the 68.917 of its rounded parts.
    assert differences == ["+1.00", "+1.00", "+0.00"]


def test_a_table_of_other_data_among_miniscapes_is_marked(tmp_path: Path, store: Store) -> None:
    store.steps_per_epoch = 5000
    store.study("loss", report_rows("loss"), data=MINISCAPES)
    store.study("dilation", report_rows("dilation"))
    document = page(tmp_path)[2]
    assert document.banner is not None
    assert "different data in different tables" in document.data
    assert "1 of the 2 tables that have runs" in document.lede
    assert (section(document, "loss").data, section(document, "dilation").data) == ("Miniscapes", "not Miniscapes")


def test_the_split_is_said_and_where_it_is_not_the_reports(tmp_path: Path, store: Store) -> None:
    store.study("tta", report_rows("tta"), score="test")
    store.study("loss", report_rows("loss"))
    store.study("dilation", report_rows("dilation"), score="test")
    document = page(tmp_path)[2]
    captions = [section(document, name).tables[0].caption for name in ("tta", "loss", "dilation")]
    for caption, split in zip(captions, ("test split", "validation split", "test split (report: validation split)"),
                              strict=True):  # fmt: skip
        assert f"128 x 128, {split}; encoder" in caption


def test_costs_stand_beside_the_reports(tmp_path: Path, store: Store) -> None:
    store.study("architecture", report_rows("architecture"))
    first = rows(page(tmp_path)[2], "architecture", table=1)[0]
    assert (first["report time"], first["report memory"], first["report parameters"]) == (
        "7 h 14 min", "31.63 %", "26.73 M",
    )  # fmt: skip
    assert (first["ours time"], first["ours peak memory"], first["ours parameters"], first["ours images/s"]) == (
        "1 h 02 min", "25.0 %", "21.42 M", "123",
    )  # fmt: skip


def test_markdown_and_html_hold_the_same_tables(tmp_path: Path, store: Store) -> None:
    store.study("adam_lr", report_rows("adam_lr", seeds=3)[:6])
    store.study("task_weights", report_rows("task_weights", seeds=2))
    store.study("depth_norm", report_rows("depth_norm")[:2])
    found = [Row(label=f"a|b_{k}*c", values=[float(k)]) for k in range(3)]
    store.study("search_lr", found, kind="search")
    text, markdown, document = page(tmp_path)
    from_html, from_markdown = Tables(text).tables, markdown_tables(markdown)
    count = len(document.overview) + sum(len(section.tables) for section in document.sections)
    assert len(from_html) == len(from_markdown) == count
    for one, other in zip(from_html, from_markdown, strict=True):
        assert one[1:] == other[1:]  # headings differ: Markdown's name their group


def test_rows_that_do_not_match_stand_alone_under_their_own_names(tmp_path: Path, store: Store) -> None:
    store.study("loss", [Row([(50, 40)], label="loss=l2"), Row([(50, 30)], label="loss=huber")])
    document = page(tmp_path)[2]
    found = rows(document, "loss")
    assert [row["row"] for row in found] == ["loss=l2", "loss=huber"]
    assert not any("report" in title for title in found[0])
    assert "The sweep has 2 rows and the report's table 3" in section(document, "loss").notes[0]


def test_a_running_sweep_gives_a_page(tmp_path: Path, store: Store) -> None:
    running = report_rows("loss", seeds=2)
    running[1] = Row([(60, 30), (1, 99)], state="running", statuses=["finished", "running"])
    running[2] = Row(state="waiting")
    store.study("loss", running, overrides=["data.train=64", "data.root=/my data"])
    for folder in store.outputs.glob("run-*"):
        with (folder / "metrics.jsonl").open("a") as file:
            file.write('{"step": 132, "time": 1, "metr')
    document = page(tmp_path)[2]
    assert [row["state"] for row in rows(document, "loss")] == ["", "running, 1 of 2 seeds done", "not run yet"]
    assert rows(document, "loss")[1]["ours mIoU, % ↑"] == "60.00 (1)"
    assert section(document, "loss").command == "python train.py sweeps=loss data.train=64 'data.root=/my data'"
    assert not document.problems


@pytest.mark.parametrize("name", ["my sweep", "a; touch b", "$(touch b)", "it's", "a`b`"])
def test_commands_to_copy_survive_any_name_of_a_sweep(tmp_path: Path, store: Store, name: str) -> None:
    store.study(name, [Row([], state="running")], name="odd", overrides=["data.root=/my data; $HOME"])
    command = page(tmp_path)[2].sections[-1].command
    assert command is not None
    assert shlex.split(command) == ["python", "train.py", f"sweeps={name}", "data.root=/my data; $HOME"]


def test_what_is_complete_needs_no_command(tmp_path: Path, store: Store) -> None:
    store.study("loss", report_rows("loss"))
    assert section(page(tmp_path)[2], "loss").command is None


def test_run_folders_that_are_gone_leave_the_scores(tmp_path: Path, store: Store) -> None:
    store.study("loss", report_rows("loss"))
    for folder in store.outputs.glob("run-*"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    document = page(tmp_path)[2]
    assert rows(document, "loss")[2]["ours mIoU, % ↑"] == "86.22 (1)*"
    assert section(document, "loss").data == "not Miniscapes"


def test_damaged_files_are_told_on_the_page(tmp_path: Path, store: Store) -> None:
    store.study("loss", report_rows("loss"))
    torn = store.study("dilation", [])
    torn.write_text("{")
    folder = next(store.outputs.glob("run-*"))
    (folder / "result.json").write_text("")
    text, markdown, _ = page(tmp_path)
    for output in (text, markdown.replace("\\_", "_")):
        assert "sweeps/dilation-1a2b3c4d/sweep.json was left out" in output
        assert f"{folder.name}/result.json was left out" in output


def test_hostile_names_stay_text(tmp_path: Path, store: Store) -> None:
    hostile = f"{SCRIPT}\" onload='x' [a](javascript:b) ![c](d) `e`"
    store.study(
        "loss", [Row([(50, 40)], label=hostile, state="failed", reason=hostile)], overrides=[hostile], encoder=hostile
    )
    searched = [Row([(50, 40)], label=hostile, values=[1.0, 2.0])]
    store.study(
        hostile, searched, name=f"{SCRIPT}/../x", kind="search", objective=[hostile, "b"], directions=["maximize"] * 2
    )
    store.study(None, [Row([(50, 40)], label=hostile)], name=f"adhoc {SCRIPT}")
    text, markdown, _ = page(tmp_path)
    found = Tables(text)
    assert "script" not in found.tags
    assert not any(name.startswith("on") for name in found.attributes)
    outside_code = re.sub(r"(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown)
    assert "javascript" in outside_code
    for part in ("<script", "[a](", "![c]("):
        assert part not in outside_code
    assert {path.parent.name for path in (tmp_path / "report").rglob("*_trials.png")} == {"figures"}


def test_passwords_are_nowhere(tmp_path: Path, store: Store) -> None:
    uri = "tracking.uri=postgresql://me:hunter2@host/runs"
    store.study("loss", [Row([(50, 40)], label=uri, reason=uri, state="waiting")] * 3, overrides=[uri])
    folder = next(store.outputs.glob("run-*"))
    write(folder / "run.json", {"name": uri, "params": {"data": "x.Streets", "encoder.name": uri}})
    text, markdown, _ = page(tmp_path)
    assert "hunter2" not in text + markdown
    assert "postgresql://***@host/runs" in text


def test_the_page_is_one_file_of_a_few_megabytes_that_needs_nothing_else(tmp_path: Path, store: Store) -> None:
    for table in ("adam_lr", "dilation", "aspp_skip"):
        store.study(table, report_rows(table))
    for number, folder in enumerate(sorted(store.outputs.glob("run-*"))):
        write_panel(folder / "artifacts" / "panels" / "step_000128.png", seed=number)
    text, markdown, _ = page(tmp_path)
    assert len(text) < 3_000_000
    assert not re.search(r"<(?:script|link|iframe|object)\b|@import", text)
    assert {source[:5] for source in re.findall(r'(?:src|xlink:href|href)="([^"]*)"', text) if source[0] != "#"} == {
        "data:"
    }
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'name="viewport"' in text
    for name in re.findall(r"\]\((figures/[^)]*)\)", markdown):
        assert (tmp_path / "report" / name).is_file()
    assert {"figures/figure_01.png", "figures/figure_10.jpg"} <= set(re.findall(r"\]\((figures/[^)]*)\)", markdown))


def test_links_lead_somewhere_and_names_in_a_page_are_unique(tmp_path: Path, store: Store) -> None:
    store.study("adam_lr", report_rows("adam_lr"))
    store.study("loss", report_rows("loss"))
    text, markdown, _ = page(tmp_path)
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)
    assert set(re.findall(r"\]\(#([^)]*)\)", markdown)) <= set(re.findall(r'<a id="([^"]*)">', markdown))


def test_searches_and_sweeps_of_ones_own_follow_the_report(tmp_path: Path, store: Store) -> None:
    store.study("search_lr", [Row(label="lr=1", values=[3.0])], kind="search", name="search_lr-1")
    store.study("my_grid", [Row([(60, 30)], label="a"), Row([(61, 30)], label="b")], name="my_grid-1", updated=1)
    store.study(None, [Row([(60, 30)], label="a")], name="adhoc-1")
    document = page(tmp_path)[2]
    assert [section.id for section in document.sections[12:]] == ["my_grid-1", "adhoc-1", "search_lr-1"]
    assert rows(document, "my_grid-1")[1]["ours mIoU, % ↑"] == "61.00 (1)*"
    assert all(section.data == "not Miniscapes" for section in document.sections[12:])
    assert section(document, "search_lr-1").figures


def test_other_studies_of_a_sweep_are_told_and_can_be_asked_for(tmp_path: Path, store: Store) -> None:
    store.study("loss", report_rows("loss"), name="loss-new", updated=2)
    store.study("loss", report_rows("loss", shift=-5), name="loss-old", updated=1)
    document = page(tmp_path)[2]
    assert rows(document, "loss")[0]["ours mIoU, % ↑"] == "86.06 (1)"
    assert any("Other studies of this sweep: loss-old;" in note for note in section(document, "loss").notes)
    assert rows(page(tmp_path, "loss-old")[2], "loss")[0]["ours mIoU, % ↑"] == "81.06 (1)"
    with pytest.raises(UserError, match="did you mean loss-old"):
        read_report(settings(tmp_path, "loss-odl"))


def test_a_place_that_cannot_be_written_to_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    with pytest.raises(UserError, match=r"out=.*report: "):
        write_report(settings(tmp_path))


def test_the_same_store_gives_the_same_page(tmp_path: Path, store: Store) -> None:
    store.study("adam_lr", report_rows("adam_lr"))
    assert page(tmp_path)[:2] == page(tmp_path)[:2]


def test_real_runs_from_the_command_line(folder: Path, command: Commands) -> None:
    outputs = folder / "outputs"
    folders = sorted(path.parent for path in outputs.glob("*/result.json"))
    results = [json.loads((path / "result.json").read_text()) for path in folders]
    runs = [
        {
            "seed": 0, "fingerprint": result["fingerprint"], "folder": path.name, "status": result["status"],
            "scores": {key: result["best"][f"val/{key}"] for key in ("multitask", "semseg", "depth")},
            "evaluation": None,
        }
        for path, result in zip(folders, results, strict=True)
    ]  # fmt: skip
    account = {
        "version": 1, "study": "dilation-1", "sweep": "dilation", "kind": "grid", "started": 1, "updated": 2,
        "objective": ["val/multitask"], "directions": ["maximize"], "overrides": [], "seeds": [0], "config": {},
        "rows": [
            {"number": k, "label": str(k), "params": {}, "state": "complete", "reason": None, "values": [0.0],
             "attempt": 1, "started": 1, "ended": 2, "runs": [run]}
            for k, run in enumerate(runs)
        ],
    }  # fmt: skip
    (outputs / "sweeps" / "dilation-1").mkdir(parents=True)
    write(outputs / "sweeps" / "dilation-1" / "sweep.json", account)
    done = command("report.py", f"paths.outputs={outputs}", f"out={folder}/my page")
    assert done.returncode == 0, done.stderr
    assert f"{folder}/my page/index.html" in done.stdout
    text = (folder / "my page" / "index.html").read_text()
    for run, result in zip(runs, results, strict=True):
        assert f"{run['scores']['depth']:.2f} (1)" in text
        assert f"{100 * result['cost']['peak_memory_share']:.1f} %" in text
    assert "data laid out like Miniscapes of about 4 training images, not the report&#39;s, crops of 32 x 32" in text
    assert "encoder resnet18 (report: resnet34)" in text
    assert "on CPU" in text
    assert 'src="data:image/jpeg;base64,' in text  # the panels that the two trainings drew


def test_a_real_sweep_fills_its_table(tmp_path: Path, command: Commands) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 8, "val": 1, "test": 1})
    small = ["data=miniscapes", "data.crop_size=[32,32]", "encoder.name=resnet18", "schedule.max_steps=2"]
    here = [
        "tracking=folder",
        "device=cpu",
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/studies.db",
        *places(tmp_path),
    ]
    done = command("train.py", "sweeps=adam_lr", *small, "precision=fp32", *here)
    assert done.returncode == 0, done.stderr
    account = json.loads(next(tmp_path.glob("outputs/sweeps/*/sweep.json")).read_text())
    document = page(tmp_path)[2]
    shown = rows(document, "adam_lr")
    assert len(shown) == len(account["rows"]) == 6
    for cells, row in zip(shown, account["rows"], strict=True):
        assert cells["learning rate"] == in_words(float(row["params"]["lr.value"]))
        assert cells["ours SI-log ↓"].strip("*") == f"{row['runs'][0]['scores']['depth']:.2f} (1)"
    caption = section(document, "adam_lr").tables[0].caption
    assert "data laid out like Miniscapes of about 8 training images, not the report's, crops of 32 x 32" in caption
    assert "encoder resnet18 (report: resnet34); initial weights none; steps 2 (report: 80 000)" in caption
    assert f"{tmp_path}" not in caption
    assert section(document, "adam_lr").command is None
    assert all(figure.svg for figure in section(document, "adam_lr").figures)


def test_a_mistake_on_the_command_line_is_one_message(tmp_path: Path, command: Commands) -> None:
    line = ["report.py", f"paths.outputs={tmp_path}", f"out={tmp_path}/page"]
    for override, message in (
        ("studies=[nowhere]", "studies: no sweep"),
        ("study=x", "study: there is no such option"),
    ):
        done = command(*line, override)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {message}")


def test_rendering_escapes_by_itself() -> None:
    document = Document(
        title=SCRIPT, made=SCRIPT, glances=(Glance(SCRIPT, SCRIPT, (SCRIPT, SCRIPT), ()),), lede=SCRIPT,
        verdicts=((SCRIPT, [SCRIPT]),), data=SCRIPT, banner=SCRIPT, overview=(),
        sections=(Section(SCRIPT, SCRIPT, SCRIPT, SCRIPT, (), (SCRIPT,), (), SCRIPT, SCRIPT),), problems=(SCRIPT,),
        reading=(SCRIPT,),
    )  # fmt: skip
    assert "<script" not in render_html(document)
