"""Writes videos: frames in, one complete file out, or none.

Errors of PyAV while writing become `OutputFailed` here.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from velum.atomic import AtomicWriter, ensure_free, keep_original, publish
from velum.errors import OutputFailed, VelumError
from velum.file_hash import sha256_of_stream
from velum.frame import Frame
from velum.media.sound.transcript import WordSpans
from velum.media.sources import StreamSink
from velum.media.video.containers import format_for_target, open_muxer
from velum.media.video.embed_projection import PROJECTION_DROPPED, embed_projection
from velum.media.video.encoder_input import EncoderInput, add_encoded_stream, shift_packet
from velum.media.video.encoder_settings import choose_encoder
from velum.media.video.info import VideoSource
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.remux import PassthroughStreams
from velum.media.video.size_bound import source_size
from velum.media.video.smart_render import SmartRenderer, plan_smart_render
from velum.media.video.stream_selection import choose_tracks, drop_tracks_with_places
from velum.plan import Plan
from velum.report import say_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import OutputContainer
    from av.packet import Packet

_AVI_TICK = Fraction(1, 600)
"""FFmpeg writes no higher frame rate into an AVI, even if an uneven source seems to have one."""


class VideoWriter(AtomicWriter):
    """Writes one target. Use it in a `with` block: the file appears when the block ends without error, else not at all.

    `sha256`, `encoding` and `warnings` hold for the complete file. With `touched`, the numbers of all frames in which
    something is hidden, closed GOPs without such a frame are copied where that is possible. `words` are muted in the
    audio tracks.
    """

    def __init__(
        self, target: Path | StreamSink, source: VideoSource, plan: Plan, *, overwrite: bool,
        touched: Container[int] | None = None, words: WordSpans | None = None,
    ) -> None:  # fmt: skip
        like = source.info
        self._words = words
        self._target, self._source, self._like, self._plan = target, source, like, plan
        self._overwrite = overwrite
        self._format = format_for_target(target)
        self._sender = ForwardOnlyFile(target) if isinstance(target, StreamSink) else None
        if isinstance(target, Path):
            if isinstance(like.source, Path):
                keep_original(target, like.source)
            ensure_free(target, overwrite=overwrite)
        self._settings = choose_encoder(like, plan.video, self._format, source_size(source, plan.video))
        is_streamed = self._sender is not None
        self._choice = choose_tracks(source, plan.video, self._format, sent=is_streamed)
        self._kind = self._choice.container_for(plan.video, self._format, sent=is_streamed)
        super().__init__()
        self._count = self._shifted = 0
        self._ahead: Fraction | None = None
        self._tick = max(1 / self._settings.rate, _AVI_TICK) if self._format == "AVI" else self._kind.tick
        self._input = EncoderInput(source, self._settings, target, tick=self._tick, from_first=self._format == "AVI")
        self._smart = None if touched is None else self._plan_smart_render(touched)
        self.sha256: str | None = None

    @property
    def encoding(self) -> str:
        """How the frames were encoded, for the report."""
        return self._settings.encoding if self._smart is None else self._smart.encoding

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about source and result, for the report."""
        notes = [*self._like.notes, *self._source.state.warnings, *self._settings.warnings]
        if self._settings.size_bound is not None:
            notes += [*self._settings.size_bound.quality_warnings(), *self._settings.size_bound.size_warnings()]
        if self._shifted:
            counted = say_count(self._shifted, "time stamp was", "time stamps were")
            notes.append(f"{counted} rounded: {self._format} counts time in units of {self._tick} s")
        if self._input.delayed:
            counted = say_count(self._input.delayed, "frame is", "frames are")
            notes.append(f"{counted} shown a moment later: {self._format} cannot hold two frames at one time")
        return (*notes, *self._choice.warnings(self._plan.video))

    def _begin(self, stack: ExitStack) -> None:
        self._choice = drop_tracks_with_places(self._choice, self._source, self._plan)
        if isinstance(self._target, Path):
            self._part = stack.enter_context(publish(self._target, overwrite=self._overwrite))
        with self._translate_errors():
            self._container = self._open_container(stack)
            self._encode = self._add_video_stream(stack)
            self._companions = PassthroughStreams(
                self._source, self._choice, self._container, self._plan, self._format, self._words
            )
            stack.callback(self._companions.close)

    def write(self, frame: Frame) -> None:
        """Encode the next frame, which the caller must not use any more.

        Raises `OutputFailed` when it is not the next frame, or cannot be written.
        """
        if frame.index != self._count or frame.time is None:
            raise OutputFailed(
                f"cannot write {self._target}: frame {frame.index} came, but frame {self._count} was expected; "
                f"{self._outcome}"
            )
        with self._translate_errors():
            self._count_rounded_time(self._input.source_pts(frame.time) * self._like.coding.time_base)
            self._mux(self._encode(frame))
        self._count += 1

    @property
    def _outcome(self) -> str:
        """What an error leaves behind, for messages."""
        return "what was sent before is hidden, and the stream has no end" if self._sender else "nothing was published"

    def _open_container(self, stack: ExitStack) -> "OutputContainer":
        options = dict(self._kind.options) | {"fflags": "+bitexact"}
        if self._kind.muxer in {"3gp", "mp4", "mov"}:
            # Without it, the start of a stream is rounded to milliseconds.
            scale = self._like.coding.time_base.denominator
            options["movie_timescale"] = str(scale * max(1, min(100, 90_000 // scale)))
        place = self._sender or str(self._part)
        container = open_muxer(place, self._kind, options)
        stack.callback(_abandon, container)
        if self._sender:
            stack.callback(self._sender.break_off)  # before the container is closed, which would end the stream
        return container

    def _plan_smart_render(self, touched: Container[int]) -> SmartRenderer | None:
        smart = (
            "a stream as result cannot hold copied packets"
            if self._sender
            else plan_smart_render(self._source, self._settings, touched, self._format)
        )
        if isinstance(smart, SmartRenderer):
            return smart
        self._settings.warnings.append(f"smart had no effect, every frame was encoded: {smart}")
        return None

    def _add_video_stream(self, stack: ExitStack) -> "Callable[[Frame | None], Iterable[Packet[Any]]]":
        """Add the video stream; return the function that turns a frame into packets (None: flush the encoder)."""
        if self._smart is not None:
            stack.callback(self._smart.close)
        coding = self._like.coding
        stream = (
            self._smart.add_to(self._container, self._format)
            if self._smart
            else add_encoded_stream(self._container, self._settings, coding)
        )
        stream.time_base = self._settings.time_base if self._format == "AVI" else coding.time_base
        if coding.matrix:
            stream.set_display_matrix(coding.matrix)
        feed, smart = self._input, self._smart
        if smart is None:
            return lambda frame: stream.encode(None if frame is None else feed.to_native(frame))
        return lambda frame: smart.encode(
            None if frame is None else feed.to_native(frame), resized=isinstance(frame, VideoFrame) and frame.resized
        )

    def _count_rounded_time(self, time: Fraction) -> None:
        if self._tick and (time / self._tick).denominator != 1:
            self._shifted += 1

    def _mux(self, packets: "Iterable[Packet[Any]]") -> None:
        base = self._like.coding.time_base
        for packet in self._input.with_source_times(packets):
            if self._ahead is None:
                self._ahead = self._companions.ahead = self._clock_ahead()
            decoded = packet.dts if packet.dts is not None else packet.pts
            self._companions.mux_until((decoded or 0) * base)
            shift_packet(packet, self._ahead)
            self._container.mux(packet)

    def _clock_ahead(self) -> Fraction:
        """Return the seconds to add to the source's times, because not every container can start at any time.

        Players of MP4 skip what lies before 0, and an AVI would be padded with empty frames from 0 on. Other muxers
        shift negative times by themselves.
        """
        origin = self._source.state.origin * self._like.coding.time_base
        before = self._kind.muxer in {"3gp", "mp4", "mov"} and origin < 0
        return -origin if before or self._format == "AVI" else Fraction(0)

    @property
    def _whole(self) -> bool:
        """True when every frame was written."""
        return self._source.state.finished and self._count == self._source.state.frames

    def _finish(self) -> None:
        if not self._whole:
            raise OutputFailed(
                f"cannot write {self._target}: only {self._count} of the video's frames were decoded; {self._outcome}"
            )
        with self._translate_errors():
            self._mux(self._encode(None))
            self._companions.mux_until(None)
            self._container.close()
            self._embed()
            if self._sender:
                self.sha256 = self._sender.sha256
            else:
                with self._part.open("rb") as file:
                    self.sha256 = sha256_of_stream(file)
        self._settings.warnings.extend(self._companions.notes)
        self.sound = self._companions.sound(float(self._source.state.origin * self._like.coding.time_base))
        if self._companions.skipped_packets:
            counted = say_count(self._companions.skipped_packets, "damaged packet", "damaged packets")
            self._settings.warnings.append(f"left out: {counted} of audio or subtitles")
        if self._companions.untimed_packets:
            counted = say_count(self._companions.untimed_packets, "packet", "packets")
            self._settings.warnings.append(
                f"left out: {counted} of audio or subtitles before the first time stamp of their track"
            )

    def _embed(self) -> None:
        """Write the projection into the finished file; add a warning where that is not possible."""
        spherical = self._like.coding.spherical
        if spherical and (self._sender or not embed_projection(self._part, self._format, spherical)):
            self._settings.warnings.append(PROJECTION_DROPPED)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except VelumError:
            raise
        except (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OutputFailed(f"cannot write {self._target}: {reason}; {self._outcome}") from error


def _abandon(container: "OutputContainer") -> None:
    """Close a muxer of a file that is about to be deleted, and ignore its errors."""
    with suppress(av.FFmpegError, OSError, ValueError):
        container.close()


class ForwardOnlyFile:
    """A forward-only file object for PyAV."""

    def __init__(self, outlet: StreamSink) -> None:
        self._file, self._digest, self._broken_off = outlet.file, hashlib.sha256(), False

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes sent so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Send all of `data` at once, so that the receiver need not wait for more data; return its length."""
        if self._broken_off:
            raise ValueError("the stream was broken off")
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.flush()
        self._digest.update(data)
        return len(data)

    def break_off(self) -> None:
        """Discard everything from now on: an aborted stream must not look like a complete one."""
        self._broken_off = True
