"""How busy the machine is: MLflow's system metrics, recorded as points of the run."""

# mypy: allow-untyped-calls
# (MLflow's collectors have no annotations.)

import logging
from pathlib import Path
from typing import Any

from mtl_seg_depth.records.record import Points

log = logging.getLogger(__name__)


class SystemSampler:
    """Writes MLflow's system metrics into system.jsonl, where they are sent like all points.

    A file of its own, since its steps only count the samples and go on counting after a resume. What cannot be
    measured is left out: drivers refuse in many ways, and no run is the worse for it.

    Args:
        folder: of the run.
        gpu: UUID of the GPU to look at, "" for none of them; None for all.
    """

    def __init__(self, folder: Path, gpu: str | None = None) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        logging.getLogger(GPUMonitor.__module__).setLevel(logging.ERROR)  # it warns of the same in every sample
        self._collectors: list[Any] = []
        for monitor in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
            try:
                collector = monitor()
                if monitor is GPUMonitor and gpu is not None:
                    _look_at(collector, gpu)
                self._collectors.append(collector)
            except Exception as error:  # such as no nvidia-ml-py, no GPU, or one that is lost
                log.debug("no %s: %s", monitor.__name__, error)
        self._collect()  # the processor's load is counted from one call to the next
        self._points = Points(folder / "system.jsonl")
        self._step = max((point.step for point in self._points), default=-1)

    def sample(self) -> None:
        """Append one point, one step after the last."""
        self._step += 1
        self._points.log(self._step, self._collect())

    def close(self) -> None:
        """Close the file of points."""
        self._points.close()

    def _collect(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for collector in tuple(self._collectors):
            try:
                collector.collect_metrics()
                values |= {f"system/{name}": value for name, value in collector.aggregate_metrics().items()}
                collector.clear_metrics()
            except Exception as error:
                log.warning("no more system metrics of %s: %s", type(collector).__name__, error)
                self._collectors.remove(collector)
        return values


def _look_at(monitor: Any, gpu: str) -> None:
    """Let a GPUMonitor look at one GPU and leave those of others alone."""
    import pynvml

    monitor.gpu_handles = [h for h in monitor.gpu_handles if pynvml.nvmlDeviceGetUUID(h) == f"GPU-{gpu}"]
