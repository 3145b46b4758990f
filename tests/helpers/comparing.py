"""Two runs compared bit for bit, and files damaged as disks do it."""

from pathlib import Path

import torch

from mtl_seg_depth.records.record import read_points

TIMINGS = ("train/images_per_second", "cost/")


def scores(run_folder: str | Path) -> list[tuple[int, dict[str, float]]]:
    """Everything a run logged, without what a clock measured."""
    points = [
        (point.step, {name: value for name, value in point.metrics.items() if not name.startswith(TIMINGS)})
        for point in read_points(Path(run_folder) / "metrics.jsonl")
    ]
    return sorted(((step, values) for step, values in points if values), key=lambda p: (p[0], sorted(p[1])))


def weights(run_folder: str | Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    network: dict[str, torch.Tensor] = torch.load(Path(run_folder) / name, weights_only=True)["network"]
    return network


def assert_same_run(one: str | Path, other: str | Path) -> int:
    """Weights and scores of the two are the same; returns how many points of the first are not in the second."""
    for name in ("last.pt", "best.pt"):
        first, second = weights(one, name), weights(other, name)
        assert first.keys() == second.keys()
        assert all(first[key].equal(second[key]) for key in first), name
    assert scores(one) == scores(other)
    steps = [step for step, _ in scores(other)]
    return sum(step not in steps for step, _ in scores(one))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
