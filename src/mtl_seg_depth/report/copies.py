"""Any table of the page as CSV, and as LaTeX for the package booktabs, to be copied from it."""

import csv
import io
from collections.abc import Iterable

from mtl_seg_depth.report.paper import escaped
from mtl_seg_depth.report.table import Table


def table_as_csv(table: Table) -> str:
    """Its headings and cells as they are shown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.full_titles)
    writer.writerows([cell.text for cell in cells] for cells in table.rows)
    return text.getvalue()


def table_as_latex(table: Table) -> str:
    """A `tabular`, the best in bold."""
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [rf"\begin{{tabular}}{{{kinds}}}", r"  \toprule", _line(map(escaped, table.full_titles)), r"  \midrule"]
    for cells in table.rows:
        lines.append(_line(rf"\textbf{{{escaped(cell.text)}}}" if cell.bold else escaped(cell.text) for cell in cells))
    return "\n".join([*lines, r"  \bottomrule", r"\end{tabular}", ""])


def _line(cells: Iterable[str]) -> str:
    return rf"  {' & '.join(cells)} \\"
