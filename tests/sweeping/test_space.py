"""What varies: Hydra's sweep syntax, linked values, and what the command line changes of a sweep's file."""

from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from mtl_seg_depth.sweeping.space import Space
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import label


def space(params: dict[str, Any], *arguments: str, linked: dict[str, Any] | None = None) -> Space:
    return Space.parse(
        params, linked or {}, list(arguments), lambda group: ["g1", "g2", "other"] if group == "g" else []
    )


def test_a_grid_has_every_combination_in_the_order_it_is_written() -> None:
    grid = space({"lr.value": "1e-1,1e-2", "model": "joint,branched"}).grid()
    assert [label(values) for values in grid] == [
        "lr.value=0.1, model=joint",
        "lr.value=0.1, model=branched",
        "lr.value=0.01, model=joint",
        "lr.value=0.01, model=branched",
    ]


@pytest.mark.parametrize(
    ("swept", "values"),
    [
        ("range(0,5,2)", ["0", "2", "4"]),
        ("range(0.5,2,0.5)", ["0.5", "1.0", "1.5"]),
        ("true,false", ["true", "false"]),
        ("null,1", ["null", "1"]),
        ("1e-5,1.0", ["1e-05", "1.0"]),
        ("[1],[1,2]", ["[1]", "[1,2]"]),
        ("'a b',c", ["'a b'", "c"]),
    ],
)
def test_every_way_to_write_choices_comes_out_as_hydra_reads_it(swept: str, values: list[str]) -> None:
    written = space({"x": swept})
    assert [written.overrides(each) for each in written.grid()] == [[f"x={value}"] for value in values]


@pytest.mark.parametrize(
    ("swept", "values"),
    [("glob(g*)", ["g1", "g2"]), ("glob(*,exclude=g1)", ["g2", "other"]), ("null,g1", ["null", "g1"])],
)
def test_the_options_of_a_group_are_those_there_are(swept: str, values: list[str]) -> None:
    written = space({"g": swept})
    assert [written.overrides(each) for each in written.grid()] == [[f"g={value}"] for value in values]


def test_linked_values_vary_together() -> None:
    linked = {"heads": {"without": ["a=1", "b=1"], "with": ["a=2", "b=2"]}}
    both = space({"x": "1,2"}, "c=3", linked=linked)
    assert [both.overrides(values) for values in both.grid()] == [
        ["c=3", "x=1", "a=1", "b=1"],
        ["c=3", "x=1", "a=2", "b=2"],
        ["c=3", "x=2", "a=1", "b=1"],
        ["c=3", "x=2", "a=2", "b=2"],
    ]


def test_the_command_line_changes_what_varies_and_pins_it() -> None:
    assert [each["x"] for each in space({"x": "1,2"}, "x=5,6,7").grid()] == [5, 6, 7]
    pinned = space({"x": "1,2", "y": "1,2"}, "x=5")
    assert [pinned.overrides(values) for values in pinned.grid()] == [["x=5", "y=1"], ["x=5", "y=2"]]


def test_a_single_value_in_a_sweeps_file_is_fixed_unless_the_command_line_says_otherwise() -> None:
    assert space({"x": "1", "y": "1,2"}).fixed == ("x=1",)
    assert space({"x": "1", "y": "1,2"}, "x=2").fixed == ("x=2",)


def test_an_interval_is_for_searches() -> None:
    continuous = space({"lr.value": "tag(log,interval(1e-5,1e-1))"})
    assert continuous.distributions["lr.value"] == FloatDistribution(1e-5, 1e-1, log=True)
    with pytest.raises(UserError, match=r"lr\.value varies continuously"):
        continuous.grid()


@pytest.mark.parametrize("swept", ["interval(2,1)", "range(1,1)", "glob(nothing)"])
def test_what_cannot_be_swept_is_refused_by_its_key(swept: str) -> None:
    with pytest.raises(UserError, match="x"):
        space({"x": swept})


def test_a_linked_name_that_varies_already_is_refused() -> None:
    with pytest.raises(UserError, match=r"linked\.x"):
        space({"x": "1,2"}, linked={"x": {"a": [], "b": []}})
