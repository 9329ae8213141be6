"""Serves requests of the BMW API: hides in an image or video what the configuration names, or says why it cannot."""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from velum.bmw import wire
from velum.bmw.available_methods import ApiDirectory
from velum.bmw.localizer import NoAnswer
from velum.bmw.plan import ParsedRequest, Refusal, order
from velum.bmw.schema import RequestRefused, read_configuration
from velum.engine.engine import Engine
from velum.errors import BadPlan, LimitExceeded, OutputFailed, VelumError, names_for_places
from velum.limits import Limits
from velum.media.image.rgb8 import PlainFormat
from velum.plan import Plan
from velum.report import Report
from velum.service.admission import Admission, Overloaded, stop_if_gone
from velum.spec import PartSpec
from velum.storage.scratch import ScratchDirs

LONGEST_STEM = 60
"""Most characters of an upload's name in the name of the finished video; file systems allow 255 bytes."""

SAME_NAMES = 1000
"""Most videos that may get the same name within one second."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Anonymizer:
    """Serves requests with one engine. Safe to share between threads.

    The `note` arguments receive the causes of failures for the log; clients of this API never see them.
    """

    engine: Engine
    directory: ApiDirectory
    admission: Admission
    limits: Limits
    scratch: ScratchDirs
    videos: Path
    video_slots: threading.BoundedSemaphore
    strict: bool = False

    def anonymize_image(
        self,
        image: bytes,
        configuration: bytes,
        kind: PlainFormat,
        disconnect: threading.Event,
        note: Callable[[str], None],
    ) -> tuple[bytes, Report] | Refusal:
        """Return the image with what the configuration names hidden, and the report; or why entries cannot be served.

        `kind` is the format of the result. Raises `BadInput` for an image that cannot be read, whatever the
        configuration is, `RequestRefused` for a configuration that cannot, `Overloaded` for a full queue, and
        `ClientGone` once `disconnect` is set.
        """
        try:
            request = self._parse(configuration)
        except (RequestRefused, LimitExceeded):
            self._check_image(image, disconnect)
            raise
        if isinstance(request, Refusal):
            self._check_image(image, disconnect)
            return request

        def run(plan: Plan) -> tuple[bytes, Report]:
            with self._working(disconnect):
                return self.engine.hide_image_bytes(image, plan, format=kind)

        with self.admission.reserve(request.services):
            result = self._run_or_refuse(request, run, note)
            if isinstance(result, Refusal):
                self._check_image(image, disconnect)
            return result

    def anonymize_video(
        self,
        upload: BinaryIO,
        filename: str,
        configuration: bytes,
        disconnect: threading.Event,
        note: Callable[[str], None],
    ) -> tuple[Path, Report] | Refusal:
        """Hide in a video what the configuration names, and move the result to the folder of finished videos.

        Returns its path and the report, or why entries cannot be served. Raises as `anonymize_image` does.
        """
        request = self._parse(configuration, video=True)
        if isinstance(request, Refusal):
            return request
        if not self.video_slots.acquire(blocking=False):
            raise Overloaded("as many videos are being processed as allowed; try again later")
        try:
            with self.scratch.folder() as folder:
                _spool(upload, folder / "upload")
                target = folder / "done.mp4"

                def run(plan: Plan) -> Report:
                    return self._hide_video(folder / "upload", target, plan, disconnect, note)

                report = self._run_or_refuse(request, run, note)
                if isinstance(report, Refusal):
                    return report
                return _place_video(target, self.videos, filename), report
        finally:
            self.video_slots.release()

    def _hide_video(
        self, source: Path, target: Path, plan: Plan, disconnect: threading.Event, note: Callable[[str], None]
    ) -> Report:
        """Hide in a video; sound that cannot be copied into MP4 is dropped."""

        def hide(plan: Plan) -> Report:
            with names_for_places(source, "the video"):
                return self.engine.hide(
                    source, target, plan, progress=lambda *_: stop_if_gone(disconnect), overwrite=True
                )

        try:
            return hide(plan)
        except (BadPlan, OutputFailed) as error:
            note(f"{error}; trying again without its sound")
            return hide(replace(plan, video=replace(plan.video, audio="drop")))

    def _parse(self, configuration: bytes, *, video: bool = False) -> ParsedRequest | Refusal:
        entries = read_configuration(configuration, strict=self.strict)
        return order(entries, self.directory.current, strict=self.strict, video=video)

    def _run_or_refuse(
        self, request: ParsedRequest, run: Callable[[Plan], T], note: Callable[[str], None]
    ) -> T | Refusal:
        """Return the result of `run` on the plan, or a refusal of each entry whose localizer gave no usable answer.

        After one failure the other localizers are still asked, only so that the refusal names all that fail.
        """
        failed = self._unusable(request.plan, note)
        result: T | None = None
        while rules := tuple(rule for rule in request.plan.rules if rule.locate not in failed):
            try:
                result = run(replace(request.plan, rules=rules))
                break
            except NoAnswer as error:
                note(str(error))
                failed.add(error.use)
        return request.refuse_localizers(frozenset(failed)) if failed or result is None else result

    def _unusable(self, plan: Plan, note: Callable[[str], None]) -> set[PartSpec]:
        """Return the localizers of a plan that cannot be loaded."""
        failed = set()
        for use in dict.fromkeys(rule.locate for rule in plan.rules):
            rules = tuple(rule for rule in plan.rules if rule.locate == use)
            try:
                self.engine.check(replace(plan, rules=rules))
            except LimitExceeded:
                raise
            except VelumError as error:
                note(str(error))
                failed.add(use)
        return failed

    def _check_image(self, image: bytes, disconnect: threading.Event) -> None:
        """Raise `BadInput` when the image cannot be read: a refused configuration must not hide that."""
        with self._working(disconnect):
            self.engine.read_plain(image)

    @contextmanager
    def _working(self, disconnect: threading.Event) -> Iterator[None]:
        with self.admission.working():
            stop_if_gone(disconnect)
            yield


def _spool(upload: BinaryIO, target: Path) -> None:
    try:
        with target.open("wb") as file:
            shutil.copyfileobj(upload, file, 1 << 20)
    except OSError as error:
        raise OutputFailed(f"the upload cannot be stored: {error.strerror or error}; make room on the disk") from error


def _place_video(done: Path, folder: Path, filename: str) -> Path:
    """Move a finished video into the folder under a free name, and return its path."""
    base = wire.video_name(_safe_stem(filename), datetime.now())  # noqa: DTZ005  # local time, as the original has it
    for i in range(1, SAME_NAMES + 1):
        target = folder / f"{base}{'' if i == 1 else f'_{i}'}.mp4"
        if _move_if_free(done, target):
            return target
    raise OutputFailed(f"cannot write {base}.mp4: {SAME_NAMES} videos have that name; send it again in a second")


def _move_if_free(done: Path, target: Path) -> bool:
    """Move the file to `target` unless that exists; tell whether it was moved."""
    try:
        try:
            os.link(done, target)  # unlike a rename, it fails when the name is taken
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                return False
            done.replace(target)
    except OSError as error:
        raise OutputFailed(f"cannot write {target}: {error.strerror or error}; make its folder writable") from error
    return True


def _safe_stem(filename: str) -> str:
    """Return an upload's name up to its first dot, with characters that are special in paths replaced."""
    name = re.split(r"[/\\]", filename)[-1].partition(".")[0]
    return re.sub(r"[^\w ()+,=@-]", "_", name)[:LONGEST_STEM].strip()
