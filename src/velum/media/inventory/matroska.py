"""Inventory of MKV and WebM: finds elements that players do not need (RFC 8794, RFC 9559)."""

from collections.abc import Iterator

from velum.media.containers import ebml_elements, ebml_number
from velum.media.inventory.surplus import Surplus, nonzero_padding
from velum.media.projection import PROJECTION, says_more

_EBML, _SEGMENT, _CLUSTER, _GROUP, _TRACKS, _TRACK = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xA0, 0x1654AE6B, 0xAE
_VOID, _CRC, _NUMBER, _SIMPLE, _BLOCK, _ADDITIONS = 0xEC, 0xBF, 0xD7, 0xA3, 0xA1, 0x75A1
_SEEK_HEAD, _INFO, _CUES, _TAGS, _CHAPTERS, _ATTACHMENTS = (
    0x114D9B74,
    0x1549A966,
    0x1C53BB6B,
    0x1254C367,
    0x1043A770,
    0x1941A469,
)
_VIDEO, _ALPHA = 0xE0, 0x53C0
_IN_SEGMENT = {_SEEK_HEAD, _INFO, _CUES, _TAGS, _TRACKS, _CLUSTER, _VOID, _CRC}
_IN_CLUSTER = {0xE7, 0xA7, 0xAB, _SIMPLE, _GROUP, _VOID, _CRC}
_IN_GROUP = {_BLOCK, 0x9B, 0xFB, 0x75A2, 0xFA, _ADDITIONS, 0xA4, _VOID, _CRC}
_UNKNOWN = -1
_LARGEST_INFO = 4096


class _Walk:
    """One pass over a file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tracks: set[int] = set()
        self.alpha = False

    def elements(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield id, start, start of the content and end of each element; the id `_UNKNOWN` stands for other bytes."""
        for part in ebml_elements(self.data, at, end):
            yield part.name, part.start, part.content, part.end
            at = part.end
        if at < end:
            yield _UNKNOWN, at, at, end

    def top(self) -> Iterator[Surplus]:
        """Yield the surplus besides the EBML header and the segment, and inside them."""
        for name, start, content, end in self.elements(0, len(self.data)):
            if name == _SEGMENT:
                yield from self.segment(content, end)
            elif name == _VOID:
                yield from nonzero_padding(self.data, content, end, "an element for padding")
            elif name != _EBML:
                yield Surplus(f"element {name:#x}", start, end - start)
            elif end - start > _LARGEST_INFO:
                yield Surplus("a long header", start, end - start)

    def segment(self, at: int, end: int) -> Iterator[Surplus]:
        """Yield the surplus in a segment; a cluster of unknown length ends where the next one begins."""
        inside_cluster = False
        for name, start, content, last in self._flat(at, end):
            if name == _CLUSTER:
                inside_cluster = True
            elif name == _TRACKS:
                yield from self._tracks(content, last)
                inside_cluster = False
            elif name in _IN_SEGMENT - {_VOID, _CRC}:
                inside_cluster = False
                if name == _INFO and last - start > _LARGEST_INFO:
                    yield Surplus("a long description of the file", start, last - start)
            elif name in {_CHAPTERS, _ATTACHMENTS}:
                inside_cluster = False  # reported as streams and text instead
            else:
                yield from self._surplus_of_element(name, start, content, last, cluster=inside_cluster)

    def _flat(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield the elements of a segment, and after each cluster the elements inside it."""
        while at < end:
            element = next(self.elements(at, end), None)
            if element is None:
                return
            yield element
            at = element[2] if element[0] == _CLUSTER else element[3]

    def _surplus_of_element(self, name: int, start: int, content: int, end: int, *, cluster: bool) -> Iterator[Surplus]:
        if name == _VOID:
            yield from nonzero_padding(self.data, content, end, "an element for padding")
        elif name == _GROUP and cluster:
            for inner, first, inside, last in self.elements(content, end):
                if inner == _ADDITIONS and self.alpha:
                    continue
                if inner == _BLOCK:
                    yield from self._block(inside, first, last)
                elif inner == _VOID:
                    yield from nonzero_padding(self.data, inside, last, "an element for padding")
                elif inner not in _IN_GROUP or inner == _ADDITIONS:
                    yield Surplus(f"element {inner:#x} besides the frames", first, last - first)
        elif name == _SIMPLE and cluster:
            yield from self._block(content, start, end)
        elif not (name in _IN_CLUSTER and cluster) and name != _CRC:
            yield Surplus(f"element {name:#x}" if name > 0 else "bytes that are not an element", start, end - start)

    def _block(self, content: int, start: int, end: int) -> Iterator[Surplus]:
        track = ebml_number(self.data, content)
        if track is None:
            yield Surplus("samples that name no track", start, end - start)
        elif track not in self.tracks:
            yield Surplus(f"samples of track {track}, which does not exist", start, end - start)

    def _tracks(self, at: int, end: int) -> Iterator[Surplus]:
        for name, start, content, last in self.elements(at, end):
            if name == _VOID:
                yield from nonzero_padding(self.data, content, last, "an element for padding")
            elif name == _TRACK:
                for inner, _, inside, ends in self.elements(content, last):
                    if inner == _NUMBER:
                        self.tracks.add(int.from_bytes(self.data[inside:ends]))
                    elif inner == _VIDEO:
                        alpha = (field for field in self.elements(inside, ends) if field[0] == _ALPHA)
                        self.alpha |= any(any(self.data[field[2] : field[3]]) for field in alpha)
                        yield from self._projection(inside, ends)
                    elif inner == _VOID:
                        yield from nonzero_padding(self.data, inside, ends, "an element for padding")
            elif name != _CRC:
                yield Surplus(f"element {name:#x}", start, last - start)

    def _projection(self, at: int, end: int) -> Iterator[Surplus]:
        for name, start, content, last in self.elements(at, end):
            if name == PROJECTION and says_more(bytes(self.data[content:last])):
                yield Surplus("more than a projection", start, last - start, ordinary=True)


def matroska(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of an MKV or a WebM, as a memory map or bytes, that no player needs."""
    yield from _Walk(data).top()
