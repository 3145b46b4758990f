"""What a sweep shows, before any table: who is ahead, whether that is more than noise, and at what cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mtl_seg_depth.report import paper
from mtl_seg_depth.report.comparison import Comparison, Row
from mtl_seg_depth.report.contest import Contest, Entry, Method
from mtl_seg_depth.report.drawing import Drawing
from mtl_seg_depth.report.findings import Judgement
from mtl_seg_depth.report.glance_figures import all_costs, cost, findings_forest, forest, importance, ranked
from mtl_seg_depth.report.same_images import side_by_side
from mtl_seg_depth.report.searches import best_trials, finished, value_titles
from mtl_seg_depth.report.store import Study
from mtl_seg_depth.scoring import delta
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import duration
from mtl_seg_depth.tasks import Headline

MOST_NAMES = 4
"""Of methods in one sentence; of more there is a number."""


@dataclass(frozen=True)
class Glance:
    """The answers of one sweep; `link` names the section that has its tables."""

    title: str
    link: str
    sentences: tuple[str, ...]
    figures: tuple[Drawing, ...]


def made_of(comparisons: Sequence[Comparison], searches: Sequence[Study]) -> str:
    """Trainings and sweeps, the time of the newest, machines and code; empty if nothing was run."""
    studies = [*(each.study for each in comparisons if each.study is not None), *searches]
    if not studies:
        return ""
    folders = {run.folder for study in studies for row in study.rows for run in row.runs if run.folder}
    when = datetime.fromtimestamp(max(study.updated for study in studies) / 1000, UTC)
    counted = [f"{len(folders)} trainings" if len(folders) != 1 else "1 training"]
    counted.append(f"{len(studies)} sweeps" if len(studies) != 1 else "1 sweep")
    parts = [f"Made of {' in '.join(counted)}, the last of {when:%Y-%m-%d %H:%M} UTC"]
    cards = [seed.store.card for each in comparisons for row in each.rows for seed in row.seeds if seed.store.card]
    devices = dict.fromkeys(each.devices for each in comparisons if each.devices)
    commits = dict.fromkeys(commit[:12] for card in cards if (commit := card.tags.get("git_commit")))
    parts += [f"on {' and '.join(devices)}"] if devices else []
    parts += [f"code {', '.join(commits)}"] if commits else []
    return f"{'; '.join(parts)}."


def findings_glance(lede: str, judgements: Sequence[Judgement], by_table: Mapping[str, Comparison]) -> Glance | None:
    """What became of the report's findings; None while nothing of its tables was run."""
    if not any(comparison.has_ours for comparison in by_table.values()):
        return None
    figures = [findings_forest(judgements), all_costs(list(by_table.values()))]
    return Glance("The report's findings", "findings", (lede,), tuple(filter(None, figures)))


def glance(comparison: Comparison, contest: Contest, problems: list[str]) -> Glance | None:
    """What a sweep shows; None where fewer than two rows have scores to compare.

    A panel that cannot be read is left out and told in `problems`.
    """
    competing = [method for method in contest.methods if not method.is_reference and method.entries]
    measures = told_by(contest, competing)
    if len(competing) < 2 or comparison.study is None:
        return None
    of_row = {row.ours.number: row for row in comparison.rows if row.ours is not None}
    winner = ranked(competing, measures[0])[0]
    sentences = [_ahead(contest, competing, each) for each in measures]
    sentences += [_shown(contest, competing), _cost(contest, winner, of_row)]
    name = comparison.study.anchor
    figures = [forest(name, contest, competing, measures), cost(name, contest, measures[0], of_row)]
    try:
        figures += side_by_side(name, contest, measures[0], of_row)
    except UserError as error:
        problems.append(f"{name}: images were left out: {redact(str(error))}")
    return Glance(
        title=comparison.study.sweep or comparison.study.study,
        link=comparison.id,
        sentences=tuple(filter(None, sentences)),
        figures=tuple(figure for figure in figures if figure is not None),
    )


def search_glance(study: Study) -> Glance | None:
    """What a search found, and which of its parameters mattered; None while no trial is complete."""
    best, complete = best_trials(study), len(finished(study))
    if not best:
        return None
    values = ", ".join(
        f"{title[:-2]} {value:.2f}" for title, value in zip(value_titles(study), best[0].values, strict=True)
    )
    told = f"Trial {best[0].row.number} is the best of {complete}: {values}, with {best[0].row.label}."
    if len(study.objective) > 1:
        told = f"None of {complete} trials beats any of {len(best)} in everything; first among those by {values}: "
        told += f"trial {best[0].row.number}, with {best[0].row.label}."
    sentences, figures = [told], []
    if study.importance:
        order = sorted(study.importance, key=lambda name: study.importance[name], reverse=True)
        shares = ", ".join(f"{name} ({study.importance[name]:.2f})" for name in order[:MOST_NAMES])
        sentences.append(f"What mattered, as shares of what tells the best trials from the others: {shares}.")
        figures.append(importance(study))
    return Glance(study.sweep or study.study, study.anchor, tuple(sentences), tuple(figures))


