"""The page as data, before anyone decides how it looks: HTML and Markdown are written from the same document.

What is honest to set side by side decides the columns. On the report's own data a score has a difference to the
report's. On any other data such a difference would be one of data sets and not of choices, so it is left out, and the
place of each row in either order stands there instead, which is what carries over.
"""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mtl_seg_depth.report.comparison import Circumstances, Comparison, Row, data_names
from mtl_seg_depth.report.drawing import Drawing
from mtl_seg_depth.report.findings import FINDINGS, Judgement, Verdict, judge, summary
from mtl_seg_depth.report.searches import search_data, search_notes, search_table
from mtl_seg_depth.report.store import Study
from mtl_seg_depth.report.table import Cell, Column, Table
from mtl_seg_depth.report.tables import MEASURES, TITLES

SPLITS = {"train": "training split", "val": "validation split", "test": "test split"}

NOTHING = Cell("–", muted=True)


READING = (
    "Ours is the mean over seeds ± their standard deviation (n − 1), with the number of seeds in brackets. "
    "Arrows say which way is better; the best of each column is bold.",
    "A finding counts as held where our lead exceeds the spread of the difference of two single trainings: the root of "
    "the sum of both rows' variances over seeds. A row whose every seed diverged is worse than any with a score.",
    "Place is a row's rank by multitask score, and Kendall's τ-b the agreement of both orders: +1 the same, −1 turned "
    "around. Where several multitask scores stand at their floor of 0, mean IoU less SI-log decides.",
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


@dataclass(frozen=True)
class Document:
    """The whole page."""

    title: str
    lede: str
    """The first paragraph."""
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


def make_document(
    comparisons: Sequence[Comparison],
    searches: Sequence[Study],
    drawings: dict[str, list[Drawing]],
    problems: Sequence[str],
) -> Document:
    """Put together what was compared, searched and drawn (`drawings` by section)."""
    by_table = {c.table.id: c for c in comparisons if c.table is not None}
    judgements = [judge(finding, by_table[finding.table]) for finding in FINDINGS]
    sections = [_section(comparison, drawings) for comparison in comparisons]
    sections += [_search_section(study, drawings) for study in searches]
    lede, verdicts = summary(judgements)
    return Document(
        title="The report, and ours beside it",
        lede=f"{lede}{_where(by_table.values())}",
        verdicts=tuple(verdicts),
        data=_all_data(comparisons),
        banner=_banner(comparisons),
        overview=(_findings_table(judgements, by_table), _agreement_table(list(by_table.values()))),
        sections=tuple(sections),
        problems=tuple(problems),
        reading=READING,
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


def section_id(comparison: Comparison) -> str:
    """The anchor of a comparison."""
    if comparison.table is not None:
        return comparison.table.id
    assert comparison.study is not None
    return comparison.study.anchor


def _all_data(comparisons: Sequence[Comparison]) -> str:
    where: dict[str, list[str]] = {}
    for comparison in comparisons:
        for data in data_names(comparison):
            where.setdefault(data, []).append(section_id(comparison))
    if not where:
        return "The report's numbers are those of Miniscapes. Nothing of ours has been run yet."
    if len(where) == 1:
        return f"The report's numbers are those of Miniscapes. Ours are those of {next(iter(where))}."
    parts = "; ".join(f"{data} ({', '.join(names)})" for data, names in where.items())
    return f"The report's numbers are those of Miniscapes. Ours are of different data in different tables: {parts}."


def _banner(comparisons: Sequence[Comparison]) -> str | None:
    if all(comparison.is_comparable or not comparison.circumstances for comparison in comparisons):
        return None
    return (
        "Not the report's data. In the tables marked so, our numbers cannot be compared with the report's as they "
        "stand: only the order of the rows, and which of two choices is better, is of interest."
    )


def _section(comparison: Comparison, drawings: dict[str, list[Drawing]]) -> Section:
    table, study = comparison.table, comparison.study
    name = section_id(comparison)
    waiting = any(row.is_open for row in comparison.rows)
    sweep = table.id if table is not None else study.sweep if study is not None else None
    command = f"python train.py sweeps={sweep}" if sweep and waiting else None
    if command and study is not None:
        command = f"{command} {shlex.join(study.overrides)}".rstrip()
    tables = [_scores_table(comparison)]
    if any(row.costs.seconds is not None or (row.report and row.report.costs) for row in comparison.rows):
        tables.append(_costs_table(comparison))
    return Section(
        id=name,
        title=table.title if table is not None else f"Sweep {study.sweep or study.study}" if study else name,
        number=f"Report, section {table.number}" if table is not None else "Beyond the report",
        data=_short_data(comparison),
        tables=tuple(tables),
        notes=tuple(_notes(comparison)),
        figures=tuple(drawings.get(name, ())),
        command=command,
    )


def _short_data(comparison: Comparison) -> str | None:
    if not comparison.circumstances:
        return None
    if comparison.is_comparable:
        return "Miniscapes"
    several = len(data_names(comparison)) > 1
    return "different data in different rows" if several else "not Miniscapes"


def _setting(comparison: Comparison) -> str:
    """What makes a verdict one about something else than what the report found, in a few words."""
    found = [(row.report, here) for row, here in comparison.circumstances if row.report is not None]
    parts = [_short_data(comparison) or "–"]
    if any(here.encoder != report.says["encoder"] for report, here in found):
        parts.append("another encoder")
    if any(report.says["pretrained"] and not here.weights.startswith("imagenet") for report, here in found):
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
    found = comparison.circumstances
    data = data_names(comparison)
    parts = [data[0] if len(data) == 1 else f"DIFFERENT DATA in different rows: {'; '.join(data)}"]
    parts[0] = f"Ours: {parts[0]}, {split}"
    parts.append(_beside("encoder", found, lambda c: c.encoder, lambda row: str(row.report.says["encoder"])))  # type: ignore[union-attr]
    parts.append(_beside("initial weights", found, lambda c: c.weights, _report_weights))
    parts.append(_beside("steps", found, lambda c: _count(c.steps), lambda row: _count(row.report.steps)))  # type: ignore[union-attr]
    parts.append(_beside("precision", found, lambda c: c.precision, lambda _: "fp32"))
    devices = dict.fromkeys(c.device for _, c in found if c.device)
    parts.append(f"on {' and '.join(devices)}" if devices else "")
    if study is not None and study.told_overrides:
        parts.append(f"fixed besides the sweep: {' '.join(study.told_overrides)}")
    return "; ".join(part for part in parts if part) + "."


def _report_weights(row: Row) -> str:
    assert row.report is not None
    return "imagenet" if row.report.says["pretrained"] else "none"


def _count(steps: int | None) -> str:
    return "unknown" if steps is None else f"{steps:,}".replace(",", " ")


def _beside(
    what: str,
    found: Sequence[tuple[Row, Circumstances]],
    ours: Callable[[Circumstances], str],
    report: Callable[[Row], str],
) -> str:
    """Such as "encoder resnet18 (report: resnet34)", the bracket where they differ."""
    told = ", ".join(dict.fromkeys(ours(circumstance) for _, circumstance in found))
    reported = [(row, circumstance) for row, circumstance in found if row.report is not None]
    if all(report(row) == ours(circumstance) for row, circumstance in reported):
        return f"{what} {told}"
    return f"{what} {told} (report: {', '.join(dict.fromkeys(report(row) for row, _ in reported))})"


def number(value: float | None, signed: bool = False) -> str:
    """A score with two decimals."""
    if value is None:
        return "–"
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    return text.replace("-", "−")


def measured(row: Row, measure: str) -> str:
    """Such as "43.17 ± 0.21 (3)": mean, standard deviation, number of seeds."""
    mean, deviation = row.mean(measure), row.deviation(measure)
    if mean is None:
        return "–"
    spread = "" if deviation is None else f" ± {deviation:.2f}"
    return f"{number(mean)}{spread} ({len(row.values(measure))})"


def _scores_table(comparison: Comparison) -> Table:
    table = comparison.table
    beside = comparison.mismatch is None and table is not None
    columns = [Column(TITLES.get(key, key)) for key in table.vary] if table and beside else [Column("row")]
    rows = [[Cell(text) for text in (row.report.values if row.report else (row.label,))] for row in comparison.rows]

    if table is not None and beside:
        best = {m.key: comparison.best(m.key, lambda row: row.report.scores if row.report else {}) for m in MEASURES}
        for measure in MEASURES:
            if any(row.report and measure.key in row.report.scores for row in comparison.rows):
                columns.append(Column(measure.title, "report", numeric=True))
                for i, row in enumerate(comparison.rows):
                    assert row.report is not None
                    rows[i].append(Cell(number(row.report.scores.get(measure.key)), bold=i in best[measure.key]))
    for measure in MEASURES:
        columns.append(Column(measure.title, "ours, mean ± std (n)", numeric=True))
        best_ours = comparison.best(measure.key, lambda row: {m.key: row.mean(m.key) for m in MEASURES})
        for i, row in enumerate(comparison.rows):
            text = measured(row, measure.key)
            rows[i].append(NOTHING if text == "–" else Cell(text, bold=i in best_ours))
    if beside and comparison.is_comparable:
        _add_differences(comparison, columns, rows)
    if beside and comparison.compared:
        places = comparison.places()
        for side, name in enumerate(("report", "ours")):
            columns.append(Column(name, "place", numeric=True))
            for i in range(len(rows)):
                rows[i].append(Cell(str(places[i][side])) if i in places else NOTHING)
    if any(row.state for row in comparison.rows):
        columns.append(Column("state"))
        for cells, row in zip(rows, comparison.rows, strict=True):
            cells.append(Cell(row.state, muted=True))
    return Table(tuple(columns), tuple(map(tuple, rows)), caption(comparison))


def _add_differences(comparison: Comparison, columns: list[Column], rows: list[list[Cell]]) -> None:
    for measure in MEASURES:
        if not any(row.report and measure.key in row.report.scores for row in comparison.rows):
            continue
        columns.append(Column(measure.title, "ours − report", numeric=True))
        for cells, row in zip(rows, comparison.rows, strict=True):
            ours = row.mean(measure.key)
            theirs = row.report.scores.get(measure.key) if row.report else None
            gap = None if ours is None or theirs is None else ours - theirs
            cells.append(NOTHING if gap is None else Cell(number(gap, signed=True)))


def _costs_table(comparison: Comparison) -> Table:
    """Time, memory share and parameters; the report's where it has them."""
    evaluated = any(seed.run.evaluation for row in comparison.rows for seed in row.seeds)
    time = "evaluation time" if evaluated else "time"
    table = comparison.table
    beside = comparison.mismatch is None and table is not None
    columns = [Column(TITLES.get(key, key)) for key in table.vary] if table and beside else [Column("row")]
    rows = [[Cell(text) for text in (row.report.values if row.report else (row.label,))] for row in comparison.rows]
    reported = {key for row in comparison.rows if row.report for key in row.report.costs}
    if "train_time" in reported:
        _add(columns, rows, Column("time", "report", True), [_report_time(row) for row in comparison.rows])
    if "max_gpu_memory_percent" in reported:
        texts = [_cost(row, "max_gpu_memory_percent", " %") for row in comparison.rows]
        _add(columns, rows, Column("memory", "report", True), texts)
    if "parameters_m" in reported:
        texts = [_cost(row, "parameters_m", " M") for row in comparison.rows]
        _add(columns, rows, Column("parameters", "report", True), texts)
    costs = [row.costs for row in comparison.rows]
    for title, texts in (
        (time, [None if c.seconds is None else duration(c.seconds) for c in costs]),
        ("peak memory", [None if c.memory_percent is None else f"{c.memory_percent:.1f} %" for c in costs]),
        ("parameters", [None if c.parameters is None else f"{c.parameters / 1e6:.2f} M" for c in costs]),
        ("images/s", [None if c.images_per_second is None else f"{c.images_per_second:.3g}" for c in costs]),
    ):
        _add(columns, rows, Column(title, "ours", True), texts)
    devices = dict.fromkeys(c.device for _, c in comparison.circumstances if c.device)
    where = f", on {' and '.join(devices)}" if devices else ""
    note = (
        f"Cost. Ours: {'; '.join(data_names(comparison)) or 'not run yet'}{where}. "
        "The report's: Miniscapes, one cloud GPU."
    )
    return Table(tuple(columns), tuple(map(tuple, rows)), note)


def _add(columns: list[Column], rows: list[list[Cell]], column: Column, texts: Sequence[str | None]) -> None:
    columns.append(column)
    for cells, text in zip(rows, texts, strict=True):
        cells.append(NOTHING if text is None else Cell(text))


def _cost(row: Row, key: str, unit: str) -> str | None:
    return f"{row.report.costs[key]:.2f}{unit}" if row.report and key in row.report.costs else None


def _report_time(row: Row) -> str | None:
    """The report prints h:mm:ss, or h:mm."""
    if row.report is None or "train_time" not in row.report.costs:
        return None
    hours, minutes, *_ = row.report.costs["train_time"].split(":")
    return f"{hours} h {minutes} min"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


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
                "is that of mean IoU less SI-log, by which a training picks its best weights as well."
            )
        if not comparison.is_comparable:
            notes.append("No differences to the report are given, as these are not its data; places are.")
    if comparison.others:
        first, *_ = comparison.others
        notes.append(
            f"Other studies of this sweep: {', '.join(comparison.others)}; "
            f"python report.py studies=[{first}] shows that one."
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
        f"Rank agreement with the report by multitask score: Kendall's τ-b = {number(tau, signed=True)} "
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
    rows = []
    for judgement in judgements:
        comparison = by_table[judgement.finding.table]
        rows.append(
            (
                Cell(judgement.finding.statement),
                Cell(judgement.finding.table, link=judgement.finding.table),
                Cell(number(judgement.report_gap, signed=True)),
                NOTHING if judgement.our_gap is None else Cell(number(judgement.our_gap, signed=True)),
                Cell(judgement.verdict.value, mark=judgement.verdict.name, muted=judgement.verdict is Verdict.NOT_RUN),
                Cell(_setting(comparison), muted=True),
            )
        )
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
    rows = []
    for comparison in comparisons:
        tau = comparison.tau()
        rows.append(
            (
                Cell(section_id(comparison), link=section_id(comparison)),
                Cell(f"{len(comparison.compared)} of {len(comparison.rows)}"),
                NOTHING if tau is None else Cell(number(tau, signed=True)),
                Cell(_short_data(comparison) or "not run yet", muted=True),
            )
        )
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
