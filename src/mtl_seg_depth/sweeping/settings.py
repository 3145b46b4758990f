"""The settings of the sweeper, checked."""

from typing import Annotated, Any, Literal

from omegaconf import OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from mtl_seg_depth.records.results import Selection
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.engines import Engine
from mtl_seg_depth.sweeping.trial import objective_names
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import explain

LONGEST_NAME = 200
"""Bytes of a study's name; file systems take 255, and a number may follow."""


def _names_a_folder(name: str) -> str:
    """Refuse what is no name of one folder, or would be filled in by Hydra."""
    if not name.isprintable() or len(name.encode()) > LONGEST_NAME or set(name) & set("/\\") or not name.strip(" ."):
        raise ValueError(f"a study has the name of a folder: up to {LONGEST_NAME} bytes in one line, without / and \\")
    if "${" in name:
        raise ValueError("${ begins an interpolation; take another name")
    return name


class SweeperSettings(BaseModel):
    """`hydra.sweeper`, checked; see `hydra_plugins.mtl_seg_depth.sweeper.SweeperConf`."""

    model_config = ConfigDict(extra="forbid")

    sampler: dict[str, Any]
    pruner: dict[str, Any]
    objective: str | list[str]
    params: dict[str, Any]
    linked: dict[str, dict[str, list[str]]]
    references: Literal["single"] | None
    baseline: str | None
    selection: Selection
    n_trials: PositiveInt
    n_jobs: PositiveInt
    workers: Annotated[Engine, Field(discriminator="engine")]
    workers_per_gpu: PositiveInt
    gpus_per_trial: PositiveInt
    max_attempts: PositiveInt
    heartbeat_seconds: PositiveInt
    storage: str
    study_name: Annotated[str, AfterValidator(_names_a_folder)] | None

    @property
    def is_grid(self) -> bool:
        """Whether every combination is to run; else a sampler chooses."""
        return bool(self.sampler["_target_"].endswith(".GridSampler"))


def read(raw: dict[str, Any]) -> SweeperSettings:
    """The settings as Hydra hands them over; raises UserError with a line for each that is impossible."""
    plain = {key: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for key, v in raw.items()}
    plain |= {key: plain[key] or {} for key in ("params", "linked")}
    try:
        settings = SweeperSettings.model_validate(plain)
    except ValidationError as error:
        raise UserError("\n".join(explain(error, "hydra.sweeper.", SweeperSettings.model_fields))) from None
    names = objective_names(settings.objective)
    if unknown := [name for name in names if name not in headline.objectives()]:
        raise UserError(f"hydra.sweeper.objective={unknown[0]}: there are {', '.join(headline.objectives())}")
    if len(names) > 1 and not settings.pruner["_target_"].endswith(".NopPruner"):
        raise UserError("hydra/sweeper/pruner: trials with several objectives cannot be pruned; take none")
    return settings
