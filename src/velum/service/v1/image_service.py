"""Where pictures are worked on at once: read and hidden in memory, and taking turns at the processor."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from velum.annotations import Annotations
from velum.bmw import builtin_models
from velum.bmw.anonymizer import ClientGone
from velum.engine.engine import Engine
from velum.errors import BadInput, OutputFailed, names_for_places
from velum.media import BytesSource
from velum.media.formats import SUFFIXES, VIDEO_HEAD_BYTES, format_of, video_format_of
from velum.plan import Plan
from velum.region import Region
from velum.report import Report
from velum.service.admission import Admission
from velum.storage.scratch import ScratchDirs

NAME = "the picture"
"""What messages call it: the name that its owner gave it is nobody's concern."""

KINDS = {
    "AVIF": "image/avif", "BMP": "image/bmp", "GIF": "image/gif", "HEIF": "image/heif", "JPEG": "image/jpeg",
    "JPEG2000": "image/jp2", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp",
}  # fmt: skip
"""Media type of a format."""

MOST_LETTERS = 2000
"""Of all warnings in a header together: servers and clients refuse long ones."""

_CODESTREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True, eq=False)
class HiddenImage:
    """A picture in which everything is hidden that was asked for, in the format that it came in."""

    data: bytes
    report: Report

    @property
    def kind(self) -> str:
        """Its media type."""
        return KINDS[self.report.format]


@dataclass(frozen=True, slots=True, eq=False)
class ImageService:
    """Works on pictures with one engine. Called from several threads at once.

    What comes in stays in memory; what goes out lies in a folder of `workshop` for a moment.
    """

    engine: Engine
    gate: Admission
    workshop: ScratchDirs

    def hide(self, data: bytes, plan: Plan, gone: threading.Event) -> HiddenImage:
        """Hide in a picture what the plan names. Raises as `Engine.hide` does, and `Overloaded`."""
        suffix = suffix_of(data)
        with self._working(gone), self.workshop.folder() as folder:
            target = folder / f"hidden{suffix}"
            report = self.engine.hide(BytesSource(NAME, data), target, plan)
            try:
                hidden = target.read_bytes()
            except OSError as error:
                raise OutputFailed(f"cannot read back {target}: {error.strerror or error}") from error
        return HiddenImage(hidden, replace(report, source=None, target=None))

    def locate(self, data: bytes, plan: Plan, gone: threading.Event) -> Annotations:
        """Return what the plan's rules would hide. Raises as `hide` does."""
        suffix_of(data)
        with self._working(gone):
            return self.engine.locate(BytesSource(NAME, data), plan)

    def follow(self, fetched: Callable[[Path], Path], name: str, frame: int, region: Region) -> Annotations:
        """Return where a thing in one frame of a video is; `fetched` gets its file into a folder, or says where it is.

        Raises as `Engine.follow` does, with `name` for the file, and `Overloaded`.
        """
        with self._working(threading.Event()), self.workshop.folder() as folder:
            source = fetched(folder)
            with names_for_places(source, name):
                return self.engine.follow(source, frame, region)

    @contextmanager
    def _working(self, gone: threading.Event) -> Iterator[None]:
        with self.gate.admitted(frozenset({builtin_models.URL})), self.gate.working():
            if gone.is_set():
                raise ClientGone("the client went away, or the service ends")
            yield


def suffix_of(data: bytes) -> str:
    """Return a suffix for the picture's format. Raises `BadInput` when it is no picture."""
    if video_format_of(data[:VIDEO_HEAD_BYTES]):
        raise BadInput(f"{NAME} is a video; upload it and hand in a job for it")
    if data.startswith(_CODESTREAM):
        return ".j2k"
    found = format_of(data, NAME)
    return next(suffix for suffix, kind in SUFFIXES.items() if kind == found and suffix not in {".j2c", ".j2k"})


def digest(report: Report) -> str:
    """Return what a header may say of a report: JSON in ASCII, with as many warnings as find room."""
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
