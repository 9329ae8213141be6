"""Reads the structure of a file without FFmpeg: whether it is truncated, has an alpha track, or was joined.

Demuxers often read truncated files without an error.
"""

import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile

from velum.media.containers import MATROSKA_SEGMENT, FileBytes, Part, ebml_elements, iso_boxes, riff_chunks
from velum.media.sound.stated_length import find_wave_truncation

_MAX_PARTS = 100_000
"""Parts that are read at most: a hostile file may consist of very many tiny ones."""
_UNKNOWN_BYTES = 0xFFFFFF00
"""Lengths above this stand for an unknown one, in files that were written into a pipe."""

_LARGEST_INDEX = 256 << 20
_HANDLER = re.compile(rb"hdlr.{8}auxv", re.DOTALL)
_LETTERS = re.compile(rb"[ -~]{4}")
_ALPHA = b"auxiliary:alpha", b"hevc:2015:auxid:1"
"""How an alpha track declares itself (ISO/IEC 23008-12, 6.5.8)."""

TS_PACKETS = (188, 192, 204)
"""Bytes per packet of a transport stream: plain, with a time stamp (M2TS), with error correction (DVB)."""


def find_truncation(file: io.RawIOBase, size: int, format: str) -> str | None:
    """Return how a file of `size` bytes is shorter than its structure says, as text; None where it is whole."""
    match format:
        case "MP4" | "MOV" | "3GP" | "M4A":
            end = _stated_end(_boxes(file, size))
        case "MKV" | "WEBM" | "MKA" | "WEBA":
            end = _stated_end(_elements(file, size))
        case "AVI":
            end = _stated_end(_riffs(file, size))
        case "TS":
            whole = any(size % packet == 0 for packet in TS_PACKETS)
            return None if whole else f"its {size:,} bytes are not a whole number of packets"
        case "MXF":
            end = _stated_end(_triplets(file, size))
        case "ASF":
            end = _stated_by_asf(file)
        case "FLV":
            return None if _ends_with_flv_tag(file, size) else "its last tag is incomplete"
        case "OGG" | "OGA":
            return None if _ends_with_ogg_page(file, size) else "its last page is incomplete"
        case "AIFF":
            end = 8 + int.from_bytes(_read(file, 4, 4))
            end = 0 if end > _UNKNOWN_BYTES else end
        case "AU":
            end = sum(int.from_bytes(_read(file, at, 4)) for at in (4, 8))
            end = 0 if end > _UNKNOWN_BYTES else end
        case "WAV":
            return find_wave_truncation(FileBytes(file), size)
        case _:
            return None
    return f"it has {size:,} bytes of {end:,}" if end > size else None


def _stated_end(parts: Iterable[Part[bytes] | Part[int]]) -> int:
    return max((part.end + part.missing for part in islice(parts, _MAX_PARTS)), default=0)


def _read(file: io.RawIOBase, start: int, count: int) -> bytes:
    return FileBytes(file)[start : start + count]


def _boxes(file: io.RawIOBase, size: int) -> Iterator[Part[bytes]]:
    """Yield the boxes of the file, up to bytes that are no box: people hide a JPEG behind a video."""
    return takewhile(lambda box: _LETTERS.fullmatch(box.name), islice(iso_boxes(FileBytes(file), 0, size), _MAX_PARTS))


def has_alpha_track(file: io.RawIOBase, size: int) -> bool:
    """Tell whether an MP4 or MOV has a track with the transparency of another (ISO/IEC 14496-12, 12.1.1 and 12.1.5).

    Other auxiliary tracks, such as depth maps of telephones, do not change what is visible.
    """
    for box in _boxes(file, size):
        if box.name == b"moov" and box.end - box.start <= _LARGEST_INDEX:
            tracks = FileBytes(file)[box.start : box.end].split(b"trak")[1:]
            return any(_HANDLER.search(track) and any(name in track for name in _ALPHA) for track in tracks)
    return False


