"""What is written down of the command line that a run came from."""

import pytest
from helpers.composing import ROOT, compose

from mtl_seg_depth.cli.command import alone, differing
from mtl_seg_depth.config import identity, parse
from mtl_seg_depth.system.wording import label

CONF = ROOT / "conf"
SWEEPS = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweeps_job_has_a_command_of_its_own_that_composes_the_same_training(sweep):
    words = [f"sweeps={sweep}", "lr.value=0.003", "seeds=[0,1]", "hydra.sweeper.n_jobs=2"]
    found = alone(words, CONF)
    assert not any(word.startswith(("sweeps", "seeds", "hydra")) for word in found)
    of_job = parse(compose(f"sweeps={sweep}", "lr.value=0.003"))
    assert identity(parse(compose(*found))) == identity(of_job)


def test_what_differs_is_what_decides_the_result_and_is_no_default():
    words = ["data=folder", "device=cpu", "model=joint", "loss=berhu", "lr.value=0.0013531", "tracking.panels=0"]
    found = differing([*words, "paths.outputs=/tmp/x", "name=n", "model.aspp=false"], {"model": "joint", "loss": "l2"})
    assert label(found) == "loss=berhu, lr.value=0.00135, aspp=false, data=folder"


def test_a_label_names_a_key_in_full_where_two_would_be_called_the_same():
    assert label({"task_weights.depth": 0.25, "loss.depth": 1, "model.skip": True, "lr": None}) == (
        "task_weights.depth=0.25, loss.depth=1, skip=true, lr=null"
    )
