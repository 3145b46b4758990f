"""Labels and depths of one's own images and videos: python predict.py run=<id> input=photos/."""

from pathlib import Path

from mtl_seg_depth.commands.predict import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
