"""Export a trained network for other programs: python export.py run=<id> format=onnx."""

from pathlib import Path

from mtl_seg_depth.commands.export import main

if __name__ == "__main__":
    # Completion looks for "@hydra.main" in a script: what it decorates is in cli/start.py.
    main(Path(__file__).resolve().parent)
