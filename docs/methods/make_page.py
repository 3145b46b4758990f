"""Writes the page of a comparison of methods beside this file, with the scores that all of its numbers come from.

python docs/methods/make_page.py <outputs> <note>        after `train.py sweeps=methods_small`, whose outputs those are

The note says what the page cannot know, such as what else the machine had to do. Beside report.md and its figures
there are comparison.csv, as a sweep leaves it, and records.csv: every validation of every training, from which
tests/report/test_methods_page.py works out each printed number again.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from mtl_seg_depth.config import Paths
from mtl_seg_depth.report.contest import contests, name_of
from mtl_seg_depth.report.page import ReportSettings, write_report
from mtl_seg_depth.report.paper import as_csv
from mtl_seg_depth.report.store import Study, read_studies, run_store
from mtl_seg_depth.system.errors import UserError

HERE = Path(__file__).parent
KEYS = ("semseg", "pixel_accuracy", "depth_errors/mae", "depth_errors/abs_rel")


def records(study: Study, outputs: Path) -> Iterator[list[object]]:
    """A line for every validation: method, seed, step, whether it is the best, seconds of the training, scores."""
    problems: list[str] = []
    for row in study.rows:
        for run in row.runs:
            store = run_store(outputs, run, problems)
            assert store.result is not None, f"{run.folder} is not over"
            for point in store.points():
                scores = [point.metrics.get(f"val/{key}", "") for key in KEYS]
                if any(score != "" for score in scores):
                    best = int(point.step == store.result.best_step)
                    yield [name_of(row), run.seed, point.step, best, store.result.cost.seconds, *scores]
    if problems:
        raise UserError("; ".join(problems))


def main() -> None:
    """Of the newest study of `sweeps=methods_small` among the outputs."""
    outputs = Path(sys.argv[1]).resolve()
    study = next(study for study in reversed(read_studies(outputs)[0]) if study.sweep == "methods_small")
    paths = Paths(root=str(outputs.parent), datasets=str(outputs.parent / "datasets"), outputs=str(outputs))
    written = write_report(ReportSettings(out=str(HERE), studies=[study.study], paths=paths))
    written.html.unlink()  # the same as Markdown, which is read where it lies
    title, _, rest = written.markdown.read_text().partition("\n\n")
    written.markdown.write_text(f"{title}\n\n{sys.argv[2]}\n\n{rest}")
    (HERE / "comparison.csv").write_text(as_csv(contests(study, outputs, [])))
    with (HERE / "records.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "seed", "step", "best", "seconds", *KEYS])
        writer.writerows(records(study, outputs))


if __name__ == "__main__":
    main()
