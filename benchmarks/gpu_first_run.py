"""Does everything work on this GPU? Real commands, one after the other, each with a verdict; minutes, before gpu.py.

What a machine needs, and how it gets that, is said in gpu.py. From the repository's root:

    python3 benchmarks/gpu_first_run.py

A verdict is in `benchmarks/results/<GPU>/gpu_first_run.json` as soon as it is known, with the end of what a command
said where it did not hold. The exit code is 1 if one did not. `--only "killed,twice"` asks those whose names hold one
of these words, and leaves the other verdicts in the file as they are.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from common import ROOT, main, pictures

LIMIT_S = 540.0
"""For one command, where calls may last ten minutes."""
ADDRESS_SPACE = 5 << 30
"""Of a command that is to run out of memory on a CPU: enough to import torch."""
LEFT_BYTES = 1 << 30
"""Of the GPU's memory, for a command that is to run out of it."""
FILLER = """
import sys, torch
free = torch.cuda.mem_get_info()[0] - int(sys.argv[1])
kept = torch.empty(max(0, free), dtype=torch.uint8, device="cuda")
print("filled", flush=True)
sys.stdin.read()
"""


class Failed(Exception):  # noqa: N818  (a verdict, and no mistake of this file)
    """What was asked does not hold; the message says what was seen instead."""


