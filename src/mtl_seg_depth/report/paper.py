"""A contest as files to publish: CSV with every number, LaTeX (booktabs) and Markdown to paste, and their caption."""

import csv
import io
import math
from collections.abc import Sequence

from mtl_seg_depth.records.results import Selection, SweepRecord
from mtl_seg_depth.report.contest import Contest, Entry, Method
from mtl_seg_depth.scoring import delta
from mtl_seg_depth.tasks import Headline

SPLITS = {"train": "training split", "val": "validation split", "test": "test split"}

SELECTED: dict[Selection, str] = {
    "best": "of the best validation of each training",
    "last": "of the last validation of each training",
    "mean_of_last_10": "averaged over the last ten validations of each training",
}

COLUMNS = (
    "selection", "method", "is_reference", "measure", "unit", "better",
    "n", "mean", "deviation", "low", "high",
    "pairs", "lead", "lead_low", "lead_high", "probability_better", "p_holm", "comparisons", "more_seeds", "verdict",
)  # fmt: skip
"""Of the CSV: intervals are of 95 %; the lead on the baseline is above 0 where a method is better, whichever way the
measure goes."""


def as_csv(contests: Sequence[Contest]) -> str:
    """A line for every selection, method and measure; a number that does not exist is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for contest in contests:
        for method in contest.methods:
            for measure in contest.measures:
                if entry := method.entries.get(measure.key):
                    writer.writerow(_line(contest, method, measure, entry))
            if not math.isnan(method.rank):
                cells = {"measure": "mean_rank", "better": "lower", "mean": method.rank}
                known = {"selection": contest.selection, "method": method.name, "is_reference": False, **cells}
                writer.writerow([known.get(column, "") for column in COLUMNS])
    return text.getvalue()


def _line(contest: Contest, method: Method, measure: Headline, entry: Entry) -> list[object]:
    over, lead = entry.over, entry.lead
    better = "higher" if measure.higher_is_better else "lower"
    cells: list[object] = [
        contest.selection, method.name, method.is_reference, measure.key, measure.unit, better,
        over.count, over.mean, over.deviation, over.low, over.high,
    ]  # fmt: skip
    if lead is not None:
        more = lead.more_seeds(entry.comparisons)
        cells += [lead.pairs, lead.over.mean, lead.over.low, lead.over.high, lead.probability, entry.p]
        cells += [entry.comparisons, more, entry.verdict]
    cells += [None] * (len(COLUMNS) - len(cells))
    return ["" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell for cell in cells]


def heading(measure: Headline) -> str:
    """Short, with unit and direction."""
    return f"{measure.short}{f', {measure.unit}' if measure.unit else ''} {measure.arrow}"


def decimals(measure: Headline) -> int:
    """Two for per cent, four for errors, as the field's tables have them."""
    return 2 if measure.unit == "%" else 4


def number(entry: Entry | None, measure: Headline) -> str:
    """Mean and half its interval; the mean alone where one seed has no interval."""
    if entry is None:
        return "–"
    digits = decimals(measure)
    mean = f"{entry.over.mean:.{digits}f}"
    return mean if math.isnan(entry.over.half) else f"{mean} ± {entry.over.half:.{digits}f}"


def rank(method: Method) -> str:
    """The mean rank."""
    return "–" if math.isnan(method.rank) else f"{method.rank:.2f}"


def decided(contest: Contest, method: Method) -> str:
    """The verdict by the contest's decisive measure."""
    if method.is_reference:
        return "reference"
    entry = method.entries.get(contest.decisive.key)
    return "baseline" if method.name == contest.baseline else entry.verdict if entry else "no score to compare"


def as_markdown(study: SweepRecord, contest: Contest) -> str:
    """The table with its caption."""
    headings = ["method", *(heading(each) for each in contest.measures), "mean rank ↓"]
    headings.append(f"against {contest.baseline}, by {contest.decisive.short}")
    lines = [f"| {' | '.join(map(_piped, headings))} |", "|---" + "|---:" * (len(headings) - 2) + "|---|"]
    for method in contest.methods:
        cells = [number(method.entries.get(each.key), each) for each in contest.measures]
        cells = [method.name, *cells, rank(method), decided(contest, method)]
        lines.append(f"| {' | '.join(map(_piped, cells))} |")
    return "\n".join([*lines, "", caption(study, contest), ""])


def _piped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_latex(study: SweepRecord, contest: Contest) -> str:
    """A `table` for the package booktabs; + and - mark what is shown to be better or worse than the baseline."""
    headings = ["Method", *(escaped(heading(each)) for each in contest.measures), escaped("MR ↓")]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(caption(study, contest))} A superscript + or $-$ marks a difference to the "
        r"baseline that is shown.}",
        rf"  \begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        r"    \toprule",
        rf"    {' & '.join(headings)} \\",
        r"    \midrule",
    ]
    references = [method for method in contest.methods if method.is_reference]
    for method in contest.methods:
        cells = [escaped(method.name)]
        for each in contest.measures:
            entry = method.entries.get(each.key)
            mark = {"better": "$^{+}$", "worse": "$^{-}$"}.get(entry.verdict if entry else "", "")
            cells.append(escaped(number(entry, each)) + mark)
        lines.append(rf"    {' & '.join([*cells, escaped(rank(method))])} \\")
        if references and method is references[-1]:
            lines.append(r"    \midrule")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


_LATEX = {
    "\\": r"\textbackslash{}", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "^": r"\^{}", "~": r"\~{}", "±": r"$\pm$", "Δ": r"$\Delta$", "–": "--", "−": "$-$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "τ": r"$\tau$", "×": r"$\times$", "Σ": r"$\Sigma$",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text as LaTeX has it."""
    return "".join(_LATEX.get(character, character) for character in text)


def caption(study: SweepRecord, contest: Contest) -> str:
    """What the numbers are: data, seeds, selection, intervals, tests, definitions with their sources."""
    seeds = ", ".join(map(str, contest.seeds))
    several = len(contest.seeds) > 1
    counted = f"{len(contest.seeds)} seeds ({seeds})" if several else f"one seed ({seeds}), which shows nothing,"
    split = study.config.get("score") or "val"
    parts = [
        f"Means over {counted} ± half of their 95 % t interval.",
        f"Scores {SELECTED[contest.selection]}, on the {SPLITS.get(str(split), str(split))}: {contest.data}.",
        f"Leads on {contest.baseline} are taken seed by seed; a difference is called shown where the paired t-test's "
        f"p-value is below 5 % after Holm's correction for the {contest.comparisons} rows compared.",
    ]
    if delta.OVER_METRICS in contest.measures:
        names = [_spoken(key, contest) for metrics in contest.tasks.values() for key in metrics]
        parts.append(
            f"Δm compares each seed with every task trained alone with it, over {', '.join(names)}: over metrics "
            "it is 100/K Σ s (M − B)/B with s = −1 where higher is better, so lower is better (Maninis et al., CVPR "
            "2019, over K metrics as in CAGrad and Nash-MTL); over tasks it is the mean over tasks of each one's mean "
            "relative gain in %, so higher is better (as in DB-MTL and LibMTL)."
        )
    parts.append("MR is the mean rank over the scores, references left out (as in Nash-MTL).")
    return " ".join(parts)


def _spoken(key: str, contest: Contest) -> str:
    return next(each.title for each in contest.measures if each.key == key)
