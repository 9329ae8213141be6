"""Encodes samples as an audio track: the encoder nearest to a codec, and frames of the size that it takes."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.audio.format import AudioFormat
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.codec.codec import Codec
from av.codec.context import CodecContext

from velum.errors import BadPlan, OutputFailed
from velum.media.sound.samples import Block, SampleFormat, format_of_track, mute
from velum.media.video.containers import SOUND_CONTAINERS, supported_codecs

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

_FALLBACKS = {
    "WAV": ("pcm_s16le",), "FLAC": ("flac",), "MP3": ("libmp3lame",), "OGA": ("libopus",), "WEBA": ("libopus",),
    "WEBM": ("libopus",), "MPEG": ("mp2",), "AVI": ("libmp3lame", "mp2"),
    "AIFF": (), "AU": (), "CAF": (), "W64": (),
}  # fmt: skip
_ENCODER_OF = {
    "opus": "libopus", "mp3": "libmp3lame", "amr_nb": "libopencore_amrnb", "adpcm_g722": "g722", "adpcm_g726": "g726",
}  # fmt: skip
_KEPT = (
    "aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus", "pcm_", "adpcm_g722", "adpcm_ima_wav", "adpcm_ms",
    "amr_nb", "wavpack", "wmav",
)  # fmt: skip
"""Prefixes of codecs that FFmpeg encodes well; others become the usual codec of the container."""

_SILENT = ("aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus", "pcm_f", "pcm_s", "pcm_u")
"""Prefixes of codecs in which samples of zero stay zero."""

BLOCK_CODECS = frozenset({"adpcm_ima_wav", "adpcm_ms"})
"""Codecs whose blocks are decoded each by itself."""

_BLOCK_BYTES = frozenset(1 << power for power in range(5, 14))
"""Sizes of blocks that FFmpeg writes."""

_LEAST_BITS = {"aac": 64_000, "mp3": 64_000, "mp2": 96_000, "opus": 32_000, "ac3": 64_000, "eac3": 48_000}
"""Bits per second and channel that are spent at least: the source may have used a better encoder."""

_MAX_BITS = {"mp3": 320_000, "mp2": 384_000, "ac3": 640_000, "eac3": 1_536_000, "opus": 510_000}
_STEPS = {
    "mp3": (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    "mp2": (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    "ac3": (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
}
"""Kilobits per second that a codec knows (ISO/IEC 11172-3, 2.4.2.3; ATSC A/52, 5.4.1.4)."""

_LARGE_FRAME = 4096
_HOLD_DELAY = frozenset({"MP4", "MOV", "3GP", "MKV", "WEBM", *SOUND_CONTAINERS})
"""Containers that state how many samples at the start of a track are not played."""

_MIXES = (("5.1", 6), ("stereo", 2), ("mono", 1))
"""Layouts to which channels are mixed where an encoder does not take those of the source, and their channels."""


def encoder_for(codec: str, format: str, *, setting: str) -> str:
    """Return FFmpeg's encoder for a codec, or for the usual codec of the format where that is not encoded.

    Raises `BadPlan`, with the plan's `setting`, where the format can hold no track that can be encoded.
    """
    is_kept = codec.startswith(_SILENT if setting == "silence" else _KEPT) and codec in supported_codecs(format)
    own = [_ENCODER_OF.get(codec, codec)] if is_kept else []
    for name in (*own, *_FALLBACKS.get(format, ("aac",))):
        if _exists(name) and supported_codecs(format) & {name, Codec(name, "w").canonical_name}:
            return name
    if format in SOUND_CONTAINERS:
        raise BadPlan(f"velum cannot write {codec} as {format}; convert the sound to WAV, FLAC or M4A first")
    raise BadPlan(f"video.audio is {setting}, but no audio track can be encoded for {format}; set video.audio to drop")


def _exists(name: str) -> bool:
    try:
        return Codec(name, "w").type == "audio"
    except ValueError:
        return False


class TrackEncoder:
    """An audio track of a result. Its sample format, `made`, is that of the blocks that it takes."""

    def __init__(
        self, source: "AudioStream", target: "OutputContainer", format: str, *, setting: str, bit_rate: int = 0,
        block_bytes: int = 0,
    ) -> None:  # fmt: skip
        codec = source.codec_context.codec.canonical_name
        name = encoder_for(codec, format, setting=setting)
        self.made, delay = _opened_format(name, source, bit_rate)
        options = {"block_size": str(block_bytes)} if name in BLOCK_CODECS and block_bytes in _BLOCK_BYTES else {}
        stream = cast("AudioStream", target.add_stream(name, rate=self.made.rate, options=options))
        _configure(stream.codec_context, self.made, bit_rate)
        stream.codec_context.time_base = Fraction(1, self.made.rate)
        stream.codec_context.open(strict=False)
        if source.language:
            stream.metadata["language"] = source.language
        self._stream = stream
        self._blocks: list[NDArray[Any]] = []
        self._count = 0
        self._next: int | None = None
        self._size = stream.codec_context.frame_size or _LARGE_FRAME
        self.block_samples = self._size if name in BLOCK_CODECS and name == codec else 0
        """Samples of each packet, where it is decoded without those before it and the source's has the same codec."""
        # Where a container cannot say that a track begins before time 0, whole packets of the encoder's delay go.
        self._lead = None if format in _HOLD_DELAY else -delay % self._size
        self._from_zero = format == "AVI"
        self.note = _describe_change(codec, Codec(name, "w").canonical_name, source, self.made)
        """What differs from the source's track, as text; empty where nothing does."""

    def encode(self, block: Block) -> "Iterator[Packet[Any]]":
        """Take the next block, and yield the packets that are complete. What lies before time 0 is left out."""
        if self._next is None:
            self._begin(block)
        self._take(block.samples[:, max(0, -block.start) :])
        while self._count >= self._size:
            yield from self._put(self._size)

    def flush(self) -> "Iterator[Packet[Any]]":
        """Yield the packets of all samples that are left."""
        if self._next is None:
            return
        if self._count:
            yield from self._put(self._count)
        yield from self._keep_packets(self._stream.encode(None))

    def _begin(self, block: Block) -> None:
        """Set the number of the first sample that is encoded, and take zeros before those of the first block."""
        start = max(0, block.start)
        self._next = 0 if self._from_zero else start
        zeros = start - self._next
        if self._lead is not None and self._next == 0:
            self._next -= self._lead
            zeros += self._lead
        silent = np.empty((self.made.channels, zeros), block.samples.dtype)
        mute(silent, slice(None))
        self._take(silent)

    def _take(self, samples: "NDArray[Any]") -> None:
        self._blocks.append(samples)
        self._count += samples.shape[1]

    def _keep_packets(self, packets: "Iterable[Packet[Any]]") -> "Iterator[Packet[Any]]":
        return (packet for packet in packets if self._lead is None or packet.pts is None or packet.pts >= 0)

    def _put(self, count: int) -> "Iterator[Packet[Any]]":
        joined = np.concatenate(self._blocks, axis=1) if len(self._blocks) > 1 else self._blocks[0]
        self._blocks, self._count = [joined[:, count:]], joined.shape[1] - count
        made, start = self.made, self._next or 0
        planar = made.format.endswith("p")
        data = joined[:, :count] if planar else joined[:, :count].T.reshape(1, -1)
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(data), format=made.format, layout=made.layout)
        frame.sample_rate, frame.pts, frame.time_base = made.rate, start, Fraction(1, made.rate)
        self._next = start + count
        yield from self._keep_packets(self._stream.encode(frame))


