"""Inventory of a JPEG: finds segments that decoders do not need, oversized ones, and tables that no scan uses.

Markers and sizes: ISO/IEC 10918-1, annex B; JFIF 1.02; Adobe's technical note 5116.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from velum.media.containers import EOI, SOS, end_of_scan, jpeg_segments
from velum.media.image import turbojpeg
from velum.media.inventory.jpeg_intervals import CodedFrame, CodedScan, unread_ends
from velum.media.inventory.surplus import Surplus, profile_surplus
from velum.media.inventory.tiff import exif
from velum.media.projection import is_projection_alone

_DQT, _DHT, _DRI, _DAC, _DNL, _COM = 0xDB, 0xC4, 0xDD, 0xCC, 0xDC, 0xFE
_PROGRESSIVE = 0xC2
_FRAMES = set(range(0xC0, 0xD0)) - {_DHT, _DAC, 0xC8}
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_ADOBE_BYTES = 12
_ICC_HEAD = 14
_STANDARD_HUFFMAN = {(0, 12), (1, 12), (0, 162), (1, 162)}
"""Classes and numbers of symbols of the tables in annex K, which many cameras write whether they use them or not."""


@dataclass(slots=True)
class _File:
    data: bytes
    tables: dict[tuple[str, int], tuple[int, int, bool]] = field(default_factory=dict)
    """Offset, size and `ordinary` of each table, by kind and number; size 0 once a scan has used it."""
    components: dict[int, int] = field(default_factory=dict)
    profile: bytearray = field(default_factory=bytearray)
    profile_at: int = 0
    scans: set[tuple[int, ...]] = field(default_factory=set)
    is_progressive: bool = False
    """True for progressive coding by Huffman codes; arithmetic coding knows no single bits."""
    frame: CodedFrame = field(default_factory=lambda: CodedFrame(0, 0, {}))
    interval: int = 0
    coded: list[CodedScan] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def define(self, kind: str, number: int, at: int, size: int, *, ordinary: bool = False) -> Iterator[Surplus]:
        """Add a table; yield the one that it replaces if no scan has used that."""
        yield from self.drop(kind, number)
        self.tables[kind, number] = (at, size, ordinary)

    def drop(self, kind: str, number: int) -> Iterator[Surplus]:
        """Remove a table; yield it if no scan has used it."""
        old = self.tables.pop((kind, number), None)
        if old and old[1]:
            yield Surplus(f"a {kind} table that nothing uses", *old)

    def use(self, kind: str, number: int) -> None:
        """Mark a table as used by a scan."""
        if (kind, number) in self.tables:
            self.tables[kind, number] = (0, 0, True)


def jpeg(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a JPEG that no decoder needs."""
    file, at = _File(data), 2
    while at < len(data):
        start = data.find(b"\xff", at)
        start = len(data) if start < 0 else start
        if start > at:
            yield Surplus("bytes between two segments", at, start - at)
        segment = next(jpeg_segments(data, start), None)
        if segment is None:  # a marker without a length
            while data[start : start + 1] == b"\xff":
                start += 1
            at = start + 1
            if start >= len(data) or data[start] == EOI:
                yield from _trailing_bytes(data, at)
                break
            continue
        yield from _segment(file, segment.name, segment.content, data[segment.content : segment.end])
        at = segment.end
        if segment.name == SOS:
            file.seen -= {"segment 0xDD", "segment 0xCC"}
            at = end_of_scan(data, segment.end)
            file.coded.append(_coded_scan(file, data[segment.content : segment.end], segment.end, at))
    yield from _unused_tables(file)


def _trailing_bytes(data: bytes, at: int) -> Iterator[Surplus]:
    if len(data) > at:
        yield Surplus("bytes after the end of the image", at, len(data) - at)


def _segment(file: _File, marker: int, at: int, body: bytes) -> Iterator[Surplus]:
    name = f"segment APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else f"segment 0x{marker:02X}"
    match marker:
        case 0xE0 | 0xE1 | 0xE2 | 0xEB | 0xEE:
            yield from _application(file, marker, name, at, body)
        case _ if marker == _COM:
            if body:
                yield Surplus("text under 'comment'", at, len(body), kind="metadata")
        case _ if marker == _DQT:
            yield from _quantisation(file, at, body)
        case _ if marker == _DHT:
            yield from _huffman(file, at, body)
        case _ if marker == SOS:
            yield from _scan(file, at, body)
        case _ if marker in _FRAMES:
            count = body[5] if len(body) > 5 else 0
            file.components = {body[i]: body[i + 2] for i in range(6, min(6 + 3 * count, len(body) - 2), 3)}
            file.frame, file.is_progressive = CodedFrame.of(body), marker == _PROGRESSIVE
            yield from _excess(name, at, body, 6 + 3 * count)
        case _ if marker in {_DRI, _DNL, _DAC} and name in file.seen:
            yield Surplus(f"a second {name} before a scan", at, len(body))
        case _ if marker in {_DRI, _DNL, _DAC}:
            file.seen.add(name)
            file.interval = int.from_bytes(body[:2]) if marker == _DRI else file.interval
            yield from _excess(name, at, body, 64 if marker == _DAC else 2)
        case _:
            yield Surplus(name, at, len(body))


