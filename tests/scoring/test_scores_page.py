"""docs/scores.md defines every number that scoring gives, and names no other."""

import re

import torch
from helpers.composing import ROOT
from helpers.facts import CLASS_NAMES, CPU, tasks
from helpers.guesses import random_depths, random_labels

from mtl_seg_depth.scoring.scores import Scorer
from mtl_seg_depth.tasks.depth.meter import distance_names
from mtl_seg_depth.tasks.depth.rules import PROTOCOLS, described

PAGE = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
PLACES = {"<class>": CLASS_NAMES, "<band>": distance_names()}


def given() -> set[str]:
    """The names of every number of a detailed scoring in which nothing is missing."""
    (classes, labels), (metres, depth) = random_labels(images=4, side=64), random_depths(images=4, side=64)
    metres[..., :5] = depth[..., :5] = torch.tensor([2.0, 12.0, 30.0, 60.0, 90.0])
    scorer = Scorer(tasks(), CPU, detailed=True)
    scorer.update({"semseg": classes, "depth": metres}, {"semseg": labels, "depth": depth})
    return set(scorer.compute().flat("val"))


def rows() -> dict[str, list[str]]:
    """The cells of every row of the page's tables that defines a score, by the score's name."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:2] == "| "]
    return {row[0].strip("`"): row[1:] for row in cells if row[0].startswith("`") and len(row) == 5}


def test_every_number_is_defined_and_nothing_else_is() -> None:
    names = set(rows())
    for place, values in PLACES.items():
        names = {name.replace(place, value) for name in names for value in values}
    assert {f"val/{name}" for name in names} == given()


def test_every_definition_has_a_formula_a_unit_a_direction_and_an_average() -> None:
    for name, (formula, unit, better, mean) in rows().items():
        assert formula, name
        assert unit, name
        assert better in ("up", "down", "-"), name
        assert mean, name


def test_every_protocol_stands_there_with_its_rules() -> None:
    table = {found[1]: found[2] for found in re.finditer(r"^\| `(\w+)` \| ([^|]+?) \|", PAGE, re.MULTILINE)}
    assert {name: table[name] for name in PROTOCOLS} == {name: described(rules) for name, rules in PROTOCOLS.items()}
