"""The page as data, before anyone decides how it looks: HTML and Markdown are written from the same document.

What is honest to set side by side decides the columns. On the report's own data a score has a difference to the
report's. On any other data such a difference would be one of data sets and not of choices, so it is left out, and the
place of each row in either order stands there instead, which is what carries over.
"""

import shlex
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from mtl_seg_depth.report import paper
from mtl_seg_depth.report.beside import published_table
from mtl_seg_depth.report.comparison import Circumstances, Comparison, Row, best
from mtl_seg_depth.report.contest import Contest
from mtl_seg_depth.report.drawing import Drawing
from mtl_seg_depth.report.findings import FINDINGS, Judgement, Lead, Verdict, judge, summary
from mtl_seg_depth.report.glance import Glance, findings_glance, made_of
from mtl_seg_depth.report.searches import search_data, search_notes, search_table
from mtl_seg_depth.report.store import Study
from mtl_seg_depth.report.table import Cell, Column, Table, heading
from mtl_seg_depth.report.tables import ReportRow
from mtl_seg_depth.scoring.headline import MULTITASK, shown
from mtl_seg_depth.system import installation
from mtl_seg_depth.system.wording import duration

SPLITS = {"train": "training split", "val": "validation split", "test": "test split"}

NOTHING = Cell("–", muted=True)


READING = (
    "Ours is the mean over seeds ± their standard deviation (n − 1), with the number of seeds in brackets. "
    "Arrows say which way is better; the best of each column is bold.",
    "A finding counts as held where our lead exceeds the spread of the difference of two single trainings: the root of "
    "the sum of both rows' variances over seeds. A row whose every seed diverged is worse than any with a score.",
    "Place is a row's rank by multitask score, and Kendall's τ-b the agreement of both orders: +1 the same, −1 turned "
    "around; a row that diverged has none. If several multitask scores stand at their floor of 0, the margin decides: "
    "the tasks' scores added up, each turned so that higher is better, such as mean IoU less SI-log.",
    "Times are means over seeds, validation included; memory is the largest peak as a share of the GPU's, on a CPU of "
    "the machine's.",
)


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own; `data` is short for what data it is about, None for none."""

    id: str
    title: str
    number: str
    data: str | None
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    figures: tuple[Drawing, ...] = ()
    command: str | None = None
    """What runs the rows that are open; None if all are over."""
    cost: str = ""
    """What that takes, as far as it can be told."""
    is_begun: bool = True
    """Whether anything of it was run."""


@dataclass(frozen=True)
class Document:
    """The whole page."""

    title: str
    made: str
    """Of what it was made: trainings, sweeps, when, on which machines, by which code; empty if nothing was run."""
    glances: tuple[Glance, ...]
    """What each sweep shows, before any table."""
    lede: str
    """What became of the report's findings."""
    verdicts: tuple[tuple[str, list[str]], ...]
    """Findings of the report by what became of them with us."""
    data: str
    """Which data everything was measured on."""
    banner: str | None
    overview: tuple[Table, ...]
    sections: tuple[Section, ...]
    problems: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    """How to read the tables."""
    report_is_begun: bool = True
    """Whether any of the report's tables has a number of ours."""

    @property
    def begun(self) -> list[Section]:
        """The sections of which anything was run."""
        return [section for section in self.sections if section.is_begun]

    @property
    def waiting(self) -> list[Section]:
        """The others: tables of the report that nobody has run."""
        return [section for section in self.sections if not section.is_begun]


