"""A file's own structure says how long it is; no bytes lead the look at it astray."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.media.sniff import VIDEO_FORMATS, video_format_of
from velum.media.video.whole import missing

EBML = b"\x1a\x45\xdf\xa3\x80"
SEGMENT = b"\x18\x53\x80\x67"
FILES = [
    ("MP4", b"\0\0\0\x08free" + b"\0\0\0\x10mdat" + bytes(8), None, "boxes to the last byte"),
    ("MP4", b"\0\0\0\x08free" + b"\0\0\0\x10mdat" + bytes(7), "it has 23 bytes of 24", "one byte short"),
    ("MP4", b"\0\0\0\x01mdat" + (20).to_bytes(8) + bytes(3), "it has 19 bytes of 20", "a length of 64 bits"),
    ("MP4", b"\0\0\0\0mdat" + bytes(3), None, "up to the end, wherever it is"),
    ("MKV", EBML + SEGMENT + b"\x83abc", None, "the segment is whole"),
    ("MKV", EBML + SEGMENT + b"\x84abc", "it has 13 bytes of 14", "one byte short"),
    ("MKV", EBML + SEGMENT + b"\x01" + b"\xff" * 7 + b"abc", None, "a live recording knows no length"),
    ("AVI", b"RIFF\x04\0\0\0AVI ", None, "whole"),
    ("AVI", b"RIFF\x08\0\0\0AVI ", "it has 12 bytes of 16", "short"),
    ("TS", bytes(188 * 3), None, "whole packets"),
    ("TS", bytes(188 * 3 - 1), "no whole number of packets", "a packet cut"),
    ("MPEG", bytes(10), None, "a program stream does not say"),
]


@pytest.mark.parametrize(("kind", "data", "says", "reason"), FILES)
def test_a_file_says_how_long_it_is(kind: str, data: bytes, says: str | None, reason: str) -> None:
    found = _missing(data, kind)
    assert (found is None) if says is None else (found is not None and says in found)


def _missing(data: bytes, kind: str) -> str | None:
    return missing(io.BytesIO(data), len(data), kind)  # type: ignore[arg-type]


@given(data=st.binary(max_size=200), kind=st.sampled_from(VIDEO_FORMATS))
def test_no_bytes_lead_it_astray(data: bytes, kind: str) -> None:
    assert _missing(data, kind) is None or kind
    assert video_format_of(data) in {None, *VIDEO_FORMATS}
