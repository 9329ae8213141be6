"""What a request asks for is done here: a picture or a video, hidden as its configuration says, or why not."""

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
from velum.bmw.plan import ParsedRequest, Refusal, order
from velum.bmw.request_localizer import NoAnswer
from velum.bmw.schema import RequestRefused, read_configuration
from velum.engine.engine import Engine
from velum.errors import BadPlan, LimitExceeded, OutputFailed, Unavailable, VelumError, names_for_places
from velum.limits import Limits
from velum.media.image.rgb8 import PlainFormat
from velum.plan import Plan
from velum.report import Report
from velum.service.admission import Admission, Overloaded
from velum.spec import PartSpec
from velum.storage.scratch import ScratchDirs

LONGEST_STEM = 60
"""Letters of an uploaded file's name that the name of the finished video keeps: no file system allows 256 bytes."""

SAME_NAMES = 1000
"""Videos that may get the same name in one second."""

T = TypeVar("T")


class ClientGone(Unavailable):
    """Nobody waits for the answer any more."""

    http_status = 499


@dataclass(frozen=True, slots=True)
class AnonymizedImage:
    """A picture with everything hidden that was asked for."""

    data: bytes
    report: Report


@dataclass(frozen=True, slots=True)
class AnonymizedVideo:
    """A finished video, where it was put."""

    path: Path
    report: Report


@dataclass(frozen=True, slots=True, eq=False)
class Anonymizer:
    """Serves requests with one engine. Called from several threads at once.

    `note` is told the causes of failures, which clients of this interface never learn.
    """

    engine: Engine
    directory: ApiDirectory
    gate: Admission
    limits: Limits
    workshop: ScratchDirs
    videos: Path
    video_slots: threading.BoundedSemaphore
    strict: bool = False

    def picture(
        self, image: bytes, configuration: bytes, kind: PlainFormat, gone: threading.Event, note: Callable[[str], None]
    ) -> AnonymizedImage | Refusal:
        """Return the picture with everything hidden that the configuration names, or what is wrong with that.

        Raises `BadInput` for a picture that cannot be read, whatever the configuration is, and `RequestRefused` for a
        configuration that cannot; `Overloaded` when too many wait for the same service.
        """
        try:
            asked = self._asked(configuration)
        except (RequestRefused, LimitExceeded):
            self._look(image, gone)
            raise
        if isinstance(asked, Refusal):
            self._look(image, gone)
            return asked

        def run(plan: Plan) -> AnonymizedImage:
            with self._working(gone):
                return AnonymizedImage(*self.engine.hide_image_bytes(image, plan, format=kind))

        with self.gate.admitted(asked.services):
            made = self._done(asked, run, note)
            if isinstance(made, Refusal):
                self._look(image, gone)
            return made

    def video(
        self, upload: BinaryIO, filename: str, configuration: bytes, gone: threading.Event, note: Callable[[str], None]
    ) -> AnonymizedVideo | Refusal:
        """Put the video, with everything hidden that the configuration names, into the folder of finished ones.

        Or return what is wrong with the configuration. Raises as `picture` does, and `Overloaded`.
        """
        asked = self._asked(configuration, video=True)
        if isinstance(asked, Refusal):
            return asked
        if not self.video_slots.acquire(blocking=False):
            raise Overloaded("as many videos are in work as may be; try again later")
        try:
            with self.workshop.folder() as folder:
                _spool(upload, folder / "upload")
                target = folder / "done.mp4"

                def run(plan: Plan) -> Report:
                    return self._video(folder / "upload", target, plan, gone, note)

                report = self._done(asked, run, note)
                if isinstance(report, Refusal):
                    return report
                return AnonymizedVideo(_placed(target, self.videos, filename), report)
        finally:
            self.video_slots.release()

    def _video(
        self, source: Path, target: Path, plan: Plan, gone: threading.Event, note: Callable[[str], None]
    ) -> Report:
        """Hide in a video; sound that cannot be copied into MP4 is left out."""

        def hidden(plan: Plan) -> Report:
            with names_for_places(source, "the video"):
                return self.engine.hide(source, target, plan, progress=lambda *_: _stop_if(gone), overwrite=True)

        try:
            return hidden(plan)
        except (BadPlan, OutputFailed) as error:
            note(f"{error}; tried without its sound")
            return hidden(replace(plan, video=replace(plan.video, audio="drop")))

    def _asked(self, configuration: bytes, *, video: bool = False) -> ParsedRequest | Refusal:
        entries = read_configuration(configuration, strict=self.strict)
        return order(entries, self.directory.current, strict=self.strict, video=video)

    def _done(self, asked: ParsedRequest, run: Callable[[Plan], T], note: Callable[[str], None]) -> T | Refusal:
        """Return what `run` makes of the plan, or a text for each entry whose localizer gave no usable answer.

        After one such failure the others are still asked, so that the answer names all that fail, and nothing else
        comes of it.
        """
        failed = self._unusable(asked.plan, note)
        made: T | None = None
        while left := tuple(rule for rule in asked.plan.rules if rule.locate not in failed):
            try:
                made = run(replace(asked.plan, rules=left))
                break
            except NoAnswer as error:
                note(str(error))
                failed.add(error.use)
        return asked.failed(frozenset(failed)) if failed or made is None else made

    def _unusable(self, plan: Plan, note: Callable[[str], None]) -> set[PartSpec]:
        """Return the localizers of a plan that cannot be had."""
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

    def _look(self, image: bytes, gone: threading.Event) -> None:
        """Raise `BadInput` when the picture cannot be read, as it would be with a better configuration."""
        with self._working(gone):
            self.engine.read_plain(image)

    @contextmanager
    def _working(self, gone: threading.Event) -> Iterator[None]:
        with self.gate.working():
            _stop_if(gone)
            yield


def _stop_if(gone: threading.Event) -> None:
    if gone.is_set():
        raise ClientGone("the client went away, or the service ends")


def _spool(upload: BinaryIO, target: Path) -> None:
    try:
        with target.open("wb") as file:
            shutil.copyfileobj(upload, file, 1 << 20)
    except OSError as error:
        raise OutputFailed(f"the upload cannot be stored: {error.strerror or error}; make room on the disk") from error


def _placed(done: Path, folder: Path, filename: str) -> Path:
    """Move a finished video into the folder, under a name that no other has."""
    base = wire.video_name(_stem(filename), datetime.now())  # noqa: DTZ005  # local time, as the original has it
    for i in range(1, SAME_NAMES + 1):
        target = folder / f"{base}{'' if i == 1 else f'_{i}'}.mp4"
        if _moved(done, target):
            return target
    raise OutputFailed(f"cannot write {base}.mp4: {SAME_NAMES} videos have that name; try again in a second")


def _moved(done: Path, target: Path) -> bool:
    """Tell whether the file is at `target` now; another that was there before stays."""
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


def _stem(filename: str) -> str:
    """Return the part of an uploaded file's name up to its first dot, without what is special in a path."""
    name = re.split(r"[/\\]", filename)[-1].partition(".")[0]
    return re.sub(r"[^\w ()+,=@-]", "_", name)[:LONGEST_STEM].strip()
