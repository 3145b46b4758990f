"""Makes docs/benchmarks.md and its plots from the JSON files in results/ alone."""

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
Results = Mapping[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: float) -> str:
    """Three digits that count."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}"


def span(seconds: Mapping[str, float], scale: float = 1e3) -> str:
    """Median and the middle half, in milliseconds unless said otherwise."""
    return f"{number(scale * seconds['median'])} ({number(scale * seconds['low'])}–{number(scale * seconds['high'])})"


def step_time(found: Results) -> str:
    floor = found["floors"]
    text = (
        f"Matrix products run at {number(floor['fp32_flops'] / 1e12)} TFLOP/s in fp32 (on a GPU, TF32) and "
        f"{number(floor['bf16_flops'] / 1e12)} in bf16, "
        f"memory is copied at {number(floor['copy_bytes'] / 1e9)} GB/s (read and written).\n\n"
    )
    rows = [
        [
            f"{case}, {name}",
            span(one["seconds"][name]),
            number(one["images_per_second"][name]),
            number(one["times_classic"][name]),
            f"{100 * one['share_of_matmul_peak'][name]:.0f} %",
        ]
        for case, one in found["cases"].items()
        for name in one["seconds"]
    ]
    return text + table(["network and crop, setting", "ms a step", "images/s", "x classic", "of the matmul peak"], rows)


def data_path(found: Results) -> str:
    rates, times = found["samples_per_second"], found["times_pillow"]
    rows = [[name, number(rate), number(times[name])] for name, rate in rates.items()]
    name = "packed, ready for the network"
    batch = {key: 4 * found["seconds"][name][key] / found["taken"][name] for key in ("median", "low", "high")}
    text = (
        f"Crops of {found['crop'][0]} x {found['crop'][1]} from {found['pictures']} images, which the packed ways "
        f"hold in memory. A batch of 4 is ready in {span(batch)} ms.\n\n"
    )
    return text + table(["way", "samples/s", "x Pillow"], rows)


def whole_run(found: Results) -> str:
    rows = []
    for name, seconds in found["seconds"].items():
        means = [
            sum(s[task] for s in found["scores"][name]) / len(found["scores"][name]) for task in ("semseg", "depth")
        ]
        rows.append([name, span(seconds, 1), number(found["images_per_second"][name]), *(number(m) for m in means)])
    head = f"{found['updates']} updates of {found['batch']}, {found['validation_pictures']} images a validation; "
    head += f"ours is {number(found['times_classic'])} times as fast. Packing, once, took "
    waiting = found["share_of_time_waiting_for_batches"]
    head += f"{number(found['packing_seconds'])} s; ours waits for batches {span(waiting, 100)} % of its time.\n\n"
    return head + table(["loop", "seconds", "images/s", "mean IoU, %", "SI-log"], rows)


def method_cost(found: Results) -> str:
    rows = [
        [
            name,
            span(one["seconds"][name]),
            span(one["seconds"]["equal"]),
            f"{one['times_equal']:.2f}",
            f"{one['more_bytes'] / 2**20:.0f}",
        ]
        for name, one in found["methods"].items()
    ]
    text = (
        f"Joint {found['encoder']}, {found['batch']} crops of {found['size']} x {found['size']} a step; equal weights "
    )
    text += (
        f"take {number(found['peak_bytes']['equal'] / 2**30)} GiB at most, each measured in turns with the method.\n\n"
    )
    return text + table(["`task_weights`", "ms a step", "with equal weights", "x equal", "MiB more"], rows)


def timings(found: Results) -> str:
    text = table(["what", "ms"], [[name, span(seconds)] for name, seconds in found["seconds"].items()])
    return text + "".join(f"\n{name} is not installed here.\n" for name in found.get("missing", ()))


def gpu(found: Results) -> str:
    runs = {name: one for name, one in found.items() if isinstance(one, dict) and "seconds_an_update" in one}
    rows = [
        [
            name,
            number(1e3 * one["seconds_an_update"]),
            number(one["images_per_second"]),
            number(60 * one["hours_of_80000_updates"]),
            number(one["peak_bytes"] / 2**30),
        ]
        for name, one in runs.items()
    ]
    header = ["training", "ms an update", "images/s", "minutes for 80 000 updates", "GiB at most"]
    text = table(header, rows)
    if "profile" in found:
        text += f"\nThe device was busy for {100 * found['profile']['share_of_wall']:.1f} % of the profiled time.\n"
    return text


def first_run(found: Results) -> str:
    rows = [[name, "yes" if one["held"] else "NO", number(one["seconds"])] for name, one in found.items()]
    return table(["asked", "held", "s"], rows)


def growth(found: Results) -> str:
    text = ""
    for key, what in (("batch", "images a batch"), ("size", "pixels a side"), ("threads", "threads")):
        rows = [[str(n), span(one), number(one["images_per_second"])] for n, one in found[f"step_by_{key}"].items()]
        text += table([what, "ms a step", "images/s"], rows) + "\n" if rows else ""
    rows = [[count, span(one)] for count, one in found["validation_by_pictures"].items()]
    return text + table(["images scored", "ms"], rows)


def precision(found: Results) -> str:
    """Means and deviations over the seeds."""
    rows = [
        [name, *(f"{number(one[score]['mean'])} ± {number(one[score]['deviation'])}" for score in one)]
        for name, one in found["summary"].items()
    ]
    return table(["format", "multitask", "mean IoU, %", "SI-log"], rows)


def overhead(found: Results) -> str:
    cost = found["overhead_seconds_a_trial"]
    return (
        f"{found['trials']} tiny trainings tracked by MLflow, in a sweep {span(found['seconds']['sweep'], 1)} s and by "
        f"themselves {span(found['seconds']['trainings alone'], 1)} s: a trial costs {span(cost, 1)} s beside its "
        "training.\n"
    )


def pruning(found: Results) -> str:
    rows = [
        [
            name,
            str(steps),
            f"{100 * found['share_of_steps'][name]:.0f} %",
            str(sum(state == "pruned" for state in found["states"][name])),
            f"{found['winners'][name]['margin']:.2f}",
            ", ".join(
                f"{value:.2g}" if isinstance(value, float) else str(value)
                for value in map(parsed, found["winners"][name]["params"].values())
            ),
        ]
        for name, steps in found["steps"].items()
    ]
    margins = ", ".join(f"{margin:.2f}" for margin in found["margins_of_other_seeds"])
    head = f"A random search of {found['trials']} candidates, {found['epochs']} epochs each, validated after each. The "
    head += "score is mean IoU less SI-log on the validation split. The whole search's winner with other seeds: "
    head += f"{margins}, a standard deviation of {found['seed_deviation']:.2f} with its own.\n\n"
    return head + table(["search", "steps", "of the whole", "pruned", "best score", "winner"], rows)


def predict_large(found: Results) -> str:
    """Whole commands, by how large the network sees the images."""
    rows = [
        [
            way,
            f"{one['mean_iou']:.1f}",
            *(number(one[key] / (1 if key == "peak_gib" else found["images"])) for key in KEYS),
        ]
        for way, one in found["ways"].items()
    ]
    (small, large) = (f"{found[key][1]} x {found[key][0]}" for key in ("training_size", "large_size"))
    head = (
        f"{found['images']} streets, drawn at {small}, the size of the training, and at {large}; start-up and all that "
    )
    head += f"is written included; at nice {found['nice']}.\n\n" if found["nice"] else "is written included.\n\n"
    text = head + table(["network sees", "mean IoU, %", "s/image", "s of computing/image", "GiB"], rows)
    whole = found["default_over_full_size"]["full size in one piece"]
    kept = found["score_kept"]["default"]
    text += f"\nBy default {number(whole['seconds'])} of the time and {number(whole['peak_gib'])} of the memory of "
    return (
        text
        + "full size in one piece"
        + (f", and {kept:.2f} x the mean IoU at the size of the training.\n" if kept else ".\n")
    )


def processes(found: Results) -> str:
    """Steps by one and by two processes, and what they send each other."""
    sent, gradients = found["bytes_a_step"], found["gradient_bytes"]
    head = f"{found['encoder']}, crops of {found['size']}, batches of {found['batch']}, "
    head += (
        f"{found['threads_in_all']} threads in all. Two processes sent each other {number(sent / 1e6)} MB in a step, "
    )
    head += f"{number(sent / gradients)} times the network's gradients of {number(gradients / 1e6)} MB.\n\n"
    rows = [[name, span(one), number(found["times_one_process"][name])] for name, one in found["seconds"].items()]
    return head + table(["setting", "ms a step", "x one process"], rows)


def openmp_wait(found: Results) -> str:
    """Steps a second by how threads wait, and against OpenMP's own way in the same rounds."""
    there = [key for key in ("quiet", "busy") if key in found]
    rows = [
        [
            f"{name} (ours)" if name == found["ours"] else name,
            *(
                text
                for key in there
                for text in (
                    number(1 / found[key][name]["seconds"]["median"]),
                    span(found[key][name]["of_the_first"], 1),
                )
            ),
        ]
        for name in found[there[0]]
    ]
    head = f"ResNet18 at {found['size']} x {found['size']}, batch of 4, {found['cores']} cores; busy: beside "
    head += f"{found['others']} processes that compute without end. All settings took their turns in every round.\n\n"
    return head + table(
        ["threads wait by", *(f"{a}{b}" for b in there for a in ("steps/s, ", "time of a step against the first, "))],
        rows,
    )


