"""Free what runs that are over left on the disk: python prune.py, then python prune.py dry_run=false."""

from pathlib import Path

from mtl_seg_depth.commands.prune import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
