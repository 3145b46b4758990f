from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra

from mtl_seg_depth.cli.help_text import WIDTH, Entry, groups_of, help_tables, keys_of

COMMAND = """\
# The command.
defaults:
  - shared
  - loss: l2  # how far off
              # a prediction is
  - override hydra/sweeper: mtl
  - _self_

seed: 0  # of views
name: null
colour: '#fff'  # with a # in it
sizes: [1, 2]  # a list
depth: mm  # mm|cm; how metres are stored
           #   mm: ends early
           #   cm: ends late
# not of depth
nested:  # no key
  steps: 3  # how often
    # not beside it
  more: {a: 1}  # as it stands
  empty:  # nothing
hydra:
  job: 1  # not ours
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "loss").mkdir()
    for option in ("l1", "l2"):
        (tmp_path / "loss" / f"{option}.yaml").write_text("value: 1\n")
    (tmp_path / "loss" / "old").mkdir()
    (tmp_path / "loss" / "old" / "l3.yaml").write_text("value: 1\n")
    (tmp_path / "command.yaml").write_text(COMMAND)
    (tmp_path / "shared.yaml").write_text("root: ${oc.env:ROOT}  # " + "where all of it is, " * 8 + "\n")
    return tmp_path


def test_a_key_has_its_default_as_written_and_the_comment_beside_it(conf: Path) -> None:
    shared = ("where all of it is, " * 8).rstrip()
    assert list(keys_of(conf, "command")) == [
        Entry("seed", "0", ("of views",)),
        Entry("name", "null", ()),
        Entry("colour", "'#fff'", ("with a # in it",)),
        Entry("sizes", "[1,2]", ("a list",)),
        Entry("depth", "mm", ("mm|cm; how metres are stored", "  mm: ends early", "  cm: ends late")),
        Entry("nested.steps", "3", ("how often",)),
        Entry("nested.more", "{a: 1}", ("as it stands",)),
        Entry("nested.empty", "", ("nothing",)),
        Entry("root", "${oc.env:ROOT}", (shared,)),
    ]


def test_a_group_has_the_comment_in_the_defaults_list(conf: Path) -> None:
    assert list(groups_of(conf, "command")) == [Entry("loss", "l2", ("how far off", "a prediction is"))]


def test_the_tables_are_aligned(conf: Path) -> None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf)):
        text = help_tables(conf, "command", GlobalHydra.instance().config_loader())
    assert text.splitlines()[:3] == [
        "Groups (group=option), each option a file that says what else it takes, such as lr.value=1e-3:",
        "  loss=l2              how far off a prediction is: l1, l2",
        "  loss=<folder>/<row>  old/ l3",
    ]
    assert text.splitlines()[4:11] == [
        "Keys (key=value), with their defaults:",
        "  seed=0               of views",
        "  name=null",
        "  colour='#fff'        with a # in it",
        "  sizes=[1,2]          a list",
        "  depth=mm             mm|cm; how metres are stored",
        "                         mm: ends early",
    ]
    first, second = text.splitlines()[-2:]
    assert first.startswith("  root=${oc.env:ROOT}  where all of it is")
    assert second.startswith(" " * len("  root=${oc.env:ROOT}  ") + "all of it is")
    assert all(len(line) <= WIDTH for line in text.splitlines())
