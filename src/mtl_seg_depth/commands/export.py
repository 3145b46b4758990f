"""Export a trained network for other programs: python export.py run=<id> format=onnx."""

import shlex
import sys
from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def export(config: dict[str, Any]) -> int:
    """Write the file that the config asks for, and say what it is."""
    from rich.console import Console

    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.inference import exporting

    settings = parse_as(exporting.ExportSettings, config)
    exported = exporting.export(settings)
    about = exported.description
    lines = [
        f"{exported.path}: {exported.bytes / 1e6:.1f} MB" + (", in place of an earlier export" * exported.replaced)
    ]
    if settings.format == "mlflow":
        # MLflow starts programs of its own by their names, so that the environment's have to be on the path.
        model = shlex.quote(str(exported.path.absolute()))
        lines += ["Serve it, on a port of its own:"]
        lines += [
            f"  PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH mlflow models serve -m {model} "
            "--env-manager local --port 5001"
        ]
        lines += ["It answers base64 encoded JPEG or PNG files in the column image; README.md has a request."]
        lines += [f"  logged as {exported.logged}"] if exported.logged else []
    else:
        lines += [f"  {about['input']}", *(f"  {name}: {text}" for name, text in about["outputs"].items())]
    lines += [f"  {exported.agreement}"]
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print("\n".join(lines))
    return 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(export, config="export", root=root)
