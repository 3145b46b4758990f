"""Make Miniscapes of its public source: python make_miniscapes.py data.root=<Synscapes> to=<folder>."""

from pathlib import Path

from mtl_seg_depth.commands.make_miniscapes import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
