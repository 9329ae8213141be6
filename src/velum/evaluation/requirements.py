"""Profiles: requirements of a standard or a company, and whether an evaluation meets them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from velum.errors import BadInput, BadPlan
from velum.evaluation.metrics import Observations, Rate, precision
from velum.locate.labels import canonical, covers
from velum.spec import finite, refuse_unknown


@dataclass(frozen=True, slots=True)
class Requirement:
    """Requirement for one label. Rates are shares from 0 to 1; `false_rate` None: not required."""

    label: str
    min_height: int
    detection_rate: float
    covered: float
    false_rate: float | None = None


@dataclass(frozen=True, slots=True)
class RequirementSet:
    """A named set of requirements. `official`: the standards body itself states them so."""

    name: str
    title: str
    official: bool
    note: str
    demands: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """Measured rates of one requirement."""

    demand: Requirement
    detected: Rate
    false: Rate

    @property
    def is_met(self) -> bool:
        """Whether the rates meet the requirement; False when nothing was measured."""
        share, false = self.detected.share, self.false.share
        return (
            share is not None
            and share >= self.demand.detection_rate
            and (self.demand.false_rate is None or (false is not None and false <= self.demand.false_rate))
        )

    @property
    def is_sure(self) -> bool:
        """Whether the whole 95 % interval of each rate meets it, so that the sample is large enough."""
        false = self.demand.false_rate
        return (
            self.is_met
            and self.detected.interval[0] >= self.demand.detection_rate
            and (false is None or self.false.interval[1] <= false)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        demanded = {name: getattr(self.demand, name) for name in Requirement.__slots__}
        measured = {"detected": self.detected.to_json(), "false": self.false.to_json()}
        return demanded | measured | {"passed": self.is_met, "sure": self.is_sure}


@dataclass(frozen=True, slots=True)
class Compliance:
    """A profile and the result of each requirement. `not_asked`: its labels without a rule in the plan."""

    profile: RequirementSet
    results: tuple[RequirementResult, ...]
    not_asked: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        """Whether all requirements are met; a label without a rule is not."""
        return not self.not_asked and all(item.is_met for item in self.results)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "name": self.profile.name, "title": self.profile.title, "official": self.profile.official,
            "note": self.profile.note, "passed": self.is_met, "demands": [item.to_json() for item in self.results],
            "not_asked": list(self.not_asked),
        }  # fmt: skip


def load_profile(name: str) -> RequirementSet:
    """Return the built-in profile of that name, or the only one of a TOML file at that path.

    Raises `BadInput` for a wrong file, `BadPlan` for an unknown name or a number out of range.
    """
    text = (files("velum.evaluation") / "profiles.toml").read_text(encoding="utf-8")
    profiles = tomllib.loads(text)
    if name in profiles:
        return _read_profile(name, profiles[name])
    path = Path(name)
    if path.suffix.lower() != ".toml":
        raise BadPlan(
            f"profile {name!r} is unknown; there are {', '.join(profiles)}, or give a TOML file with your own"
        )
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as TOML: {getattr(error, 'strerror', None) or error}") from error
    if len(own) != 1:
        raise BadInput(f"{path} has {len(own)} profiles; give a file with one table: [name]")
    ((key, value),) = own.items()
    return _read_profile(key, value)


def judge_requirements(observations: Observations, demanded: RequirementSet, labels: tuple[str, ...]) -> Compliance:
    """Return whether the observations meet the profile; `labels` are those of the plan's rules."""
    results, missing = [], []
    right = precision(observations)
    for demand in demanded.demands:
        if not any(covers(label, demand.label) for label in labels):
            missing.append(demand.label)
            continue
        large = [
            item
            for item in observations.outcomes
            if covers(demand.label, item.label) and item.height >= demand.min_height
        ]
        detected = Rate(sum(item.covered >= demand.covered for item in large), len(large))
        finds = [rate for label, rate in right.items() if covers(demand.label, label)]
        total = sum(rate.total for rate in finds)
        results.append(RequirementResult(demand, detected, Rate(total - sum(rate.hits for rate in finds), total)))
    return Compliance(demanded, tuple(results), tuple(missing))


def _read_profile(name: str, value: Any) -> RequirementSet:
    if not isinstance(value, Mapping):
        raise BadPlan(f"profile {name} is {value!r:.80}; it must be a table")
    head = {"title": name, "official": False, "note": ""} | {
        key: item for key, item in value.items() if not isinstance(item, Mapping)
    }
    refuse_unknown(head, {"title", "official", "note"}, f"profile {name}")
    demands = tuple(_read_demand(label, item, name) for label, item in value.items() if isinstance(item, Mapping))
    if not demands:
        raise BadPlan(f"profile {name} has no requirement; write a table such as [{name}.face]")
    return RequirementSet(name, str(head["title"]), head["official"] is True, str(head["note"]), demands)


def _read_demand(label: str, value: Mapping[str, Any], name: str) -> Requirement:
    subject = f"profile {name}, {label}"
    refuse_unknown(value, {"min_height", "detection_rate", "covered", "false_rate"}, subject)
    if missing := sorted({"min_height", "detection_rate", "covered"} - value.keys()):
        raise BadPlan(f"{subject} lacks {', '.join(missing)}")
    for key in ("detection_rate", "covered", "false_rate"):
        if key in value and (not finite(value[key]) or not 0 <= value[key] <= 1):
            raise BadPlan(f"{subject}: {key} is {value[key]!r}; it must be a number from 0 to 1")
    if not isinstance(value["min_height"], int) or value["min_height"] < 0:
        raise BadPlan(f"{subject}: min_height is {value['min_height']!r}; it must be a whole number of pixels")
    return Requirement(
        canonical(label), value["min_height"], value["detection_rate"], value["covered"], value.get("false_rate")
    )
