"""Writing videos: pictures in, one finished file out, or nothing.

Errors of PyAV while writing are translated here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import av

from velum.errors import BadPlan, OutputFailed, VelumError
from velum.frame import Frame
from velum.media.sink import ensure_free, keep_original, publish
from velum.media.video import remux
from velum.media.video.codecs import recipe
from velum.media.video.containers import CONTAINERS, container_for
from velum.media.video.info import VideoInfo
from velum.media.video.pixels import native_of, widened
from velum.media.video.remux import Companions
from velum.plan import Plan

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_LARGEST_TIMESCALE = (1 << 31) - 1


class VideoWriter:
    """One target. Use it in a `with` block: leaving it well publishes the file, leaving it with an error does not.

    `sha256`, `encoding` and `warnings` hold for the published file.
    """

    def __init__(self, target: Path, like: VideoInfo, plan: Plan, *, overwrite: bool) -> None:
        self._target, self._like, self._plan, self._overwrite = target, like, plan, overwrite
        self._format = container_for(target)
        self._kind = CONTAINERS[self._format]
        keep_original(target, like.source)
        ensure_free(target, overwrite=overwrite)
        self._recipe = recipe(like, plan.video, self._format)
        self._tracks = remux.chosen(like, plan.video, self._format)
        self._stack = ExitStack()
        self._count = self._shifted = 0
        self._pending: dict[int, tuple[int, int]] = {}
        self._tick = Fraction(1) / self._recipe.rate if self._format == "AVI" else self._kind.tick
        self.sha256: str | None = None

    @property
    def encoding(self) -> str:
        """How the pictures were encoded, for the report."""
        return self._recipe.encoding

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to doubt, for the report."""
        notes = [*self._like.notes, *self._like.reading.warnings, *self._recipe.warnings]
        if self._shifted:
            notes.append(f"{self._shifted} time stamps were rounded: {self._format} counts in {self._tick} s")
        return (*notes, *remux.warnings(self._tracks, self._plan.video))

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._part = stack.enter_context(publish(self._target, overwrite=self._overwrite))
            with self._translated():
                self._container = self._opened(stack)
                self._stream = self._added()
                self._companions = Companions(
                    self._like, self._tracks, self._container, self._plan.video, self._format
                )  # fmt: skip
                stack.callback(self._companions.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        """Take the next frame; its buffers are the writer's from now on.

        Raises `OutputFailed` when it is not the one that is due or cannot be written.
        """
        if frame.index != self._count or frame.time is None:
            raise OutputFailed(
                f"cannot write {self._target}: frame {frame.index} came, number {self._count} was due; "
                f"nothing was published"
            )
        coding = self._like.coding
        if len(frame.planes) != len(coding.layout.roles):
            raise BadPlan(
                f"cannot write {self._target}: the video has {len(coding.layout.roles)} planes, "
                f"this frame has {len(frame.planes)}"
            )
        with self._translated():
            self._mux(self._stream.encode(self._native(frame)))
        self._count += 1

    def _opened(self, stack: ExitStack) -> "OutputContainer":
        options = dict(self._kind.options) | {"fflags": "+bitexact"}
        if self._kind.muxer in {"mp4", "mov"}:
            # Without it, the start of a stream is kept in milliseconds only.
            scale = self._like.coding.time_base.denominator
            options["movie_timescale"] = str(scale * max(1, min(100, 90_000 // scale)))
        container = av.open(str(self._part), "w", format=self._kind.muxer, container_options=options)
        stack.callback(_abandon, container)
        return container

    def _added(self) -> "VideoStream":
        made, coding = self._recipe, self._like.coding
        stream = cast("VideoStream", self._container.add_stream(made.encoder, rate=made.rate, options=made.options))
        context = stream.codec_context
        context.width, context.height = coding.stored_width, coding.stored_height
        context.pix_fmt = _taken(made.encoder, made.layout.name)
        context.time_base = made.time_base
        stream.time_base = made.time_base if self._format == "AVI" else coding.time_base
        context.color_range = (2 if coding.colour.full_range else 1) if coding.colour.range_stated else 0
        context.color_primaries, context.color_trc = coding.colour.primaries, coding.colour.transfer
        context.colorspace = coding.colour.matrix
        if coding.aspect:
            context.sample_aspect_ratio = coding.aspect
        if coding.matrix:
            stream.set_display_matrix(coding.matrix)
        if made.codec == "hevc" and self._kind.muxer in {"mp4", "mov"}:
            context.codec_tag = "hvc1"
        return stream

    def _native(self, frame: Frame) -> av.VideoFrame:
        """Return the frame as the encoder takes it, with the time stamp it is to have there."""
        coding, made = self._like.coding, self._recipe
        native = native_of(frame, coding.layout)
        time = cast("Fraction", frame.time)
        stamp, duration = round(time / coding.time_base), native.duration
        if made.layout != coding.layout and made.layout.scales == ((1, 1),) * len(coding.layout.scales):
            native = widened(native, coding.layout, made.layout)
        if self._tick and (time / self._tick).denominator != 1:
            self._shifted += 1
        native.time_base = made.time_base
        native.pts = self._count if made.counts else stamp
        native.pict_type = 0
        self._pending[native.pts] = (stamp, duration)
        return native

    def _mux(self, packets: "list[Packet[Any]]") -> None:
        base = self._like.coding.time_base
        for packet in packets:
            stamp, duration = self._pending.pop(packet.pts or 0, (None, 0))
            if self._recipe.counts and stamp is not None:
                packet.pts = packet.dts = stamp
                packet.time_base = base
            if duration:
                packet.duration = duration
            decoded = packet.dts if packet.dts is not None else packet.pts
            self._companions.until((decoded or 0) * base)
            self._container.mux(packet)

    def _finish(self) -> None:
        reading = self._like.reading
        if not reading.finished or self._count != reading.frames:
            raise OutputFailed(
                f"cannot write {self._target}: only {self._count} of the video's frames came; nothing was published"
            )
        with self._translated():
            self._mux(self._stream.encode(None))
            self._companions.until(None)
            self._container.close()
            with self._part.open("rb") as file:
                self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if self._companions.skipped:
            self._recipe.warnings.append(f"{self._companions.skipped} damaged packets of sound were left out")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except VelumError:
            raise
        except (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OutputFailed(f"cannot write {self._target}: {reason}; nothing was published") from error


def _taken(encoder: str, layout: str) -> str:
    """Return the encoder's own name of a layout of red, green and blue; any other stays."""
    offered = {one.name for one in av.codec.Codec(encoder, "w").video_formats or ()}
    others = {
        "rgb24": ("rgb24", "gbrp", "bgr0"), "rgba": ("rgba", "gbrap", "bgra"), "rgb48le": ("rgb48le", "gbrp16le"),
    }.get(layout, ())  # fmt: skip
    return next((name for name in others if name in offered), layout)


def _abandon(container: "OutputContainer") -> None:
    """Close what may be half-written: the file is about to go, so what stops its last bytes matters no more."""
    with suppress(av.FFmpegError, OSError, ValueError):
        container.close()
