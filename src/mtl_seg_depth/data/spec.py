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


def in_words(stored: Mapping[str, Any]) -> str:
    """What a stored account says that scores depend on: "19 classes; depth 4 to 300 m; ...".

    Empty for that of a run from before it was kept. Whatever else a file holds in its place is left out.
    """
    targets = stored.get("targets")
    told = []
    for task, target in targets.items() if isinstance(targets, Mapping) else ():
        found = target if isinstance(target, Mapping) else {}
        names, statistics, rules = (found.get(key) for key in ("names", "statistics", "rules"))
        if isinstance(names, list):
            told.append(f"{len(names)} classes")
        if isinstance(statistics, Mapping):
            ends = [statistics.get(end) for end in ("min", "max")]
            if all(isinstance(end, int | float) for end in ends):
                told.append(f"{task} {ends[0]:g} to {ends[1]:g} m")
        if isinstance(rules, Mapping) and any(rules.values()):
            given = ", ".join(f"{str(key).replace('_', ' ')} {rule}" for key, rule in rules.items() if rule)
            told.append(f"{task} scored with {given}")
    return "; ".join(told)
