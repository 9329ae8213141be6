"""Plans in requests: a JSON object, or the name of one of the operator's plans."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from velum.annotations import Annotations
from velum.engine.engine import Engine
from velum.errors import BadPlan, Unavailable, VelumError
from velum.people import People
from velum.plan import Plan
from velum.spec import PartSpec

LOG = logging.getLogger("velum.service")

REMOTE = frozenset({"bmw", "kserve"})
"""Localizers that connect to a URL: only the operator's plans may use them."""

CLOSED = frozenset({"file", "folder", "path", "regex", "url"})
"""Options that only the operator's plans may set: paths, URLs, and patterns that can take for ever to match."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_PLACE = re.compile(r"://|^[/\\~]|\.\.[/\\]")


@dataclass(frozen=True, slots=True, eq=False)
class Plans:
    """Reads plans of requests and of the operator, whose TOML or JSON files lie in `folder` and name their plans."""

    folder: Path | None
    engine: Engine
    closed_localizers: frozenset[str] = REMOTE
    """Localizers that plans of requests may not name."""
    people: bool = False
    """Whether plans may recognise people, and faces of jobs may be grouped by person.

    Plans in requests name no photos, which are files of a machine: requests send them as uploads.
    """

    def plan_of_request(self, value: Any) -> Plan:
        """Return the plan of a request: a JSON object, its text, or a name; None is the default plan.

        Raises `BadPlan` for a plan that cannot be read, does not exist, or names a path or URL, and `LimitExceeded` for
        too many rules.
        """
        if value is None:
            return Plan()
        if isinstance(value, str) and not value.lstrip().startswith("{"):
            return self.operator_plan(value.strip())
        try:
            values = json.loads(value) if isinstance(value, str) else value
            for name in ("rules", "keep_out"):  # before each is read
                if isinstance(values, dict) and isinstance(listed := values.get(name), list):
                    self.engine.limits.check("rules", len(listed), "the plan")
            plan = Plan.from_json(values)
        except (ValueError, RecursionError) as error:
            if isinstance(error, VelumError):
                raise
            raise BadPlan(f"the plan is not valid JSON: {error}; send a JSON object or the name of a plan") from error
        self._refuse_places(plan)
        self._require_allowed(plan, "the plan")
        return plan

    def operator_plan(self, name: str) -> Plan:
        """Return one of the operator's plans.

        Raises `BadPlan` when it does not exist or cannot be read, `Unavailable` when its photos of people cannot.
        """
        files = self._files()
        if name not in files:
            raise BadPlan(f"plan {name[:100]!r} is unknown; known are {', '.join(files) or 'none'}")
        plan = _read(files[name])
        self._require_allowed(plan, f"plan {name}")
        if plan.people is not None:
            self._check_photos(name, plan)
        return plan

    def all(self) -> Iterator[tuple[str, Plan]]:
        """Yield the operator's plans by name; one that cannot be read is logged and left out."""
        for name, file in self._files().items():
            try:
                yield name, _read(file)
            except BadPlan as error:
                LOG.warning("a plan cannot be used", extra={"facts": {"cause": str(error)}})

    def check(self, plan: Plan, regions: Annotations | None = None) -> None:
        """Raise `BadPlan` for unknown names, options and labels, and for options that callers may not set in regions.

        Weights that are missing on this machine are not an error: the worker may have them.
        """
        try:
            for use, _, _ in () if regions is None else regions.techniques:
                _refuse_options(use)
            if plan.people is not None and plan.people.stored_keys:
                plan = replace(plan, people=None)  # these photos were checked when they came
            self.engine.check(plan, regions=regions)
        except Unavailable as error:
            LOG.info("a plan was not checked", extra={"facts": {"cause": str(error)}})

    def with_people(self, plan: Plan, people: People) -> Plan:
        """Return a plan of a request with people, whose photos it has sent, and the hashes of these.

        Raises `BadPlan` where the operator does not allow it, and where the plan has people already.
        """
        if plan.people is not None:
            raise BadPlan("the plan has people already; leave keep_person and only_person out, or take another plan")
        self._require_allowed(replace(plan, people=people), "the request")
        return replace(plan, people=people.with_hashes())

    def _require_allowed(self, plan: Plan, name: str) -> None:
        """Raise `BadPlan` for a plan that compares faces where the operator does not allow it."""
        if (plan.people is not None or plan.verify == "identity") and not self.people:
            raise BadPlan(
                f"{name} recognises people by their faces, which is off in this service; its operator may allow "
                "it with the setting service.people: these are biometric data (GDPR article 9)"
            )

    def _check_photos(self, name: str, plan: Plan) -> None:
        """Raise `Unavailable` when photos of people cannot be used; only the log names their paths."""
        try:
            self.engine.check(plan)
        except Unavailable:
            raise
        except VelumError as error:
            LOG.warning("a plan cannot be used", extra={"facts": {"plan": name, "cause": str(error)}})
            raise Unavailable(
                f"the photos of people in plan {name} of the operator cannot be used; the log of the service says why"
            ) from error

    def _refuse_places(self, plan: Plan) -> None:
        """Raise `BadPlan` for localizers, options and people that only the operator's plans may use."""
        if plan.people is not None:
            raise BadPlan(
                "a plan in a request names no photos, which lie on the server; upload photos and send them as "
                "keep_person or only_person, or send the name of a plan of the operator"
            )
        for use in (*(rule.locate for rule in plan.rules), *plan.keep_out):
            if use.name in self.closed_localizers:
                raise BadPlan(
                    f"{use.name} connects to a URL, which only plans of the operator may; send the name of one of those"
                )
            _refuse_options(use)
        for rule in plan.rules:
            _refuse_options(rule.hide)

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


def _refuse_options(use: PartSpec) -> None:
    for key, value in use.options.items():
        if key in CLOSED or any(isinstance(text, str) and _PLACE.search(text) for text in _flat(value)):
            raise BadPlan(f"option {key} of {use.name} may be set only in plans of the operator; omit it")


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def summary(name: str, plan: Plan) -> Mapping[str, Any]:
    """Return the public summary of an operator's plan, without URLs and options."""
    return {
        "name": name,
        "digest": plan.digest,
        "rules": [{"label": rule.label, "locate": rule.locate.name, "hide": rule.hide.name} for rule in plan.rules],
        "metadata": sorted(set(plan.metadata)),
    }
