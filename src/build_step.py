"""What setuptools does beside its own when it builds the package; pyproject.toml names it. It is not installed."""

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

FOLDERS = ("conf", "sweeps")


class WithConfigs(build_py):
    """Puts conf/ and sweeps/ into the package. A checkout has them at its top, where people look for them."""

    def run(self) -> None:
        """Copy them once the package is there; an editable install finds those of its checkout."""
        super().run()
        if not self.editable_mode:
            for name in FOLDERS:
                target = Path(self.build_lib, "mtl_seg_depth", name)
                shutil.rmtree(target, ignore_errors=True)  # of an earlier build
                shutil.copytree(name, target)
