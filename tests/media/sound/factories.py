"""Sounds that the tests make: speech by formant synthesis, noise, and files and videos with them."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Formants in hertz of five English vowels (Peterson and Barney 1952)."""

Wave = npt.NDArray[np.float64]


def speech(seconds: float, rate: int = 16_000, *, pitch: float = 120, seed: int = 0) -> Wave:
    """Syllables of vowels and hisses by formant synthesis, which a detector of speech takes for a voice."""
    rng = np.random.default_rng(seed)
    parts: list[Wave] = []
    phase = 0.0
    while sum(map(len, parts)) < seconds * rate:
        vowel, phase = _vowel(rng, round(rate * rng.uniform(0.14, 0.26)), rate, pitch, phase)
        hiss = np.diff(rng.standard_normal(round(rate * rng.uniform(0.03, 0.08)) + 1))
        parts += [vowel, 0.05 * hiss * np.hanning(len(hiss))]
    return np.concatenate(parts)[: round(seconds * rate)]


def _vowel(rng: np.random.Generator, count: int, rate: int, pitch: float, phase: float) -> tuple[Wave, float]:
    at = np.arange(count) / rate
    phases = phase + np.cumsum(pitch * (1 + 0.15 * rng.uniform(-1, 1) + 0.1 * np.sin(np.pi * at / at[-1]))) / rate
    pulses = np.diff(np.floor(phases), prepend=np.floor(phases[0]))
    wave = np.convolve(pulses, np.exp(-np.arange(40) / 8))[:count] + 0.01 * rng.standard_normal(count)
    spectrum, frequencies = np.fft.rfft(wave, 2 * count), np.fft.rfftfreq(2 * count, 1 / rate)
    for formant, width in zip(VOWELS[rng.integers(len(VOWELS))], (80, 90, 120), strict=True):
        pole = -np.pi * width + 2j * np.pi * formant
        s = 2j * np.pi * frequencies
        spectrum = spectrum * abs(pole) ** 2 / ((s - pole) * (s - pole.conjugate()))
    wave = np.fft.irfft(spectrum)[:count]
    envelope = np.minimum(1, np.minimum(at / 0.03, (at[-1] - at) / 0.05))
    return 0.5 * envelope * wave / np.abs(wave).max(), float(phases[-1])


def noise(seconds: float, rate: int = 16_000, *, level: float = 0.02, seed: int = 1) -> Wave:
    """Noise that drifts in level, so that its position can be found by correlation."""
    return level * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def talk(rate: int = 16_000, *, pitch: float = 120) -> Wave:
    """Three seconds of noise, with speech over it from second 1 to 2."""
    wave = noise(3, rate)
    wave[rate : 2 * rate] += speech(1, rate, pitch=pitch)
    return wave


def write_sound(
    path: Path, channels: Sequence[Wave], encoder: str, *, rate: int = 48_000, start: float = 0.0, format: str = "",
    bit_rate: int = 0, video: bool = False, muxer: str | None = None, tags: dict[str, str] | None = None,
    layout: str | None = None,
) -> Path:  # fmt: skip
    """Write a file with one audio track, which begins at `start` seconds, and a small video where `video` is true."""
    with av.open(str(path), "w", format=muxer) as container:
        container.metadata.update(tags or {})
        pictures = _add_video(container) if video else None
        stream = cast("AudioStream", container.add_stream(encoder, rate=rate))
        context = stream.codec_context
        context.layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
        if format:
            context.format = av.AudioFormat(format)
        if bit_rate:
            context.bit_rate = bit_rate
        context.open(strict=False)
        packets = [] if pictures is None else _encode_video(pictures, len(channels[0]) / rate)
        packets += _encode_audio(stream, np.stack(channels), rate, round(start * rate))
        container.start_encoding()
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux(packet)
    return path


def _add_video(container: Any) -> Any:
    stream = container.add_stream("mpeg4", rate=25)
    stream.codec_context.width = stream.codec_context.height = 64
    stream.codec_context.pix_fmt = "yuv420p"
    return stream


def _encode_video(stream: Any, seconds: float) -> list[Any]:
    packets: list[Any] = []
    for number in range(round(25 * seconds)):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 40 + number % 100, np.uint8), "rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += stream.encode(frame)
    return packets + list(stream.encode(None))


def _encode_audio(stream: AudioStream, wave: Wave, rate: int, start: int) -> list[Any]:
    context = stream.codec_context
    step = context.frame_size or 1024
    resampler = av.AudioResampler(context.format.name, context.layout.name, rate)
    packets: list[Any] = []
    for at in range(0, wave.shape[1], step):
        block = np.ascontiguousarray(wave[:, at : at + step].astype(np.float32))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, start + at, Fraction(1, rate)
        for ready in resampler.resample(frame):
            packets += stream.encode(ready)
    return packets + stream.encode(None)


def write_wave(
    path: Path, channels: Sequence[Wave], kind: str = "i2", *, rate: int = 16_000, riff: int | None = None,
    data: int | None = None, chunks: bytes = b"",
) -> Path:  # fmt: skip
    """Write a WAV byte by byte, of samples of a NumPy type; `riff` and `data` are lengths that its header states."""
    samples = np.stack(channels, axis=1)
    whole = samples * (1 << 15) if kind == "i2" else samples
    raw = whole.astype(f"<{kind}").tobytes()
    width = np.dtype(kind).itemsize
    tag, block = 3 if kind[0] == "f" else 1, len(channels) * width
    form = struct.pack("<HHIIHH", tag, len(channels), rate, rate * block & 0xFFFFFFFF, block, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + chunks
    body += b"data" + struct.pack("<I", len(raw) if data is None else data) + raw
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body)
    return path


def decode_sound(path: Path, number: int = 0) -> tuple[float, npt.NDArray[Any]]:
    """Time of the first sample in seconds, and all samples (channels, n) of an audio track, decoded without velum."""
    blocks, start = [], None
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        for frame in container.decode(stream):
            start = float((frame.pts or 0) * (frame.time_base or 0)) if start is None else start
            block = frame.to_ndarray()
            blocks.append(block if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels).T)
    return start or 0.0, np.concatenate(blocks, axis=1)


def lag_of(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> int:
    """Samples by which `after` lags `before`, by their cross-correlation."""
    size = 1 << (len(before) + len(after)).bit_length()
    product = np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size))
    lag = int(np.argmax(np.fft.irfft(product)))
    return lag - size if lag > size // 2 else lag
