"""What Hydra and OmegaConf raise, in words for the person at the keyboard."""

import re
from collections.abc import Sequence

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from mtl_seg_depth.cli.options import Options
from mtl_seg_depth.system.wording import nearest


def message_of(error: BaseException, options: Options, arguments: Sequence[str] = ()) -> str:
    """What to tell of an error, with the nearest names that exist; it names one of the command's arguments."""
    message = _explained(error, options)
    named = any(word.lstrip("+~").partition("=")[0] in message for word in arguments)
    return message if named or not arguments else f"{message} (in {' '.join(arguments)})"


def _explained(error: BaseException, options: Options) -> str:
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        missing = error.missing_cfg_file.removesuffix(".yaml")
        group, _, option = missing.partition("/")
        there_are = options.groups.get(group) or error.options
        if group not in options.groups:  # one of Hydra's
            group, _, option = missing.rpartition("/")
        if there_are:
            close = nearest(option, there_are)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            listed = options.listed(there_are, "There are {}.", "--help lists what there is.")
            return f"{group}={option}: there is no such option; {hint}{listed}"
    unknown = re.match(r"Could not (?:override|append to config|delete from config).*?'([^']+)'", str(error), re.DOTALL)
    if unknown and isinstance(error, ConfigCompositionException):
        return options.unknown(unknown[1])
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).partition(chr(10))[0]}"
    message = str(error).strip() or type(error).__name__
    if message.startswith("Error merging override "):  # which says nothing of why
        message = f"{message.removeprefix('Error merging override ')}: {error.__cause__}".partition("\n")[0]
    return message
