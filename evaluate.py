"""Score a trained run on a split: python evaluate.py run=<id> split=test tta=multiscale."""

from pathlib import Path

from mtl_seg_depth.commands.evaluate import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
