"""Look at a data set before training on it: python check_data.py data=miniscapes data.root=<folder>."""

from pathlib import Path

from mtl_seg_depth.commands.check_data import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
