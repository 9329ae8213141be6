"""The evidence: one JSON document for a file or a batch, and its signature."""

import base64
import hashlib
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from velum import __version__
from velum.engine.part_cache import PartCache
from velum.engine.prepare import prepare
from velum.errors import BadInput, BadPlan
from velum.evidence.jcs import canonical, parse
from velum.evidence.signing import ALGORITHM, PrivateKey
from velum.limits import Limits
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.region import SIZE_CLASSES, size_class
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
    from_entries = (text for entry in entries for text in entry.get("techniques", ()))
    used = dict.fromkeys((*(str(rule.hide) for rule in plan.rules), *from_entries))
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

    The signature covers the canonical form of the document, with the algorithm and the key in `signature` but without
    its value, so nobody can change these either.
    """
    named = {"algorithm": ALGORITHM, "public_key": key.public.text, "key_id": key.public.id}
    value = key.sign(canonical({**document, "signature": named}))
    return {**document, "signature": {**named, "signature": base64.b64encode(value).decode()}}


def software() -> dict[str, str]:
    """Return the versions of velum, Python and the libraries that detect, hide and encode."""
    versions = {"velum": __version__, "python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            versions[name] = version(package)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


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
        raise BadInput(f"the report belongs to plan {report.plan[:12]}, not to {plan.digest[:12]}; give its plan")
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


UNSIZED = "in video"
"""Size class of a track in reports of older versions, which do not keep its size."""

MOST_BYTES = 16 << 20
"""Largest JSON file that is read, in bytes: a report, a result of a check, evidence."""


CommandResult = Mapping[str, Any]
"""The JSON result of another command about a file, with its SHA-256, and whether it passed (None: it does not say)."""


def read_result(path: Path) -> CommandResult:
    """Read a JSON object whose `passed`, if any, is true or false. Raises `BadInput` for anything else."""
    result = read_json(path)
    if not isinstance(result, Mapping):
        raise BadInput(f"{path} is not a result; give the JSON object that the command printed with --json")
    passed = result.get("passed")
    if passed is not None and not isinstance(passed, bool):
        raise BadInput(f"in {path}, 'passed' is {passed!r}; it must be true or false")
    return _command_result(result)


def file_entry(
    report: Report, name: str, *, check: CommandResult | None = None, evaluation: CommandResult | None = None
) -> dict[str, Any]:
    """Return the evidence of file `name`, hidden as `report` says; `check` defaults to the one in the report.

    Raises `BadInput` when `check` is about another file, or `evaluation` about another plan.
    """
    if check is None and report.check is not None:
        check = _command_result(report.check)
    if check is not None and (checked := check["result"].get("sha256")) != report.output_sha256:
        raise BadInput(
            f"the check is of a file with SHA-256 {checked!r:.70}; that of {name} is {report.output_sha256}: "
            f"give the result of velum check for {name}"
        )
    evaluated = evaluation["result"].get("plan") if evaluation else None
    if isinstance(evaluated, Mapping) and evaluated.get("digest") != report.plan:
        raise BadInput(
            f"the evaluation is of plan {str(evaluated.get('digest'))[:12]}, {name} was hidden by "
            f"{report.plan[:12]}: give the result of velum evaluate for that plan"
        )
    return {
        "file": name,
        "format": report.format,
        "width": report.width,
        "height": report.height,
        "frames": report.frames,
        "input_sha256": report.input_sha256,
        "output_sha256": report.output_sha256,
        "encoding": report.encoding,
        "velum": report.version,
        "hidden": _region_counts(report),
        "found": dict(sorted(_origins(report).items())),
        "techniques": sorted(
            {*(region.technique for region in report.hidden), *(region.technique for region in report.tracks)}
        ),
        "warnings": list(report.warnings),
        "check": check,
        "standard": evaluation,
        **({} if report.transcript is None else {"transcript": dict(report.transcript)}),
    }


def earlier_entry(name: str, output_sha256: str) -> dict[str, Any]:
    """Return the evidence of a file that an earlier run finished and whose report is not available."""
    return {"file": name, "output_sha256": output_sha256, "earlier": True, "check": None}


def read_json(path: Path) -> Any:
    """Return the JSON value of a file. Raises `BadInput` when it cannot be read or is larger than `MOST_BYTES`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MOST_BYTES:
        raise BadInput(f"{path} is larger than the {MOST_BYTES >> 20} MiB allowed for such a file")
    try:
        return parse(text)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _command_result(result: Mapping[str, Any]) -> CommandResult:
    passed = result.get("passed")
    return {
        "passed": passed if isinstance(passed, bool) else None,
        "sha256": hashlib.sha256(canonical(result)).hexdigest(),
        "result": dict(result),
    }


def _region_counts(report: Report) -> list[dict[str, Any]]:
    regions = Counter((item.label, size_class(min(item.box.width, item.box.height))) for item in report.hidden)
    tracks = Counter(
        (item.label, UNSIZED if item.largest_side is None else size_class(item.largest_side)) for item in report.tracks
    )
    order = [*SIZE_CLASSES, UNSIZED]
    counts = sorted((regions + tracks).items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    return [{"label": label, "size": size, "count": count} for (label, size), count in counts]


def _origins(report: Report) -> Counter[str]:
    """Return how regions were found, by origin: regions of an image, or frames of the tracks of a video."""
    counts: Counter[str] = Counter(region.found for region in report.hidden)
    for track in report.tracks:
        counts.update(track.found)
    return counts
