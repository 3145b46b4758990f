"""Data sets whose files are converted while they are packed: to one size, to class ids, to 16-bit codes of metres."""

import hashlib
from collections.abc import Mapping, Sequence

from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.division import Division
from mtl_seg_depth.data.files import IMAGE, DamagedFileError, Entry, FileReader, Source, SplitFiles, files_of
from mtl_seg_depth.data.patterns import Key, Pattern, nothing_found, order
from mtl_seg_depth.data.reading.depths import Beyond
from mtl_seg_depth.data.reading.labels import Shrink
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.depth.codec import DepthCodec, DepthRules, DepthSpec, DepthStatistics
from mtl_seg_depth.tasks.depth.rules import RuleChoices


class Converted(DataSet):
    """A data set with `readers` that convert.

    Args:
        root, cache, crop_size, workers: as in `DataSet`.
        size: height and width to read everything in; None as stored, and then all files have one size.
        shrink_labels: the label that lies nearest to a new pixel, or the one that covers most of it.
        depth_mean, depth_std: metres, of the valid depths of the training split; None until they are measured.
        depth_min, depth_max: metres; the ends of the valid range, of which the 16-bit codes are even steps.
        beyond: what becomes of a depth outside of them; `clamp` moves it to the end.
        depth_rules: how depths are scored; None for every valid depth, image by image.
    """

    NOT_CONTENT = DataSet.NOT_CONTENT | {"depth_mean", "depth_std", "depth_rules"}

    readers: Mapping[str, FileReader]

    def __init__(
        self,
        root: str,
        cache: str,
        crop_size: Sequence[int],
        size: tuple[int, int] | None = None,
        shrink_labels: Shrink = "nearest",
        depth_mean: float | None = None,
        depth_std: float | None = None,
        depth_min: float = 0.5,
        depth_max: float = 80.0,
        beyond: Beyond = "invalid",
        depth_rules: RuleChoices | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__(root, cache, crop_size, workers)
        if size is not None and min(size) < 1:
            raise ValueError(f"size is a height and a width in pixels, not {list(size)}")
        self.size = size
        self.shrink_labels = shrink_labels
        self.beyond = beyond
        self.depth = DepthSpec(
            DepthCodec(16, "metres", depth_min, depth_max),
            DepthStatistics(depth_mean, depth_std, depth_min, depth_max),
            (depth_rules or RuleChoices()).applied(DepthRules()),
        )

    def split_files(self, split: str, paths: Mapping[str, Sequence[Entry]]) -> SplitFiles:
        """The files of a split by kind; the images' ids count from 0."""
        return SplitFiles(
            root=self.root,
            split=split,
            ids=tuple(range(len(paths[IMAGE]))),
            paths={kind: tuple(entries) for kind, entries in paths.items()},
            readers={kind: self.readers[kind] for kind in paths},
            reading=hashlib.sha256(repr(sorted(self.readers.items())).encode()).hexdigest()[:16],
            size=None if self.size is None else (self.size[1], self.size[0]),
        )

    def check_split(self, split: str) -> None:
        """UserError for a split that there is not."""
        if split not in self.splits:
            raise UserError(f"there is no split {split!r}; there are {', '.join(self.splits)}")


class Arranged(Converted):
    """A data set whose files are found by patterns; a subclass calls `arrange` once it knows them."""

    def arrange(
        self,
        patterns: Mapping[str, str],
        division: Division,
        *,
        beside: Mapping[str, Mapping[str, str]] | None = None,
        complete: bool = True,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        """Say which files there are.

        Args:
            patterns: by kind, images first; those fields that all of them have tell images apart.
            division: which images a split has.
            beside: by kind, the patterns of what else is read with it, by name.
            complete: whether an image without a target, or the other way round, is a fault; else both are left out.
            hints: by kind, what helps if it has no files.
        """
        self.patterns = {kind: Pattern(text) for kind, text in patterns.items()}
        first, *others = (pattern.fields for pattern in self.patterns.values())
        self.fields = [field for field in first if all(field in each for each in others)]
        self.division = division
        self.splits = division.splits
        self.beside = {kind: {name: Pattern(each) for name, each in of.items()} for kind, of in (beside or {}).items()}
        self.complete = complete
        self.hints = hints or {}

    def scan(self, split: str) -> tuple[SplitFiles, list[DamagedFileError]]:
        """The complete images of one split, and every file that lacks its counterpart.

        Raises DamagedFileError if there are no files of a kind; the test split may lack labels.
        """
        self.check_split(split)
        problems: list[DamagedFileError] = []
        values: dict[Key, dict[str, str]] = {}
        found: dict[str, dict[Key, str]] = {kind: {} for kind in self.patterns}  # names: 75 000 paths take seconds
        taken: set[str] = set()
        for kind, pattern in sorted(self.patterns.items(), key=lambda each: -each[1].literal):
            files = [(known, *each) for known in self.division.known(split) for each in pattern.find(self.root, known)]
            for known, fields, name in files:
                if name in taken:  # such as {name}_mask.png beside {name}.png
                    continue
                taken.add(name)
                key = tuple(fields[field] for field in self.fields)
                other = found[kind].setdefault(key, name)
                if other != name:
                    problems.append(DamagedFileError(self.root / name, f"is one image with {other}, by its name"))
                values[key] = values.get(key, {}) | known | fields
        for kind, pattern in self.patterns.items():
            if not found[kind] and split == "test" and kind != IMAGE:
                del found[kind]
            elif not found[kind]:
                error = nothing_found(self.root, pattern.filled(self.division.known(split)[0]))
                raise DamagedFileError(error.path, error.reason + self.hints.get(kind, ""))
        whole = set.intersection(*(set(keys) for keys in found.values()))
        keys = self.division.members(split, sorted(values if self.complete else whole, key=order), self.fields)
        if not keys:
            raise DamagedFileError(self.root, f"has nothing for the {split} split: {len(whole)} images are complete")
        lacking = {
            key: [kind for kind in found if key not in found[kind]]
            for key in keys
            if self.complete and key not in whole
        }
        for key, kinds in lacking.items():
            missing = " and no ".join(self.patterns[kind].filled(values[key]).text for kind in kinds)
            present = next(names[key] for names in found.values() if key in names)
            problems.append(DamagedFileError(self.root / present, f"there is no {missing} beside it"))
        keys = [key for key in keys if key not in lacking]
        paths = {kind: [self._entry(kind, found[kind][key], values[key]) for key in keys] for kind in found}
        return self.split_files(split, paths), problems

    def sequence(self, image: Entry) -> str | None:
        """All fields of an image's name but the last, and but the split."""
        name = files_of(image)[0].relative_to(self.root).as_posix()
        found = self.patterns[IMAGE].expression.fullmatch(name)
        fields = [field for field in self.fields[:-1] if field != "split"]
        return "/".join(found[field] for field in fields) or None if found else None

    def _entry(self, kind: str, name: str, values: Mapping[str, str]) -> Entry:
        """A file, by its name below the root, with what else is read with it."""
        path = self.root / name
        beside = self.beside.get(kind, {})
        others = tuple((what, self.root / pattern.filled(values).text) for what, pattern in beside.items())
        return Source(path, beside=others) if others else path
