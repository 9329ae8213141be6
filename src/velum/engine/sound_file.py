"""Hide speech in a sound file: the path of a source that has no frames."""

import time
from dataclasses import dataclass
from pathlib import Path

from velum import __version__
from velum.atomic import ensure_free, keep_original, publish
from velum.errors import BadPlan
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.media import StreamSink
from velum.media.sound.speech import require_detector, threshold_for
from velum.media.sound.transcript import WordSpans
from velum.plan import Plan
from velum.report import Report

METADATA_DROPPED = "metadata not kept: velum keeps no tags of sound files"


@dataclass(frozen=True, slots=True)
class SoundJob:
    """A sound file to hide speech in: its source, format, target and plan."""

    source: Path
    format: str
    target: Path | StreamSink
    plan: Plan
    limits: Limits
    overwrite: bool = False
    words: WordSpans | None = None
    """What is muted because of words."""


def hide_sound(job: SoundJob, *, has_regions: bool = False) -> Report:
    """Hide speech in a sound file, publish the result and return the report. Raises any `VelumError`."""
    from velum.media.sound import sound_file  # noqa: PLC0415  # images do without PyAV

    source, target, plan = job.source, job.target, job.plan
    if has_regions or isinstance(target, StreamSink):
        raise BadPlan(f"{source} is a sound file: it is written to a file, and has no regions; leave --regions out")
    sound_file.refuse_sound_target(source, target, job.format, plan)
    if threshold_for(plan.video.audio) is not None:
        require_detector()
    keep_original(target, source)
    ensure_free(target, overwrite=job.overwrite)
    start = time.perf_counter()
    cover = plan.video.on_damage == "cover"
    with (
        publish(target, overwrite=job.overwrite) as part,
        sound_file.open_sound(source, job.format, job.limits, cover_damage=cover) as opened,
    ):
        written = sound_file.write_sound(opened, part, plan, job.words)
        output, input_hash = sha256_of(part), opened.file.sha256
    notes = (*written.warnings, METADATA_DROPPED) if plan.metadata else written.warnings
    return Report(
        source=str(source), target=str(target), format=job.format, width=0, height=0, frames=0, hidden=(),
        plan=plan.digest, rules=tuple(map(str, plan.rules)), seconds={"sound": time.perf_counter() - start},
        input_sha256=input_hash, output_sha256=output, encoding=written.encoding, warnings=notes,
        version=__version__, sound=written.tracks,
    )  # fmt: skip
