"""`hydra/sweeper=mtl`: sweeps that are resumed, shared between workers, pruned, and that survive their failures.

Hydra runs every module of a plugin at every start: nothing heavy is imported here. The fields are those of
hydra-optuna-sweeper where they mean the same, and its samplers are taken as they are.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig


class MtlSweeper(Sweeper):
    """Runs the rows of a grid, or the trials of a search; see `SweeperConf` for its settings."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self._handed_over = (config, hydra_context, task_function)

    def sweep(self, arguments: list[str]) -> None:
        """Run everything that is missing; leaves by SystemExit where something failed or it was asked to stop."""
        from mtl_seg_depth.sweeping.sweep import sweep

        sweep(self.settings, *self._handed_over, arguments)


@dataclass
class NoPruner:
    """Every trial runs to its end."""

    _target_: str = "optuna.pruners.NopPruner"


@dataclass
class MedianPruner:
    """Ends a trial whose best score so far is below the median of the others' at the same validation."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class SuccessiveHalvingPruner:
    """Lets the best 1 / reduction_factor of the trials go on at every rung (ASHA); resources are validations."""

    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: Any = 1
    reduction_factor: int = 3
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPruner:
    """Successive halving from several starting points; resources are validations."""

    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 4
    """Optuna's own is 3, which took half as many steps again in the comparison of docs/benchmarks.md."""
    bootstrap_count: int = 0


@dataclass
class LocalWorkersConf:
    """Processes of this machine."""

    engine: str = "local"


@dataclass
class SlurmWorkersConf:
    """Jobs of one SLURM array; what each of them asks for."""

    engine: str = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: int = 720
    """Its time limit, after which it saves, is queued again and goes on."""
    cpus: int = 4
    gpus: Any = None
    """How many, or type and number (a100:1); null for gpus_per_trial, and none with device=cpu."""
    memory_gb: float | None = None
    """null for what the partition gives."""
    notice_seconds: int = 120
    """How long before its end it is asked to save."""
    setup: list[str] = field(default_factory=list)
    """Lines of shell before it starts: [module load cuda]."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch: {reservation: ours, exclude: n7}."""


@dataclass
class RayWorkersConf:
    """Actors of a Ray cluster that runs already; what each of them asks for."""

    engine: str = "ray"
    address: str = "auto"
    """auto for the cluster that this machine is of, <host>:6379 for its head node."""
    cpus: int = 1
    gpus: float | None = None
    """null for gpus_per_trial, and none with device=cpu; 0.5 lets two of them share one."""
    memory_gb: float | None = None
    resources: dict[str, float] = field(default_factory=dict)
    """Further ones, by the names that the cluster has for them."""


@dataclass
class SweeperConf:
    """The settings of `hydra/sweeper=mtl`."""

    _target_: str = "hydra_plugins.mtl_seg_depth.sweeper.MtlSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "grid"}, {"pruner": "none"}, {"workers": "local"}])

    sampler: Any = MISSING
    """`grid` for every combination, in order; any of hydra-optuna-sweeper's for a search of `n_trials`."""
    pruner: Any = MISSING
    """none, median, halving, hyperband: by validation, on the first objective."""
    objective: Any = "multitask"
    """What is compared: multitask, margin, or a task by its name; a list of them for a Pareto front."""
    params: dict[str, Any] | None = None
    """What varies, in Hydra's sweep syntax: key -> `a,b`, `range(...)`, `interval(...)`."""
    linked: dict[str, Any] | None = None
    """What varies together: name -> choice -> list of overrides."""
    references: str | None = None
    """`single` adds rows that train each task by itself, otherwise as the others: what delta_m is taken against."""
    baseline: str | None = None
    """The row that the others are compared with, as the sweep labels it or by its value alone; null for the first."""
    selection: str = "best"
    """Whose scores are compared: best, last or mean_of_last_10; see `records/selection.py`."""
    n_trials: int = 20
    """Trials of a search; a grid has as many as it has combinations."""
    n_jobs: int = 1
    """Trials at once: worker processes, or jobs of the joblib and submitit launchers."""
    workers: Any = MISSING
    """Where those processes are: `local`, `slurm` or `ray`; docs/scale.md."""
    workers_per_gpu: int = 1
    """How many local ones may share a GPU."""
    gpus_per_trial: int = 1
    """Of more than one, a trial's training takes so many processes, each with a GPU of its own."""
    max_attempts: int = 3
    """How often a trial that failed is tried, over all runs of the command."""
    heartbeat_seconds: int = 60
    """How often a worker says that it lives; three times that without a word, on another machine, and it is dead."""
    storage: str = "sqlite:///${paths.outputs}/studies.db"
    """The database of the studies: sqlite:///<file>, by default beside the runs that it tells of, or
    postgresql://<user>@<host>/<database>."""
    study_name: str | None = None
    """null for one made of the sweep's name and everything that decides its trials."""


store = ConfigStore.instance().store
store(group="hydra/sweeper", name="mtl", node=SweeperConf, provider="mtl_seg_depth")
for _name, _node in (
    ("none", NoPruner),
    ("median", MedianPruner),
    ("halving", SuccessiveHalvingPruner),
    ("hyperband", HyperbandPruner),
):
    store(group="hydra/sweeper/pruner", name=_name, node=_node, provider="mtl_seg_depth")
for _name, _workers in (("local", LocalWorkersConf), ("slurm", SlurmWorkersConf), ("ray", RayWorkersConf)):
    store(group="hydra/sweeper/workers", name=_name, node=_workers, provider="mtl_seg_depth")
