"""How long sound files state that they are: headers that FFmpeg trusts, although pipes and broken recorders write them.

A program that writes a WAV into a pipe cannot go back to its header, and leaves 0 or the largest number there as the
length of the sound. FFmpeg then marks the last packet as damaged, as it does in a file that is truncated.
"""

from collections.abc import Iterator
from fractions import Fraction

from velum.errors import BadInput
from velum.media.containers import FileBytes, Part, riff_chunks

_WAVE_HEAD_BYTES, _FORMAT_BYTES = 12, 16
_MOST_CHUNKS = 10_000
_MAX_CHANNELS, _MAX_RATE = 512, (1 << 31) - 1
"""What FFmpeg takes."""

_UNKNOWN = (range(0x7FFFF000, 0x80001000), range(0xFFFFF000, 1 << 32))
"""Lengths that stand for an unknown one: the largest numbers of 31 and 32 bits, less the bytes of a header."""

_FLAC_HEAD_BYTES, _ID3_HEAD_BYTES = 42, 10
_XING, _XING_PLACES = (b"Xing", b"Info"), (36, 21, 13)
"""Names of the tag in the first frame of an MP3 that counts its frames, and where it may be in that frame."""

_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}
"""Samples per second by the version in a frame's header (ISO/IEC 13818-3, 2.4.2.3, and MPEG-2.5)."""


def wave_patches(file: FileBytes, size: int, name: object) -> dict[int, bytes]:
    """Return the bytes, by offset, with which the header of a WAV of `size` bytes states how much sound follows.

    Empty where it does so already. Raises `BadInput` for a format that is none, and where no sound follows.
    """
    chunks = {chunk.name: chunk for chunk in _wave_chunks(file, size)}
    if b"fmt " not in chunks or b"data" not in chunks:
        return {}
    start = chunks[b"fmt "].content
    head = file[start : start + _FORMAT_BYTES]
    _check_format(head, name)
    block = max(1, int.from_bytes(head[12:14], "little"))
    data, stated = chunks[b"data"], _stated_bytes(file, chunks)
    there = size - data.content
    found = min(there, there if _is_unknown(file, data, stated, size) else stated) // block * block
    if not found:
        raise BadInput(f"cannot read {name}: it has no samples; copy the file again")
    if found == stated:
        return {}
    if b"ds64" in chunks:
        return {chunks[b"ds64"].content + 8: found.to_bytes(8, "little")}
    return {data.start + 4: min(found, _UNKNOWN[1].stop - 1).to_bytes(4, "little")}


def wave_block_bytes(file: FileBytes, size: int) -> int:
    """Return how many bytes a WAV states as the size of its blocks; 0 where it states no format."""
    start = next((chunk.content for chunk in _wave_chunks(file, size) if chunk.name == b"fmt "), None)
    return 0 if start is None else int.from_bytes(file[start + 12 : start + 14], "little")


def find_wave_truncation(file: FileBytes, size: int) -> str | None:
    """Return how a WAV has less sound than its header states, as text; None where it is whole, or states nothing."""
    chunks = {chunk.name: chunk for chunk in _wave_chunks(file, size)}
    if b"data" not in chunks:
        return None
    data, stated = chunks[b"data"], _stated_bytes(file, chunks)
    there = size - data.content
    if stated <= there or _is_unknown(file, data, stated, size):
        return None
    return f"it has {there:,} bytes of sound of {stated:,}"


def _wave_chunks(file: FileBytes, size: int) -> Iterator[Part[bytes]]:
    """Yield the chunks of a WAV up to that with its sound."""
    for number, chunk in enumerate(riff_chunks(file, _WAVE_HEAD_BYTES, size)):
        yield chunk
        if chunk.name == b"data" or number == _MOST_CHUNKS:
            return


def _stated_bytes(file: FileBytes, chunks: dict[bytes, Part[bytes]]) -> int:
    """Return the bytes of sound that the header states: in RF64 (EBU Tech 3306, 3.5), those of its chunk ds64."""
    data = chunks[b"data"]
    if (long := chunks.get(b"ds64")) is not None:
        return int.from_bytes(file[long.content + 8 : long.content + 16], "little")
    return data.end - data.content + data.missing


def _is_unknown(file: FileBytes, data: Part[bytes], stated: int, size: int) -> bool:
    """Tell whether a stated length says that the writer did not know it."""
    if stated == 0:
        # An empty sound may have other chunks behind it; what is none of these is sound.
        following = next(riff_chunks(file, data.content, size), None)
        return following is None or bool(following.missing) or not following.name.isalnum()
    return any(stated in lengths for lengths in _UNKNOWN) or stated >= 1 << 62


def _check_format(head: bytes, name: object) -> None:
    for what, value, most in (
        ("channels", int.from_bytes(head[2:4], "little"), _MAX_CHANNELS),
        ("samples per second", int.from_bytes(head[4:8], "little"), _MAX_RATE),
    ):
        if not 1 <= value <= most:
            raise BadInput(
                f"cannot read {name}: its header states {value:,} {what}; allowed are 1 to {most:,}; correct its header"
            )


def stated_seconds(file: FileBytes, format: str) -> Fraction | None:
    """Return the length that the header of a FLAC or an MP3 states; None where it states none, and for others."""
    if format == "FLAC":
        return _stated_by_flac(file[0:_FLAC_HEAD_BYTES])
    return _stated_by_mp3(file) if format == "MP3" else None


def _stated_by_flac(head: bytes) -> Fraction | None:
    """Return what the first block states, of which the number of samples may be 0 (RFC 9639, 8.2)."""
    packed = int.from_bytes(head[18:26])
    rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    return Fraction(samples, rate) if len(head) == _FLAC_HEAD_BYTES and rate and samples else None


def _stated_by_mp3(file: FileBytes) -> Fraction | None:
    """Return what the tag Xing or Info in the first frame states; None without such a tag, or without frames in it."""
    tags = file[0:_ID3_HEAD_BYTES]
    # ID3 2.4.0, 3.1: the length has seven bits in each byte.
    length = sum((value & 0x7F) << shift for value, shift in zip(tags[6:10], (21, 14, 7, 0), strict=False))
    at = _ID3_HEAD_BYTES + length if tags.startswith(b"ID3") else 0
    head = file[at : at + _XING_PLACES[0] + 12]
    place = next((place for place in _XING_PLACES if head[place : place + 4] in _XING), None)
    if place is None or not head[place + 7] & 1:
        return None
    version, rate = head[1] >> 3 & 3, head[2] >> 2 & 3
    if version not in _MP3_RATES or rate == 3:
        return None
    frames = int.from_bytes(head[place + 8 : place + 12])
    return Fraction(frames * (1152 if version == 3 else 576), _MP3_RATES[version][rate])
