"""One pass over a video: every frame that the file announces, in order, or an error that says where it is damaged."""

from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any

import av

from velum.errors import BadInput
from velum.media.video import alpha
from velum.media.video.bitstream import Ffv1Checksums
from velum.media.video.expected_pts import ExpectedPts, ShownPts
from velum.media.video.file_input import RESETTABLE_CLOCKS, Demuxer, decode_strictly
from velum.media.video.info import VideoSource
from velum.media.video.packets import ClockedPacket, PacketClock, is_hidden_packet, resolve_joins, wait_for_first_pts
from velum.media.video.pixel_formats import FramePool, VideoFrame, blacken, copy_frame, planes_of, refit
from velum.media.video.probe import refuse_encrypted, stated_seconds, to_fraction
from velum.report import say_count

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


_END_TOLERANCE_SECONDS = 1.0
"""How much earlier than the header says the last packet of a Matroska or AVI file may end."""

_PROBED = 32
"""Packets whose time stamps tell the order in which they are stored."""

_FULL_RANGE = 2
"""FFmpeg's `AVColorRange` of samples that use their full range."""


class DecodePass:
    """One pass over a source that decodes all frames."""

    def __init__(self, source: VideoSource) -> None:
        info = source.info
        self._source, self._info, self._coding, self._limits = source, info, info.coding, source.limits
        self._timeline = ExpectedPts()
        self._clock = PacketClock(info.format)
        self._shown_pts = ShownPts(max(1, round(1 / self._coding.rate / self._coding.time_base)))
        self._pool = FramePool(self._coding.stored_width, self._coding.stored_height, self._coding.layout)
        self._checksums = Ffv1Checksums() if self._coding.codec == "ffv1" else None
        # AVI stores the order of frames, but no time stamps; so do some writers of MXF.
        self._ordered = info.format == "AVI" or (info.format == "MXF" and self._is_in_coding_order())
        self._flushed = False
        self._unstamped = False
        self._packets = self._count = self._left_out = self._untimed = 0
        self._end_seconds = Fraction(0)
        self._first_pts: int | None = None
        self._last_pts: int | None = None
        self._covered: list[str] = []
        self._sizes: dict[tuple[int, int], int] = {}
        self._formats: dict[str, int] = {}
        self._other_range = False
        self._reason = ""

    def _is_in_coding_order(self) -> bool:
        """Tell whether frames are stored in another order than they are shown in, and time stamps count the former."""
        with self._source.file.open(self._limits) as container:
            stream = next(candidate for candidate in container.streams.video if candidate.index == self._coding.stream)
            stamps = [(packet.pts, packet.dts) for packet in islice(container.demux(stream), _PROBED) if packet.size]
            return bool(stream.codec_context.has_b_frames) and all(pts == dts for pts, dts in stamps)

    def frames(self) -> "Generator[VideoFrame]":
        """Yield every frame; at the end, note warnings and the number of frames in the `ReadState`."""
        state = self._source.state
        state.begin()
        with self._source.file.open(self._limits) as container:
            stream = next(candidate for candidate in container.streams.video if candidate.index == self._coding.stream)
            if not stream.codec_context.is_open:
                decode_strictly(stream, self._limits, sliced=self._coding.sliced)
            beside = self._coding.layout.alpha and self._coding.codec in alpha.SIDE_ALPHA_CODECS
            self._decoder = alpha.create_alpha_decoder(stream, self._limits) if beside else stream.codec_context
            for decoded in self._decode(container, stream):
                yield from self._emit(decoded) if decoded else self._emit_placeholder()
                del decoded  # or its buffers would be held while the next one is decoded
            for pts in self._timeline.take_missing():
                yield self._black_frame(pts)
            self._check_end(container, stream)
        state.warnings += self._summarise_warnings()
        state.frames, state.finished = self._count, True

    def _decode(self, container: Demuxer, stream: "VideoStream") -> Iterator[av.VideoFrame | None]:
        """Yield decoded frames; None for a frame that is lost and has no time stamp."""
        for clocked in self._packets_on_one_clock(container):
            packet = clocked.packet
            if packet.stream.index != stream.index:
                self._extend(packet)
                continue
            if clocked.clock_reset:
                yield from self._try_decode(None)
                self._decoder.flush_buffers()
                self._timeline.begin_anew()
            if packet.size:
                self._announce(clocked)
            yield from self._try_decode(packet)
        if not self._flushed:
            yield from self._try_decode(None)

    def _try_decode(self, packet: "Packet[Any] | None") -> Iterator[av.VideoFrame | None]:
        self._flushed = packet is None or not packet.size
        try:
            yield from self._decoder.decode(packet)
        except av.FFmpegError as error:
            # With time stamps, the next frame shows which one is missing.
            self._reason = error.strerror or type(error).__name__
            untimed = packet is not None and packet.pts is None
            if (self._ordered or untimed) and not self._flushed:
                yield None

    def _packets_on_one_clock(self, container: Demuxer) -> Iterator[ClockedPacket]:
        joined = self._source.file.has_join if self._info.format in RESETTABLE_CLOCKS else None
        coming = resolve_joins(self._demux(container), self._clock, joined)
        if self._ordered:
            return coming
        return wait_for_first_pts(coming, self._coding.stream, self._shown_pts)

    def _demux(self, container: Demuxer) -> "Iterator[Packet[Any]]":
        packets = container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self._break_off(error.strerror or type(error).__name__)
                return
            if packet is None:
                return
            yield packet

    def _break_off(self, reason: str) -> None:
        self._refuse_damage(f"reading fails from here on: {reason}")
        self._source.state.warnings.append(f"the video broke off after {self._position_text(None)}: {reason}")

    def _announce(self, clocked: ClockedPacket) -> None:
        packet = clocked.packet
        refuse_encrypted(packet, self._source.file)
        if not self._coding.layout.alpha:
            alpha.refuse_late_alpha(self._coding.codec, packet, self._source.file)
        self._packets += 1
        self._extend(packet)
        damaged = clocked.damaged
        if damaged:
            self._reason = "a packet is marked as damaged"
        elif self._checksums and self._checksums.is_damaged(bytes(packet), key=packet.is_keyframe):
            damaged, self._reason = True, "a checksum does not fit"
        stamp = packet.dts if self._ordered else packet.pts
        silent = not self._ordered and is_hidden_packet(self._coding.codec, packet)
        if silent:
            return
        key, shown = packet.is_keyframe, not packet.is_discard
        if stamp is None:
            self._unstamped = self._unstamped or shown
            decodable = self._timeline.begin(key=key)
        else:
            decodable = self._timeline.announce(stamp, key=key, damaged=damaged, shown=shown)
        self._left_out += shown and not decodable

    def _extend(self, packet: "Packet[Any]") -> None:
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * to_fraction(packet.time_base)
            self._end_seconds = max(self._end_seconds, end)

    def _emit(self, decoded: av.VideoFrame) -> Iterator[VideoFrame]:
        """Yield the frame, after a black frame for each one that is missing before it."""
        self._limits.check("pixels", decoded.width * decoded.height, str(self._info.source))
        pts = self._pts_of(decoded)
        if pts is None and self._ordered:
            self._refuse_damage("it has more frames than packets")
        if pts is None:
            self._untimed += not self._ordered
            return
        missing, damaged = self._timeline.check_off(pts)
        for lost in missing:
            yield self._black_frame(lost)
        if decoded.is_corrupt or damaged:
            self._reason = self._reason or "the frame is marked as damaged"
            yield self._black_frame(pts, decoded)
        else:
            resized = (decoded.width, decoded.height) != (self._coding.stored_width, self._coding.stored_height)
            yield self._make_frame(
                self._copy_to_buffer(decoded, resized=resized), pts, decoded.duration, resized=resized
            )

    def _pts_of(self, decoded: av.VideoFrame | None) -> int | None:
        """Return the time stamp of a frame, or of a lost frame (None); None for a frame to leave out."""
        if decoded is not None and decoded.pts is not None and not self._ordered:
            return decoded.pts
        due = self._timeline.next_pts()
        if self._ordered or (due is not None and not self._unstamped):
            return due
        return self._shown_pts.derive_pts(due)

    def _emit_placeholder(self) -> Iterator[VideoFrame]:
        pts = self._pts_of(None)
        if pts is None:
            self._untimed += not self._ordered
            return
        self._timeline.check_off(pts)
        yield self._black_frame(pts)

    def _make_frame(self, native: av.VideoFrame, pts: int, duration: int = 0, *, resized: bool = False) -> VideoFrame:
        coding, info, pts = self._coding, self._info, self._shown_pts.make_increasing(pts)
        native.pts, native.time_base, native.duration = pts, coding.time_base, duration
        if self._first_pts is None:
            self._first_pts = self._source.state.origin = pts
        time = (pts - self._first_pts) * coding.time_base
        self._limits.check("seconds", int(time), str(info.source))
        self._limits.check("video_frames", self._count + 1, str(info.source))
        index, self._count, self._last_pts = self._count, self._count + 1, pts
        planes = planes_of(native, coding.layout, limited=not coding.colour.full_range)
        return VideoFrame(
            planes, info.width, info.height, index, time, coding.orientation, native=native, given=planes,
            resized=resized,
        )  # fmt: skip

    def _black_frame(self, pts: int, like: av.VideoFrame | None = None) -> VideoFrame:
        self._refuse_damage(self._reason or "the frame is missing", pts)
        self._covered.append(self._position_text(pts))
        self._reason = ""
        coding = self._coding
        native = self._pool.take()
        native.color_range = 2 if coding.colour.full_range else 1
        blacken(native, coding.layout, limited=not coding.colour.full_range)
        return self._make_frame(native, pts, like.duration if like else 0)

    def _position_text(self, pts: int | None) -> str:
        at = pts if pts is not None else self._last_pts
        first = at if self._first_pts is None else self._first_pts
        seconds = 0.0 if at is None or first is None else float((at - first) * self._coding.time_base)
        return f"frame {self._count} at {seconds:.3f} s"

    def _refuse_damage(self, reason: str, pts: int | None = None) -> None:
        if not self._source.cover_damage:
            raise BadInput(
                f"cannot read {self._info.source}: it is damaged at {self._position_text(pts)}: {reason}; copy the "
                f"file again, or have damaged frames covered (on_damage = cover)"
            )

    def _copy_to_buffer(self, decoded: av.VideoFrame, *, resized: bool) -> av.VideoFrame:
        """Return the frame in a buffer of the pool, scaled to the size of the first frame where `resized`."""
        coding, size = self._coding, (decoded.width, decoded.height)
        self._note_format(decoded)
        if not resized:
            return copy_frame(decoded, coding.layout, self._pool.take())
        self._sizes[size] = self._sizes.get(size, 0) + 1
        copy, limited = copy_frame(decoded, coding.layout), not coding.colour.full_range
        return refit(copy, coding.layout, self._pool.take(), limited=limited)

    def _note_format(self, decoded: av.VideoFrame) -> None:
        """Note when a frame has another pixel format or range than the first frame."""
        layout, name = self._coding.layout, decoded.format.name
        plain = name.replace("yuvj", "yuv")
        if plain not in {layout.name, self._coding.native.replace("yuvj", "yuv")}:
            self._formats[plain] = self._formats.get(plain, 0) + 1
        full = decoded.color_range == _FULL_RANGE or plain != name
        self._other_range = self._other_range or (
            full != self._coding.colour.full_range and not layout.rgb and not layout.grey
        )

    def _check_end(self, container: Demuxer, stream: "VideoStream") -> None:
        if not self._count:
            raise BadInput(f"cannot read {self._info.source}: it holds no frame; give a video file")
        if self._source.file.is_stopped:
            return
        # The header of an AVI counts units of time, not frames.
        # An edit list may leave some packets out.
        file, counted = self._source.file, 0 if self._ordered else stream.frames
        if self._packets < counted and file.count_packets(stream.index, self._limits) < counted:
            self._report_missing_end(f"only {self._packets} of {counted} frames are there")
        elif self._info.format in {"MKV", "WEBM", "AVI"}:
            start = float((self._first_pts or 0) * self._coding.time_base)
            stated = stated_seconds(container, start) or 0
            if float(self._end_seconds) - start < stated - max(_END_TOLERANCE_SECONDS, stated / 100):
                self._report_missing_end(f"it ends at {float(self._end_seconds) - start:.3f} s of {stated:.3f} s")

    def _report_missing_end(self, reason: str) -> None:
        self._refuse_damage(reason)
        self._source.state.warnings.append(f"the video is shorter than its header says: {reason}")

    def _summarise_warnings(self) -> Iterator[str]:
        if self._covered:
            shown = "; ".join(self._covered[:10]) + ("; ..." if len(self._covered) > 10 else "")
            counted = say_count(len(self._covered), "damaged or missing frame was", "damaged or missing frames were")
            yield f"{counted} made black: {shown}"
        if self._left_out:
            counted = say_count(
                self._left_out, "frame that cannot be decoded was", "frames that cannot be decoded were"
            )
            yield f"{counted} left out before the first key frame"
        for width, height in self._sizes:
            yield (
                f"frames of {width} x {height} were scaled to fit the first frame's "
                f"{self._coding.stored_width} x {self._coding.stored_height}; check that fixed regions still fit there"
            )
        for name, count in self._formats.items():
            first = self._coding.native.replace("yuvj", "yuv")
            counted = say_count(count, "frame has", "frames have")
            yield f"{counted} the pixel format {name}, converted to {first}, that of the first frame"
        if self._other_range:
            reach = "full" if self._coding.colour.full_range else "limited"
            yield (
                f"the range of samples changes within the video; the result states that of the first frame ({reach}) "
                f"for all, so contrast may be wrong from there on"
            )
        if self._untimed:
            counted = say_count(self._untimed, "frame was", "frames were")
            yield f"{counted} left out before the first time stamp, as players do"
        if self._shown_pts.derived:
            counted = say_count(self._shown_pts.derived, "frame has", "frames have")
            yield f"{counted} no time stamp in the file; velum computed one from the frame rate"
        if self._shown_pts.pushed:
            counted = say_count(self._shown_pts.pushed, "time stamp repeats or goes", "time stamps repeat or go")
            yield f"{counted} back; each was moved to just after the time stamp before it"
        if self._clock.resets:
            counted = say_count(self._clock.resets, "time", "times")
            yield f"the clock was reset {counted} (joined recordings); times go on without a gap"
