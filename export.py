"""Export a trained network for other programs: python export.py run=<id> format=onnx."""

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
        lines += [f"  serve it: mlflow models serve -m {exported.path} --env-manager local"]
        lines += ["  it answers base64 encoded JPEG or PNG files in the column image; see --help"]
        lines += [f"  logged as {exported.logged}"] if exported.logged else []
    else:
        lines += [f"  {about['input']}", *(f"  {name}: {text}" for name, text in about["outputs"].items())]
    lines += [f"  {exported.agreement}"]
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print("\n".join(lines))
    return 0


if __name__ == "__main__":
    cli.start(export, config="export", root=Path(__file__).resolve().parent)
