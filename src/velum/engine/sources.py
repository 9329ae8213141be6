"""Where frames come from and where they go: files, streams and segments of videos; arrays and image files in memory.

A source is read twice where all its regions must be known before the first frame is hidden. What is in memory is
hidden by the same stages, in the caller's thread.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from velum import media
from velum.annotations import Annotations
from velum.engine.prefetch import prefetch
from velum.engine.prepare import PreparedPlan
from velum.engine.schedule import EVERY_FRAME, Schedule
from velum.engine.stages import (
    FrameRegions,
    Progress,
    RunStats,
    hidden_by_rule,
    hide,
    locate,
    locate_or_use,
    timed_decode,
    touched_frames,
    unique,
    use_annotations,
)
from velum.engine.tracking import TrackingWindow, track
from velum.errors import BadInput, BadPlan
from velum.frame import Frame, Plane, Role, Samples
from velum.limits import Limits
from velum.media.sound.transcript import WordSpans
from velum.plan import Plan
from velum.plugins import BeginsEarly
from velum.region import Region
from velum.report import Report

if TYPE_CHECKING:
    from velum.engine.people import FaceObserver


@contextmanager
def open_reader(
    source: Path | media.LiveSource | media.BytesSource, plan: Plan, limits: Limits,
    decoders: media.DecoderPool | None = None, segment: media.Segment | None = None,
) -> Iterator[tuple[media.Reader, RunStats]]:  # fmt: skip
    """Open a source, or a segment of it, and count its frames. A process of `decoders` reads what it `takes`."""
    start = time.perf_counter()
    cover = plan.video.on_damage == "cover"
    if segment is not None and isinstance(source, Path):
        opened: media.Reader = media.open_segment(source, limits, segment)
    elif decoders is not None and not isinstance(source, media.LiveSource) and decoders.takes(source):
        opened = decoders.read(source, limits, cover_damage=cover)
    else:
        opened = media.open_source(source, limits, cover_damage=cover)
    with opened as reader:
        is_image = isinstance(reader.info, media.ImageInfo)
        stats = RunStats(by_track=reader.info.fps is not None, limits=limits if is_image else None)
        stats.add("decode", time.perf_counter() - start)
        yield reader, stats


def refuse_second_pass(source: Path | media.LiveSource | media.BytesSource, plan: Plan) -> None:
    """Raise `BadPlan` where a plan must read a stream twice, which comes only once."""
    video = plan.video
    if isinstance(source, media.LiveSource) and video.mutes_spans:
        raise BadPlan(f"{source} comes once, and speech is found in a first pass; set video.audio to silence or drop")
    if isinstance(source, media.LiveSource) and (video.two_pass or video.smart or video.size or plan.people):
        raise BadPlan(f"{source} comes once; leave out two_pass, smart, size and people, or save it to a file first")


def container_target(
    source: Path, container: str, target: Path | media.StreamSink, regions: Annotations | None
) -> Path:
    """Return the target of an archive or a document. Raises `BadPlan` for a stream, and for regions."""
    if regions is not None or isinstance(target, media.StreamSink):
        raise BadPlan(
            f"{source} is a {container}, of many pictures: it is written to a file, and no regions are given; "
            "name a file with a suffix of its kind, and leave --regions out"
        )
    return target


def refuse_second_decode(
    source: Path | media.LiveSource | media.BytesSource, decoders: media.DecoderPool | None
) -> None:
    """Raise `BadPlan` where verify would be too much work for a process of `decoders`."""
    if decoders is not None and decoders.takes(source):
        raise BadPlan(
            f"verify would decode {source} a second time, which for its kind or size can be too much work while "
            "somebody waits; hand in a job for it, or leave verify out"
        )


def needs_first_pass(work: PreparedPlan, fps: Fraction | None) -> bool:
    """Tell whether the whole source is located before anything is hidden in it; `fps` is None for an image."""
    video = work.plan.video
    return work.people is not None or (fps is not None and (video.two_pass or video.smart))


def locate_first(
    reader: media.Reader, work: PreparedPlan, stats: RunStats, limits: Limits, *, batch: int
) -> Annotations:
    """Return what `locate_all` does, for a source that is hidden next; only seconds and people count for its report."""
    first_pass = RunStats(seconds=stats.seconds, limits=stats.limits)
    regions = locate_all(reader, work, first_pass, limits, batch=batch)
    stats.people, stats.people_warnings = first_pass.people, first_pass.people_warnings
    return regions


def locate_all(
    reader: media.Reader, work: PreparedPlan, stats: RunStats, limits: Limits, *, batch: int,
    progress: Progress | None = None,
) -> Annotations:  # fmt: skip
    """Return the regions of all frames, from one pass over the source; with people, those to show are ignored."""
    info = reader.info
    observer = _observer_of(work)
    stage = nullcontext if info.fps is None else prefetch
    # Whoever takes a kept person's place between two frames that are looked at would show.
    schedule = (
        EVERY_FRAME if observer else Schedule.of(work.plan, info.fps, None, animation=isinstance(info, media.ImageInfo))
    )
    work = work if info.fps is None else schedule.prepare(work)
    regions: dict[int, tuple[Region, ...]] = {}
    with (
        stage(timed_decode(reader.frames(), stats)) as frames,
        stage(locate_or_use(None, frames, work, limits, stats, schedule, batch=batch)) as raw_regions,
        stage(observer.observe(raw_regions)) if observer else nullcontext(raw_regions) as located,
    ):
        for item in track(located, work, TrackingWindow.of(work.plan, reader, whole=True)):
            regions[item.frame.index] = unique(hidden_by_rule(work, item))
            if progress is not None:
                progress(item.frame.index + 1, info.frames)
    annotations = Annotations(info.width, info.height, regions, reader.sha256, work.models)
    if observer is None:
        return annotations
    from velum.engine.people import decide_people  # noqa: PLC0415 - loaded when it is used

    outcome = decide_people(observer, annotations, None if info.fps is None else float(info.fps))
    stats.people, stats.people_warnings = outcome.report, outcome.warnings
    return outcome.annotations


def _observer_of(work: PreparedPlan) -> "FaceObserver | None":
    """Return what compares the faces of a source with the people of a plan; None where it names none."""
    if work.people is None:
        return None
    from velum.engine.people import FaceObserver  # noqa: PLC0415 - loaded when it is used

    return FaceObserver(work.people)


def open_writer(
    target: Path | media.StreamSink, reader: media.Reader, work: PreparedPlan, segment: media.Segment | None,
    regions: Annotations | None, *, overwrite: bool, uid_key: Path | None = None, words: WordSpans | None = None,
) -> media.Writer:  # fmt: skip
    """Open the target of a source that is read, or the file of one of its segments."""
    if segment is not None and isinstance(target, Path):
        return media.open_segment_sink(target, reader, work.plan, segment)
    touched = None if regions is None or not work.plan.video.smart else touched_frames(work, regions)
    return media.open_sink(
        target, reader, work.plan, overwrite=overwrite, touched=touched, uid_key=uid_key,
        searched=bool(work.localizers), words=words,
    )  # fmt: skip


def frame_of(pixels: Samples) -> Frame:
    """Return a frame with a copy of `pixels`. Raises `BadInput` for an array that is not an image."""
    roles = {2: Role.GREY, (3, 3): Role.RGB, (3, 4): Role.RGBA}
    shape = pixels.shape
    role = roles.get(pixels.ndim if pixels.ndim == 2 else (pixels.ndim, shape[-1] if shape else 0))
    if role is None or pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)} or not pixels.size:
        raise BadInput(
            f"array of {pixels.dtype} {shape} is not an image; "
            "it must be uint8 or uint16 of shape (h, w), (h, w, 3) or (h, w, 4)"
        )
    return Frame.of(Plane(pixels.copy(), role, bits=pixels.dtype.itemsize * 8))


def hide_frame(
    frame: Frame, work: PreparedPlan, limits: Limits, regions: Annotations | None
) -> tuple[Samples, Report]:  # fmt: skip
    """Hide in a frame of one plane, in place; return its samples and the report."""
    stats = RunStats(limits=limits)
    frames = timed_decode([frame], stats)
    if regions is None:
        located = decide_in_memory(locate(frames, work, limits, stats), work, limits, stats)
    else:
        regions.check(width=frame.width, height=frame.height, frames=1, sha256=None)
        located = use_annotations(frames, work, regions, limits)
    (hidden,) = hide(located, work, stats)
    return hidden.planes[0].pixels, Report(
        source=None, target=None, format="array", width=frame.width, height=frame.height, encoding="none",
        **stats.report_fields(work, (), regions),
    )  # fmt: skip


def locate_in_frame(frame: Frame, work: PreparedPlan, limits: Limits) -> tuple[Region, ...]:
    """Return the regions that the rules of a plan hide in a frame, in its pixels; nothing is tracked."""
    (located,) = locate([frame], work, limits, RunStats(limits=limits))
    return unique(hidden_by_rule(work, located))


def decide_in_memory(
    located: Iterable[FrameRegions], work: PreparedPlan, limits: Limits, stats: RunStats
) -> Iterator[FrameRegions]:
    """Yield the frame of an image with its regions; those of people who are shown are ignored."""
    observer = _observer_of(work)
    if observer is None:
        yield from located
        return
    from velum.engine.people import decide_people  # noqa: PLC0415 - loaded when it is used

    (item,) = observer.observe(located)
    frame_regions = {item.frame.index: unique(hidden_by_rule(work, item))}
    outcome = decide_people(observer, Annotations(item.frame.width, item.frame.height, frame_regions), None)
    stats.people, stats.people_warnings = outcome.report, outcome.warnings
    yield from use_annotations([item.frame], work, outcome.annotations, limits)


def hide_image_bytes(
    read: Callable[[Callable[[Frame], None] | None], media.Rgb8Image], work: PreparedPlan, limits: Limits,
    format: media.PlainFormat, quality: int | None,
) -> tuple[bytes, Report]:  # fmt: skip
    """Hide in the image that `read` returns; return the image file of the result and the report.

    Before it decodes the image, `read` passes it on for localizers that can begin with the file.
    """
    stats = RunStats(limits=limits)
    with ExitStack() as decoding:
        early = {i: part for i, part in enumerate(work.localizers) if isinstance(part, BeginsEarly)}
        parts = list(work.localizers)

        def begin(frame: Frame) -> None:
            for i, part in early.items():
                parts[i] = part.begin(frame)
                decoding.callback(parts[i].close)

        with stats.stage("decode"):
            source = read(begin if early else None)
        return _hide_plain(source, replace(work, localizers=tuple(parts)), limits, stats, format, quality)


def _hide_plain(
    source: media.Rgb8Image, work: PreparedPlan, limits: Limits, stats: RunStats, format: media.PlainFormat,
    quality: int | None,
) -> tuple[bytes, Report]:  # fmt: skip
    width, height, stats.frames = source.frame.width, source.frame.height, 1
    located = decide_in_memory(locate([source.frame], work, limits, stats), work, limits, stats)
    (hidden,) = hide(located, work, stats)
    with stats.stage("encode"):
        result, encoding = media.write_plain(hidden.rgb(width, height), format, quality, source.jpeg)
    return result, Report(
        source=None, target=None, format=source.format, width=width, height=height, encoding=encoding,
        **stats.report_fields(work, (), None),
    )  # fmt: skip
