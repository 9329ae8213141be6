"""The engine: one path for every source, with localizers kept loaded between calls."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from velum import __version__, media
from velum.annotations import Annotations
from velum.engine.follow_object import MOST_SECONDS, trailed
from velum.engine.merge_reports import numbered, numbering, summed
from velum.engine.prefetch import prefetch
from velum.engine.prepare import PartCache, PreparedPlan, prepare
from velum.engine.stages import (
    FrameRegions,
    OnRegions,
    RunStats,
    hide,
    locate,
    notify,
    timed_decode,
    touched_frames,
    unique,
    use_annotations,
    wanted_by,
)
from velum.engine.tracking import TrackingWindow, followed
from velum.engine.verify_output import Verdict, verified
from velum.errors import BadInput, BadPlan
from velum.frame import Frame, Plane, Role, Samples
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import RuntimeConfig, load
from velum.region import Region
from velum.report import Report

NOTHING_FOUND = "nothing was found to hide; look at the picture before you pass it on"
DEFAULT_PLAN = Plan()

TOGETHER = 4
"""Frames of a video that localizers are asked about at a time, where many are to be done in a short time."""

LEAST_OWN = 5
"""How many times the overlap with one neighbour a span is at least."""

Progress = Callable[[int, int | None], None]
"""Called with the number of frames done, and of all frames where it is known."""


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
        """Prepare. With `decoders`, videos and images that can be much work are read and written in their processes."""
        self._host = host or RuntimeConfig()
        self._parts = PartCache(self._host)
        self.limits = self._limits = limits or Limits()
        self._decoders = decoders
        self._together = TOGETHER if host is not None and host.mode == "throughput" else 1
        if self._together > 1:
            cv2.setNumThreads(1)  # for the whole process: lanes keep the cores busy, more threads wait for each other

    def hide(
        self,
        source: str | Path | media.LiveSource | media.BytesSource,
        target: str | Path | media.StreamSink,
        plan: Plan = DEFAULT_PLAN,
        *,
        regions: Annotations | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
        on_regions: OnRegions | None = None,
    ) -> Report:
        """Write `source` to `target` with everything hidden that `plan` names, and say what was done.

        With `regions`, what they name is hidden instead of looking for it. `progress` is called with each frame that is
        done, `on_regions` with what is about to be hidden in each. The target appears whole or not at all; a
        `StreamSink` gets each frame as soon as it is hidden. A source that is an address, `-` for the standard input,
        or a `LiveSource` is read as it comes; a `BytesSource` is in memory. Raises any `VelumError`.
        """
        if plan.verify:
            return self._verified(
                source, target, plan, regions=regions, overwrite=overwrite, progress=progress, on_regions=on_regions
            )
        return self._hide(
            source, target, plan, regions=regions, overwrite=overwrite, progress=progress, on_regions=on_regions
        )

    def _hide(
        self,
        source: str | Path | media.LiveSource | media.BytesSource,
        target: str | Path | media.StreamSink,
        plan: Plan,
        *,
        regions: Annotations | None,
        overwrite: bool,
        progress: Progress | None,
        on_regions: OnRegions | None,
    ) -> Report:
        work = prepare(plan, self._parts, self._limits, locate=regions is None, regions=regions)
        origin = media.source_of(source)
        if isinstance(origin, media.LiveSource) and (plan.video.two_pass or plan.video.smart):
            raise BadPlan(f"{origin} comes once; leave out two_pass and smart, or save it to a file first")
        goal = target if isinstance(target, media.StreamSink) else Path(target)
        given = regions is not None
        # A stream is written by this process, so it is read by it, too.
        with self._reading(origin, plan, here=isinstance(goal, media.StreamSink)) as (reader, tally):
            info = reader.info
            if regions is not None:
                regions.check(width=info.width, height=info.height, frames=info.frames, sha256=reader.sha256)
            elif (plan.video.two_pass or plan.video.smart) and info.fps is not None:
                regions = self._locate_all(reader, work, RunStats(seconds=tally.seconds))
            touched = None if regions is None or not plan.video.smart else touched_frames(work, regions)
            lane = prefetch if info.fps is not None else nullcontext
            with (
                media.write(goal, reader, plan, overwrite=overwrite, touched=touched) as writer,
                lane(timed_decode(reader.frames(), tally)) as frames,
                lane(self._looked(frames, work, regions, tally, info.fps)) as looked,
                lane(
                    hide(notify(self._track(looked, work, info.fps, given=given), work, on_regions), work, tally)
                ) as hidden,
            ):
                for frame in hidden:
                    with tally.stage("encode"):
                        writer.write(frame)
                    if progress is not None:
                        progress(frame.index + 1, info.frames)
                last = time.perf_counter()
            tally.add("encode", time.perf_counter() - last)  # leaving the writer publishes
        return Report(
            source=str(origin), target=str(goal), format=info.format, width=info.width, height=info.height,
            input_sha256=reader.sha256, output_sha256=writer.sha256, encoding=writer.encoding,
            **_outcome(work, tally, writer.warnings, regions),
        )  # fmt: skip

    def _verified(
        self,
        source: str | Path | media.LiveSource | media.BytesSource,
        target: str | Path | media.StreamSink,
        plan: Plan,
        *,
        on_regions: OnRegions | None,
        overwrite: bool,
        **more: Any,
    ) -> Report:
        origin = media.source_of(source)
        if isinstance(target, media.StreamSink) or isinstance(origin, media.LiveSource):
            raise BadPlan("verify looks at the finished file and at its source; leave it out where they come once")
        if self._decoders is not None and self._decoders.takes(origin):
            raise BadPlan(
                f"verify would decode {origin} a second time, which for its kind or size can be too much work while "
                "somebody waits; hand in a job for it, or leave verify out"
            )
        check = load("velum.checks", "leak")(self, self._host, self._limits)

        def hide(made: Path, note: OnRegions) -> Report:
            def both(index: int, regions: tuple[Region, ...]) -> None:
                note(index, regions)
                if on_regions is not None:
                    on_regions(index, regions)

            return self._hide(origin, made, plan, overwrite=False, on_regions=both, **more)

        def looked(made: Path, found: Annotations) -> Verdict:
            verdict: Verdict = check(made, plan, against=origin, regions=found)
            return verdict

        return verified(Path(target), hide, looked, overwrite=overwrite)

    def split(
        self, source: Path, format: str, plan: Plan = DEFAULT_PLAN,
        *, seconds: float = media.SPAN_SECONDS, given: bool = False,
    ) -> tuple[media.Segment, ...] | str:  # fmt: skip
        """Return the spans of about `seconds` each in which a video can be hidden apart, or why it cannot.

        `format` is that of the result; `given` says that its regions will be. Spans overlap as far as things are
        followed, and are longer where they would mostly overlap. Raises any `VelumError`.
        """
        if plan.verify:
            return "verify looks at the finished file"
        if plan.video.two_pass or plan.video.smart:
            return "two_pass and smart look at the whole file"
        with self._reading(source, plan, here=True) as (reader, _):
            fps = reader.info.fps
            if fps is None or reader.sha256 is None:
                return "it is no video"
            around = 0 if given else _around(plan, fps)
            seconds = max(seconds, LEAST_OWN * around / float(fps))
            return media.cut(reader, format, seconds=seconds, overlap_frames=around)

    def hide_segment(
        self, source: Path, part: Path, plan: Plan, span: media.Segment,
        *, regions: Annotations | None = None, progress: Progress | None = None, on_regions: OnRegions | None = None,
    ) -> Report:  # fmt: skip
        """Write the frames of one span of `source` to `part`, hidden as in the whole video; `join` makes use of it.

        The same span comes out the same each time. `progress` counts its own frames, `on_regions` names each by its
        index in the video, and things that were followed by numbers that no other span has. Raises any `VelumError`.
        """
        work = prepare(plan, self._parts, self._limits, locate=regions is None, regions=regions)
        start = time.perf_counter()
        given = regions is not None
        on_regions = on_regions if on_regions is None or given else numbering(on_regions, span)
        with media.read_span(source, self._limits, span) as reader:
            info, tally = reader.info, RunStats(by_track=True)
            tally.add("decode", time.perf_counter() - start)
            around = 0 if given or info.fps is None else _around(plan, info.fps)
            if regions is not None:
                regions.check(width=info.width, height=info.height, frames=span.frames_total, sha256=reader.sha256)
            with (
                media.write_span(part, reader, plan, span) as writer,
                prefetch(_near(timed_decode(reader.frames(), tally), span, around)) as frames,
                prefetch(self._looked(frames, work, regions, tally, info.fps)) as looked,
                prefetch(
                    hide(
                        notify(_own(self._track(looked, work, info.fps, given=given), span), work, on_regions),
                        work,
                        tally,
                    )
                ) as hidden,
            ):  # fmt: skip
                for frame in hidden:
                    with tally.stage("encode"):
                        writer.write(frame)
                    if progress is not None:
                        progress(frame.index + 1 - span.first.frame, span.frames)
            tally.frames = span.frames
        made = Report(
            source=str(source), target=str(part), format=info.format, width=info.width, height=info.height,
            input_sha256=reader.sha256, encoding=writer.encoding, **_outcome(work, tally, writer.warnings, regions),
        )  # fmt: skip
        return made if regions is not None else replace(made, tracks=numbered(made.tracks, span))

    def concat(
        self, source: Path, parts: Sequence[tuple[Path, Report]], target: Path, plan: Plan, *, overwrite: bool = False
    ) -> Report:
        """Write `target` from the parts of all spans, in their order, with what `hide_segment` reported of each.

        The result is as `hide` would have made it, and so is its report. Raises any `VelumError`, and writes nothing,
        when parts are missing, differ in how they were encoded, or are of another source or plan.
        """
        files, reports = [file for file, _ in parts], [report for _, report in parts]
        with self._reading(source, plan, here=True) as (reader, tally):
            made = summed(reports)
            if made.input_sha256 != reader.sha256:
                raise BadInput(f"cannot join parts of {source}: it has changed since they were made; make them again")
            if made.plan != plan.digest:
                raise BadInput(f"cannot join parts of {source}: they were made by another plan; make them again")
            with tally.stage("encode"):
                writer = media.join(target, reader, plan, files, overwrite=overwrite)
        warnings = [one for one in (*made.warnings, *writer.warnings) if one != NOTHING_FOUND or not made.tracks]
        seconds = {stage: made.seconds.get(stage, 0.0) + tally.seconds.get(stage, 0.0) for stage in made.seconds}
        return replace(
            made, source=str(source), target=str(target), output_sha256=writer.sha256, encoding=writer.encoding,
            seconds=seconds, warnings=tuple(dict.fromkeys(warnings)),
        )  # fmt: skip

    def locate(
        self, source: str | Path | media.BytesSource, plan: Plan = DEFAULT_PLAN, *, progress: Progress | None = None
    ) -> Annotations:
        """Return what the plan's rules would hide in `source`, without changing anything.

        In videos things are followed through the whole file, as in two passes.
        """
        work = prepare(plan, self._parts, self._limits)
        with self._reading(media.source_of(source), plan) as (reader, tally):
            return self._locate_all(reader, work, tally, progress)

    def follow(self, source: str | Path, frame: int, region: Region, *, seconds: float = MOST_SECONDS) -> Annotations:
        """Return where the thing that `region` shows in one frame of a video is there and in the frames around.

        It is recognised by what it looks like, up to `seconds` (at most 10) before and after. Raises `BadInput` for
        what is no video, and for a frame or a region that it does not have.
        """
        if self._decoders is None:
            return trailed(Path(source), self._limits, frame, region, seconds)
        return self._decoders.call(
            str(source), self._limits, trailed, Path(source), self._limits, frame, region, seconds
        )

    def hide_pixels(
        self, pixels: Samples, plan: Plan = DEFAULT_PLAN, *, regions: Annotations | None = None
    ) -> tuple[Samples, Report]:
        """Return a copy of `pixels` with everything hidden that `plan` names, and the report.

        `pixels` is grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), of uint8 or uint16. It is not changed.
        """
        frame = _frame_of(pixels)
        self._limits.check("pixels", frame.width * frame.height, "the array")
        work = prepare(plan, self._parts, self._limits, locate=regions is None, regions=regions)
        tally = RunStats(limits=self._limits)
        if regions is not None:
            regions.check(width=frame.width, height=frame.height, frames=1, sha256=None)
        (done,) = hide(self._looked(timed_decode([frame], tally), work, regions, tally, None), work, tally)
        return done.planes[0].pixels, Report(
            source=None, target=None, format="array", width=frame.width, height=frame.height, encoding="none",
            **_outcome(work, tally, (), regions),
        )  # fmt: skip

    def hide_image_bytes(
        self,
        data: bytes,
        plan: Plan = DEFAULT_PLAN,
        *,
        format: media.PlainFormat = "PNG",
        quality: int | None = None,
    ) -> tuple[bytes, Report]:
        """Return the picture in an image file's bytes with everything hidden that `plan` names, and the report.

        The result is upright 8-bit RGB without metadata, of the first picture where there are several. A JPEG is coded
        like the source where that is one, with its tables if no `quality` from 1 to 100 is given. The plan's own
        quality and metadata do not count. Raises as `hide` does.
        """
        work = prepare(plan, self._parts, self._limits)
        tally = RunStats(limits=self._limits)
        with tally.stage("decode"):
            source = self.read_plain(data)
        width, height, tally.frames = source.frame.width, source.frame.height, 1
        (done,) = hide(locate([source.frame], work, self._limits, tally), work, tally)
        with tally.stage("encode"):
            result, encoding = media.write_plain(done.rgb(width, height), format, quality, source.jpeg)
        return result, Report(
            source=None, target=None, format=source.format, width=width, height=height, encoding=encoding,
            **_outcome(work, tally, (), None),
        )  # fmt: skip

    def read_plain(self, data: bytes) -> media.Rgb8Image:
        """Return the picture in an image file's bytes, upright and in 8-bit RGB. Raises as `media.read_plain` does."""
        held = media.BytesSource("the picture", data)
        if self._decoders is None or not self._decoders.takes(held):
            return media.read_plain(data, self._limits)
        with self._decoders.read(held, self._limits) as reader:
            return media.plain_of(reader)

    def check(self, plan: Plan, *, regions: Annotations | None = None) -> PreparedPlan:
        """Return the plan with its parts made. Raises `BadPlan` or `Unavailable` as `hide` would."""
        return prepare(plan, self._parts, self._limits, locate=regions is None, regions=regions)

    def close(self) -> None:
        """Free the localizers. The engine can be used again; it loads them anew."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _locate_all(
        self, reader: media.Reader, work: PreparedPlan, tally: RunStats, progress: Progress | None = None
    ) -> Annotations:
        """Return what is hidden in all frames, from a pass over them."""
        info = reader.info
        lane = prefetch if info.fps is not None else nullcontext
        found = {}
        with (
            lane(timed_decode(reader.frames(), tally)) as frames,
            lane(self._looked(frames, work, None, tally, info.fps)) as looked,
        ):
            for look in self._track(looked, work, info.fps, whole=True):
                found[look.frame.index] = unique(wanted_by(work, look))
                if progress is not None:
                    progress(look.frame.index + 1, info.frames)
        return Annotations(info.width, info.height, found, reader.sha256, work.models)

    def _looked(
        self,
        frames: Iterable[Frame],
        work: PreparedPlan,
        regions: Annotations | None,
        tally: RunStats,
        fps: Fraction | None,
    ) -> Iterator[FrameRegions]:
        """Yield the frames with what is found in each, or known of it."""
        if regions is not None:
            return use_annotations(frames, work, regions, self._limits)
        every, together = (work.plan.video.every, self._together) if fps is not None else (1, 1)
        return locate(frames, work, self._limits, tally, every=every, together=together)

    def _track(
        self,
        looked: Iterable[FrameRegions],
        work: PreparedPlan,
        fps: Fraction | None,
        *,
        given: bool = False,
        whole: bool = False,
    ) -> Iterator[FrameRegions]:
        """Yield the frames with what is hidden in each: in moving pictures, things are followed."""
        if fps is None or given or not work.plan.video.track:
            return iter(looked)
        return followed(looked, work, TrackingWindow.of(work.plan, float(fps), whole=whole))

    @contextmanager
    def _reading(
        self, source: Path | media.LiveSource | media.BytesSource, plan: Plan, *, here: bool = False
    ) -> Iterator[tuple[media.Reader, RunStats]]:
        """Open a source; `here` in this process in any case."""
        start = time.perf_counter()
        with self._opened(source, plan, here=here) as reader:
            timed = self._limits if isinstance(reader.info, media.ImageInfo) else None
            tally = RunStats(by_track=reader.info.fps is not None, limits=timed)
            tally.add("decode", time.perf_counter() - start)
            yield reader, tally

    def _opened(self, source: Path | media.LiveSource | media.BytesSource, plan: Plan, *, here: bool) -> media.Reader:
        decoders, cover = None if here else self._decoders, plan.video.on_damage == "cover"
        if decoders is not None and not isinstance(source, media.LiveSource) and decoders.takes(source):
            return decoders.read(source, self._limits, cover_damage=cover)
        return media.read(source, self._limits, cover_damage=cover)


def anonymize(source: str | Path, target: str | Path, plan: Plan = DEFAULT_PLAN, *, overwrite: bool = False) -> Report:
    """Write `source` to `target` with everything hidden that `plan` names (default: faces, blackened)."""
    with Engine() as engine:
        return engine.hide(source, target, plan, overwrite=overwrite)


def anonymize_pixels(pixels: Samples, plan: Plan = DEFAULT_PLAN) -> tuple[Samples, Report]:
    """Return what `Engine.hide_pixels` returns, for one call."""
    with Engine() as engine:
        return engine.hide_pixels(pixels, plan)


def _around(plan: Plan, fps: Fraction) -> int:
    """Return how many frames before and after one decide what is hidden in it."""
    return TrackingWindow.of(plan, float(fps), whole=False).around if plan.video.track else 0


def _near(frames: Iterable[Frame], span: media.Segment, around: int) -> Iterator[Frame]:
    """Yield the frames that decide what is hidden in the span's own; more are read, since groups are read whole."""
    return (frame for frame in frames if span.first.frame - around <= frame.index < span.end.frame + around)


