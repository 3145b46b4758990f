"""What a launcher is handed, which may write it down: the study's name, and nothing that is secret."""

import copy
import os
from collections.abc import Callable

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override

from mtl_seg_depth.system.addresses import redact

ADDRESSES = ("tracking.uri", "hydra.sweeper.storage")
"""Keys whose values may hold a password."""


def hand_over(config: DictConfig, study: str) -> tuple[DictConfig, Callable[[str], str]]:
    """The master config for the jobs of a study, and what takes secrets out of a job's overrides likewise.

    An address with a secret is in this process's environment from here on, which its jobs inherit, and the name of the
    variable takes its place wherever it stood.
    """
    config = copy.deepcopy(config)
    found = {key: str(OmegaConf.select(config, key) or "") for key in ADDRESSES}
    secrets = {
        f"MTL_SEG_DEPTH_{key.upper().replace('.', '_')}": each for key, each in found.items() if redact(each) != each
    }
    os.environ.update(secrets)

    def hide(text: str) -> str:
        for name, address in secrets.items():
            text = text.replace(address, f"${{oc.env:{name}}}")
        return text

    hydra = config.hydra
    with flag_override(hydra, "readonly", False), flag_override(hydra.sweeper, "readonly", False):
        # In itself, and in the overrides that the jobs' own are made from.
        hydra.sweeper.study_name = study
        kept = [each for each in hydra.overrides.hydra if not each.startswith("hydra.sweeper.study_name=")]
        quoted = QuotedString(study, Quote.double).with_quotes()
        hydra.overrides.hydra = [*kept, f"hydra.sweeper.study_name={quoted}"]
    if secrets:
        _rewrite(config, hide)
        HydraConfig.instance().set_config(config)  # launchers take along what is global
    return config, hide


def _rewrite(node: DictConfig | ListConfig, change: Callable[[str], str]) -> None:
    """Change every text in a config."""
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
            continue
        value = node[key]
        if OmegaConf.is_config(value):
            _rewrite(value, change)
        elif isinstance(value, str) and change(value) != value:
            with flag_override(node, "readonly", False):
                node[key] = change(value)
