"""The report's tables and figures beside our own runs: python report.py."""

from pathlib import Path

from mtl_seg_depth.commands.report import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