def told_by(contest: Contest, competing: Sequence[Method]) -> list[Headline]:
    """The measures that a glance is about: delta_m over metrics, or without references the first score of each task.

    Those alone that a row has which is no reference.
    """
    there = [each for each in contest.measures if any(each.key in method.entries for method in competing)]
    if delta.OVER_METRICS in there:
        return [delta.OVER_METRICS]
    of_task = ([each for each in there if each.key in metrics] for metrics in contest.tasks.values())
    return [known[0] for known in of_task if known]


def _ahead(contest: Contest, competing: Sequence[Method], measure: Headline) -> str:
    """Who is first by a measure, and where the baseline is."""
    order = ranked(competing, measure)
    first = order[0]
    told = f"{first.name} is first of {len(order)} by {measure.short}: {_measured(first.entries[measure.key], measure)}"
    if measure == delta.OVER_METRICS:
        told += f", {_against_alone(first.entries[measure.key])}"
    if first.name != contest.baseline and (base := _named(order, contest.baseline)) is not None:
        told += f". {base.name}, the baseline, has {_measured(base.entries[measure.key], measure)}"
    return f"{told}."


def _against_alone(entry: Entry) -> str:
    """What the interval of delta_m says of learning the tasks together."""
    over = entry.over
    if math.isnan(over.half):
        return "of which nothing can be said with one seed"
    if over.high < 0:
        return "all of the interval below 0, so better than training each task alone"
    if over.low > 0:
        return "all of the interval above 0, so worse than training each task alone"
    return "with 0 in the interval, so no difference to training each task alone can be shown"


def _measured(entry: Entry, measure: Headline) -> str:
    unit, digits = f" {measure.unit}" if measure.unit else "", paper.decimals(measure)
    told = f"{entry.over.mean:.{digits}f}{unit}".replace("-", "−")
    if math.isnan(entry.over.half):
        return told
    return f"{told} [{entry.over.low:.{digits}f}, {entry.over.high:.{digits}f}]".replace("-", "−")


def _named(methods: Sequence[Method], name: str) -> Method | None:
    return next((method for method in methods if method.name == name), None)


def _shown(contest: Contest, competing: Sequence[Method]) -> str:
    """How many rows are shown to be better or worse than the baseline, by the decisive measure."""
    said: dict[str, list[str]] = {"better": [], "worse": [], "": []}
    for method in competing:
        if method.name != contest.baseline and (entry := method.entries.get(contest.decisive.key)) is not None:
            said[entry.verdict if entry.verdict in said else ""].append(method.name)
    count = sum(map(len, said.values()))
    seeds = len(contest.seeds)
    if seeds < 2:
        return f"One seed shows nothing of the {count} others against {contest.baseline}." if count else ""
    parts = [_counted(names, way) for way, names in said.items() if way and names]
    if said[""]:
        parts.append(f"of {len(said[''])} no difference can be shown with {seeds} seeds")
    return f"Against {contest.baseline}, by {contest.decisive.short}: {', '.join(parts)}." if parts else ""


def _counted(names: Sequence[str], way: str) -> str:
    told = f" ({', '.join(names)})" if len(names) <= MOST_NAMES else ""
    return f"{len(names)} {'is' if len(names) == 1 else 'are'} shown to be {way}{told}"


def _cost(contest: Contest, winner: Method, of_row: dict[int, Row]) -> str:
    """What a training of the winner takes, beside the baseline, the costliest and the tasks alone."""
    seconds = {method.name: _seconds(of_row.get(method.row)) for method in contest.methods}
    mine, unit = seconds[winner.name], seconds.get(contest.baseline)
    if mine is None:
        return ""
    told = f"A training of {winner.name} took {duration(mine)}"
    if unit and winner.name != contest.baseline:
        told += f", {mine / unit:.2f} times that of {contest.baseline}"
    rivals = {each.name: taken for each in contest.methods if (taken := seconds[each.name]) and not each.is_reference}
    dearest = max(rivals, key=lambda name: rivals[name])
    if unit and dearest not in (winner.name, contest.baseline):
        told += f"; the costliest, {dearest}, {rivals[dearest] / unit:.2f} times"
    alone = [seconds[method.name] for method in contest.methods if method.is_reference]
    total = sum(taken for taken in alone if taken)
    if unit and total and None not in alone:
        told += f"; each task alone, {total / unit:.2f} times in all"
    return f"{told}."


def _seconds(row: Row | None) -> float | None:
    return None if row is None else row.costs.seconds
