"""Plans in requests: written out, or by the name of one that the operator keeps."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velum.annotations import Annotations
from velum.bmw import request_localizer
from velum.engine.engine import Engine
from velum.errors import BadPlan, Unavailable, VelumError
from velum.plan import Plan
from velum.spec import PartSpec

LOG = logging.getLogger("velum.service")

REMOTE = frozenset({"bmw", "kserve", request_localizer.NAME})
"""Localizers that ask an address: only plans of the operator may."""

CLOSED = frozenset({"file", "folder", "path", "regex", "url"})
"""Options that only plans of the operator may give: places, and patterns that can take for ever to match."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_PLACE = re.compile(r"://|^[/\\~]|\.\.[/\\]")


@dataclass(frozen=True, slots=True, eq=False)
class Plans:
    """The plans that requests may give. `folder` holds those of the operator: TOML or JSON, named by their files."""

    folder: Path | None
    engine: Engine

    def of(self, value: Any) -> Plan:
        """Return the plan that a request gives: a JSON object, its text, or a name; None is the default plan.

        Raises `BadPlan` for one that cannot be read, that does not exist, or that names a place, and `LimitExceeded`
        for one with more rules than are accepted.
        """
        if value is None:
            return Plan()
        if isinstance(value, str) and not value.lstrip().startswith("{"):
            return self.named(value.strip())
        try:
            values = json.loads(value) if isinstance(value, str) else value
            for name in ("rules", "keep_out"):  # before each is read
                if isinstance(values, dict) and isinstance(listed := values.get(name), list):
                    self.engine.limits.check("rules", len(listed), "the plan")
            plan = Plan.from_json(values)
        except (ValueError, RecursionError) as error:
            if isinstance(error, VelumError):
                raise
            raise BadPlan(f"the plan is not valid JSON: {error}") from error
        _refuse_places(plan)
        return plan

    def named(self, name: str) -> Plan:
        """Return a plan of the operator. Raises `BadPlan` when there is none of that name, or it cannot be read."""
        files = self._files()
        if name not in files:
            raise BadPlan(f"plan {name[:100]!r} is unknown; known are {', '.join(files) or 'none'}")
        return _read(files[name])

    def all(self) -> Iterator[tuple[str, Plan]]:
        """Yield the plans of the operator by name; one that cannot be read is left out, and logged."""
        for name, file in self._files().items():
            try:
                yield name, _read(file)
            except BadPlan as error:
                LOG.warning("a plan cannot be used", extra={"facts": {"cause": str(error)}})

    def check(self, plan: Plan, regions: Annotations | None = None) -> None:
        """Raise `BadPlan` for names, options and labels that do not exist, or that callers may not give in regions.

        That weights are missing here is no mistake of the plan: whoever does the job may have them.
        """
        try:
            for use, _, _ in () if regions is None else regions.techniques:
                _refuse_options(use)
            self.engine.check(plan, regions=regions)
        except Unavailable as error:
            LOG.info("a plan was not checked", extra={"facts": {"cause": str(error)}})

    def _files(self) -> dict[str, Path]:
        if self.folder is None:
            return {}
        try:
            files = sorted(self.folder.iterdir())
        except OSError as error:
            raise Unavailable(f"the plans in {self.folder} cannot be read: {error.strerror or error}") from error
        return {file.stem: file for file in files if file.suffix in {".json", ".toml"} and _NAME.fullmatch(file.stem)}


def _read(file: Path) -> Plan:
    try:
        text = file.read_text(encoding="utf-8")
        return Plan.from_toml(text) if file.suffix == ".toml" else Plan.from_json(json.loads(text))
    except (OSError, ValueError, RecursionError) as error:
        raise BadPlan(f"plan {file.stem!r} of the operator cannot be used: {error}") from error


def _refuse_places(plan: Plan) -> None:
    """Raise `BadPlan` for what leads out of what the operator offers."""
    for use in (*(rule.locate for rule in plan.rules), *plan.keep_out):
        if use.name in REMOTE:
            raise BadPlan(f"{use.name} asks an address, which only plans of the operator may; name one of those")
        _refuse_options(use)
    for rule in plan.rules:
        _refuse_options(rule.hide)


def _refuse_options(use: PartSpec) -> None:
    for key, value in use.options.items():
        if key in CLOSED or any(isinstance(text, str) and _PLACE.search(text) for text in _flat(value)):
            raise BadPlan(f"option {key} of {use.name} may be given only in plans of the operator; leave it out")


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def summary(name: str, plan: Plan) -> Mapping[str, Any]:
    """Return what clients may know of a plan of the operator: no addresses and no options."""
    return {
        "name": name,
        "digest": plan.digest,
        "rules": [{"label": rule.label, "locate": rule.locate.name, "hide": rule.hide.name} for rule in plan.rules],
        "metadata": sorted(set(plan.metadata)),
    }