def _own(looked: Iterable[FrameRegions], span: media.Segment) -> Iterator[FrameRegions]:
    """Yield the span's own frames; the others have served to know what to hide in these."""
    return (look for look in looked if span.first.frame <= look.frame.index < span.end.frame)


def _outcome(
    work: PreparedPlan, tally: RunStats, notes: tuple[str, ...], regions: Annotations | None
) -> dict[str, Any]:
    """Return the fields of a report that every kind of source shares."""
    warnings = [] if tally.hidden or tally.tracks else [NOTHING_FOUND]
    return {
        "frames": tally.frames, "hidden": tuple(tally.hidden), "tracks": tally.tracks, "plan": work.plan.digest,
        "rules": tuple(map(str, work.plan.rules)), "models": work.models if regions is None else regions.models,
        "seconds": tally.seconds, "warnings": (*warnings, *work.warnings, *notes), "version": __version__,
    }  # fmt: skip


def _frame_of(pixels: Samples) -> Frame:
    roles = {2: Role.GREY, (3, 3): Role.RGB, (3, 4): Role.RGBA}
    shape = pixels.shape
    role = roles.get(pixels.ndim if pixels.ndim == 2 else (pixels.ndim, shape[-1] if shape else 0))
    if role is None or pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)} or not pixels.size:
        raise BadInput(
            f"array of {pixels.dtype} {shape} is no picture; "
            "it must be uint8 or uint16 of shape (h, w), (h, w, 3) or (h, w, 4)"
        )
    return Frame.of(Plane(pixels.copy(), role, bits=pixels.dtype.itemsize * 8))
