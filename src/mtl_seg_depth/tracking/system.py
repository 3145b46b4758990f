"""How busy the machine is: MLflow's system metrics, recorded as points of the run."""

# mypy: allow-untyped-calls
# (MLflow's collectors have no annotations.)

import logging
from pathlib import Path

from mtl_seg_depth.records.record import Points

log = logging.getLogger(__name__)


class SystemSampler:
    """Writes MLflow's system metrics into system.jsonl, where they are sent like all points.

    A file of its own, since its steps only count the samples and go on counting after a resume.
    """

    def __init__(self, folder: Path) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._collectors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        try:
            self._collectors.append(GPUMonitor())
        except (ImportError, RuntimeError) as error:  # no nvidia-ml-py, or no GPU
            log.debug("No GPU metrics: %s", error)
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
        for collector in self._collectors:
            collector.collect_metrics()
            values |= {f"system/{name}": value for name, value in collector.aggregate_metrics().items()}
            collector.clear_metrics()
        return values
