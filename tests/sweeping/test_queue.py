"""Which trial is next, and whose trials are given back, without any training."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from sqlalchemy import text

from mtl_seg_depth.sweeping.queue import Queue, noted, own_identity, place
from mtl_seg_depth.sweeping.studies import BEATS_TO_DEATH, Studies

HEARTBEAT_SECONDS = 60


@pytest.fixture
def studies(tmp_path: Path) -> Studies:
    return Studies(f"sqlite:///{tmp_path}/studies.db", HEARTBEAT_SECONDS)


def open_queue(studies: Studies, outputs: Path, choices: tuple[str, ...] = ("a", "b")) -> Queue:
    study = optuna.create_study(study_name="x", storage=studies.storage, load_if_exists=True)
    rows: dict[int, dict[str, Any]] = {number: {"x": choice} for number, choice in enumerate(choices)}
    return Queue(studies, study, {"x": CategoricalDistribution(choices)}, rows, 99, 3, outputs)


def test_rows_are_claimed_in_order_once_and_with_job_numbers_of_their_own(studies: Studies, tmp_path: Path) -> None:
    first, second = open_queue(studies, tmp_path), open_queue(studies, tmp_path)
    claims = [*first.claim(), *second.claim(), *first.claim()]
    assert [(claim.values, claim.job) for claim in claims] == [({"x": "a"}, 0), ({"x": "b"}, 1)]
    first.release(claims[0])
    (again,) = second.claim()
    assert (again.number, again.values, again.job) == (claims[0].number, {"x": "a"}, 2)


def test_a_trial_s_place_counts_rows_and_not_attempts(studies: Studies, tmp_path: Path) -> None:
    queue = open_queue(studies, tmp_path, ("a", "b"))
    queue.finish(queue.claim()[0], "failed", None, "it broke")
    queue = open_queue(studies, tmp_path, ("a", "b"))
    assert [claim.place for claim in queue.claim(2)] == ["2 of 2", "1 of 2"]
    assert [place(queue.study.trials, number, 6) for number in range(3)] == ["1 of 6", "2 of 6", "1 of 6"]


def test_a_database_of_before_bookkeeping_was_out_of_the_way_goes_on(studies: Studies, tmp_path: Path) -> None:
    queue = open_queue(studies, tmp_path, ("a", "b"))
    queue.finish(queue.claim()[0], "complete", [1.0], None)
    (running,) = queue.claim()
    with studies.storage.engine.begin() as connection:
        columns = "trial_id, key, value_json"
        moved = f"INSERT INTO trial_user_attributes ({columns}) SELECT {columns} FROM trial_system_attributes"
        connection.execute(text(moved))
        connection.execute(text("DELETE FROM trial_system_attributes"))
    again = open_queue(studies, tmp_path, ("a", "b"))
    assert again.claim() == [], "its worker, this process, lives"
    again.release(running)
    (resumed,) = again.claim()
    assert (resumed.number, resumed.job, resumed.values) == (running.number, running.job + 1, {"x": "b"})
    again.finish(resumed, "complete", [2.0], None)
    assert [trial.values for trial in again.newest()] == [[1.0], [2.0]]


def test_several_are_claimed_at_once_with_consecutive_job_numbers(studies: Studies, tmp_path: Path) -> None:
    claims = open_queue(studies, tmp_path).claim(5)
    assert [claim.job for claim in claims] == [0, 1]


@pytest.mark.parametrize(("silent_for", "given_back"), [(BEATS_TO_DEATH - 1, False), (BEATS_TO_DEATH + 1, True)])
def test_a_worker_on_another_machine_is_dead_once_its_heartbeat_stops(
    studies: Studies, tmp_path: Path, silent_for: int, given_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {**own_identity(), "machine": "another one"}
    with monkeypatch.context() as patched:
        patched.setattr("mtl_seg_depth.sweeping.queue.own_identity", lambda: elsewhere)
        open_queue(studies, tmp_path, ("a",)).claim()
    with studies.storage.engine.begin() as connection:
        ago = f"-{silent_for * HEARTBEAT_SECONDS} seconds"
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = datetime('now', :ago)"), {"ago": ago})
    assert [again.number for again in open_queue(studies, tmp_path, ("a",)).claim()] == [0] * given_back


def test_a_failed_row_is_tried_again_by_the_next_command_and_not_by_this_one(studies: Studies, tmp_path: Path) -> None:
    queue = open_queue(studies, tmp_path, ("a",))
    queue.finish(queue.claim()[0], "failed", None, "it broke")
    assert queue.claim() == []
    (again,) = open_queue(studies, tmp_path, ("a",)).claim()
    assert again.values == {"x": "a"}
    (newest,) = queue.newest()
    assert (noted(newest)["attempt"], newest.state) == (2, TrialState.RUNNING)
    assert queue.study.trials[0].user_attrs["reason"] == "it broke"


@pytest.mark.parametrize("then", ["free", "taken", "finished"])
def test_what_was_taken_over_from_a_worker_that_slept_is_no_longer_its_own(
    studies: Studies, tmp_path: Path, then: str
) -> None:
    asleep, other = open_queue(studies, tmp_path, ("a",)), open_queue(studies, tmp_path, ("a",))
    (claim,) = asleep.claim()
    other.release(claim)  # as is done for a worker whose heartbeat stopped
    if then != "free":
        (again,) = other.claim()
        if then == "finished":
            other.finish(again, "complete", [1.0], None)
    before = [(trial.state, trial.values, noted(trial)) for trial in other.study.get_trials()]
    asleep.finish(claim, "failed", None, "it was the sleeper's")
    asleep.release(claim)
    assert [(trial.state, trial.values, noted(trial)) for trial in other.study.get_trials()] == before
    assert len(asleep.claim()) == (then == "free")