def claims(found: Results) -> str:
    """Claims a second by database and number of workers."""
    databases = found["databases"]
    counts = next(iter(databases.values()))["workers"]
    rows = [
        [
            count,
            *(
                text
                for one in databases.values()
                for text in (
                    number(one["workers"][count]["claims_per_second"]),
                    number(one["workers"][count]["slowest_claim_seconds"]),
                )
            ),
        ]
        for count in counts
    ]
    added = ", ".join(f"{number(one['seconds_to_add_the_rows'])} s on {name}" for name, one in databases.items())
    head = f"A grid of {found['rows']} rows, which the first claim adds: {added}. Workers and database on one machine. "
    head += "".join(
        f"With {one['complete']} rows complete, writing the sweep's record takes {number(one['seconds_to_publish'])} s "
        f"from {name}. "
        for name, one in databases.items()
    )
    name, last = list(databases.items())[-1]
    most = ", ".join(f"{one['connections']} of {count}" for count, one in last["workers"].items())
    head += f"Connections to {name}, by workers: {most}.\n\n"
    return head + table(
        ["workers", *(f"{a}{name}" for name in databases for a in ("claims/s, ", "slowest, s, "))], rows
    )


KEYS = ("seconds", "cpu_seconds", "peak_gib")


def parsed(text: str) -> float | str:
    """A number where it is one: sweep.json has parameters as they were written."""
    try:
        return float(text)
    except ValueError:
        return text


