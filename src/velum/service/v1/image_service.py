"""Hides and locates in single images: in memory, and within the admission of the service."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from velum.annotations import Annotations
from velum.engine.engine import Engine
from velum.errors import BadInput, OutputFailed, names_for_places
from velum.media import BytesSource
from velum.media.formats import SUFFIXES, VIDEO_HEAD_BYTES, format_of, video_format_of
from velum.plan import Plan
from velum.region import Region
from velum.report import Report
from velum.service.admission import OWN_MODELS, Admission, stop_if_gone
from velum.storage.scratch import ScratchDirs

NAME = "the image"
"""Name of the image in messages, in place of its file name, which may be personal."""

KINDS = {
    "AVIF": "image/avif", "BMP": "image/bmp", "GIF": "image/gif", "HEIF": "image/heif", "JPEG": "image/jpeg",
    "JPEG2000": "image/jp2", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp",
}  # fmt: skip
"""Format -> media type."""

MOST_LETTERS = 2000
"""Most characters of all warnings in a header: servers and clients refuse long headers."""

_CODESTREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True, eq=False)
class HiddenImage:
    """A processed image in the format of its source, with its report."""

    data: bytes
    report: Report

    @property
    def kind(self) -> str:
        """Media type of the image."""
        return KINDS[self.report.format]


@dataclass(frozen=True, slots=True, eq=False)
class ImageService:
    """Processes images with one engine. Safe to share between threads.

    Sources stay in memory; a result lies in a scratch folder for a moment.
    """

    engine: Engine
    admission: Admission
    scratch: ScratchDirs

    def hide(self, data: bytes, plan: Plan, gone: threading.Event) -> HiddenImage:
        """Hide in an image what the plan names; `gone` is set when the client disconnects.

        Raises `Overloaded` and `ClientGone`, and as `Engine.hide` does.
        """
        suffix = suffix_of(data)
        with self._working(gone), self.scratch.folder() as folder:
            target = folder / f"hidden{suffix}"
            report = self.engine.hide(BytesSource(NAME, data), target, plan)
            try:
                hidden = target.read_bytes()
            except OSError as error:
                raise OutputFailed(f"cannot read back {target}: {error.strerror or error}") from error
        return HiddenImage(hidden, replace(report, source=None, target=None))

    def locate(self, data: bytes, plan: Plan, gone: threading.Event) -> Annotations:
        """Return the regions that the plan's rules would hide. Raises as `hide` does."""
        suffix_of(data)
        with self._working(gone):
            return self.engine.locate(BytesSource(NAME, data), plan)

    def follow(self, fetch: Callable[[Path], Path], name: str, frame: int, region: Region) -> Annotations:
        """Track the object in `region` of one frame of a video through the frames around it.

        `fetch` returns the path of the video: its own, or that of a copy in the given folder. Raises as `Engine.follow`
        does, with `name` in place of the path, and `Overloaded`.
        """
        with self._working(threading.Event()), self.scratch.folder() as folder:
            source = fetch(folder)
            with names_for_places(source, name):
                return self.engine.follow(source, frame, region)

    @contextmanager
    def _working(self, gone: threading.Event) -> Iterator[None]:
        with self.admission.reserve(frozenset({OWN_MODELS})), self.admission.working():
            stop_if_gone(gone)
            yield


def suffix_of(data: bytes) -> str:
    """Return the file suffix of an image's format. Raises `BadInput` for anything but an image."""
    if video_format_of(data[:VIDEO_HEAD_BYTES]):
        raise BadInput(f"{NAME} is a video; upload it to /v1/uploads and submit a job for it")
    if data.startswith(_CODESTREAM):
        return ".j2k"
    found = format_of(data, NAME)
    return next(suffix for suffix, kind in SUFFIXES.items() if kind == found and suffix not in {".j2c", ".j2k"})


def digest(report: Report) -> str:
    """Return the short form of a report for a header: JSON in ASCII, with as many warnings as fit."""
    room, warnings = MOST_LETTERS, []
    for warning in report.warnings:
        room -= len(json.dumps(warning))
        if room < 0:
            warnings.append("more in the report")
            break
        warnings.append(warning)
    values: dict[str, Any] = {
        "plan": report.plan, "hidden": len(report.hidden), "labels": report.labels, "format": report.format,
        "encoding": report.encoding, "input_sha256": report.input_sha256, "output_sha256": report.output_sha256,
        "warnings": warnings, "version": report.version,
    }  # fmt: skip
    return json.dumps(values, separators=(",", ":"))
