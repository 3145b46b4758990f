"""How every entry point starts: compose with Hydra, run, and answer a mistake with a message, not a stack trace."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtl_seg_depth.config import flatten, nearest
from mtl_seg_depth.errors import UserError

ROOT_VARIABLE = "MTL_SEG_DEPTH_ROOT"
"""Environment variable: the folder that holds conf/; data sets, outputs and the tracking database go there too."""

USER_ERROR = 2
"""Exit code of a mistake in a command, a config or a file."""

Main = Callable[[dict[str, Any]], Any]


def start(main: Main, *, config: str, root: Path) -> None:
    """Compose `conf/<config>.yaml` with the command line, and call `main` with it as a plain dictionary.

    What `main` returns is the job's objective in a sweep; alone, an int becomes the exit code. Never returns.
    """
    os.environ.setdefault(ROOT_VARIABLE, str(root.resolve()))
    show_traces = bool(os.environ.get("HYDRA_FULL_ERROR"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing: the messages are ours
    results = []

    def job(composed: DictConfig) -> Any:
        tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        assert isinstance(tree, dict)
        result = main({str(key): value for key, value in tree.items()})
        results.append(result)
        return result

    try:
        hydra.main(config_path=str(root.resolve() / "conf"), config_name=config)(job)()
    except (HydraException, OmegaConfBaseException, UserError) as error:
        if show_traces:
            raise
        print(message_of(error, config), file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        sys.exit(130)
    alone = len(results) == 1 and not in_sweep()
    sys.exit(results[0] if alone and isinstance(results[0], int) else 0)


def in_sweep() -> bool:
    """Whether this process runs one job of several."""
    return HydraConfig.initialized() and HydraConfig.get().mode.name == "MULTIRUN"


def message_of(error: BaseException, config: str) -> str:
    """What to tell the person at the keyboard, with the nearest names that exist."""
    if isinstance(error, UserError):
        return f"error: {error}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.removesuffix(".yaml").rpartition("/")
        close = nearest(option, error.options)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        return f"error: {group}={option}: there is no such option; {hint}There are {', '.join(sorted(error.options))}."
    unknown = re.match(r"Could not (?:override|append to config|delete from config).*?'([^']+)'", str(error), re.DOTALL)
    if unknown and isinstance(error, ConfigCompositionException):
        key = unknown[1].lstrip("+~")
        close = nearest(key, _valid_keys(config))
        hint = f"did you mean {' or '.join(close)}?" if close else "--help lists what there is."
        return f"error: {key}: there is no such option; {hint}"
    return f"error: {str(error).strip()}"


def _valid_keys(config: str) -> list[str]:
    """Every group and every key that this command line could have meant, under the groups it chose rightly."""
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(Path(os.environ[ROOT_VARIABLE]) / "conf")):
        loader = GlobalHydra.instance().config_loader()
        groups = [group for group in loader.list_groups("") if not group.startswith("hydra")]
        chosen = [
            argument
            for argument in sys.argv[1:]
            if (parts := argument.split("=")) and parts[0] in groups and parts[-1] in loader.get_group_options(parts[0])
        ]
        tree = OmegaConf.to_container(hydra.compose(config, overrides=chosen), resolve=False)
    assert isinstance(tree, dict)
    leaves = [key for key, _ in flatten({str(k): v for k, v in tree.items()}) if not key.endswith("_target_")]
    return [*groups, *leaves]
