"""The check of one finished file: its frames, as detectors and pixels show them, its metadata and its streams."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from velum import media
from velum.annotations import Annotations
from velum.engine.engine import Engine
from velum.engine.sources import locate_in_frame
from velum.errors import BadPlan
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.media import archive
from velum.media.image.side_content import beside
from velum.media.video.side_streams import audible_streams
from velum.plan import Plan
from velum.plugins import RuntimeConfig, warning_of
from velum.verify import second_detector
from velum.verify.alignment import FramePair, pair_in_order, pair_merged
from velum.verify.container_check import ContainerCheck
from velum.verify.frame_check import FrameCheck, Regions
from velum.verify.identity import NO_LANDMARKS, identity_leaks
from velum.verify.result import CheckResult, Leak
from velum.verify.solid_fill import sample_coding_of
from velum.verify.sound_check import sound_file_leaks, speech_leaks, transcript_leaks
from velum.verify.visible_part import Look

NOTHING_TO_VERIFY = "it is not verified that regions are hidden; give the source (--against) or --regions"
REGIONS_UNKNOWN = (
    "it is not known which regions were hidden, so faint remains in them are not searched for; give --regions"
)

Progress = Callable[[int, int | None], None]
"""Called with the number of frames that are checked, and None: how many there are is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """Checks finished files with an engine, its runtime configuration and its limits."""

    engine: Engine
    host: RuntimeConfig
    limits: Limits
    unhidden: bool = False
    """Whether files are sources, in which nothing is hidden yet: then doubtful detections count, as for `hide`."""

    def __call__(
        self,
        file: Path,
        plan: Plan,
        *,
        against: Path | media.BytesSource | None = None,
        regions: Annotations | Mapping[str, Annotations] | None = None,
        text: bool = False,
        identity: bool = False,
        progress: Progress | None = None,
        transcript: Path | None = None,
    ) -> CheckResult:
        """Return the leaks of `file`, in which `plan` should have hidden everything.

        `against` is the source and `regions` are the regions that were hidden; each makes the check stricter. In an
        archive or a document each member is checked, and `regions` are those of its members by name. With `text`,
        identifying text is searched even if the plan hides none. With `identity`, a trained network compares hidden
        faces with their originals. `transcript` is the redacted one of a video or a sound file. Raises any `VelumError`
        for a file that cannot be checked.
        """
        if container := archive.container_of(file):
            if isinstance(regions, Annotations) or isinstance(against, media.BytesSource):
                raise BadPlan(f"{file} is a {container}, of many pictures; leave --regions out")
            check_file = partial(self, text=text, identity=identity)
            return ContainerCheck(check_file, plan, self.limits, regions or {}).run(file, container, against, progress)
        if sound := media.sound_format_of(file):
            has_regions = not isinstance(regions, Annotations | None) or (regions is not None and regions.frames)
            if isinstance(against, media.BytesSource) or has_regions or identity:
                raise BadPlan(f"{file} is a sound file, without regions and faces; leave --regions and --identity out")
            return sound_file_leaks(file, sound, plan, against, self.limits, transcript)
        if regions is not None and not isinstance(regions, Annotations):
            raise BadPlan(f"{file} is an image or a video; its regions are one annotation file")
        if identity and against is None:
            raise BadPlan("the identity check compares hidden faces with their originals; give the source (--against)")
        values: dict[str, Any] = {"text": text, "identity": identity, "transcript": transcript}
        return self._check_media(file, plan, against, regions, progress, **values)

    def _check_media(
        self, file: Path, plan: Plan, against: Path | media.BytesSource | None, regions: Annotations | None,
        progress: Progress | None, *, text: bool, identity: bool, transcript: Path | None,
    ) -> CheckResult:  # fmt: skip
        """Return the leaks of an image or a video."""
        search_plan, notes = second_detector.make_search_plan(
            plan, self.host, self.engine, text=text, unhidden=self.unhidden
        )
        rival_regions: Regions = {} if search_plan is None else self.engine.locate(file, search_plan).frames
        work = self.engine.check(plan, regions=regions or _NOBODY)
        leaks, side_notes = _side_content_leaks(file, plan, self.limits)
        notes = (*notes, *side_notes)
        all_known = regions is not None or _has_only_zones(plan)
        with media.open_source(file, self.limits) as after, self._source(against) as before:
            frame_check = FrameCheck(
                self.engine, work, None if regions is None else regions.frames, rival_regions,
                sample_coding_of(after.info), all_known, self._look_at_source(search_plan, plan),
            )  # fmt: skip
            frame_leaks, frames = _frame_leaks(frame_check, after, before, progress)
            sound_leaks, sound_notes = speech_leaks(after, before, plan)
            if transcript is not None:
                sound_leaks += transcript_leaks(transcript, media.video_of(after), plan, self.limits)
        leaks += frame_leaks + sound_leaks
        notes = (*notes, *sound_notes)
        if not all_known:
            notes = (*notes, NOTHING_TO_VERIFY if against is None else REGIONS_UNKNOWN)
        if identity and against is not None:
            recognisable, more_notes = self._identity_leaks(file, plan, against, regions)
            leaks, notes = leaks + recognisable, (*notes, *more_notes)
        detectors = () if search_plan is None else tuple(str(rule.locate) for rule in search_plan.rules)
        return CheckResult(file.name, sha256_of(file), frames, tuple(leaks), detectors, frame_check.verified, notes)

    def _identity_leaks(
        self, file: Path, plan: Plan, source: Path | media.BytesSource, regions: Annotations | None
    ) -> tuple[list[Leak], list[str]]:
        """Return the leaks, and notes: what the embedding warns of, and that no face could be compared."""
        embedder = self.engine.face_embedder(plan.embedding)
        hidden = regions or self.engine.locate(source, replace(plan, people=None))
        leaks, compared = identity_leaks(file, source, hidden.frames, embedder, self.limits)
        return leaks, [note for note in (warning_of(embedder), None if compared else NO_LANDMARKS) if note]

    def _look_at_source(self, search: Plan | None, plan: Plan) -> Look | None:
        """Return what locates objects in frames of the source as they were searched in the file."""
        if search is None:
            return None
        work = self.engine.check(second_detector.search_of_source(search, plan))
        return lambda frame: locate_in_frame(frame, work, self.limits)

    @contextmanager
    def _source(self, against: Path | media.BytesSource | None) -> Iterator[media.Reader | None]:
        if against is None:
            yield None
            return
        with media.open_source(against, self.limits) as before:
            yield before


