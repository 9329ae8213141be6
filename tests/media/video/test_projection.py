"""A 360-degree video says how it is projected; that this is not carried over is said."""

import struct
from fractions import Fraction
from pathlib import Path

import pytest

from velum.media.video.projection import is_projected

from .making import Clip, copy, made


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


XML = bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + b"<rdf:SphericalVideo/>"
V2 = box(b"sv3d", box(b"svhd", bytes(5)) + box(b"proj", box(b"prhd", bytes(16)) + box(b"equi", bytes(20))))
STATED = [
    (".mp4", box(b"uuid", XML), "V1, in XML"),
    (".mov", V2, "V2"),
    (".mp4", box(b"st3d", bytes(5)), "two views"),
]


@pytest.mark.parametrize(("suffix", "data", "reason"), STATED)
def test_a_projection_that_is_lost_is_said(tmp_path: Path, suffix: str, data: bytes, reason: str) -> None:
    source = made(tmp_path / "a", Clip(suffix=suffix, frames=3))
    plain = source.read_bytes()
    at = plain.index(b"moov") - 4
    size = int.from_bytes(plain[at : at + 4]) + len(data)
    assert at + size - len(data) == len(plain)  # the index is last, so that nothing after it moves
    source.write_bytes(plain[:at] + size.to_bytes(4) + plain[at + 4 :] + data)
    writer = copy(source, tmp_path / f"b{suffix}")
    assert any("360" in one and "flat" in one for one in writer.warnings)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_others_state_none(tmp_path: Path, suffix: str) -> None:
    source = made(tmp_path / "a", Clip(suffix=suffix, base=Fraction(1, 1000), frames=3))
    assert not any("360" in one for one in copy(source, tmp_path / f"b{suffix}").warnings)


def test_matroska_states_it_in_the_track(tmp_path: Path) -> None:
    data = b"\x1a\x45\xdf\xa3\x80" + bytes(40) + b"\x76\x70\x88\x76\x71\x81\x01\x76\x73\x81\x00"
    path = tmp_path / "a.mkv"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        assert is_projected(file, len(data), "MKV")