class Asking:
    """Commands on one device, with their folders."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.device, self.smoke, self.folder = arguments.device, arguments.smoke, folder
        size, train, val, batch, epochs, every = (32, 8, 3, 2, 2, 2) if self.smoke else (256, 128, 17, 8, 25, 50)
        self.steps = train // batch * epochs
        self.options = [
            *pictures(size), f"data.train={train}", f"data.val={val}", "data.test=1", f"paths.datasets={folder}/data",
            f"schedule.batch_size={batch}", f"schedule.epochs={epochs}", f"validation.every_steps={every}",
            "validation.every_epochs=1", f"encoder={'resnet18' if self.smoke else 'resnet34'}", "tracking=folder",
            f"device={self.device}",
        ]  # fmt: skip
        if self.smoke:
            self.options += ["precision=fp32", "model.aspp=false", "model.skip=false"]

    def start(self, script: str, *words: str, **more: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, str(ROOT / script), *words]
        python_path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": python_path, "TORCH_SHOW_CPP_STACKTRACES": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment, **more)

    def ask(self, script: str, *words: str, code: int = 0, **more: Any) -> str:
        """What a command says; Failed unless it ends with this exit code in time."""
        process = self.start(script, *words, **more)
        try:
            said = process.communicate(timeout=LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"not over after {LIMIT_S:g} s: {process.communicate()[0][-3000:]}") from None
        if process.returncode != code:
            raise Failed(f"exit code {process.returncode}: {said[-3000:]}")
        return said

    def train(self, place: str, *words: str, **more: Any) -> str:
        """A training with its outputs in a folder of its own."""
        return self.ask("train.py", *self.options, f"paths.outputs={self.folder / place}", *words, **more)

    def run_of(self, place: str) -> Path:
        return next((self.folder / place).glob("*/run.json")).parent

    def result(self, place: str) -> dict[str, Any]:
        """Of a training; Failed unless it went to its end with finite losses."""
        result: dict[str, Any] = json.loads((self.run_of(place) / "result.json").read_text())
        if (result["status"], result["steps"]) != ("finished", self.steps):
            raise Failed(f"{result['status']} after {result['steps']} steps of {self.steps}")
        return result

    def figures(self, place: str) -> dict[str, Any]:
        result = self.result(place)
        cost = {f"training's {name}": value for name, value in result["cost"].items()}
        return {**{name: result["best"][name] for name in ("val/semseg", "val/depth")}, **cost}


def images_in(said: str) -> list[str]:
    """Where trainings said that their images are; on a CPU they say nothing."""
    return [
        line.partition("images on the ")[2].split()[0].rstrip(",") for line in said.splitlines() if "images on" in line
    ]


def differences(one: Path, other: Path) -> list[str]:
    """Tensors of two checkpoints that are not the same to the bit, by name."""

    def tensors(tree: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(tree, torch.Tensor):
            yield name, tree
        elif isinstance(tree, dict):
            for key, value in tree.items():
                yield from tensors(value, f"{name}/{key}")

    parts = ("network", "optimizer", "weighting", "average")
    first, second = (torch.load(path, map_location="cpu", weights_only=True) for path in (one, other))
    pairs = [dict(tensors({part: state[part] for part in parts})) for state in (first, second)]
    if pairs[0].keys() != pairs[1].keys():
        raise Failed("the two checkpoints hold different things")
    return [name for name, tensor in pairs[0].items() if not tensor.equal(pairs[1][name])]


def whole_run(asking: Asking) -> dict[str, Any]:
    said = asking.train("whole")
    if not (asking.run_of("whole") / "best.pt").exists():
        raise Failed(f"no best weights: {said[-3000:]}")
    return {"images_on": images_in(said), **asking.figures("whole")}


def evaluated(asking: Asking) -> dict[str, Any]:
    """The command scores the best weights as the training did; bf16 in other batches differs in rounding."""
    run = asking.run_of("whole")
    asking.ask("evaluate.py", f"run={run}", "split=val", f"device={asking.device}")
    stored = json.loads(next((run / "evaluations").glob("*.json")).read_text())["scores"]
    own = asking.result("whole")["best"]
    gaps = {name: abs(stored[name] - own[f"val/{name}"]) for name in ("semseg", "depth")}
    if max(gaps.values()) > 0.5:
        raise Failed(f"the scores are others than in the training: {gaps}")
    return {"difference": gaps}


def twice(asking: Asking) -> dict[str, Any]:
    for place in ("first", "second"):
        asking.train(place, "deterministic=true")
    different = differences(*(asking.run_of(place) / "last.pt" for place in ("first", "second")))
    if different:
        raise Failed(f"{len(different)} tensors differ: {different[:5]}")
    return asking.figures("first")


def killed(asking: Asking) -> dict[str, Any]:
    options = [*asking.options, f"paths.outputs={asking.folder / 'killed'}", "deterministic=true"]
    process = asking.start("train.py", *options)
    began = time.monotonic()
    while process.poll() is None and not list((asking.folder / "killed").glob("*/last.pt")):
        if time.monotonic() - began > LIMIT_S:
            break
        time.sleep(0.01)
    process.kill()
    said = process.communicate()[0]
    if process.returncode != -9:
        raise Failed(f"it ended before it could be killed: {said[-3000:]}")
    said = asking.train("killed", "deterministic=true")
    if "Continuing" not in said:
        raise Failed(f"it did not continue: {said[-3000:]}")
    asking.result("killed")
    if not (asking.folder / "first").exists():
        asking.train("first", "deterministic=true")
    different = differences(*(asking.run_of(place) / "last.pt" for place in ("killed", "first")))
    if different:
        raise Failed(f"{len(different)} tensors differ from those of a run that was not killed: {different[:5]}")
    return {"continued": said[said.index("Continuing") :].splitlines()[0].rpartition(", ")[2]}


def trained_with(*words: str) -> Callable[[Asking], dict[str, Any]]:
    def ask(asking: Asking) -> dict[str, Any]:
        place = "_".join(word.replace("=", "-") for word in words)
        asking.train(place, *words)
        return asking.figures(place)

    return ask


@contextmanager
def little_memory(asking: Asking) -> Iterator[dict[str, Any]]:
    """What makes a command run out of memory: somebody else has the GPU's; on a CPU a limit."""
    if asking.device.type != "cuda":
        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))}
        return
    filler = subprocess.Popen(
        [sys.executable, "-c", FILLER, str(LEFT_BYTES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert filler.stdout is not None
    try:
        if filler.stdout.readline() != "filled\n":
            raise Failed("the GPU's memory could not be filled")
        yield {}
    finally:
        filler.communicate("")


def shortage(asking: Asking) -> dict[str, Any]:
    """Without memory a command ends with one message that says what to make smaller."""
    asked = {"evaluate.py": [f"run={asking.run_of('whole')}", "split=val", "tta=multiscale", "tta.scales=[60]"]}
    if asking.device.type == "cuda":
        asked["train.py"] = [*asking.options, f"paths.outputs={asking.folder / 'short'}"]
    messages = {}
    with little_memory(asking) as more:
        for script, words in asked.items():
            said = asking.ask(script, *words, f"device={asking.device}", code=2, **more)
            messages[script] = said.strip().splitlines()[-1]
            if "Traceback" in said or "is out of memory" not in messages[script]:
                raise Failed(f"{script}: {said[-3000:]}")
    return messages


def sweep_of(jobs: int) -> Callable[[Asking], dict[str, Any]]:
    def ask(asking: Asking) -> dict[str, Any]:
        outputs = asking.folder / f"sweep{jobs}"
        words = ("-m", "lr.value=1e-4,3e-4", f"hydra.sweeper.n_jobs={jobs}", f"hydra.sweeper.study_name=jobs{jobs}")
        said = asking.train(outputs.name, *words, f"hydra.sweeper.storage=sqlite:///{asking.folder}/studies.db")
        for log in sorted(outputs.glob("sweeps/*/worker_*.log")):
            said += log.read_text()
        if "2 complete" not in said:
            raise Failed(said[-3000:])
        costs = [json.loads(path.read_text())["cost"] for path in sorted(outputs.glob("*/result.json"))]
        return {"images_on": images_in(said), "seconds_trained": [cost["seconds"] for cost in costs]}

    return ask


CASES: dict[str, Callable[[Asking], dict[str, Any]]] = {
    "a whole run": whole_run,
    "its evaluation": evaluated,
    "deterministic=true twice, equal to the bit": twice,
    "killed and continued, equal to the bit": killed,
    "task_weights=famo with EMA and clip_norm": trained_with("task_weights=famo", "ema=0.99", "clip_norm=1"),
    "task_weights=cagrad with EMA and clip_norm": trained_with("task_weights=cagrad", "ema=0.99", "clip_norm=1"),
    "an odd validation batch": trained_with("validation.batch_size=7"),
    "a message without memory": shortage,
    "two trials in one worker": sweep_of(1),
    "two trials in two workers": sweep_of(2),
    "step=compile": trained_with("step=compile"),
}
IN_SMOKE = ("a whole run", "its evaluation", "a message without memory")
"""The others run the same lines here as other tests do, or as these."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    words = [word for word in arguments.only.split(",") if word]
    found: dict[str, Any] = dict(arguments.known) if words else {}
    with tempfile.TemporaryDirectory() as temporary:
        asking = Asking(arguments, Path(temporary))
        for name, case in CASES.items():
            if (words and not any(word in name for word in words)) or (arguments.smoke and name not in IN_SMOKE):
                continue
            began, verdict = time.monotonic(), {}
            try:
                verdict = {"held": True, **case(asking)}
            except Exception as error:
                said = str(error).replace(temporary, "<folder>").replace(str(ROOT), ".")
                verdict = {"held": False, "said": f"{type(error).__name__}: {said}"}
            verdict["seconds"] = time.monotonic() - began
            found[name] = verdict
            print("held" if verdict["held"] else "NOT", name, verdict, flush=True)
            arguments.write(found)
    return found


if __name__ == "__main__":
    verdicts = main("gpu_first_run", measure, only="")
    sys.exit(0 if all(one["held"] for one in verdicts.values()) else 1)
