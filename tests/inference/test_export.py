"""Exported files against the network they were made of: read back by the programs they are for."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from helpers.composing import ROOT, compose
from helpers.exported import SIZES, Export, Make, assert_same, exporter, load, random_rgb, truth
from helpers.facts import CLASS_NAMES, NUM_CLASSES
from helpers.lengths import quick_or_long
from torch import Tensor

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.inference import deployed, exporting
from mtl_seg_depth.inference.deployed import Deployed, compare
from mtl_seg_depth.inference.exporting import ExportSettings
from mtl_seg_depth.system.errors import UserError


@pytest.fixture(scope="module")
def export(runs: Make, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exporter(runs, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def branched(export: Export) -> Path:
    path, said = export("branched", "format=torch_export", "probabilities=true")
    assert f"{path}: " in said and "depth differs by at most" in said and "metres, 4 to 300" in said
    return path


@pytest.mark.parametrize(
    ("name", "outputs", "choices"),
    [
        ("baseline", ["semseg", "depth"], []),
        ("distilled_se", ["semseg", "depth", "probabilities"], ["probabilities=true"]),
    ],
)
def test_onnx_says_what_the_network_says_at_any_size(
    name: str, outputs: list[str], choices: list[str], runs: Make, export: Export
) -> None:
    trained = load(runs(name))
    session = onnxruntime.InferenceSession(export(name, *choices)[0], providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == outputs
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("rgb", ["batch", 3, "height", "width"], "tensor(float)")
    ]
    for size in SIZES:
        rgb = random_rgb(*size)
        assert_same(dict(zip(outputs, session.run(None, {"rgb": rgb.numpy()}), strict=True)), truth(trained, rgb))


LOADED_ELSEWHERE = """
import sys, torch
images = torch.load("images", weights_only=True)
for number, path in enumerate(sys.argv[1:]):
    network = torch.export.load(path).module()
    torch.save([network(rgb) for rgb in images], f"answers{number}")
    try:
        network(torch.zeros(1, 3, 31, 64))
        raise SystemExit("an image of 31 pixels was taken")
    except AssertionError:
        pass
