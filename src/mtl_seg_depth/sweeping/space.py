"""What varies in a sweep, read by hydra-optuna-sweeper's own parser, and the combinations there are."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException, MissingConfigException
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution

from mtl_seg_depth.system.errors import UserError

Values = Mapping[str, Any]
"""The value of every parameter of one trial."""

ALONE = "alone"
"""The one parameter of a trial that trains a task by itself; its choices are in `Space.alone`."""

BALANCE = re.compile(r"model|task_weights(\..*)?")
"""What one task by itself has no choice of: the network of several, and how they are balanced."""


@dataclass(frozen=True)
class Space:
    """The parameters of a sweep, and what all its trials share.

    `linked` are parameters whose choices stand for several overrides: name -> choice -> overrides.
    """

    distributions: dict[str, BaseDistribution]
    linked: dict[str, dict[str, list[str]]]
    fixed: tuple[str, ...]
    """The overrides of the command line, as they were typed."""
    alone: Mapping[str, list[str]] = field(default_factory=dict)
    """The command lines of trainings of one task by itself, by what they are called."""

    @classmethod
    def parse(
        cls,
        params: Mapping[str, Any],
        linked: Mapping[str, Mapping[str, list[str]]],
        arguments: list[str],
        options: Callable[[str], list[str]],
    ) -> "Space":
        """Read the sweeper's `params` and `linked`, and the command line's overrides, which win.

        `options` lists the options of a config group, none for what is no group. Raises UserError for a value that
        cannot be swept, MissingConfigException for an option that there is not.
        """
        parser = OverridesParser.create()
        parsed = parser.parse_overrides([f"{key}={_text(value)}" for key, value in params.items()])
        # choice(a,b) is a,b; and choice(a), which `cli.arguments` makes of what only some rows have, is a.
        typed = parser.parse_overrides([re.sub(r"^([^=]*=)choice\((.*)\)$", r"\1\2", each) for each in arguments])
        fixed = [override for override in typed if not override.is_sweep_override()]
        pinned = {override.get_key_element() for override in fixed if not override.is_delete()}
        swept = {
            override.get_key_element(): override
            for override in [*parsed, *typed]
            if override.is_sweep_override() and override.get_key_element() not in pinned
        }
        constant = [o for o in parsed if not o.is_sweep_override() and o.get_key_element() not in pinned | swept.keys()]
        distributions = {name: _distribution(override, options) for name, override in swept.items()}
        for name, choices in linked.items():
            if name in distributions:
                raise UserError(f"hydra.sweeper.linked.{name}: a parameter of that name varies already")
            distributions[name] = CategoricalDistribution(tuple(choices))
            for override in parser.parse_overrides([each for overrides in choices.values() for each in overrides]):
                _check_options(override, [override.value()], options)
        return cls(
            distributions,
            {name: {choice: list(each) for choice, each in choices.items()} for name, choices in linked.items()},
            tuple(str(override.input_line) for override in [*constant, *fixed]),
        )

    def grid(self) -> list[dict[str, Any]]:
        """Every combination, the last parameter varying fastest. UserError for a parameter that is continuous."""
        choices = []
        for name, distribution in self.distributions.items():
            try:
                choices.append(list(OptunaSweeperImpl._to_grid_sampler_choices(distribution)))
            except ValueError:
                raise UserError(
                    f"{name} varies continuously, which no grid can; name its values (a,b,c), "
                    "or search: hydra/sweeper/sampler=tpe"
                ) from None
        return [dict(zip(self.distributions, values, strict=True)) for values in itertools.product(*choices)]

    def examples(self) -> Iterator[dict[str, Any]]:
        """Every combination of options; of the keys, whose values add no other keys, the first one."""
        choices = [
            choices if "." not in name else choices[:1]
            for name, each in self.distributions.items()
            for choices in [each.choices if isinstance(each, CategoricalDistribution) else (vars(each)["low"],)]
        ]
        return (dict(zip(self.distributions, values, strict=True)) for values in itertools.product(*choices))

    def varies(self, key: str) -> bool:
        """Whether trials differ in a group or in a key of it."""
        linked = (override for choices in self.linked.values() for each in choices.values() for override in each)
        names = [*self.distributions, *(override.partition("=")[0].lstrip("+~") for override in linked)]
        return any(name == key or name.startswith(f"{key}.") for name in names)

    def overrides(self, values: Values) -> list[str]:
        """The command line of one trial."""
        if ALONE in values:
            return list(self.alone[values[ALONE]])
        varied = []
        for name, value in values.items():
            varied += self.linked[name][value] if name in self.linked else [f"{name}={_text(value)}"]
        return [*self.fixed, *varied]

    def overrides_alone(self, values: Values, task: str) -> list[str]:
        """The command line of one task's training by itself, all else as in a combination."""
        names = ((override, override.partition("=")[0].lstrip("+~")) for override in self.overrides(values))
        kept = [override for override, name in names if not BALANCE.fullmatch(name)]
        return [*kept, "model=single", f"model.task={task}", "task_weights=equal"]


def _distribution(override: Override, options: Callable[[str], list[str]]) -> BaseDistribution:
    value = override.value()
    try:
        if isinstance(value, Glob):
            return CategoricalDistribution(tuple(value.filter(options(override.key_or_group))))
        distribution = create_optuna_distribution_from_override(override)
    except (NotImplementedError, ValueError, AssertionError, HydraException) as error:
        raise UserError(f"{override.input_line}: {error}") from error
    assert isinstance(distribution, BaseDistribution)
    if isinstance(distribution, CategoricalDistribution):
        _check_options(override, distribution.choices, options)
    return distribution


def _check_options(override: Override, chosen: Iterable[Any], options: Callable[[str], list[str]]) -> None:
    """Raise what Hydra does, for an option that a group has not: it concerns the command, not one combination."""
    group = override.key_or_group
    for option in (str(each).strip("'\"") for each in chosen if options(group) and each is not None):
        folder, _, name = f"{group}/{option}".rpartition("/")
        if name not in [*options(folder), "null"]:
            raise MissingConfigException("there is no such option", f"{group}/{option}", options(group))


def _text(value: Any) -> str:
    """A value as Hydra's override syntax has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
    return str(value)
