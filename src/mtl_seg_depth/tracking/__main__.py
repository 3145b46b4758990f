"""Command line: send run folders to a tracking server after the fact."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking.mirror import mirror_once


def main(arguments: Sequence[str] | None = None) -> int:
    """Send run folders that are not, or not completely, on the server; the exit code is 2 if any was not taken."""
    parser = argparse.ArgumentParser(prog="python -m mtl_seg_depth.tracking", description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="run folder")
    parser.add_argument("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI"), help="where to")
    options = parser.parse_args(arguments)
    if options.tracking_uri is None:
        parser.error("give --tracking-uri, or set MLFLOW_TRACKING_URI")
    code = 0
    for folder in options.folders:
        try:
            print(f"{folder}: complete, MLflow run {mirror_once(folder, options.tracking_uri)}")
        except UserError as error:
            print(error, file=sys.stderr)
            code = 2
    return code


if __name__ == "__main__":
    sys.exit(main())
