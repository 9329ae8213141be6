"""The evidence: one JSON document for a file or a batch, and its signature."""

import base64
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from velum import __version__
from velum.engine.prepare import PartCache, prepare
from velum.errors import BadInput, BadPlan
from velum.evidence.jcs import canonical
from velum.evidence.signing import ALGORITHM, PrivateKey
from velum.limits import Limits
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.report import Report
from velum.spec import PartSpec

FORMAT = "velum-evidence/1"

_PACKAGES = {
    "av": "av", "numpy": "numpy", "opencv": "opencv-python-headless", "openvino": "openvino", "pillow": "pillow",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Declared:
    """Declarations that velum cannot verify; whoever creates the evidence answers for them.

    `originals_destroyed`: no copy of the sources is left. `identity_links`: a link back to people is kept, such as a
    table of who is in which file.
    """

    reviewers: tuple[str, ...] = ()
    originals_destroyed: bool = False
    identity_links: bool = False


def plan_of(report: Report) -> Plan | None:
    """Return the plan of a report when it differs from the default in its rules only; else None."""
    try:
        plan = Plan(tuple(map(Rule.parse, report.rules)))
    except BadPlan:
        return None
    return plan if plan.digest == report.plan else None


def compose(
    entries: Sequence[Mapping[str, Any]], plan: Plan, models: Sequence[Mapping[str, str]], declared: Declared,
    *, batch: bool = False, failed: int = 0, host: RuntimeConfig | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return unsigned evidence of the files in `entries`, all hidden by `plan`.

    Raises `BadPlan` or `Unavailable` when a technique is not installed: whether it destroys is then unknown.
    """
    parts = PartCache(host or RuntimeConfig())
    prepare(plan, parts, Limits(), locate=False)
    # People may have chosen other techniques for single regions.
    brought = (text for entry in entries for text in entry.get("techniques", ()))
    used = dict.fromkeys((*(str(rule.hide) for rule in plan.rules), *brought))
    weak = [text for text in used if not parts.technique(PartSpec.parse(text)).destroys]
    reasons = _reasons(entries, weak, declared)
    return {
        "format": FORMAT,
        "kind": "batch" if batch else "file",
        "made": datetime.fromtimestamp(int(time.time()), UTC).isoformat().replace("+00:00", "Z"),
        "standing": "pseudonymised" if reasons else "anonymised",
        "because": reasons,
        "declared": {
            "originals_destroyed": declared.originals_destroyed, "identity_links": declared.identity_links,
        },
        "reviewers": list(declared.reviewers),
        "plan": {"digest": plan.digest, "whole": plan.to_json(), "rules": [str(rule) for rule in plan.rules]},
        "models": [dict(model) for model in models],
        "thresholds": [_threshold(rule, models) for rule in plan.rules],
        "software": software(),
        "failed": failed,
        "files": [dict(entry) for entry in entries],
        "signature": None,
    }  # fmt: skip


def sign(document: Mapping[str, Any], key: PrivateKey) -> dict[str, Any]:
    """Return the document with its signature.

    The canonical form of the document is signed, including `signature` with algorithm and key but without the value: so
    these cannot be changed either.
    """
    named = {"algorithm": ALGORITHM, "public_key": key.public.text, "key_id": key.public.id}
    value = key.sign(canonical({**document, "signature": named}))
    return {**document, "signature": {**named, "signature": base64.b64encode(value).decode()}}


def software() -> dict[str, str]:
    """Return the versions of velum, Python and the libraries that detect, hide and encode."""
    found = {"velum": __version__, "python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def same_plan(report: Report, plan: Plan | None) -> Plan:
    """Return the whole plan of a report: `plan`, or the one that its rules make.

    Raises `BadInput` when `plan` is another plan, or is needed and not given.
    """
    plan = plan or plan_of(report)
    if plan is None:
        raise BadInput(
            "the report has only the digest of its plan, which has more than rules; add the plan with --plan"
        )
    if plan.digest != report.plan:
        raise BadInput(
            f"the report is of plan {report.plan[:12]}, not of the given plan {plan.digest[:12]}; give the former"
        )
    return plan


def _reasons(entries: Sequence[Mapping[str, Any]], weak: Sequence[str], declared: Declared) -> list[str]:
    """Return every reason why people may still be identified."""
    reasons = [] if declared.originals_destroyed else ["originals are kept, or were not declared destroyed"]
    if declared.identity_links:
        reasons.append("links to identities are kept")
    reasons += [f"{use} does not destroy what it hides" for use in weak]
    if any(entry["check"] and entry["check"]["passed"] is False for entry in entries):
        reasons.append("the check of a result did not pass")
    return reasons


def _threshold(rule: Rule, models: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    names = {rule.locate.name, rule.locate.options.get("name")}
    own = sorted({model["threshold"] for model in models if model.get("model") in names and "threshold" in model})
    return {"label": rule.label, "locate": str(rule.locate), "min_score": rule.min_score, "model": own}