SECTIONS = {
    "step_time": ("A step", step_time),
    "data_path": ("Training images", data_path),
    "whole_run": ("A whole run", whole_run),
    "method_cost": ("Balancing the tasks", method_cost),
    "peers": ("Other people's networks", timings),
    "metrics_cost": ("Scores", timings),
    "startup": ("Start-up", timings),
    "scaling": ("How cost grows", growth),
    "precision": ("Scores in bf16", precision),
    "sweep_overhead": ("A sweep beside its trainings", overhead),
    "pruning": ("A search cut short", pruning),
    "processes": ("Several processes", processes),
    "predict_large": ("Photos of 6 megapixels", predict_large),
    "openmp_wait": ("Threads that wait for each other", openmp_wait),
    "claims": ("Many workers on one sweep", claims),
    "gpu": ("Long runs on a GPU", gpu),
    "gpu_first_run": ("Whether everything works on a GPU", first_run),
}


def plot_steps(found: Results, path: Path) -> None:
    """Images a second of every network, setting by setting."""
    cases = found["cases"]
    settings = list(dict.fromkeys(name for one in cases.values() for name in one["seconds"]))
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(cases) + 1.5), layout="constrained")
    width = 0.8 / len(settings)
    for index, setting in enumerate(settings):
        places = [row + index * width for row in range(len(cases))]
        axes.barh(places, [one["images_per_second"][setting] for one in cases.values()], width, label=setting)
    axes.set_yticks([row + 0.4 - width / 2 for row in range(len(cases))], list(cases))
    axes.invert_yaxis()
    axes.set_xlabel("images a second")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_growth(found: Results, path: Path) -> None:
    """Images a second by batch and by crop."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axes, key, label in zip(panels, ("batch", "size"), ("images a batch", "pixels a side"), strict=True):
        points = found[f"step_by_{key}"]
        axes.plot([int(n) for n in points], [one["images_per_second"] for one in points.values()], marker="o")
        axes.set(xlabel=label, ylabel="images a second", ylim=(0, None))
    figure.savefig(path, dpi=120)
    plt.close(figure)


PLOTS = {"step_time": plot_steps, "scaling": plot_growth}


def write(results: Path, page: Path) -> None:
    """One section a machine, one a question."""
    figures = page.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    text = "# Benchmarks\n\nMade by `python benchmarks/page.py` from the files in `benchmarks/results/`. Numbers are "
    text += (
        "medians, with the middle half in brackets; ours and the reference were measured in turns, in one process.\n"
    )
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        reports = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
        machine = next(iter(reports.values()))["machine"]
        text += f"\n## {machine['gpu'] or machine['cpu']}, {machine['cores']} cores\n"
        for question, (title, render) in SECTIONS.items():
            if question not in reports:
                continue
            report = reports[question]
            where = report["machine"]
            text += f"\n### {title}\n\n`python benchmarks/{question}.py`, {where['date']}, torch {where['torch']}, "
            text += f"{where['threads']} threads, bf16 in hardware: {where['bf16']}"
            if report["load_before"] > 1:
                text += f", load average before it {report['load_before']:.1f}"
            text += "; a smoke run: its numbers mean nothing.\n\n" if report["smoke"] else ".\n\n"
            text += render(report["results"])
            if question in PLOTS:
                figure = figures / f"benchmark_{question}_{folder.name}.png"
                PLOTS[question](report["results"], figure)
                text += f"\n![{title}](figures/{figure.name})\n"
    page.write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    arguments = parser.parse_args()
    write(arguments.results, arguments.page)
