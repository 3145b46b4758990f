"""Train one network, or many: python train.py model=branched loss=berhu."""

from pathlib import Path

from mtl_seg_depth.commands.train import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
