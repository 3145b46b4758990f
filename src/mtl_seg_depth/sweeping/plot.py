"""A sweep's drawings: its rows by rank, and of a search what its parameters had to do with it.

plot.png         the rows by rank, each score in a column of its own
pareto.png       one objective against the other, if there are two
parallel.png     a search with one objective: its trials as lines through their parameters
importance.png   the same: how much of the differences between trials each parameter explains
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from mtl_seg_depth.drawing.ranking import BEST, OTHER, Ranked, ranking
from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.queue import noted
from mtl_seg_depth.sweeping.standing import best_rows, compared, competing, ranked, scores_by_seed
from mtl_seg_depth.sweeping.standing import score as score_of
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.wording import names, typed
from mtl_seg_depth.tasks.headline import Headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("plot", "pareto", "parallel", "importance")
"""Names of the files, the most telling first."""

FEWEST_TRIALS = 4
"""Complete trials of a search, from which on its parameters can be compared."""


def draw(described: SweepRecord, searched: optuna.Study | None, folder: Path) -> None:
    """Write all that there is to draw into a folder; `searched` is what `comparable` found of a search."""
    from matplotlib import rc_context, use

    use("agg")  # Optuna draws with pyplot, which would look for a screen
    with rc_context({"text.parse_math": False}):  # a name with dollars is no formula
        _save(_ranking(described), folder / "plot.png")
        if len(described.objective) == 2 and competing(described):
            _save(_pareto(described), folder / "pareto.png")
        if searched is not None:
            _save(_parallel(searched, compared(described)[0]), folder / "parallel.png")
            _save(_importance(described, searched), folder / "importance.png")


def importances(searched: optuna.Study | None) -> dict[str, float]:
    """Each parameter's share in what tells the best trials from the others, by Optuna's PED-ANOVA, the largest first.

    Empty where `comparable` found nothing.
    """
    return {} if searched is None else dict(optuna.importance.get_param_importances(searched))


def comparable(described: SweepRecord, trials: Sequence[FrozenTrial]) -> optuna.Study | None:
    """A search's complete trials, if there are enough to compare its parameters by its one objective.

    `trials` are the newest attempts at the rows. None for a grid and for several objectives.
    """
    if described.kind != "search" or len(described.objective) != 1:
        return None
    study = _study(described, trials, compared(described)[0])
    enough = len(study.trials) >= FEWEST_TRIALS and len({trial.value for trial in study.trials}) > 1
    return study if enough else None


def _ranking(described: SweepRecord) -> "Figure":
    front, scores = {row.number for row in best_rows(described)}, compared(described)
    rows = [
        Ranked(
            row.label,
            {each.key: scores_by_seed(row, each.key) for each in scores},
            row.state if row.state in ("complete", "pruned") else "failed",
            best=row.number in front,
            reference=row.reference is not None,
        )
        for row in ranked(described)
        if row.state in ("complete", "pruned", "failed")
    ]
    said = "" if described.selection == "best" else ": scores of the best weights"
    return ranking(f"{described.study}{said}", scores, rows)


def _pareto(described: SweepRecord) -> "Figure":
    """One objective against the other, the front in colour."""
    from matplotlib.figure import Figure

    front = {row.number for row in best_rows(described)}
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot(title=f"{described.study}: the Pareto front is blue")
    for row in described.rows:
        # Matplotlib leaves out what is nan, and refuses what is infinite: a value that does not exist.
        point = [v if v is not None and math.isfinite(v) else math.nan for v in row.values or (None, None)]
        axes.plot(*([each] for each in point), "o", color=BEST if row.number in front else OTHER)
    axes.set_xlabel(headline.objectives()[described.objective[0]].heading)
    axes.set_ylabel(headline.objectives()[described.objective[1]].heading)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _study(described: SweepRecord, trials: Sequence[FrozenTrial], score: Headline) -> optuna.Study:
    """The complete trials with their parameters as people call them, and choices in lines that fit between two axes."""
    study = optuna.create_study(study_name=described.study, direction=headline.direction(score.key))
    values = {row.number: score_of(row, score.key) for row in competing(described)}
    for trial in trials:
        value = values.get(noted(trial)["row"], math.nan)
        if math.isnan(value):
            continue
        short, params, distributions = names(trial.params), {}, {}
        for key, chosen in trial.params.items():
            of = trial.distributions[key]
            if isinstance(of, CategoricalDistribution):
                chosen, of = _lines(chosen), CategoricalDistribution([_lines(choice) for choice in of.choices])
            params[short[key]], distributions[short[key]] = chosen, of
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    return study


def _lines(choice: object) -> str:
    return textwrap.fill(typed(choice), 18)


def _parallel(study: optuna.Study, score: Headline) -> "Figure":
    """Every complete trial as a line through its parameters, by Optuna; the darker, the better."""
    from matplotlib import rc_context
    from matplotlib.ticker import LogFormatter

    with rc_context({"font.size": 8}):
        axes = optuna.visualization.matplotlib.plot_parallel_coordinate(study, target_name=score.heading)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(2.5 + 1.4 * (1 + len(study.trials[0].params)), 4.5)
    axes.set_title(f"{study.study_name}: {len(study.trials)} complete trials", fontsize=10)
    low, high = min(values := [trial.value or 0.0 for trial in study.trials]), max(values)
    worse = low - (high - low) / 2 if score.higher_is_better else high + (high - low) / 2
    axes.collections[0].set_clim(*sorted((worse, high if score.higher_is_better else low)))  # the worst is not white
    for each in figure.axes:
        if each.get_label() == "<colorbar>":  # says what the first axis does, where the last one has its choices
            each.remove()
        elif each.get_yscale() == "log":
            each.yaxis.set_major_formatter(LogFormatter())
            each.yaxis.set_minor_formatter(LogFormatter())
    return figure


def _importance(described: SweepRecord, searched: optuna.Study) -> "Figure":
    """How much of the differences between trials each parameter explains."""
    from matplotlib.figure import Figure

    found, score = described.importance, compared(described)[0]
    figure = Figure(figsize=(7, 1.4 + 0.34 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(list(found), list(found.values()), color=BEST, height=0.6)
    axes.invert_yaxis()
    axes.set_xlabel(f"importance for {score.title}: shares of what tells the best trials from the others", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    for place, share in enumerate(found.values()):
        axes.text(share, place, f" {share:.2f}", va="center", fontsize=8)
    figure.suptitle(f"{described.study}: {len(searched.trials)} complete trials", x=0.01, ha="left")
    return figure


def _save(figure: "Figure", path: Path) -> None:
    """Write a figure whole, and forget it."""
    from matplotlib import pyplot

    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
