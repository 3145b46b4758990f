"""How every entry point starts: compose with Hydra, run, and answer a mistake with a message, not a stack trace."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from mtl_seg_depth.cli.arguments import given_twice, left_to_the_rows, names_a_sweep, read
from mtl_seg_depth.cli.completion import answered, registration
from mtl_seg_depth.cli.messages import message_of
from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.system import installation, torchrun
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.installation import ROOT_VARIABLE
from mtl_seg_depth.system.machine import settle_memory, settle_threads

USER_ERROR = 2
"""Exit code of a mistake in a command, a config or a file."""

INTERRUPTED = 130
"""Exit code of a Ctrl-C where there was nothing to save, as shells have it."""

# In a config: a second task weight from the first. Rounded, for floats' sake: 1 - 0.9 is 0.1.
OmegaConf.register_resolver("one_minus", lambda value: round(1 - value, 12), replace=True)


def _variable(name: str, *default: Any) -> Any:
    """`${oc.env:...}`: a config may come from others, and what it takes from the environment goes into the record."""
    if name not in (ROOT_VARIABLE, "MLFLOW_TRACKING_URI") and not name.startswith("MTL_SEG_DEPTH_"):
        raise UserError(f"${{oc.env:{name}}}: a config reads MTL_SEG_DEPTH_... alone; on a command line, write ${name}")
    return oc.env(name, *default)


OmegaConf.register_resolver("oc.env", _variable, replace=True)

BUILT_BY_HYDRA = ("hydra._internal.core_plugins.*", "hydra_plugins.*", "optuna.pruners.*", "optuna.samplers.*")
"""What Hydra itself may call by a name in a config: launchers, sweepers, samplers; no callback and no logging class."""

Main = Callable[[dict[str, Any]], Any]


def start(main: Main, *, config: str, root: Path | None) -> None:
    """Compose `conf/<config>.yaml` with the command line, and call `main` with it as a plain dictionary.

    `root` is the checkout whose script was started: its conf/ is composed, and data sets, runs and the tracking
    database go there. None for a command of an installed package: its own conf/, and the folder that it was typed in.

    What `main` returns is the job's objective in a sweep; alone, an int becomes the exit code. Never returns.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows is no reason to end a run that is done
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        # rich takes it for a terminal, and notebooks and CI set it: a live line would be thousands there.
        os.environ.pop("FORCE_COLOR", None)
    if names_a_sweep(sys.argv[1:]):
        sys.argv.append("--multirun")  # a sweep's file cannot say so itself: Hydra asks before it composes
    os.environ.setdefault(ROOT_VARIABLE, str(root or Path.cwd()))
    options = Options(installation.conf(root), config)
    OmegaConf.register_resolver("as_typed", installation.as_typed, replace=True)
    OmegaConf.register_resolver("help_tables", lambda name: _help_tables(options.conf, name), replace=True)
    if answered(sys.argv[1:], options):
        sys.exit()
    settle_memory()
    settle_threads()
    show_traces = bool(os.environ.get("HYDRA_FULL_ERROR"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing: the messages are ours
    codes: list[int] = []
    if (
        torchrun.rank() == 0
        and sys.stderr.isatty()
        and all(word in ("-m", "--multirun") for word in sys.argv[1:] if word.startswith("-"))
    ):
        print("Composing the config and loading libraries ...", file=sys.stderr, flush=True)  # seconds, on a cold start

    def job(composed: DictConfig) -> Any:
        _keep_no_secrets()
        codes.append(USER_ERROR)  # composing is over: what goes wrong from here is not the command line's grammar
        try:
            result = main(plain(composed))
        except (UserError, OmegaConfBaseException, OSError) as error:
            if in_sweep() or show_traces or (isinstance(error, OSError) and error.filename is None):
                raise
            _tell("error", message_of(error, options))
            return None
        codes[-1] = result if isinstance(result, int) else 0
        return result

    try:
        for place in (Path.cwd(), options.conf):
            if "${" in str(place):  # Hydra puts both into the config, where that begins another key's value
                raise UserError(f"{place}: commands do not work in or from a folder with ${{ in its name; rename it")
        if not Path(os.environ[ROOT_VARIABLE]).is_dir():
            raise UserError(f"{ROOT_VARIABLE}={os.environ[ROOT_VARIABLE]}: there is no such folder")
        for note in given_twice(sys.argv[1:]) if torchrun.rank() == 0 else ():
            _tell("note", note)
        sys.argv[1:] = read(sys.argv[1:], options)
        command = hydra.main(config_path=str(options.conf), config_name=config, execution_whitelist=BUILT_BY_HYDRA)(job)
        while True:
            try:
                command()
                break
            except ConfigCompositionException as error:
                if (words := left_to_the_rows(error, sys.argv[1:])) is None:
                    raise
                sys.argv[1:] = words
        if sys.argv[1:] == ["-sc", "install=bash"]:
            print(registration(options.conf))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if show_traces or (codes and not isinstance(error, HydraException | OmegaConfBaseException | UserError)):
            raise
        _tell("error", message_of(error, options, sys.argv[1:]))
        sys.exit(USER_ERROR)
    sys.exit(codes[0] if len(codes) == 1 and not in_sweep() else 0)


def _tell(kind: str, message: str) -> None:
    """Say what is wrong, on one stream and without the passwords that a command line may hold; once, among several."""
    if kind == "note" or torchrun.may_speak():
        print(f"{kind}: {redact(message)}", file=sys.stderr, flush=True)


def _help_tables(conf: Path, config: str) -> str:
    """What --help says of groups and keys; `$$` as Hydra, whose template it goes into, takes a `$`."""
    from mtl_seg_depth.cli.help_text import help_tables

    return help_tables(conf, config, GlobalHydra.instance().config_loader()).replace("$", "$$")


def in_sweep() -> bool:
    """Whether this process runs one job of several."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def in_sweep_of_ours() -> bool:
    """Whether it is one of `hydra/sweeper=mtl`, which keeps account of its trials."""
    return in_sweep() and HydraConfig.get().sweeper._target_.startswith("hydra_plugins.mtl_seg_depth.")


def _keep_no_secrets() -> None:
    """Hydra stores the command line of a multirun; take out the password that a tracking server's address may hold."""
    from mtl_seg_depth.system.atomic import write_text

    if in_sweep() and (path := Path(HydraConfig.get().sweep.dir) / "multirun.yaml").exists():
        text = path.read_text()
        if redact(text) != text:
            write_text(path, redact(text))


def plain(composed: DictConfig) -> dict[str, Any]:
    """A composed config as plain values, every interpolation resolved."""
    tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}
