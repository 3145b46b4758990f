"""train.py as a process of its own, with the small networks of tests: `small_train.py OVERRIDES...`."""

import runpy
import sys

from helpers import small_resnets
from helpers.composing import ROOT

if __name__ == "__main__":
    small_resnets.install()
    sys.argv[0] = str(ROOT / "train.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