assert not any(name.startswith(("mtl_seg_depth", "torchvision", "onnx", "mlflow")) for name in sys.modules)
"""


def test_torch_export_files_are_loaded_by_torch_alone(
    runs: Make, export: Export, branched: Path, tmp_path: Path
) -> None:
    paths = {"branched": branched, "single": export("single", "format=torch_export")[0]}
    outputs = {"branched": ["semseg", "depth", "probabilities"], "single": ["depth"]}
    pictures = [random_rgb(*size) for size in SIZES]
    torch.save(pictures, tmp_path / "images")
    command = [sys.executable, "-c", LOADED_ELSEWHERE, *map(str, paths.values())]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    for number, name in enumerate(paths):
        trained = load(runs(name))
        answers = torch.load(tmp_path / f"answers{number}", weights_only=True)
        for rgb, answer in zip(pictures, answers, strict=True):
            assert list(answer) == outputs[name]
            assert_same(answer, truth(trained, rgb))


def test_files_say_where_they_come_from_and_what_they_hold(runs: Make, export: Export, branched: Path) -> None:
    session = onnxruntime.InferenceSession(export("baseline")[0], providers=["CPUExecutionProvider"])
    onnx = session.get_modelmeta().custom_metadata_map
    extra = {"metadata.json": ""}
    torch.export.load(branched, extra_files=extra)
    torch_export = json.loads(extra["metadata.json"])
    for held, name in ((onnx, "baseline"), (torch_export, "branched")):
        assert held["fingerprint"] == json.loads((runs(name) / "run.json").read_text())["fingerprint"]
        assert held["package"].startswith("mtl_seg_depth ")
        assert "0..1" in held["input"]
    for key in ("classes", "colours", "ranges", "step"):
        assert json.loads(onnx[key]) == torch_export[key]
    assert torch_export["classes"] == list(CLASS_NAMES)
    assert len(torch_export["colours"]) == NUM_CLASSES
    assert torch_export["ranges"] == {"depth": [4, 300]}
    assert list(torch_export["outputs"]) == ["semseg", "depth", "probabilities"]
    assert "val/multitask" in torch_export["scores"]


def test_files_hold_no_code_and_no_paths_of_this_machine(export: Export, branched: Path) -> None:
    with zipfile.ZipFile(branched) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    configs = [json.loads(data) for name, data in contents.items() if name.endswith("_config.json")]
    assert configs
    assert not any(entry["use_pickle"] for config in configs for entry in config["config"].values())
    for data in (*contents.values(), export("baseline")[0].read_bytes()):
        assert str(ROOT).encode() not in data


def off_by(change: Callable[[dict[str, Tensor]], None], network: Deployed) -> Callable[[Tensor], dict[str, Tensor]]:
    """A copy of a network that answers almost what it does."""

    def copy(rgb: Tensor) -> dict[str, Tensor]:
        answer = network(rgb)
        change(answer)
        return answer

    return copy


def test_a_copy_that_differs_is_refused_and_a_tie_is_not(runs: Make) -> None:
    trained = load(runs("baseline"))
    network = Deployed(trained.network, trained.tasks, probabilities=True).eval()
    assert compare(network, off_by(lambda answer: None, network)).labels == 0

    def farther(answer: dict[str, Tensor]) -> None:
        answer["depth"] *= 1 + 2 * deployed.TOLERANCE

    def another_class(answer: dict[str, Tensor]) -> None:
        answer["semseg"][0, 3, 3] = answer["probabilities"][0, :, 3, 3].argmin()

    def not_a_number(answer: dict[str, Tensor]) -> None:
        answer["depth"][0, 3, 3] = torch.nan

    def less_likely(answer: dict[str, Tensor]) -> None:
        answer["probabilities"] *= 0.9

    for change, what in ((farther, "depth"), (another_class, "class"), (not_a_number, "depth"), (less_likely, "prob")):
        with pytest.raises(UserError, match=f"is not the trained one: .* its {what}"):
            compare(network, off_by(change, network))

    final = trained.network.decoder.predict
    assert isinstance(final, torch.nn.Conv2d) and final.bias is not None
    with torch.no_grad():  # classes 3 and 5 become one, and win everywhere
        final.weight[3] = final.weight[5]
        final.bias[[3, 5]] = 100.0

    def other_of_two(answer: dict[str, Tensor]) -> None:
        answer["semseg"][:] = 5

    agreement = compare(network, off_by(other_of_two, network))
    assert agreement.labels == agreement.pixels


def asked(*choices: str) -> ExportSettings:
    return parse_as(ExportSettings, compose(*choices, config="export"))


def test_an_export_that_fails_leaves_what_was_there(
    runs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network.pt2"
    with zipfile.ZipFile(path, "w") as earlier:
        earlier.writestr("network/extra/metadata.json", '{"fingerprint": "ab12"}')
    before = path.read_bytes()

    def half(program: Any, file: Path, **rest: Any) -> None:
        Path(file).write_text("half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.export, "save", half)
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: torch.fx.symbolic_trace(torch.nn.ReLU()))
    with pytest.raises(UserError, match="No space left on device; nothing was written"):
        exporting.export(asked(f"run={runs('baseline')}", "format=torch_export", f"output={path}"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2", "model", "model with notes", "linked.onnx"])
def test_nothing_is_replaced_that_we_did_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(exporting, "find_checkpoint", lambda *_: tmp_path / "best.pt")
    monkeypatch.setattr(exporting, "load_trained", None)
    path = tmp_path / name
    if path.suffix:
        (tmp_path / "theirs").write_bytes(b"theirs")
        path.symlink_to("theirs") if name.startswith("linked") else path.write_bytes(b"theirs")
    else:
        path.mkdir()
        (path / "MLmodel").write_text("metadata:\n  fingerprint: ab12\n" if "notes" in name else "theirs")
        (path / "notes.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    kind = {".onnx": "onnx", ".pt2": "torch_export"}.get(path.suffix, "mlflow")
    with pytest.raises(UserError, match="is there, and no export of ours alone"):
        exporting.export(asked("run=any", f"format={kind}", f'output="{path}"'))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", quick_or_long("mlflow", long=("onnx", "torch_export")))
def test_an_export_of_ours_is_replaced_and_that_is_said(runs: Make, tmp_path: Path, kind: str) -> None:
    path = tmp_path / {"onnx": "a.onnx", "torch_export": "a.pt2", "mlflow": "model"}[kind]
    choices = (f"run={runs('baseline')}", f"format={kind}", f"output={path}")
    assert [exporting.export(asked(*choices)).replaced for _ in range(2)] == [False, True]
    assert list(tmp_path.iterdir()) == [path]


def test_mistakes_are_answered_before_any_work(runs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"run={runs('baseline')}"
    monkeypatch.setattr(exporting, "load_trained", None)
    (tmp_path / "photos").mkdir()
    mistakes = [
        ([], "run=<which one"),
        (["run=nonsense"], "run=nonsense: no run"),
        ([folder, "format=onx"], "format=onx: should be 'onnx', 'torch_export' or 'mlflow'"),
        ([folder, "output=street.pb"], "ends in .onnx"),
        ([folder, f"output={tmp_path}/photos", "format=mlflow"], "no export of ours"),
        ([folder, "log=true"], "log=true is for format=mlflow"),
        ([folder, "log=maybe"], "log=maybe: should be a valid boolean"),
        ([folder, "format=mlflow", "probabilities=true"], "probabilities=true"),
    ]
    for choices, message in mistakes:
        with pytest.raises(UserError, match=message):
            exporting.export(asked(*choices))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs onnx, onnxscript, onnxruntime: pip install"):
        exporting.export(asked(folder))
