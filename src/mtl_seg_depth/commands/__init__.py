"""The commands: each a file with what it does with its composed config, and `main`, which starts it.

A checkout has a script for each at its top, `python train.py`; an installed package has `mtl-train` and the like.
"""
