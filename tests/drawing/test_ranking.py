"""What a sweep's plot shows of its rows."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mtl_seg_depth.drawing.ranking import MOST_ROWS, Ranked, ranking
from mtl_seg_depth.scoring.headline import MULTITASK, shown

SEEDS = {"multitask": [1.0, 2.0, 6.0], "semseg": [51.0, 52.0, 56.0], "depth": [40.0, 41.0, 39.0]}


def drawn(*rows: Ranked) -> Figure:
    figure = ranking("a sweep", shown(), rows)
    FigureCanvasAgg(figure).draw()
    return figure


def written(figure: Figure) -> list[list[str]]:
    """Beside each column, from top to bottom."""
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def dots(figure: Figure, marker: str = "o") -> list[Line2D]:
    """Of the first column."""
    return [line for line in figure.axes[0].lines if line.get_marker() == marker]


def test_every_score_has_a_column_with_the_mean_of_the_seeds_beside_it_and_the_seeds_as_points() -> None:
    figure = drawn(Ranked("loss=l1", SEEDS, best=True))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [each.heading for each in shown()]
    assert written(figure) == [["3.00"], ["53.00"], ["40.00"]]
    (mean,), (seeds,) = dots(figure), dots(figure, ".")
    assert mean.get_xdata()[0] == 3.0
    assert list(seeds.get_xdata()) == SEEDS["multitask"]
    low, _ = figure.axes[0].get_xlim()
    assert low > -2.0, "no axis begins at zero for its own sake, or ends where the interval does"
    assert len(dots(figure, "<")) == len(dots(figure, ">")) == 1, "the interval, 3.0 ± 6.6, goes on"


def test_pruned_rows_are_hollow_and_failed_ones_crossed_without_a_value() -> None:
    rows = [Ranked("a", SEEDS), Ranked("b", SEEDS, "pruned"), Ranked("c", SEEDS, "failed"), Ranked("d", {})]
    figure = drawn(*rows)
    assert [dot.get_markerfacecolor() == "white" for dot in dots(figure)] == [False, True]
    assert len(dots(figure, "x")) == 1
    assert written(figure)[0] == ["3.00", "3.00", "failed", "-"]


def test_labels_take_a_third_of_the_width_at_most() -> None:
    figure = drawn(Ranked(", ".join(f"a_long_key_{index}=another_value" for index in range(20)), SEEDS))
    (tick,) = figure.axes[0].get_yticklabels()
    assert tick.get_window_extent().width < figure.bbox.width / 3
    assert tick.get_text().endswith(" …")


def test_of_many_rows_the_first_are_drawn_and_of_none_an_empty_frame() -> None:
    figure = drawn(*(Ranked(f"x={number}", {MULTITASK.key: [float(number)]}) for number in range(MOST_ROWS + 1)))
    assert f"the first {MOST_ROWS} of {MOST_ROWS + 1} rows" in figure.get_suptitle()
    assert len(dots(figure)) == MOST_ROWS
    assert written(drawn()) == [[], [], []]