def _elements(file: io.RawIOBase, size: int) -> Iterator[Part[int]]:
    """Yield the elements that make up the file, up to the segment with the video."""
    for element in ebml_elements(FileBytes(file), 0, size):
        yield element
        if element.name == MATROSKA_SEGMENT:
            return


def _riffs(file: io.RawIOBase, size: int) -> Iterator[Part[bytes]]:
    """Yield each RIFF chunk (OpenDML AVI 1.02: files over 1 GB have several), up to one that is still open."""
    # A size of 0: the recorder was switched off.
    chunks = riff_chunks(FileBytes(file), 0, size)
    return takewhile(lambda chunk: chunk.name == b"RIFF" and chunk.end + chunk.missing > chunk.content, chunks)


def _triplets(file: io.RawIOBase, size: int) -> Iterator[Part[bytes]]:
    """Yield each KLV triplet of an MXF (SMPTE ST 336, 5 and 6)."""
    start = 0
    while start + 17 <= size:
        head = _read(file, start, 25)
        if head[:4] != b"\x06\x0e\x2b\x34":
            return
        count = head[16] & 0x7F if head[16] & 0x80 else 0
        content = start + 17 + count
        stop = content + (int.from_bytes(head[17 : 17 + count]) if count else head[16])
        yield Part(head[:16], start, content, min(stop, size), max(stop - size, 0))
        start = stop


_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_HEADER_BYTES = 1 << 16


def _stated_by_asf(file: io.RawIOBase) -> int:
    """Return the size in bytes that an ASF states (ASF 3.2: file properties); 0 for a broadcast, or if not stated."""
    head = _read(file, 0, _ASF_HEADER_BYTES)
    at = head.find(_ASF_FILE)
    stated = head[at + 40 : at + 48] if at >= 0 else b""
    broadcast = bool(head[at + 88 : at + 89] and head[at + 88] & 1)
    return 0 if len(stated) < 8 or broadcast else int.from_bytes(stated, "little")


def _ends_with_flv_tag(file: io.RawIOBase, size: int) -> bool:
    """Tell whether an FLV ends with the size of its last tag, and that tag has this size (FLV 10.1, E.3)."""
    length = int.from_bytes(_read(file, max(size - 4, 0), 4))
    if not 11 <= length <= size - 13:
        return False
    return int.from_bytes(_read(file, size - 4 - length + 1, 3)) + 11 == length


_OGG_PAGE_BYTES = 27 + 255 + 255 * 255


def _ends_with_ogg_page(file: io.RawIOBase, size: int) -> bool:
    """Tell whether an Ogg file ends where its last page does (RFC 3533, 6)."""
    tail = _read(file, max(size - _OGG_PAGE_BYTES, 0), _OGG_PAGE_BYTES)
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    table = tail[at + 27 : at + 27 + tail[at + 26]]
    return len(table) == tail[at + 26] and at + 27 + len(table) + sum(table) == len(tail)


_SYNC = 0x47
_TABLE_PID = 0
"""The programme association table, with which every recording begins."""


def is_join(data: bytes, pid: int, sizes: tuple[int, ...]) -> bool:
    """Tell whether `data` has gaps in the continuity counter of stream `pid`, and all of them are joins.

    At a join, the counter restarts after a programme association table, at the start of a payload unit. `sizes` are
    the possible packet sizes in bytes.
    """
    count, started, joins = -1, False, 0
    for packet in _packet_headers(data, sizes):
        number = (packet[1] & 0x1F) << 8 | packet[2]
        if number == _TABLE_PID:
            started = True
        if number != pid or not packet[3] & 0x10:
            continue
        if packet[1] & 0x80:  # the receiver noted a transmission error
            return False
        now = packet[3] & 0x0F
        if count >= 0 and now not in {count, (count + 1) % 16}:
            if not started or not packet[1] & 0x40:
                return False
            joins += 1
        count, started = now, False
    return joins > 0


def _packet_headers(data: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    for size in sizes:
        for start in range(size):
            if all(data[at] == _SYNC for at in range(start, min(len(data), start + 8 * size), size)):
                yield from (data[at : at + 4] for at in range(start, len(data) - 3, size))
                return
