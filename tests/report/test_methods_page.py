"""The committed comparison of methods: every number printed in it, worked out again from the records beside it."""

import csv
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import pytest
from helpers.recomputing import BETTER, HIGHER, check_lines, summary, with_delta

FOLDER = Path(__file__).parents[2] / "docs" / "methods"
REFERENCES = ("semseg alone", "depth alone")
SELECTIONS = ("mean_of_last_10", "best", "last")
COLUMNS = {
    "mIoU, % ↑": ("semseg", 2), "pix. acc., % ↑": ("pixel_accuracy", 2), "abs. err., m ↓": ("depth_errors/mae", 4),
    "rel. err. ↓": ("depth_errors/abs_rel", 4), "Δm (metrics), % ↓": ("delta_m/over_metrics", 2),
    "Δm (tasks), % ↑": ("delta_m/over_tasks", 2),
}  # fmt: skip
"""Of the page's table: the measure in each column, and its decimals."""


@functools.cache
def records() -> dict[str, dict[int, list[dict[str, float]]]]:
    """By method and seed, the validations in order."""
    found: dict[str, dict[int, list[dict[str, float]]]] = {}
    with (FOLDER / "records.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            numbers = {key: float(value) for key, value in line.items() if key != "method" and value != ""}
            found.setdefault(line["method"], {}).setdefault(int(line["seed"]), []).append(numbers)
    return found


def selected(selection: str) -> dict[str, dict[int, dict[str, float]]]:
    def of(validations: list[dict[str, float]]) -> dict[str, float]:
        used = validations[-10:] if selection == "mean_of_last_10" else validations[-1:]
        if selection == "best":
            used = [each for each in validations if each["best"]]
            assert len(used) == 1
        return {key: fmean(each[key] for each in used) for key in HIGHER if key in used[0]}

    return {name: {seed: of(each) for seed, each in by_seed.items()} for name, by_seed in records().items()}


@functools.cache
def page() -> str:
    return re.sub(r"\\(.)", r"\1", (FOLDER / "report.md").read_text())


def row_of(method: str) -> dict[str, str]:
    """A row of the page's first table of methods."""
    lines = page().splitlines()
    head = next(line for line in lines if line.startswith("| method | against equal"))
    line = next(line for line in lines[lines.index(head) :] if line.startswith(f"| {method} |"))
    return dict(zip(*([cell.strip() for cell in each.strip("|").split("|")] for each in (head, line)), strict=True))


def test_at_least_twelve_methods_with_three_seeds_and_each_task_alone() -> None:
    found = records()
    assert set(REFERENCES) < set(found)
    assert len(found) - len(REFERENCES) - 1 >= 12
    for by_seed in found.values():
        assert sorted(by_seed) == [0, 1, 2]
        assert all(len(validations) == 16 for validations in by_seed.values())


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_number_of_the_csv_comes_out_again(selection: str) -> None:
    with (FOLDER / "comparison.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["selection"] == selection]
    scores = selected(selection)
    assert check_lines(lines, scores, "equal", REFERENCES) == 2 * 2 + (len(scores) - 2) * 7


def test_every_number_of_the_pages_table_comes_out_again() -> None:
    scores = selected("mean_of_last_10")
    values = with_delta(scores, REFERENCES)
    for method in scores:
        shown = row_of(method)
        for title, (key, digits) in COLUMNS.items():
            if key not in values[method]:
                assert shown[title] == "–"
                continue
            mean, _, low, high = summary(list(values[method][key].values()))
            assert shown[title] == f"{mean:.{digits}f} ± {(high - low) / 2:.{digits}f}"
        if method not in REFERENCES:
            assert float(shown["mean rank ↓"]) == pytest.approx(mean_rank(method, values), abs=0.006)


def mean_rank(method: str, values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> float:
    ranks = []
    for key, higher in HIGHER.items():
        means = {name: fmean(values[name][key].values()) for name in values if name not in REFERENCES}
        ranks.append(1 + sorted(means, key=lambda name: means[name], reverse=higher).index(method))
    return fmean(ranks)


def test_the_first_screens_numbers_come_out_again() -> None:
    values = with_delta(selected("mean_of_last_10"), REFERENCES)
    key = "delta_m/over_metrics"
    assert not BETTER[key]
    means = {name: fmean(by_key[key].values()) for name, by_key in values.items() if key in by_key}
    first = min(means, key=lambda name: means[name])
    for name in (first, "equal"):
        mean, _, low, high = summary(list(values[name][key].values()))
        assert f"{mean:.2f} % [{low:.2f}, {high:.2f}]".replace("-", "−") in page()
    seconds = {name: fmean(each[0]["seconds"] for each in by_seed.values()) for name, by_seed in records().items()}
    dearest = max((name for name in seconds if name not in REFERENCES), key=lambda name: seconds[name])
    alone = sum(seconds[name] for name in REFERENCES)
    said = page().partition(f"A training of {first} took ")[2].partition("\n")[0]
    ratios = [seconds[first], *([seconds[dearest]] if dearest not in (first, "equal") else []), alone]
    expected = [f"{each / seconds['equal']:.2f}" for each in ratios[(first == "equal") :]]
    assert re.findall(r"(\d+\.\d\d) times", said) == expected