def make_document(
    comparisons: Sequence[Comparison],
    searches: Sequence[Study],
    drawings: dict[str, list[Drawing]],
    problems: Sequence[str],
    contests: Mapping[str, Sequence[Contest]] = MappingProxyType({}),
    glances: Sequence[Glance] = (),
) -> Document:
    """Put together what was compared, searched and drawn (`drawings` and `contests` by section)."""
    by_table = {c.table.id: c for c in comparisons if c.table is not None}
    judgements = [judge(finding, by_table[finding.table]) for finding in FINDINGS]
    typical = _seconds_of_a_training(comparisons)
    sections = [_section(each, drawings, contests.get(each.id, ()), typical) for each in comparisons]
    sections += [_search_section(study, drawings) for study in searches]
    counted, verdicts = summary(judgements)
    lede = f"{counted}{_where(by_table.values())}"
    of_report = [found for found in [findings_glance(lede, judgements, by_table)] if found is not None]
    about_the_report = bool(of_report) or not glances
    return Document(
        title="The report, and ours beside it" if about_the_report else "What the trainings show",
        made=made_of(comparisons, searches),
        glances=(*of_report, *glances),
        lede=lede,
        verdicts=tuple(verdicts),
        data=_all_data(comparisons),
        banner=_banner(comparisons),
        overview=(_findings_table(judgements, by_table), _agreement_table(list(by_table.values()))),
        sections=tuple(sections),
        problems=tuple(problems),
        reading=READING,
        report_is_begun=bool(of_report),
    )


def _where(comparisons: Iterable[Comparison]) -> str:
    """Ends the first paragraph: how much of it is about the report's own data."""
    measured_on = [comparison.is_comparable for comparison in comparisons if comparison.has_ours]
    if not measured_on:
        return ""
    if all(measured_on):
        return " All of it is on the report's own data."
    if not any(measured_on):
        return " None of it is on the report's own data."
    return f" {sum(measured_on)} of the {len(measured_on)} tables that have runs are on the report's own data."


def _all_data(comparisons: Sequence[Comparison]) -> str:
    where: dict[str, list[str]] = {}
    for comparison in comparisons:
        for data in comparison.data:
            where.setdefault(data, []).append(comparison.id)
    if not where:
        return "The report's numbers are those of Miniscapes. Nothing of ours has been run yet."
    if len(where) == 1:
        return f"The report's numbers are those of Miniscapes. Ours are those of {next(iter(where))}."
    parts = "; ".join(f"{data} ({', '.join(names)})" for data, names in where.items())
    return f"The report's numbers are those of Miniscapes. Ours are of different data in different tables: {parts}."


def _banner(comparisons: Sequence[Comparison]) -> str | None:
    of_report = [comparison for comparison in comparisons if comparison.table is not None]
    if all(comparison.is_comparable or not comparison.circumstances for comparison in of_report):
        return None
    return (
        "Not the report's data. In the tables marked so, our numbers cannot be compared with the report's as they "
        "stand: only the order of the rows, and which of two choices is better, is of interest."
    )


def _seconds_of_a_training(comparisons: Sequence[Comparison]) -> float | None:
    """The mean over all rows that were run; None if none was."""
    known = [row.costs.seconds for each in comparisons for row in each.rows if row.costs.seconds is not None]
    return statistics.fmean(known) if known else None


def _left(comparison: Comparison, typical: float | None) -> str:
    """How many trainings a sweep still takes, and how long they are if they are like others on the page."""
    wanted = max((row.wanted for row in comparison.rows), default=1)
    left = sum(wanted - len(row.values(MULTITASK.key)) for row in comparison.rows if row.is_open)
    told = "1 training" if left == 1 else f"{left} trainings"
    own = [row.costs.seconds for row in comparison.rows if row.costs.seconds is not None]
    each = statistics.fmean(own) if own else typical
    if each is None:
        return told
    return f"{told}, about {duration(left * each)} if each takes as long as {'its' if own else 'the'} others"


def _section(
    comparison: Comparison, drawings: dict[str, list[Drawing]], contests: Sequence[Contest], typical: float | None
) -> Section:
    table, study = comparison.table, comparison.study
    sweep = table.id if table is not None else study.sweep if study is not None else None
    command = None
    if sweep and any(row.is_open for row in comparison.rows):
        command = shlex.join(
            [*installation.command("train").split(), f"sweeps={sweep}", *(study.overrides if study else ())]
        )
    tables = [_scores_table(comparison)]
    if contests and study is not None:
        tables.insert(0, _contest_table(study, contests[0]))
    if (beside := published_table(comparison)) is not None:
        tables.append(beside)
    if any(row.costs.seconds is not None or (row.report and row.report.costs) for row in comparison.rows):
        tables.append(_costs_table(comparison))
    return Section(
        id=comparison.id,
        title=table.title if table is not None else f"Sweep {study.sweep or study.study}" if study else comparison.id,
        number=f"Report, section {table.number}" if table is not None else "Beyond the report",
        data=_short_data(comparison),
        tables=tuple(tables),
        notes=tuple(_notes(comparison)),
        figures=tuple(drawings.get(comparison.id, ())),
        command=command,
        cost=_left(comparison, typical) if command else "",
        is_begun=study is not None,
    )