def _opened_format(name: str, source: "AudioStream", bit_rate: int) -> tuple[SampleFormat, int]:
    """Return the sample format nearest to the source's in which an encoder opens, and its delay in samples.

    Raises `OutputFailed` where there is none.
    """
    codec, context = Codec(name, "w"), source.codec_context
    rates = codec.audio_rates or [context.sample_rate]
    rate = context.sample_rate if context.sample_rate in rates else 48_000 if 48_000 in rates else max(rates)
    wanted = _sample_format(codec, context.format.name)
    own = format_of_track(source, format=wanted, rate=rate)
    mixed = [replace(own, format=wanted, layout=kind, channels=count) for kind, count in _MIXES if count < own.channels]
    reason = ""
    for made in (own, *mixed):
        trial = cast("AudioCodecContext", CodecContext.create(name, "w"))
        try:
            _configure(trial, made, bit_rate)
            trial.time_base = Fraction(1, rate)
            trial.open(strict=False)
            return made, _delay_of(trial, made)
        except (av.FFmpegError, ValueError) as error:
            reason = reason or getattr(error, "strerror", None) or str(error)
    raise OutputFailed(
        f"cannot encode {own.channels} channels at {rate} Hz as {codec.canonical_name}: {reason}; nothing was "
        f"published; drop the sound (audio = drop)"
    )


def _delay_of(trial: "AudioCodecContext", made: SampleFormat) -> int:
    """Return how many samples an open encoder adds before the first one, from a frame on trial."""
    size = trial.frame_size or _LARGE_FRAME
    data = np.zeros((made.channels, size) if made.format.endswith("p") else (1, size * made.channels), made.dtype)
    frame = AudioFrame.from_ndarray(data, format=made.format, layout=made.layout)
    frame.sample_rate, frame.pts, frame.time_base = made.rate, 0, Fraction(1, made.rate)
    packets = [*trial.encode(frame), *trial.encode(None)]
    return max((-(packet.pts or 0) for packet in packets), default=0)


def _configure(context: "AudioCodecContext", made: SampleFormat, bit_rate: int) -> None:
    context.format, context.layout, context.sample_rate = AudioFormat(made.format), AudioLayout(made.layout), made.rate
    if wanted := _bit_rate(context.codec.canonical_name, bit_rate, made.channels):
        context.bit_rate = wanted


def _describe_change(before: str, after: str, source: "AudioStream", made: SampleFormat) -> str:
    channels = source.codec_context.layout.nb_channels
    changes = [
        *([f"{before} cannot be encoded here, and became {after}"] if before != after else []),
        *([f"{channels} channels were mixed to {made.channels}"] if channels != made.channels else []),
    ]
    return f"audio track {source.index}: {'; '.join(changes)}" if changes else ""


def _sample_format(codec: Codec, decoded: str) -> str:
    """Return the sample format in which an encoder takes most of what was decoded."""
    names = [known.name for known in codec.audio_formats or []]
    plain = decoded.removesuffix("p")
    for name in (decoded, plain, f"{plain}p", "fltp", "flt", "s32p", "s32"):
        if name in names:
            return name
    return names[0] if names else decoded


def _bit_rate(codec: str, source: int, channels: int) -> int:
    """Return the bits per second for a lossy codec: those of the source or more; 0 for codecs that have no such."""
    if codec not in _LEAST_BITS:
        return source if codec.startswith("wmav") else 0
    wanted = min(max(source, _LEAST_BITS[codec] * channels), _MAX_BITS.get(codec, 1 << 30))
    return next((1000 * step for step in _STEPS.get(codec, ()) if 1000 * step >= wanted), wanted)
