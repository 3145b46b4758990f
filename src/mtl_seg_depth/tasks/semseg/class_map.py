"""Classes of several label spaces in what they have in common, so that a network is scored on data with other classes.

A map is a YAML file, one of `maps/` here or anybody's own:

    classes: {vehicle: [0, 0, 142], ...}      what is common, each with its colour
    tables:                                   by label space: what each of its classes is among them, null for nothing
      cityscapes: {car: vehicle, train: vehicle, road: null, ...}
      vkitti2: {van: vehicle, misc: null, ...}
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.wording import nearest
from mtl_seg_depth.tasks.semseg.classes import Classes
from mtl_seg_depth.tasks.semseg.pools import NO_CLASS

MAPS = Path(__file__).with_name("maps")

Colour = tuple[
    Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
]


@dataclass(frozen=True)
class Mapped:
    """A network's classes and a data set's in the classes that both have, in whatever detail.

    Attributes:
        name: of the map.
        classes: those that are scored.
        predictions: by class of the network, the one that it is scored as; None if the data have nothing like it.
        labels: by class of the data, likewise; None if the network has nothing like it.
    """

    name: str
    classes: Classes
    predictions: Mapping[str, str | None]
    labels: Mapping[str, str | None]

    def scored_as(self, table: Mapping[str, str | None], otherwise: int) -> tuple[int, ...]:
        """The class of every 8-bit id, where the classes' ids are their places in the table."""
        ids = [otherwise if common is None else self.classes.names.index(common) for common in table.values()]
        return (*ids, *[otherwise] * (256 - len(ids)))

    @property
    def predicted_ids(self) -> tuple[int, ...]:
        """What every predicted id is scored as; `NO_CLASS`, which is wrong wherever there is a label, for nothing."""
        return self.scored_as(self.predictions, NO_CLASS)

    @property
    def label_ids(self) -> tuple[int, ...]:
        """What every label is scored as; the ignored one for nothing."""
        return self.scored_as(self.labels, self.classes.ignore_index)

    @property
    def identity(self) -> dict[str, Any]:
        """As plain values."""
        return {"name": self.name, "predictions": dict(self.predictions), "labels": dict(self.labels)}


class ClassMap(BaseModel):
    """The content of a map's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: Annotated[dict[str, Colour], Field(min_length=1)]
    tables: Annotated[dict[str, dict[str, str | None]], Field(min_length=2)]

    def table(self, names: tuple[str, ...]) -> dict[str, str | None] | None:
        """What each of these classes is, in their order; None if no table is of just these."""
        for table in self.tables.values():
            known = {_plain(name): common for name, common in table.items()}
            if known.keys() == {_plain(name) for name in names}:
                return {name: known[_plain(name)] for name in names}
        return None


def load(name: str) -> tuple[str, ClassMap]:
    """A map of `maps/` by its name, or a .yaml file by its path; and what its scores are called by.

    Raises UserError for a name that is none and for a file that is no whole map.
    """
    path = Path(name).expanduser() if name.endswith((".yaml", ".yml")) else MAPS / f"{name}.yaml"
    if not path.is_file():
        there = [each.stem for each in sorted(MAPS.glob("*.yaml"))]
        close = nearest(name, there)
        hint = (
            f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(there)}, and files: map=x.yaml"
        )
        raise UserError(f"map={name}: no map is called so; {hint}")
    content = path.read_bytes()
    try:
        found = ClassMap.model_validate(yaml.safe_load(content))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path}: {place}: {first['msg']}; a map has `classes` with a colour each, and two or more `tables`"
        ) from None
    for space, table in found.tables.items():
        for each, common in table.items():
            if common is not None and common not in found.classes:
                close = nearest(common, found.classes)
                hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(found.classes)}"
                raise UserError(f"{path}: {space}.{each} is {common}, which is none of its classes; {hint}")
        if len({_plain(each) for each in table}) < len(table):
            raise UserError(f"{path}: {space} has a class twice")
    own = path.parent != MAPS
    return (f"{path.stem}_{hashlib.sha256(content).hexdigest()[:6]}" if own else name), found


def between(name: str, network: Classes, data: Classes) -> Mapped:
    """A network's and a data set's classes by the map of a name; UserError if it does not fit either of them."""
    called, found = load(name)
    tables = []
    for whose, classes in (("the network", network), ("the data", data)):
        table = found.table(classes.names)
        if table is None:
            raise UserError(f"map={name}: it has no table of {whose}'s classes; {_closest(found, classes)}")
        tables.append(table)
    predictions, labels = tables
    both = set(predictions.values()) & set(labels.values())
    common = {name: colour for name, colour in found.classes.items() if name in both}
    if len(common) < 2:
        raise UserError(f"map={name}: network and data have {len(common)} classes in common, and scores take two")
    return Mapped(
        called,
        Classes(tuple(common), tuple(common.values())),
        *({each: one if one in common else None for each, one in table.items()} for table in (predictions, labels)),
    )


def fitting(network: Classes, data: Classes) -> list[str]:
    """The names of the maps in `maps/` that have both."""
    maps = {path.stem: load(path.stem)[1] for path in sorted(MAPS.glob("*.yaml"))}
    return [name for name, each in maps.items() if each.table(network.names) and each.table(data.names)]


def _closest(found: ClassMap, classes: Classes) -> str:
    """How the table that is most like these classes differs from them."""
    wanted = {_plain(name): name for name in classes.names}
    space, table = max(found.tables.items(), key=lambda each: len(wanted.keys() & set(map(_plain, each[1]))))
    known = {_plain(name): name for name in table}
    lacking = [name for plain, name in wanted.items() if plain not in known]
    unknown = [name for plain, name in known.items() if plain not in wanted]
    if len(lacking) == len(wanted):
        return f"its tables are of {', '.join(found.tables)}"
    told = [f"lacks {', '.join(lacking)}"] if lacking else []
    told += [f"has {', '.join(unknown)}, which are none of them"] if unknown else []
    return f"the table of {space} {' and '.join(told)}"


def _plain(name: str) -> str:
    """A name without what people write differently: SignSymbol, sign_symbol and Sign symbol are one."""
    return "".join(name.split()).replace("_", "").replace("-", "").casefold()
