"""The structure of a file gives its expected length, and no bytes mislead the examination."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.media.formats import VIDEO_FORMATS, video_format_of
from velum.media.video.truncation import find_truncation

EBML = b"\x1a\x45\xdf\xa3\x80"
SEGMENT = b"\x18\x53\x80\x67"
KEY = b"\x06\x0e\x2b\x34" + bytes(12)
ASF = bytes(40) + bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(24)
TAG = b"\x09\0\0\x02" + bytes(7) + b"ab"
FLV = b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
PAGE = b"OggS" + bytes(22) + b"\x01\x03"
FILES = [
    ("MP4", b"\0\0\0\x08free" + b"\0\0\0\x10mdat" + bytes(8), None, "boxes to the last byte"),
    ("MP4", b"\0\0\0\x08free" + b"\0\0\0\x10mdat" + bytes(7), "it has 23 bytes of 24", "one byte short"),
    ("MP4", b"\0\0\0\x01mdat" + (20).to_bytes(8) + bytes(3), "it has 19 bytes of 20", "a length of 64 bits"),
    ("MP4", b"\0\0\0\0mdat" + bytes(3), None, "up to the end, wherever it is"),
    ("MP4", b"\0\0\0\x08free" + b"\xff\xd8\xff\xe0\0\x10JFIF", None, "a JPEG behind the boxes is no box"),
    ("MKV", EBML + SEGMENT + b"\x83abc", None, "the segment is whole"),
    ("MKV", EBML + SEGMENT + b"\x84abc", "it has 13 bytes of 14", "one byte short"),
    ("MKV", EBML + SEGMENT + b"\x01" + b"\xff" * 7 + b"abc", None, "a live recording knows no length"),
    ("AVI", b"RIFF\x04\0\0\0AVI ", None, "whole"),
    ("AVI", b"RIFF\x08\0\0\0AVI ", "it has 12 bytes of 16", "short"),
    ("TS", bytes(188 * 3), None, "whole packets"),
    ("TS", bytes(188 * 3 - 1), "not a whole number of packets", "a packet cut"),
    ("MPEG", bytes(10), None, "a program stream does not say"),
    ("3GP", b"\0\0\0\x10mdat" + bytes(7), "it has 15 bytes of 16", "boxes, too"),
    ("MXF", KEY + b"\x03abc", None, "keys, lengths and values"),
    ("MXF", KEY + b"\x83\0\0\x04abc", "it has 23 bytes of 24", "a length of three bytes"),
    ("ASF", ASF + (128).to_bytes(8, "little") + bytes(40), None, "as long as it says"),
    ("ASF", ASF + (129).to_bytes(8, "little") + bytes(40), "it has 128 bytes of 129", "one byte short"),
    ("ASF", ASF + b"\x09" * 8 + bytes(40) + b"\x01" + bytes(7), None, "a broadcast does not say"),
    ("FLV", FLV + TAG + (13).to_bytes(4), None, "ends with the size of its last tag"),
    ("FLV", FLV + TAG + bytes(3), "its last tag", "cut in that size"),
    ("FLV", FLV + TAG[:-1], "its last tag", "cut in a tag"),
    ("OGG", PAGE + b"abc", None, "ends where its last page does"),
    ("OGG", PAGE + b"ab", "its last page", "one byte short"),
]


@pytest.mark.parametrize(("kind", "data", "says", "reason"), FILES)
def test_the_structure_of_a_file_gives_its_expected_length(
    kind: str, data: bytes, says: str | None, reason: str
) -> None:
    found = _missing(data, kind)
    assert (found is None) if says is None else (found is not None and says in found)


def _missing(data: bytes, kind: str) -> str | None:
    return find_truncation(io.BytesIO(data), len(data), kind)  # type: ignore[arg-type]


@given(data=st.binary(max_size=200), kind=st.sampled_from(VIDEO_FORMATS))
def test_any_bytes_are_examined_without_an_unexpected_error(data: bytes, kind: str) -> None:
    assert _missing(data, kind) is None or kind
    assert video_format_of(data) in {None, *VIDEO_FORMATS}
