"""The group `sweeps`: its options lie in sweeps/ beside conf/, where people look for them, and not in conf/ itself.

Hydra makes a group of every folder below a folder on its search path. To have sweeps/ so, the whole repository would
have to be on the path, with environments and runs. `FolderAsGroup` shows it that one folder. No link stands in for it:
zip files and Windows lose links.
"""

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.search_path_plugin import SearchPathPlugin


class FolderAsGroup(FileConfigSource):
    """`group:///some/where/sweeps` on Hydra's search path: the files of that folder are the options of `sweeps`."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        folder = Path(self.path)
        self.path, self.group = str(folder.parent), folder.name

    @staticmethod
    def scheme() -> str:
        """What an entry of the search path begins with."""
        return "group"

    def available(self) -> bool:
        """Whether the folder exists."""
        return self.is_group(self.group)

    def is_group(self, config_path: str) -> bool:
        """Whether it is the folder, one in it, or "", under which Hydra looks for the groups there are."""
        return config_path == "" or (self._is_inside(config_path) and super().is_group(config_path))

    def is_config(self, config_path: str) -> bool:
        """Whether it is a file in the folder."""
        return self._is_inside(config_path) and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The options of a group, or the groups in it."""
        return super().list(config_path, results_filter) if self.is_group(config_path) else []

    def _is_inside(self, config_path: str) -> bool:
        return config_path.split("/")[0] == self.group


class SweepsFolder(SearchPathPlugin):
    """Puts sweeps/ on the search path of whatever is composed from the conf/ beside it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add it, if there is one."""
        for element in list(search_path.get_path()):
            folder = Path(element.path.removeprefix("file://")).parent / "sweeps"
            if element.provider == "main" and folder.is_dir():
                search_path.append("mtl_seg_depth", f"{FolderAsGroup.scheme()}://{folder}")
