"""What runs there are, with what sets them apart and their scores: python runs.py."""

from pathlib import Path

from mtl_seg_depth.commands.runs import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
