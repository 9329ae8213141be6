"""Clips that say how they are projected, as cameras and injectors write it."""

import struct
from pathlib import Path
from typing import Any, cast

import av
from av.sidedata.sidedata import Type

V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
AREA = {
    "CroppedAreaImageWidthPixels": 64, "CroppedAreaImageHeightPixels": 48, "FullPanoWidthPixels": 128,
    "FullPanoHeightPixels": 64, "CroppedAreaLeftPixels": 32, "CroppedAreaTopPixels": 8,
}  # fmt: skip
BOUNDS = (1 << 29, 1 << 29, 1 << 30, 1 << 30)
POSE = (30 << 16, -10 << 16, 5 << 15)


def box(kind: bytes, *data: bytes) -> bytes:
    inside = b"".join(data)
    return struct.pack(">I", 8 + len(inside)) + kind + inside


def xml(**values: object) -> bytes:
    words: dict[str, object] = {"Spherical": "true", "Stitched": "true", "StitchingSoftware": "Jane's Stitcher"}
    words |= {"ProjectionType": "equirectangular", "Timestamp": "1400454971", "SourceCount": "6"} | values
    text = "".join(f"<GSpherical:{name}>\n {value} </GSpherical:{name}>" for name, value in words.items())
    return box(b"uuid", V1, b'<?xml version="1.0"?><rdf:SphericalVideo>', text.encode(), b"</rdf:SphericalVideo>")


def sv3d(kind: bytes, values: bytes, pose: tuple[int, ...] = (0, 0, 0), source: bytes = b"Jane's Injector") -> bytes:
    header = box(b"svhd", bytes(4), source, b"\0")
    projection = box(b"proj", box(b"prhd", bytes(4), struct.pack(">3i", *pose)), box(kind, bytes(4), values))
    return box(b"sv3d", header, projection)


def st3d(views: int) -> bytes:
    return box(b"st3d", bytes(4), bytes([views]))


V2 = st3d(1) + sv3d(b"equi", struct.pack(">4I", *BOUNDS), POSE)


def inject(path: Path, entry: bytes = b"", track: bytes = b"") -> Path:
    """Add boxes to the first sample entry and to the first track of a file whose index comes last, or has no chunks."""
    data = path.read_bytes()
    places = [at for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd") if (at := data.index(name) - 4)]
    first = places[-1] + 16
    ends = [at + int.from_bytes(data[at : at + 4]) for at in (*places, first)]
    out = bytearray(data)
    for at, more in ((first, entry), *((at, entry) for at in places[2:]), *((at, entry + track) for at in places[:2])):
        out[at : at + 4] = (int.from_bytes(out[at : at + 4]) + len(more)).to_bytes(4)
    out[ends[1] : ends[1]] = track
    out[ends[-1] : ends[-1]] = entry
    path.write_bytes(out)
    return path


def side(path: Path) -> dict[str, tuple[int, ...]]:
    """Return what FFmpeg gives players: projection, pose, bounds (left, top, right, bottom), padding; and the views."""
    with av.open(str(path)) as container:
        stored = cast("Any", next(container.decode(video=0)).side_data)
        found = {one.type: bytes(memoryview(one)) for one in stored}
    given: dict[str, tuple[int, ...]] = {}
    if Type.SPHERICAL in found:
        given["sphere"] = struct.unpack_from("=4i5I", found[Type.SPHERICAL])
    if Type.STEREO3D in found:
        given["views"] = struct.unpack_from("=2i", found[Type.STEREO3D])
    return given