def _excess(name: str, at: int, body: bytes, size: int) -> Iterator[Surplus]:
    if len(body) > size:
        yield Surplus(f"bytes at the end of {name}", at + size, len(body) - size)


def _application(file: _File, marker: int, name: str, at: int, body: bytes) -> Iterator[Surplus]:
    if marker == 0xE0 and body.startswith(b"JFIF\0") and "jfif" not in file.seen:
        file.seen.add("jfif")
        if len(body) > 14:
            yield Surplus("a thumbnail in segment APP0", at + 14, len(body) - 14, kind="picture")
    elif marker == 0xE1 and body.startswith(b"Exif\0\0") and "exif" not in file.seen:
        file.seen.add("exif")
        yield from exif(body[6:], at + 6)
    elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/"):
        if "xmp" not in file.seen and body.startswith(_XMP_HEAD) and is_projection_alone(body[len(_XMP_HEAD) :]):
            file.seen.add("xmp")
            return
        yield Surplus("text under 'xmp'", at, len(body), kind="metadata")
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        file.profile_at = file.profile_at or at + _ICC_HEAD
        file.profile += body[_ICC_HEAD:]
    elif marker == 0xEB and body.startswith(b"JP"):
        yield Surplus("Content Credentials", at, len(body), ordinary=True)
    elif marker == 0xEE and body.startswith(b"Adobe") and "adobe" not in file.seen:
        file.seen.add("adobe")
        yield from _excess(name, at, body, _ADOBE_BYTES)
    else:
        yield Surplus(name, at, len(body))


def _quantisation(file: _File, at: int, body: bytes) -> Iterator[Surplus]:
    position = 0
    while position < len(body):
        size = 129 if body[position] >> 4 else 65
        if position + size > len(body):
            yield Surplus("bytes at the end of a segment of tables", at + position, len(body) - position)
            return
        yield from file.define("quantisation", body[position] & 15, at + position, size)
        position += size


def _huffman(file: _File, at: int, body: bytes) -> Iterator[Surplus]:
    position = 0
    while position < len(body):
        symbols = sum(body[position + 1 : position + 17])
        size = 17 + symbols
        if position + size > len(body):
            yield Surplus("bytes at the end of a segment of tables", at + position, len(body) - position)
            return
        ordinary = (body[position] >> 4, symbols) in _STANDARD_HUFFMAN
        yield from file.define("Huffman", body[position], at + position, size, ordinary=ordinary)
        position += size


def _scan(file: _File, at: int, body: bytes) -> Iterator[Surplus]:
    count = body[0] if body else 0
    yield from _excess("a scan's header", at, body, 4 + 2 * count)
    limits = tuple(body[1 + 2 * count : 4 + 2 * count])
    for place in range(1, min(1 + 2 * count, len(body) - 1), 2):
        component, tables = body[place], body[place + 1]
        file.use("quantisation", file.components.get(component, 255))
        file.use("Huffman", tables >> 4)
        file.use("Huffman", 0x10 | tables & 15)
        if (key := (component, *limits)) in file.scans:
            yield Surplus("a scan that is coded twice", at, len(body))
        file.scans.add(key)


def _coded_scan(file: _File, header: bytes, start: int, end: int) -> CodedScan:
    names = header[1 : 1 + 2 * header[0] : 2]
    spectral, _, bits = header[1 + 2 * header[0] :][:3].ljust(3, b"\0")
    return CodedScan(start, end, tuple(names), file.interval, file.is_progressive and not spectral and bits >> 4 > 0)


def _unused_tables(file: _File) -> Iterator[Surplus]:
    for (kind, _), (at, size, ordinary) in file.tables.items():
        if size:
            yield Surplus(f"a {kind} table that nothing uses", at, size, ordinary)
    if file.profile:
        yield from profile_surplus(bytes(file.profile), file.profile_at)
    yield from _unread_samples(file)


def _unread_samples(file: _File) -> Iterator[Surplus]:
    """Yield bytes among the coded samples that decoders skip: by TurboJPEG's warning, else by changing them."""
    scan = file.coded[-1] if file.coded else None
    try:
        turbojpeg.coefficients(file.data, lambda _component, _row, _blocks: None)
    except turbojpeg.TurboJpegError as reason:
        if scan and "extraneous" in str(reason):
            yield Surplus("bytes that decoders skip among the coded samples", scan.start, scan.end - scan.start)
            return
    else:
        return
    for scan in file.coded:
        yield from unread_ends(file.data, file.frame, scan)
