"""A page to try a network on: python demo.py run=<id>."""

from pathlib import Path

from mtl_seg_depth.commands.demo import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