def _short_data(comparison: Comparison) -> str | None:
    if not comparison.circumstances:
        return None
    if comparison.is_comparable:
        return "Miniscapes"
    several = len(comparison.data) > 1
    return "different data in different rows" if several else "not Miniscapes"


def _setting(comparison: Comparison, step: Lead) -> str:
    """What makes a verdict one about something else than what the report found, in a few words."""
    found = [(row.report, here) for row, here in comparison.circumstances if row.report is not None]
    parts = [_short_data(comparison) or "–"]
    if same := comparison.not_varied(step.better, step.worse):
        parts.append(f"the same {' and '.join(same)} in both rows")
    if any(here.encoder != report.encoder for report, here in found):
        parts.append("another encoder")
    if any(report.says["pretrained"] and not here.weights.startswith(report.weights) for report, here in found):
        parts.append("other initial weights than ImageNet's")
    return ", ".join(parts)


def caption(comparison: Comparison) -> str:
    """On what a table was measured: data, what differs from the report, precision, device, and what was fixed."""
    table, study = comparison.table, comparison.study
    split = SPLITS[comparison.split]
    if table is not None and table.split != comparison.split:
        split = f"{split} (report: {SPLITS[table.split]})"
    if not comparison.circumstances:
        return f"Report: Miniscapes, {split}. Ours: not run yet."
    found, data = comparison.circumstances, comparison.data
    parts = [data[0] if len(data) == 1 else f"DIFFERENT DATA in different rows: {'; '.join(data)}"]
    parts[0] = f"Ours: {parts[0]}, {split}"
    parts.append(comparison.scored)
    parts.append(_beside("encoder", found, lambda each: each.encoder))
    parts.append(_beside("initial weights", found, lambda each: each.weights))
    parts.append(_beside("steps", found, lambda each: _count(each.steps)))
    parts.append(_beside("precision", found, lambda each: each.precision))
    parts.append(f"on {comparison.devices}" if comparison.devices else "")
    if study is not None and study.told_overrides:
        parts.append(f"fixed besides the sweep: {' '.join(study.told_overrides)}")
    return "; ".join(part for part in parts if part) + "."


def _count(steps: int | None) -> str:
    return "unknown" if steps is None else f"{steps:,}".replace(",", " ")


def _beside(
    what: str, found: Sequence[tuple[Row, Circumstances]], value: Callable[[Circumstances | ReportRow], str]
) -> str:
    """Such as "encoder resnet18 (report: resnet34)", the bracket if they differ."""
    pairs = [(value(here), value(row.report) if row.report else None) for row, here in found]
    told = f"{what} {', '.join(dict.fromkeys(ours for ours, _ in pairs))}"
    if all(report in (None, ours) for ours, report in pairs):
        return told
    return f"{told} (report: {', '.join(dict.fromkeys(report for _, report in pairs if report is not None))})"


def number(value: float, sign: str = "") -> str:
    """A score with two decimals; with `sign="+"` the sign as well."""
    return f"{value:{sign}.2f}".replace("-", "−")


def measured(row: Row, score: str) -> str | None:
    """Such as "43.17 ± 0.21 (3)": mean, standard deviation, number of seeds; None without a score."""
    mean, deviation = row.mean(score), row.deviation(score)
    if mean is None:
        return None
    spread = "" if deviation is None else f" ± {deviation:.2f}"
    return f"{number(mean)}{spread} ({len(row.values(score))})"


