"""From the store to the report page: read, compare, draw, write."""

import base64
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from mtl_seg_depth.config import Paths, Section
from mtl_seg_depth.report.comparison import compare
from mtl_seg_depth.report.contest import contests
from mtl_seg_depth.report.copies import table_as_csv, table_as_latex
from mtl_seg_depth.report.document import Document, make_document
from mtl_seg_depth.report.drawing import Drawing
from mtl_seg_depth.report.figures import report_drawings, search_drawings
from mtl_seg_depth.report.glance import glance, search_glance
from mtl_seg_depth.report.markdown import render_markdown
from mtl_seg_depth.report.store import choose, read_studies
from mtl_seg_depth.report.tables import report_tables
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError

FIGURES = "figures"
"""The folder of the figures' files, beside the Markdown."""


class ReportSettings(Section):
    """What `report.py` composes: where the page goes, and which studies to show instead of the newest."""

    out: str
    studies: list[str]
    paths: Paths


@dataclass(frozen=True)
class Written:
    """What was written, and what could not be read on the way."""

    html: Path
    markdown: Path
    document: Document


def write_report(settings: ReportSettings) -> Written:
    """Write index.html, report.md and the figures' files; UserError for an unknown study, or where it cannot."""
    document = read_report(settings)
    out = Path(settings.out)
    written = Written(out / "index.html", out / "report.md", document)
    try:
        (out / FIGURES).mkdir(parents=True, exist_ok=True)
        shown = [each.figures for each in document.glances] + [each.figures for each in document.sections]
        for figure in chain.from_iterable(shown):
            if figure.image is not None:
                atomic.write_bytes(out / FIGURES / f"{figure.name}{figure.suffix}", figure.image)
        atomic.write_text(written.markdown, render_markdown(document, FIGURES))
        atomic.write_text(written.html, render_html(document))
    except OSError as error:
        raise UserError(f"out={settings.out}: {error.strerror or error}") from error
    return written


def read_report(settings: ReportSettings) -> Document:
    """The page as data, from what the store holds now."""
    outputs = Path(settings.paths.outputs)
    studies, problems = read_studies(outputs)
    chosen = choose(studies, settings.studies)
    tables = report_tables()
    of_report = {study.sweep: study for study in chosen if study.sweep in {table.id for table in tables}}
    comparisons = []
    for table in tables:
        study = of_report.get(table.id)
        hidden = tuple(other.study for other in studies if other.sweep == table.id and other is not study)
        comparisons.append(compare(table, study, outputs, problems, hidden))
    others = [study for study in chosen if study.sweep not in of_report]
    comparisons += [compare(None, study, outputs, problems) for study in others if study.kind != "search"]
    searches = [study for study in others if study.kind == "search"]
    standing = {each.anchor: found for each in others if (found := contests(each, outputs, problems))}
    told = [glance(each, standing[each.id][0], problems) for each in comparisons if each.id in standing]
    told += [search_glance(study) for study in searches]
    glances = [each for each in told if each is not None]
    drawings = report_drawings({each.id: each for each in comparisons if each.table is not None})
    drawings |= {study.anchor: search_drawings(study) for study in searches}
    return make_document(comparisons, searches, drawings, problems, standing, glances)


def render_html(document: Document) -> str:
    """The page as one file of HTML that needs no other."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mtl_seg_depth.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters |= {"quote": quote, "csv": table_as_csv, "latex": table_as_latex}
    return environment.get_template("page.html.jinja").render(document=document)


def _data_uri(figure: Drawing) -> str:
    assert figure.image is not None
    kind = {".jpg": "jpeg", ".png": "png"}[figure.suffix]
    return f"data:image/{kind};base64,{base64.b64encode(figure.image).decode()}"
