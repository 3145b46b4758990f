"""A published recipe, run in small on its own data's miniature, and what the page says of it."""

from pathlib import Path

import pytest
import yaml
from helpers import miniatures, sweeps_in
from helpers.composing import ROOT

from mtl_seg_depth.config import Paths
from mtl_seg_depth.report.beside import published_table
from mtl_seg_depth.report.comparison import compare
from mtl_seg_depth.report.page import ReportSettings, read_report
from mtl_seg_depth.report.published import published
from mtl_seg_depth.report.store import read_studies

TABLE = published()["cityscapes7_deeplab_r50"]
KEPT = ("semseg_alone", "depth_alone", "equal", "upgrad")


def methods() -> list[str]:
    sweep = yaml.safe_load((ROOT / "sweeps" / "cityscapes7_deeplab.yaml").read_text())
    return list(sweep["hydra"]["sweeper"]["linked"]["method"])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    miniatures.write("mtan_cityscapes", folder / "data")
    places = [each for each in sweeps_in.places(folder) if not each.startswith(("data=", "pretrained="))]
    small = [
        *("encoder.weights=none", "encoder.name=resnet18", "dilation=os32", "schedule.batch_size=2", "seeds=[0,1]"),
        *("schedule.max_steps=2", "data.crop_size=[32,32]", "tracking.panels=0", "device=cpu"),
    ]
    less = [f"~hydra.sweeper.linked.method.{name}" for name in methods() if name not in KEPT]
    assert sweeps_in.sweep("sweeps=cityscapes7_deeplab", *places, *small, *less) == 0
    return folder / "outputs"


def test_every_row_of_ours_is_one_of_the_sweep_s() -> None:
    assert TABLE.ours is not None
    assert {*TABLE.ours.methods.values(), *TABLE.ours.alone.values()} == {*methods()} - {"famo", "upgrad"}


def test_the_page_has_the_published_numbers_beside_ours(outputs: Path) -> None:
    (study,), problems = read_studies(outputs)
    assert not problems
    comparison = compare(None, study, outputs, problems)
    table = published_table(comparison)
    assert table is not None
    titles = [column.title for column in table.columns]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert list(rows) == [*(row.method for row in TABLE.rows), "upgrad"]
    assert titles[1:6] == ["miou ↑", "pix_acc ↑", "abs_err ↓", "rel_err ↓", "delta_m ↑"]
    assert rows["EW"][:5] == ["68.93", "91.58", "0.01315", "45.90", "−2.05"]
    assert rows["MoCo"][5:] == ["–"] * 9, "not one of ours"
    assert rows["upgrad"][:5] == ["–"] * 5, "not published"
    (equal,) = (row for row in comparison.rows if row.ours and row.ours.params == {"method": "equal"})
    results = [seed.store.result for seed in equal.seeds]
    first, second = (result.mean_of_last_10["val/depth_errors/inverse_mae"] for result in results if result)
    assert first is not None and second is not None
    mean, deviation = (first + second) / 2, abs(first - second) / 2**0.5
    assert rows["EW"][7] == f"{mean:.5f} ± {deviation:.5f} (2)"
    assert float(rows["EW"][12].replace("−", "-")) == pytest.approx((mean - 0.01315) / deviation, abs=0.006)
    assert rows["STL"][9] == "+0.00"
    assert "–" not in rows["STL"][5:9] + rows["EW"][5:10] + rows["upgrad"][5:10]


def test_it_is_in_the_page_and_other_sweeps_have_none(outputs: Path) -> None:
    page = read_report(
        ReportSettings(out=str(outputs), studies=[], paths=Paths(root="", datasets="", outputs=str(outputs)))
    )
    (section,) = (each for each in page.sections if each.id.startswith("cityscapes7_deeplab"))
    assert any("DB-MTL arXiv 2308.12029 T2" in table.caption for table in section.tables)
    (study,), problems = read_studies(outputs)
    other = study.model_copy(update={"sweep": "adam_lr"})
    assert published_table(compare(None, other, outputs, problems)) is None
