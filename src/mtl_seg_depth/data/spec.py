"""What a data set says of itself; stored with every checkpoint and result that was made of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DataSpec:
    """A data set's own account.

    Attributes:
        name: what people call it.
        targets: by task, what the task's `spec_type` says of the targets: classes, codecs, statistics, rules.
        licence, source: under which terms it is to be had, and where.
    """

    name: str
    targets: Mapping[str, Any]
    licence: str = "unknown"
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As plain values, such as a JSON file holds."""
        plain: dict[str, Any] = json.loads(json.dumps({task: asdict(spec) for task, spec in self.targets.items()}))
        return {"name": self.name, "targets": plain, "licence": self.licence, "source": self.source}