class _Builder:
    """A comparison's table, which grows by a column at a time; the first say which row is which."""

    def __init__(self, comparison: Comparison) -> None:
        table = comparison.table if comparison.matches else None
        self.columns = [Column(title) for title in table.headings] if table else [Column("row")]
        self.rows = [[Cell(text) for text in (row.report.values if row.report else (row.label,))]
                     for row in comparison.rows]  # fmt: skip

    def add(
        self,
        title: str,
        group: str,
        values: Iterable[Any],
        form: Callable[[Any], str] = str,
        bold: Collection[int] = (),
    ) -> None:
        """A column of numbers, each in this form; None if there is none."""
        self.columns.append(Column(title, group, numeric=True))
        for index, (cells, value) in enumerate(zip(self.rows, values, strict=True)):
            cells.append(NOTHING if value is None else Cell(form(value), bold=index in bold))

    def build(self, caption: str) -> Table:
        """The table as it is by now."""
        return Table(tuple(self.columns), tuple(map(tuple, self.rows)), caption)


def _scores_table(comparison: Comparison) -> Table:
    building, rows = _Builder(comparison), comparison.rows
    means, reported = [row.means for row in rows], [row.reported for row in rows]
    scores = [score for score in shown() if any(score.key in each for each in (*means, *reported))] or [MULTITASK]
    published = [score for score in scores if any(score.key in each for each in reported)]
    for score in scores:
        texts = [measured(row, score.key) for row in rows]
        building.add(heading(score), "ours, mean ± std (n)", texts, bold=best(score.key, comparison.ours))
    for score in published:
        values = [each.get(score.key) for each in reported]
        building.add(heading(score), "report", values, number, best(score.key, reported))
    if comparison.matches and comparison.is_comparable:
        for score in published:
            pairs = [(ours.get(score.key), report.get(score.key)) for ours, report in zip(means, reported, strict=True)]
            gaps = [None if ours is None or report is None else ours - report for ours, report in pairs]
            building.add(heading(score), "ours − report", gaps, partial(number, sign="+"))
    if comparison.matches and comparison.compared:
        places = comparison.places()
        for side, name in enumerate(("report", "ours")):
            building.add(name, "place", [places[i][side] if i in places else None for i in range(len(rows))])
    states = [comparison.state(index) for index in range(len(rows))]
    if any(states):
        building.columns.append(Column("state"))
        for cells, state in zip(building.rows, states, strict=True):
            cells.append(Cell(state, muted=True))
    return building.build(caption(comparison))


VERDICTS = {"better": Verdict.HELD, "worse": Verdict.FAILED, "baseline": None, "reference": None}
"""How the mark of a verdict on a row looks; else it is one that seeds cannot show."""


def _contest_table(study: Study, contest: Contest) -> Table:
    """Our rows against one of them: every number with its interval, and what the seeds show."""
    columns = [Column("method"), Column(f"against {contest.baseline}, by {contest.decisive.short}", wraps=True)]
    columns += [Column(paper.heading(each), numeric=True) for each in contest.measures]
    columns.append(Column("mean rank ↓", numeric=True))
    rows = []
    for method in contest.methods:
        cells = [Cell(paper.number(method.entries.get(each.key), each)) for each in contest.measures]
        said = paper.decided(contest, method)
        mark = VERDICTS.get(said, Verdict.WITHIN_SPREAD)
        name = Cell(method.name, muted=method.is_reference)
        rows.append((name, Cell(said, mark=mark.name if mark else None), *cells, Cell(paper.rank(method))))
    return Table(tuple(columns), tuple(rows), paper.caption(study, contest))


def _costs_table(comparison: Comparison) -> Table:
    """Time, memory share and parameters; the report's if it has them."""
    building = _Builder(comparison)
    reported = [row.report.costs if row.report else {} for row in comparison.rows]
    forms: dict[str, tuple[str, Callable[[Any], str]]] = {
        "train_time": ("time", duration),
        "max_gpu_memory_percent": ("memory", "{:.2f} %".format),
        "parameters_m": ("parameters", "{:.2f} M".format),
    }
    for key, (title, form) in forms.items():
        if any(key in costs for costs in reported):
            building.add(title, "report", [costs.get(key) for costs in reported], form)
    ours = [row.costs for row in comparison.rows]
    evaluated = any(seed.run.evaluation for row in comparison.rows for seed in row.seeds)
    building.add("evaluation time" if evaluated else "time", "ours", [cost.seconds for cost in ours], duration)
    building.add("peak memory", "ours", [cost.memory_percent for cost in ours], "{:.1f} %".format)
    building.add("parameters", "ours", [cost.parameters and cost.parameters / 1e6 for cost in ours], "{:.2f} M".format)
    building.add("images/s", "ours", [cost.images_per_second for cost in ours], "{:.3g}".format)
    where = f", on {comparison.devices}" if comparison.devices else ""
    data = "; ".join(comparison.data) or "not run yet"
    return building.build(f"Cost. Ours: {data}{where}. The report's: Miniscapes, one cloud GPU.")