def _frame_leaks(
    check: FrameCheck, after: media.Reader, before: media.Reader | None, progress: Progress | None
) -> tuple[list[Leak], int]:
    """Return the leaks of all frames of a file that have a frame in its source, and the number of these frames."""
    leaks: list[Leak] = []
    frames = 0
    for pair in _pairs(after, before):
        if pair.after is None or (before is not None and pair.before is None):
            relation = "more" if pair.before is None else "fewer"
            leaks.append(Leak("frames", f"the file has {relation} frames than its source; the first {frames} match"))
            break
        frames += 1
        seconds = check.seconds_of(pair.after)
        leaks.extend(replace(leak, seconds=seconds) for leak in check.leaks_in(pair))
        if progress is not None:
            progress(frames, None)
    return leaks, frames


def _pairs(after: media.Reader, before: media.Reader | None) -> Iterator[FramePair]:
    """Yield the frames of the file, each with its frame of the source when there is one."""
    if before is None:
        yield from (FramePair(frame, None) for frame in after.frames())
        return
    animated = isinstance(after.info, media.ImageInfo) and after.info.coding.animated
    fewer = (after.info.frames or 0) < (before.info.frames or 0)
    single = isinstance(after.info, media.ImageInfo) and fewer and before.info.fps is not None
    yield from (pair_merged if fewer and (animated or single) else pair_in_order)(after.frames(), before.frames())


def _has_only_zones(plan: Plan) -> bool:
    """Tell whether the plan hides fixed zones only, so that nothing has to be detected."""
    return all(rule.locate.name == "fixed" for rule in plan.rules)


_NOBODY = Annotations(1, 1, {})
"""Finds no regions: the check prepares the plan for its techniques only."""


def _side_content_leaks(file: Path, plan: Plan, limits: Limits) -> tuple[list[Leak], list[str]]:
    """Return leaks for metadata and streams that should have been removed, and notes on those to examine by hand."""
    leaks, notes = [], []
    contents = beside(file, limits)
    for item in contents:
        is_wanted = item.kinds & set(plan.metadata)
        allowed = (item.kind == "audio" and plan.video.audio != "drop") or (
            item.kind == "subtitles" and plan.video.subtitles != "drop" and plan.video.mute is None
        )
        if item.ordinary:
            notes.append(f"the file contains {item.description}; programs write it, and it may hold anything")
        elif not is_wanted and not allowed:
            leaks.append(Leak(item.kind, f"the file still contains {item.description}"))
    if plan.video.audio == "silence" and any(item.kind == "audio" for item in contents):
        leaks += [
            Leak("audio", f"stream {index} should be silent but is not") for index in audible_streams(file, limits)
        ]
    return leaks, notes
