"""The page as GitHub-flavoured Markdown."""

import html
import re
from collections.abc import Iterator

from mtl_seg_depth.report.document import Document, Section
from mtl_seg_depth.report.drawing import Drawing
from mtl_seg_depth.report.glance import Glance
from mtl_seg_depth.report.table import Cell, Table


def render_markdown(document: Document, folder: str) -> str:
    """The whole page; figures are files in `folder`, beside it."""
    return "\n".join(_lines(document, folder)) + "\n"


def _lines(document: Document, folder: str) -> Iterator[str]:
    yield f"# {plain(document.title)}"
    yield ""
    if document.made:
        yield plain(document.made)
        yield ""
    for glance in document.glances:
        yield from _glance(glance, folder)
    yield '<a id="findings"></a>'
    yield ""
    yield "## The report's findings"
    yield ""
    yield plain(document.lede)
    yield ""
    if document.report_is_begun:
        yield from _findings(document)
    else:
        yield from _folded("The findings, and what each takes", _findings(document))
    if document.banner:
        yield ""
        yield "> [!WARNING]"
        yield f"> {plain(document.banner)}"
    for problem in document.problems:
        yield ""
        yield f"> {plain(problem)}"
    for section in document.begun:
        yield from _section(section, folder)
    if document.waiting:
        yield ""
        yield "## Not run yet"
        yield ""
        for section in document.waiting:
            yield f"- {code(section.command or '')}: {plain(section.title)}, {section.cost}"
        for section in document.waiting:
            yield from _folded(section.title, _section(section, folder))
    yield ""
    yield "## How to read the tables"
    for note in document.reading:
        yield ""
        yield plain(note)


def _folded(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{html.escape(title)}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _findings(document: Document) -> Iterator[str]:
    for opening, statements in document.verdicts:
        yield f"- **{plain(opening)}** ({len(statements)}): {plain('; '.join(statements))}."
    yield ""
    yield plain(document.data)
    for table in document.overview:
        yield from _table(table)


def _glance(glance: Glance, folder: str) -> Iterator[str]:
    yield f"## [{plain(glance.title)}](#{glance.link})"
    for sentence in glance.sentences:
        yield ""
        yield plain(sentence)
    for figure in glance.figures:
        yield ""
        yield _figure(figure, folder)
    yield ""


def _section(section: Section, folder: str) -> Iterator[str]:
    yield ""
    yield f'<a id="{section.id}"></a>'
    yield ""
    mark = f" ({section.data})" if section.data else ""
    yield f"## {plain(section.title + mark)}"
    yield ""
    yield f"{plain(section.number)}."
    for table in section.tables:
        yield from _table(table)
    for note in section.notes:
        yield ""
        yield plain(note)
    if section.command:
        yield ""
        yield f"What is not run yet, {section.cost}: {code(section.command)}"
    for figure in section.figures:
        yield ""
        yield _figure(figure, folder)


def _table(table: Table) -> Iterator[str]:
    yield ""
    yield f"*{plain(table.caption)}*"
    yield ""
    yield _row(plain(title) for title in table.full_titles)
    yield _row("---:" if column.numeric else "---" for column in table.columns)
    for cells in table.rows:
        yield _row(_cell(cell) for cell in cells)


def _row(texts: Iterator[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    text = f"[{plain(cell.text)}](#{cell.link})" if cell.link else plain(cell.text)
    return f"**{text}**" if cell.bold else text


def _figure(figure: Drawing, folder: str) -> str:
    title = f"**{plain(figure.title)}.**"
    if figure.missing is not None:
        return f"{title} {plain(figure.missing)}"
    return f"![{plain(figure.title)}]({folder}/{figure.name}{figure.suffix})\n\n{title} {plain(figure.caption)}"


def plain(text: str) -> str:
    """Text as it stands, whatever it holds: neither Markdown nor HTML, on one line."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Text as code, whatever it holds."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}"