def _notes(comparison: Comparison) -> list[str]:
    notes = []
    if comparison.mismatch is not None:
        report, ours = comparison.mismatch
        notes.append(
            f"The sweep has {ours} rows and the report's table {report}: which belongs to which cannot be told, so "
            "ours stand alone, under their own names, and the report's columns are left out."
        )
    elif comparison.table is not None and comparison.has_ours:
        notes.append(agreement(comparison))
        if comparison.is_at_floor:
            notes.append(
                "Several of our rows have a multitask score of 0, its floor. Their order, and which is in bold, "
                "is that of the margin, by which a training picks its best weights as well."
            )
        if not comparison.is_comparable:
            notes.append("No differences to the report are given, as these are not its data; places are.")
    if comparison.others:
        first, *_ = comparison.others
        notes.append(
            f"Other studies of this sweep: {', '.join(comparison.others)}; "
            f"{installation.command('report')} studies=[{first}] shows that one."
        )
    if comparison.table is not None and comparison.table.note:
        notes.append(f"The report notes: {comparison.table.note}")
    return notes


def agreement(comparison: Comparison) -> str:
    """Rank agreement in words."""
    tau, rows = comparison.tau(), len(comparison.compared)
    if tau is None:
        return f"Rank agreement: no order to compare ({rows} of {len(comparison.rows)} rows have both numbers)."
    meaning = " With two rows it can only be 1 or −1." if rows == 2 else ""
    return (
        f"Rank agreement with the report by multitask score: Kendall's τ-b = {number(tau, '+')} "
        f"over {rows} of {len(comparison.rows)} rows.{meaning}"
    )


def _findings_table(judgements: Sequence[Judgement], by_table: dict[str, Comparison]) -> Table:
    columns = (
        Column("what the report found"),
        Column("table"),
        Column("report's lead", numeric=True),
        Column("our lead", numeric=True),
        Column("with us"),
        Column("ours was"),
    )
    rows = [
        (
            Cell(judgement.finding.statement),
            Cell(judgement.finding.table, link=judgement.finding.table),
            Cell(number(judgement.report_gap, "+")),
            NOTHING if judgement.our_gap is None else Cell(number(judgement.our_gap, "+")),
            Cell(judgement.verdict.value, mark=judgement.verdict.name, muted=judgement.verdict is Verdict.NOT_RUN),
            Cell(_setting(by_table[judgement.finding.table], judgement.decisive), muted=True),
        )
        for judgement in judgements
    ]
    note = (
        "The report's findings, judged by our runs. A lead is positive where it is as the report found it, and that of "
        "the pair of rows that decided."
    )
    return Table(columns, tuple(rows), note)


def _agreement_table(comparisons: Sequence[Comparison]) -> Table:
    columns = (
        Column("table"),
        Column("rows with both", numeric=True),
        Column("Kendall's τ-b", numeric=True),
        Column("our data"),
    )
    rows = [
        (
            Cell(comparison.id, link=comparison.id),
            Cell(f"{len(comparison.compared)} of {len(comparison.rows)}"),
            NOTHING if (tau := comparison.tau()) is None else Cell(number(tau, "+")),
            Cell(_short_data(comparison) or "not run yet", muted=True),
        )
        for comparison in comparisons
    ]
    return Table(columns, tuple(rows), "Does the order of the rows, by multitask score, agree with the report's?")


def _search_section(study: Study, drawings: dict[str, list[Drawing]]) -> Section:
    return Section(
        id=study.anchor,
        title=f"Search {study.sweep or study.study}",
        number="Beyond the report",
        data=search_data(study),
        tables=(search_table(study),),
        notes=tuple(search_notes(study)),
        figures=tuple(drawings.get(study.anchor, ())),
    )
