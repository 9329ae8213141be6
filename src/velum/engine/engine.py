"""The engine: the one path that every source takes, with localizers and techniques kept loaded between calls."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import cv2

from velum import media
from velum.annotations import Annotations
from velum.engine import segments, sources
from velum.engine.part_cache import PartCache
from velum.engine.prefetch import prefetch
from velum.engine.prepare import PreparedPlan, prepare, read_people
from velum.engine.schedule import Schedule
from velum.engine.spoken_words import open_transcript
from velum.engine.stages import OnRegions, Progress, encode, hide, locate_or_use, notify
from velum.engine.tracking import MOST_SECONDS, TrackingWindow, decode, track, track_one_object
from velum.engine.verify_output import hide_verified
from velum.frame import Frame, Samples
from velum.limits import Limits
from velum.media import archive
from velum.media.sound.transcript import WordSpans
from velum.parts import load
from velum.people import DEFAULT_EMBEDDING, People
from velum.plan import Plan
from velum.plugins import FaceEmbedder, RuntimeConfig
from velum.region import Region
from velum.report import Report
from velum.spec import PartSpec

if TYPE_CHECKING:
    from velum.engine.gallery import GalleryTrack, SourceFaces

DEFAULT_PLAN = Plan()

BATCH_FRAMES = 4
"""Frames of a video that localizers get at a time in throughput mode."""


class Engine:
    """Hides what identifies people. Keeps what it loads; safe to share between threads.

    >>> with Engine() as engine:  # doctest: +SKIP
    ...     report = engine.hide("in.jpg", "out.jpg", Plan.of("face: centerface -> blur"))
    """

    def __init__(
        self,
        *,
        host: RuntimeConfig | None = None,
        limits: Limits | None = None,
        decoders: media.DecoderPool | None = None,
    ) -> None:
        """Make an engine that has loaded nothing yet. With `decoders`, their processes read and write files."""
        self._host = host or RuntimeConfig()
        self._parts = PartCache(self._host)
        self.limits = self._limits = limits or Limits()
        self._decoders = decoders
        self._batch = BATCH_FRAMES if host is not None and host.mode == "throughput" else 1
        if self._batch > 1:
            cv2.setNumThreads(1)  # for the whole process: stages keep the cores busy, more threads wait for each other

    def hide(
        self, source: str | Path | media.LiveSource | media.BytesSource, target: str | Path | media.StreamSink,
        plan: Plan = DEFAULT_PLAN, *, regions: Annotations | None = None, overwrite: bool = False,
        progress: Progress | None = None, on_regions: OnRegions | None = None, transcript: Path | None = None,
    ) -> Report:  # fmt: skip
        """Hide in `source` everything that `plan` names, write the result to `target` and return the report.

        With `regions`, these are hidden and no localizer runs. `progress` is called after each frame, `on_regions` with
        the regions of each frame before they are hidden. The target appears whole or not at all; a `StreamSink` gets
        each frame as soon as it is hidden. A source that is an address, `-` for the standard input, or a `LiveSource`
        is read as it comes; a `BytesSource` is an image in memory. A `transcript` says when the words are said that the
        plan mutes; it is written without them beside the target. Raises any `VelumError`.
        """
        origin = media.source_of(source)
        goal = target if isinstance(target, media.StreamSink) else Path(target)
        with open_transcript(transcript, plan, origin, goal, self._limits, overwrite=overwrite) as said:
            if isinstance(origin, Path) and (container := archive.container_of(origin)):
                from velum.engine.containers import ContainerJob, hide_container  # noqa: PLC0415 - loaded when it is used

                place = sources.container_target(origin, container, goal, regions)
                job = ContainerJob(origin, container, place, plan, overwrite, progress, on_regions)
                return hide_container(job, self._run, self._check(plan) if plan.verify else None, self._limits)
            run = partial(self._run, regions=regions, progress=progress, words=said.words)
            if not plan.verify:
                report = run(origin, goal, plan, overwrite=overwrite, on_regions=on_regions)
            else:
                sources.refuse_second_decode(origin, self._decoders)
                check = partial(self._check(plan), **({"transcript": said.file} if said.file else {}))
                more: dict[str, Any] = {"overwrite": overwrite, "on_regions": on_regions}
                report = hide_verified(origin, goal, plan, run, check, **more)
        return said.add_to(report)

    def _check(self, plan: Plan) -> Any:
        """Return the check of finished files, which is a part and loaded when it is needed."""
        check = load("velum.checks", "leak")(self, self._host, self._limits)
        return partial(check, identity=True) if plan.verify == "identity" else check

    def _run(  # noqa: PLR0913 - the one path has one caller for each
        self, source: Path | media.LiveSource | media.BytesSource, target: Path | media.StreamSink, plan: Plan, *,
        segment: media.Segment | None = None, regions: Annotations | None = None, overwrite: bool = False,
        progress: Progress | None = None, on_regions: OnRegions | None = None, words: WordSpans | None = None,
    ) -> Report:  # fmt: skip
        """Take the one path: source -> decode -> locate -> track -> hide -> encode -> sink.

        For videos and animations, each stage runs in a thread of its own, ahead of the next one.
        """
        if isinstance(source, Path) and (sound := media.sound_format_of(source)):
            from velum.engine.sound_file import SoundJob, hide_sound  # noqa: PLC0415 - loaded when it is used

            sound_job = SoundJob(source, sound, target, plan, self._limits, overwrite, words)
            return hide_sound(sound_job, has_regions=regions is not None)
        sources.refuse_second_pass(source, plan)
        work, limits = self.check(plan, regions=regions), self._limits
        # A stream is written by this process, so its source is read here as well.
        decoders = None if isinstance(target, media.StreamSink) else self._decoders
        with sources.open_reader(source, plan, limits, decoders, segment) as (reader, stats):
            info = reader.info
            if regions is not None:
                total = info.frames if segment is None else segment.frames_total
                regions.check(width=info.width, height=info.height, frames=total, sha256=reader.sha256)
            elif segment is None and sources.needs_first_pass(work, info.fps):
                regions = sources.locate_first(reader, work, stats, limits, batch=self._batch)
            stage = nullcontext if info.fps is None else prefetch
            window = None if regions is not None else TrackingWindow.of(plan, reader)
            schedule = Schedule.of(
                plan, info.fps, None if window is None else window.window_frames,
                animation=isinstance(info, media.ImageInfo),
            )  # fmt: skip
            work = work if info.fps is None else schedule.prepare(work)
            with (
                sources.open_writer(
                    target, reader, work, segment, regions, overwrite=overwrite, uid_key=self._host.uid_key, words=words
                ) as writer,
                stage(decode(reader, stats, segment, window)) as frames,
                stage(locate_or_use(regions, frames, work, limits, stats, schedule, batch=self._batch)) as located,
                stage(hide(notify(track(located, work, window, segment), work, on_regions), work, stats)) as hidden,
            ):  # fmt: skip
                first, count = (0, info.frames) if segment is None else (segment.first.frame, segment.frames)
                encode(hidden, writer.write, stats, progress, first=first, count=count)
                last = time.perf_counter()
            stats.add("encode", time.perf_counter() - last)  # leaving the writer publishes
            stats.frames = stats.frames if segment is None else segment.frames
        return Report(
            source=str(source), target=str(target), format=info.format, width=info.width, height=info.height,
            input_sha256=reader.sha256, output_sha256=writer.sha256, encoding=writer.encoding,
            sound=writer.sound, **stats.report_fields(work, writer.warnings, regions),
        )  # fmt: skip

    def locate(
        self, source: str | Path | media.BytesSource, plan: Plan = DEFAULT_PLAN, *, progress: Progress | None = None
    ) -> Annotations:
        """Return the regions that the plan's rules would hide in `source`. Nothing is written.

        With people, the regions of those who are shown are among them, `ignored`.

        Objects in videos are tracked through the whole file, as with two passes.
        """
        work = self.check(plan)
        with sources.open_reader(media.source_of(source), plan, self._limits, self._decoders) as (reader, stats):
            return sources.locate_all(reader, work, stats, self._limits, batch=self._batch, progress=progress)

    def follow(self, source: str | Path, frame: int, region: Region, *, seconds: float = MOST_SECONDS) -> Annotations:
        """Track the object that `region` shows in one frame of a video, in that frame and in those around it.

        It is recognised by its appearance, up to `seconds` (at most 10) before and after. Raises `BadInput` for an
        image, and for a frame or a region that the video does not have.
        """
        values = Path(source), self._limits, frame, region, seconds
        if self._decoders is None:
            return track_one_object(*values)
        return self._decoders.call(str(source), self._limits, track_one_object, *values)

    def group_faces(
        self, source: Path, annotations: Annotations, *, embedding: PartSpec = DEFAULT_EMBEDDING,
        progress: Progress | None = None,
    ) -> "tuple[GalleryTrack, ...]":  # fmt: skip
        """Return the faces of an annotation file by person, each with a small picture from `source`.

        Nothing is written. Raises any `VelumError`.
        """
        faces = self.faces_of(source, annotations, embedding=embedding, progress=progress)
        return self.group_faces_of([faces], embedding=embedding)

    def faces_of(
        self, source: Path, annotations: Annotations, *, embedding: PartSpec = DEFAULT_EMBEDDING,
        progress: Progress | None = None,
    ) -> "SourceFaces":  # fmt: skip
        """Return the faces of an annotation file, to be grouped with those of other files by `group_faces_of`.

        The value has the vectors by which they are compared: biometric data. Nothing is written. Raises any
        `VelumError`.
        """
        from velum.engine.gallery import face_cutter, faces_of  # noqa: PLC0415 - loaded when it is used

        embedder = self.face_embedder(embedding)
        return faces_of(annotations, embedder, face_cutter(source, self._limits, self._decoders), progress)

    def group_faces_of(
        self, sources: "Sequence[SourceFaces]", *, embedding: PartSpec = DEFAULT_EMBEDDING
    ) -> "tuple[GalleryTrack, ...]":
        """Return the faces of several sources by person; `GalleryTrack.source` says of which each is."""
        from velum.engine.face_groups import group_faces  # noqa: PLC0415 - loaded when it is used

        return group_faces(sources, self.face_embedder(embedding))

    def split(
        self, source: Path, format: str, plan: Plan = DEFAULT_PLAN,
        *, seconds: float = media.SEGMENT_SECONDS, given: bool = False,
    ) -> tuple[media.Segment, ...] | str:  # fmt: skip
        """Split a video into segments of about `seconds` that are hidden on their own, or say why it cannot be split.

        `format` is that of the result; `given` says that regions will be given. Segments overlap by the frames that
        tracking needs, and are longer where they would mostly overlap. Raises any `VelumError`.
        """
        if reason := segments.why_not_split(plan):
            return reason
        with sources.open_reader(source, plan, self._limits) as (reader, _):
            return segments.split(reader, format, plan, seconds=seconds, given=given)

    def hide_segment(
        self, source: Path, part: Path, plan: Plan, segment: media.Segment,
        *, regions: Annotations | None = None, progress: Progress | None = None, on_regions: OnRegions | None = None,
    ) -> Report:  # fmt: skip
        """Hide one segment of `source` as in the whole video, and write it to the file `part`, for `concat`.

        The same segment comes out the same each time. `progress` counts its own frames; `on_regions` gets indices of
        the whole video, and track ids that no other segment has. Raises any `VelumError`.
        """
        run = partial(self._run, Path(source), Path(part), plan, segment=segment, regions=regions, progress=progress)
        if regions is not None:
            return run(on_regions=on_regions)
        report = run(on_regions=None if on_regions is None else segments.number_regions(on_regions, segment))
        return replace(report, tracks=segments.number_tracks(report.tracks, segment))

    def concat(
        self, source: Path, parts: Sequence[tuple[Path, Report]], target: Path, plan: Plan, *, overwrite: bool = False
    ) -> Report:
        """Write `target` from the files of all segments, in their order, each with the report of `hide_segment`.

        The result and its report are as `hide` would have made them. Raises any `VelumError`, and writes nothing, when
        segments are missing, differ in how they were encoded, or are of another source or plan.
        """
        with sources.open_reader(source, plan, self._limits) as (reader, stats):
            return segments.concat(reader, parts, target, plan, stats, overwrite=overwrite)

    def hide_pixels(
        self, pixels: Samples, plan: Plan = DEFAULT_PLAN, *, regions: Annotations | None = None
    ) -> tuple[Samples, Report]:
        """Return a copy of `pixels` with everything hidden that `plan` names, and the report.

        `pixels` is grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), of uint8 or uint16. It is not changed.
        """
        frame = sources.frame_of(pixels)
        self._limits.check("pixels", frame.width * frame.height, "the array")
        return sources.hide_frame(frame, self.check(plan, regions=regions), self._limits, regions)

    def hide_image_bytes(
        self, data: bytes, plan: Plan = DEFAULT_PLAN, *, format: media.PlainFormat = "PNG", quality: int | None = None
    ) -> tuple[bytes, Report]:
        """Return an image file with everything hidden that `plan` names in the image file `data`, and the report.

        The result is upright 8-bit RGB without metadata, of the first frame where there are several. A JPEG is coded
        like the source where that is one, with its tables if no `quality` from 1 to 100 is given. The plan's own
        quality and metadata do not count. Raises as `hide` does.
        """
        work = self.check(plan)
        return sources.hide_image_bytes(partial(self.read_plain, data), work, self._limits, format, quality)

    def read_plain(self, data: bytes, begin: Callable[[Frame], None] | None = None) -> media.Rgb8Image:
        """Return the image in an image file's bytes, upright and in 8-bit RGB. Raises as `media.read_plain` does."""
        source = media.BytesSource("the picture", data)
        if self._decoders is None or not self._decoders.takes(source):
            return media.read_plain(data, self._limits, begin)
        with self._decoders.read(source, self._limits) as reader:
            return media.plain_of(reader)

    def check(self, plan: Plan, *, regions: Annotations | None = None) -> PreparedPlan:
        """Return the plan with its localizers and techniques. Raises `BadPlan` or `Unavailable` as `hide` does."""
        if plan.verify == "identity":
            self.face_embedder(plan.embedding)  # what lacks shows before the first pixel is read
        return prepare(plan, self._parts, self._limits, self._open_photo, locate=regions is None, regions=regions)

    def check_people(self, people: People, plan: Plan) -> None:
        """Raise `BadInput` for photographs of people that cannot be used with a plan; nothing is kept of them.

        Raises as `check` does for the plan, and `BadPlan` where no rule of it hides faces.
        """
        prepared = self.check(replace(plan, people=None))
        read_people(people.with_hashes(), prepared, self._parts, self._open_photo)

    def forget_people(self, people: People | None = None) -> None:
        """Forget people, or None for those of all plans; photos are read anew when they are needed again."""
        self._parts.forget_people(people)

    def _open_photo(self, path: Path) -> media.Reader:
        if self._decoders is None or not self._decoders.takes(path):
            return media.open_source(path, self._limits)
        return self._decoders.read(path, self._limits)

    def face_embedder(self, embedding: PartSpec = DEFAULT_EMBEDDING) -> FaceEmbedder:
        """Return the part that compares faces. Raises `Unavailable` when it cannot be had."""
        return self._parts.embedder(embedding)

    def close(self) -> None:
        """Free the localizers. The engine can be used again; it loads them anew."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def anonymize(source: str | Path, target: str | Path, plan: Plan = DEFAULT_PLAN, *, overwrite: bool = False) -> Report:
    """Hide in `source` everything that `plan` names (default: faces, blackened) and write the result to `target`."""
    with Engine() as engine:
        return engine.hide(source, target, plan, overwrite=overwrite)


def anonymize_pixels(pixels: Samples, plan: Plan = DEFAULT_PLAN) -> tuple[Samples, Report]:
    """Return what `Engine.hide_pixels` returns, for one call."""
    with Engine() as engine:
        return engine.hide_pixels(pixels, plan)
