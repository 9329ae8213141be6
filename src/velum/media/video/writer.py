"""Writing videos: pictures in, one finished file out, or nothing.

Errors of PyAV while writing are translated here.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from velum.atomic import ensure_free, keep_original, publish
from velum.errors import OutputFailed, VelumError
from velum.frame import Frame
from velum.media.atomic_writer import AtomicWriter
from velum.media.sources import StreamSink
from velum.media.video.containers import container_for, opened
from velum.media.video.encoder_input import EncoderInput, added, move
from velum.media.video.encoder_settings import recipe
from velum.media.video.info import VideoSource
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.projection import NOTE
from velum.media.video.remux import PassthroughStreams
from velum.media.video.smart_render import SmartRenderer, planned
from velum.media.video.stream_selection import choose, without_places
from velum.media.video.stream_sink import ForwardOnlyFile
from velum.media.video.write_projection import embed
from velum.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import OutputContainer
    from av.packet import Packet

_AVI_TICK = Fraction(1, 600)
"""FFmpeg writes no higher rate into an AVI, whatever rate an uneven source was taken to have."""


class VideoWriter(AtomicWriter):
    """One target. Use it in a `with` block: leaving it well publishes the file, leaving it with an error does not.

    `sha256`, `encoding` and `warnings` hold for the published file. With `touched`, the numbers of all frames in which
    something is hidden, groups of pictures without any are copied where that can be done.
    """

    def __init__(
        self, target: Path | StreamSink, source: VideoSource, plan: Plan, *, overwrite: bool,
        touched: Container[int] | None = None,
    ) -> None:  # fmt: skip
        like = source.info
        self._target, self._source, self._like, self._plan = target, source, like, plan
        self._overwrite = overwrite
        self._format = container_for(target)
        self._sender = ForwardOnlyFile(target) if isinstance(target, StreamSink) else None
        if isinstance(target, Path):
            if isinstance(like.source, Path):
                keep_original(target, like.source)
            ensure_free(target, overwrite=overwrite)
        self._recipe = recipe(like, plan.video, self._format)
        sent = self._sender is not None
        self._choice = choose(source, plan.video, self._format, sent=sent)
        self._kind = self._choice.muxing(plan.video, self._format, sent=sent)
        super().__init__()
        self._count = self._shifted = 0
        self._ahead: Fraction | None = None
        self._tick = max(1 / self._recipe.rate, _AVI_TICK) if self._format == "AVI" else self._kind.tick
        self._feed = EncoderInput(source, self._recipe, target, tick=self._tick, from_first=self._format == "AVI")
        self._smart = None if touched is None else self._planned(touched)
        self.sha256: str | None = None

    @property
    def encoding(self) -> str:
        """How the pictures were encoded, for the report."""
        return self._recipe.encoding if self._smart is None else self._smart.encoding

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to doubt, for the report."""
        notes = [*self._like.notes, *self._source.state.warnings, *self._recipe.warnings]
        if self._shifted:
            notes.append(f"{self._shifted} time stamps were rounded: {self._format} counts in {self._tick} s")
        if self._feed.spaced:
            notes.append(f"{self._feed.spaced} pictures come a moment later: {self._format} would give two one time")
        return (*notes, *self._choice.warnings(self._plan.video))

    def _begin(self, stack: ExitStack) -> None:
        self._choice = without_places(self._choice, self._source, self._plan)
        if isinstance(self._target, Path):
            self._part = stack.enter_context(publish(self._target, overwrite=self._overwrite))
        with self._translated():
            self._container = self._opened(stack)
            self._encode = self._prepared(stack)
            self._companions = PassthroughStreams(self._source, self._choice, self._container, self._plan, self._format)
            stack.callback(self._companions.close)

    def write(self, frame: Frame) -> None:
        """Take the next frame; its buffers are the writer's from now on.

        Raises `OutputFailed` when it is not the one that is due or cannot be written.
        """
        if frame.index != self._count or frame.time is None:
            raise OutputFailed(
                f"cannot write {self._target}: frame {frame.index} came, number {self._count} was due; {self._outcome}"
            )
        with self._translated():
            self._heed_tick(self._feed.stamp(frame.time) * self._like.coding.time_base)
            self._mux(self._encode(frame))
        self._count += 1

    @property
    def _outcome(self) -> str:
        """What a fault leaves behind."""
        return "what was sent before is hidden, and the stream has no end" if self._sender else "nothing was published"

    def _opened(self, stack: ExitStack) -> "OutputContainer":
        options = dict(self._kind.options) | {"fflags": "+bitexact"}
        if self._kind.muxer in {"3gp", "mp4", "mov"}:
            # Without it, the start of a stream is kept in milliseconds only.
            scale = self._like.coding.time_base.denominator
            options["movie_timescale"] = str(scale * max(1, min(100, 90_000 // scale)))
        place = self._sender or str(self._part)
        container = opened(place, self._kind, options)
        stack.callback(_abandon, container)
        if self._sender:
            stack.callback(self._sender.shut)  # before the container is closed, which would end the stream
        return container

    def _planned(self, touched: Container[int]) -> SmartRenderer | None:
        smart = "a stream is not copied" if self._sender else planned(self._source, self._recipe, touched, self._format)
        if isinstance(smart, SmartRenderer):
            return smart
        self._recipe.warnings.append(f"smart had no effect, every frame was encoded: {smart}")
        return None

    def _prepared(self, stack: ExitStack) -> "Callable[[Frame | None], Iterable[Packet[Any]]]":
        """Add the stream of pictures; return what makes packets of frames, and the last packets of None."""
        if self._smart is not None:
            stack.callback(self._smart.close)
        coding = self._like.coding
        stream = (
            self._smart.add_to(self._container, self._format)
            if self._smart
            else added(self._container, self._recipe, coding)
        )
        stream.time_base = self._recipe.time_base if self._format == "AVI" else coding.time_base
        if coding.matrix:
            stream.set_display_matrix(coding.matrix)
        feed, smart = self._feed, self._smart
        if smart is None:
            return lambda frame: stream.encode(None if frame is None else feed.native(frame))
        return lambda frame: smart.encode(
            None if frame is None else feed.native(frame), resized=isinstance(frame, VideoFrame) and frame.resized
        )

    def _heed_tick(self, time: Fraction) -> None:
        if self._tick and (time / self._tick).denominator != 1:
            self._shifted += 1

    def _mux(self, packets: "Iterable[Packet[Any]]") -> None:
        base = self._like.coding.time_base
        for packet in self._feed.stamped(packets):
            if self._ahead is None:
                self._ahead = self._companions.ahead = self._clock_ahead()
            decoded = packet.dts if packet.dts is not None else packet.pts
            self._companions.until((decoded or 0) * base)
            move(packet, self._ahead)
            self._container.mux(packet)

    def _clock_ahead(self) -> Fraction:
        """Return the seconds by which the result's clock is ahead of the source's: not each container can begin there.

        Players of MP4 skip what lies before 0, and an AVI would be filled with empty pictures from 0 on. The other
        muxers move negative times by themselves.
        """
        origin = self._source.state.origin * self._like.coding.time_base
        before = self._kind.muxer in {"3gp", "mp4", "mov"} and origin < 0
        return -origin if before or self._format == "AVI" else Fraction(0)

    @property
    def _whole(self) -> bool:
        """Whether every frame came."""
        return self._source.state.finished and self._count == self._source.state.frames

    def _finish(self) -> None:
        if not self._whole:
            raise OutputFailed(
                f"cannot write {self._target}: only {self._count} of the video's frames came; {self._outcome}"
            )
        with self._translated():
            self._mux(self._encode(None))
            self._companions.until(None)
            self._container.close()
            self._embed()
            if self._sender:
                self.sha256 = self._sender.sha256
            else:
                with self._part.open("rb") as file:
                    self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._recipe.warnings.extend(self._companions.notes)
        if self._companions.skipped:
            self._recipe.warnings.append(f"{self._companions.skipped} damaged packets of sound were left out")
        if self._companions.untimed:
            self._recipe.warnings.append(
                f"{self._companions.untimed} packets of sound before the first time stamp were left out"
            )

    def _embed(self) -> None:
        """Write how the pictures are projected into the finished file; say where that is not possible."""
        found = self._like.coding.spherical
        if found and (self._sender or not embed(self._part, self._format, found)):
            self._recipe.warnings.append(NOTE)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except VelumError:
            raise
        except (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OutputFailed(f"cannot write {self._target}: {reason}; {self._outcome}") from error


def _abandon(container: "OutputContainer") -> None:
    """Close what may be half-written: the file is about to go, so what stops its last bytes matters no more."""
    with suppress(av.FFmpegError, OSError, ValueError):
        container.close()
