"""The items of a batch and their outcomes."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Literal, Self, get_args

from velum import __version__
from velum.errors import VelumError
from velum.media.formats import READ_ONLY, READ_ONLY_SUFFIXES, VIDEO_SUFFIXES
from velum.region import size_class
from velum.report import Report
from velum.storage.objects import ObjectInfo

Status = Literal["hidden", "nothing found", "refused", "failed"]
"""`refused`: the file itself is at fault, so a second try would end the same way. `failed`: any other cause."""

STATUSES: tuple[Status, ...] = get_args(Status)

VIDEO_BYTES_PER_SECOND = 1_000_000
"""Bytes of a second of video, for an estimate of its length before it is read: 8 Mbit/s, as 1080p mostly has."""

METADATA_BYTES = 1500
"""Most bytes of an outcome that a result carries; S3 takes 2 KB of metadata in all."""

PLAN, ETAG, OUTCOME = "velumplan", "velumetag", "velumoutcome"
"""Names of a result's metadata: digest of the plan, ETag of the source, the outcome as JSON. Azure takes no hyphens."""

_VIDEOS = VIDEO_SUFFIXES.keys() | {suffix for suffix, kind in READ_ONLY_SUFFIXES.items() if kind in READ_ONLY}


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One object to hide in, as it was listed."""

    key: str
    etag: str
    size: int
    fault: str = ""
    """Why the store cannot be asked for it; empty for almost all."""

    @classmethod
    def of(cls, object_info: ObjectInfo) -> Self:
        """Return the item of a listed object."""
        return cls(object_info.key, object_info.etag, object_info.size, object_info.fault)

    @property
    def info(self) -> ObjectInfo:
        """The object as the store knows it."""
        return ObjectInfo(self.key, self.size, self.etag)

    @property
    def video_seconds(self) -> float:
        """Estimated length of a video; 0 for an image."""
        is_video = PurePosixPath(self.key).suffix.lower() in _VIDEOS
        return self.size / VIDEO_BYTES_PER_SECOND if is_video else 0.0


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """The outcome of one item."""

    key: str
    etag: str
    size: int
    status: Status
    reason: str = ""
    """Why nothing was written; the warnings of a result."""
    error: str = ""
    """Code of the error, as `BadInput`; empty for a result."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Number of hidden objects by label."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Number of hidden objects by the shorter side of their largest box."""
    frames: int = 0
    result_size: int = 0
    input_sha256: str = ""
    output_sha256: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the weights by the name of the model."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage."""
    node: str = ""
    attempt: int = 1
    plan: str = ""
    version: str = __version__
    arithmetic: str = ""
    """Fingerprint of what the models gave on its node, shortened."""

    @classmethod
    def of(cls, item: SourceItem, report: Report, *, note: str, result_size: int, node: str, attempt: int) -> Self:
        """Return the outcome of an item that was hidden."""
        sides = [min(region.box.width, region.box.height) for region in report.hidden]
        sides += [track.largest_side for track in report.tracks if track.largest_side]
        warnings = [note, *report.warnings] if note else report.warnings
        return cls(
            item.key, item.etag, item.size, "hidden" if report.labels else "nothing found", "; ".join(warnings), "",
            report.labels, Counter(map(size_class, sides)), report.frames, result_size, report.input_sha256 or "",
            report.output_sha256 or "", hashes_of(report.models), report.seconds, node, attempt, report.plan,
            report.version or __version__,
        )  # fmt: skip

    @classmethod
    def of_error(
        cls, item: SourceItem, error: VelumError, *, refused: bool, node: str, attempt: int, plan: str
    ) -> Self:
        """Return the outcome of an item of which nothing was written."""
        status: Status = "refused" if refused else "failed"
        return cls(
            item.key, item.etag, item.size, status, str(error), error.code, node=node, attempt=attempt, plan=plan
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata for the result; an outcome that is too long for them is left out."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["seconds"] = {stage: round(spent, 3) for stage, spent in self.seconds.items()}
        for name in ("labels", "sizes", "models"):
            values[name] = dict(values[name])
        text = json.dumps({name: value for name, value in values.items() if name != "key"}, separators=(",", ":"))
        outcome = {OUTCOME: text} if len(text) <= METADATA_BYTES else {}
        return {PLAN: self.plan, ETAG: json.dumps(self.etag), **outcome}

    @classmethod
    def of_metadata(cls, item: SourceItem, plan: str, metadata: Mapping[str, str]) -> "ItemOutcome | None":
        """Return the outcome in a result's metadata; None where it has none, or is of another item or plan."""
        try:
            if metadata[PLAN] != plan or json.loads(metadata[ETAG]) != item.etag:
                return None
            outcome = cls(key=item.key, **json.loads(metadata[OUTCOME]))
        except (KeyError, TypeError, ValueError):
            return None
        return outcome if outcome.size == item.size else None

    def to_record(self) -> dict[str, Any]:
        """Return the part that evidence signs, as JSON values without fractions: all but the node and the times."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name in ("seconds", "node", "attempt", "arithmetic"):
            del values[name]
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def hashes_of(models: "tuple[Mapping[str, str], ...]") -> dict[str, str]:
    """Return the hash of the weights of each model of a report, by its name; empty for one on another machine."""
    return {model.get("model", "?"): model.get("weights", "") for model in models}


def arithmetic_of(models: "tuple[Mapping[str, str], ...]") -> str:
    """Return the runtimes of models, with version and precision, as the models of a report name them."""
    return ", ".join(sorted({f"{model.get('runtime', '?')} {model.get('precision', '?')}" for model in models}))
