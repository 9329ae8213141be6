"""The projection of a 360-degree video is kept and nothing beside it, or its loss is reported."""

import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from velum import media
from velum.limits import Limits
from velum.media import VIDEO_SUFFIXES
from velum.media.containers import ebml_element, ebml_elements, ebml_head
from velum.media.inventory import video_surplus
from velum.media.projection import of_boxes, of_elements, of_xml, to_boxes, to_elements
from velum.media.video.embed_projection import embed_projection
from velum.media.video.projection import is_projected
from velum.plan import Plan

from .factories import Clip, copy, decoded, made, packets
from .spheres import AREA, BOUNDS, POSE, V1, V2, box, inject, side, st3d, sv3d, xml
from .test_segments import in_spans
from .test_smart_render import smart

EQUI, CUBE = struct.pack(">4I", 0, 0, 0, 0), struct.pack(">2I", 0, 8)
PARTLY = (2, *POSE, BOUNDS[2], BOUNDS[0], BOUNDS[3], BOUNDS[1], 0)
CROPPED = (2, 0, 0, 0, *PARTLY[4:])
WHOLE, FACES = (0, *[0] * 8), (1, *[0] * 7, 8)
ABOVE, BESIDE = (2, 0), (1, 0)
CLIP = Clip(frames=5, audio=("aac",))

KEPT = [
    (".mp4", V2, b"", {"sphere": PARTLY, "views": ABOVE}, "V2: a part of the sphere, turned, of two views"),
    (".mov", sv3d(b"cbmp", CUBE), b"", {"sphere": FACES}, "a cube"),
    (".mp4", st3d(2), b"", {"views": BESIDE}, "two views that are flat"),
    (".mov", b"", xml(), {"sphere": WHOLE}, "V1"),
    (".mp4", b"", xml(StereoMode="left-right"), {"sphere": WHOLE, "views": BESIDE}, "V1 with two views"),
    (".mp4", V2, xml(**AREA), {"sphere": PARTLY, "views": ABOVE}, "both, of which V2 counts"),
]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The clip and its copies without a projection, by suffix."""
    room = tmp_path_factory.mktemp("flat")
    source = made(room / "source", CLIP)
    for suffix in (".mp4", ".mov", ".mkv"):
        copy(source, room / f"flat{suffix}")
    return {suffix: room / f"flat{suffix}" for suffix in (".mp4", ".mov", ".mkv")}


@pytest.mark.parametrize("target", ["the same", ".mkv"])
@pytest.mark.parametrize(("suffix", "entry", "track", "shown"), [one[:4] for one in KEPT], ids=[one[4] for one in KEPT])
def test_the_projection_is_kept_and_nothing_else(
    suffix: str, entry: bytes, track: bytes, shown: dict[str, object], target: str, flat: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    source = inject(made(tmp_path / "a", Clip(frames=5, audio=("aac",), suffix=suffix)), entry, track)
    target = suffix if target == "the same" else target
    writer = copy(source, tmp_path / f"b{target}")
    assert side(tmp_path / f"b{target}") == shown
    assert not any("360" in one for one in writer.warnings)
    data = (tmp_path / f"b{target}").read_bytes()
    assert not any(word in data for word in (b"Jane", b"1400454971", b"SourceCount"))
    assert not list(video_surplus(tmp_path / f"b{target}", VIDEO_SUFFIXES[target]))
    # The same clip without it: pictures, their times, and sound are the very same.
    kinds = ("video", "audio")
    assert packets(tmp_path / f"b{target}", kinds) == packets(flat[target], kinds)
    assert [time for time, _ in decoded(tmp_path / f"b{target}")] == [time for time, _ in decoded(flat[target])]


def test_a_part_that_v1_crops_comes_out_as_that_part(tmp_path: Path) -> None:
    source = inject(made(tmp_path / "a", Clip(frames=3)), track=xml(**AREA))
    copy(source, tmp_path / "b.mkv")
    copy(source, tmp_path / "c.mov")
    assert side(tmp_path / "b.mkv")["sphere"] == CROPPED
    text = (tmp_path / "c.mov").read_bytes()
    assert all(f":{name}>{value}<".encode() in text for name, value in AREA.items())


def _remuxed(source: Path, target: Path) -> Path:
    """Write by FFmpeg's own muxer, which knows the projection of what it copies."""
    with av.open(str(source)) as one, av.open(str(target), "w") as other:
        pictures = one.streams.video[0]
        stream = other.add_stream_from_template(pictures, opaque=True)
        for packet in one.demux(pictures):
            if packet.size:
                packet.stream = stream
                other.mux(packet)
    return target


@pytest.mark.parametrize("target", [".mp4", ".webm", ".mkv"])
@pytest.mark.parametrize(("entry", "sphere"), [(V2, PARTLY), (sv3d(b"cbmp", CUBE), FACES)], ids=["equi", "cube"])
def test_the_projection_of_matroska_is_kept(entry: bytes, sphere: tuple[int, ...], target: str, tmp_path: Path) -> None:
    codec = "libvpx-vp9" if target == ".webm" else "libx264"
    clip = inject(made(tmp_path / "a", Clip(codec, frames=3)), entry)
    source = _remuxed(clip, tmp_path / ("b.webm" if target == ".webm" else "b.mkv"))
    assert side(source)["sphere"] == sphere
    writer = copy(source, tmp_path / f"c{target}")
    assert side(tmp_path / f"c{target}")["sphere"] == sphere
    assert not any("360" in one for one in writer.warnings)


def test_spherical_metadata_v1_in_tags_of_matroska_is_kept(tmp_path: Path) -> None:
    text = xml()[24:].decode()
    source = made(tmp_path / "a", Clip(suffix=".mkv", base=Fraction(1, 1000), frames=3))
    with av.open(str(source)) as one, av.open(str(tmp_path / "b.mkv"), "w") as other:
        stream = other.add_stream_from_template(one.streams.video[0], opaque=True)
        stream.metadata["SPHERICAL-VIDEO"] = text
        for packet in one.demux(one.streams.video[0]):
            if packet.size:
                packet.stream = stream
                other.mux(packet)
    for target in (".mkv", ".mp4"):
        copy(tmp_path / "b.mkv", tmp_path / f"c{target}")
        assert side(tmp_path / f"c{target}") == {"sphere": WHOLE}


GROUPS = {"g": "6", "sc_threshold": "0", "bf": "2"}


def _two(room: Path, clip: Clip) -> tuple[Path, Path]:
    """Return a clip without a projection, and the same one with it."""
    return made(room / "flat", clip), inject(made(room / "round", clip), V2, xml())


def test_smart_rendering_keeps_the_projection(tmp_path: Path) -> None:
    plain, round_ = _two(tmp_path, Clip(frames=24, options=GROUPS))
    assert "smart: 18 of 24" in smart(round_, tmp_path / "b.mp4").encoding
    smart(plain, tmp_path / "c.mp4")
    assert side(tmp_path / "b.mp4") == {"sphere": PARTLY, "views": ABOVE}
    assert packets(tmp_path / "b.mp4", ("video",)) == packets(tmp_path / "c.mp4", ("video",))


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_segments_keep_the_projection(target: str, tmp_path: Path) -> None:
    plain, round_ = _two(tmp_path, Clip(frames=40, options=GROUPS))
    in_spans(round_, tmp_path / f"b{target}", Plan())
    in_spans(plain, tmp_path / f"c{target}", Plan())
    assert side(tmp_path / f"b{target}") == {"sphere": PARTLY, "views": ABOVE}
    assert packets(tmp_path / f"b{target}", ("video",)) == packets(tmp_path / f"c{target}", ("video",))


SOURCES = [
    ({"movflags": "frag_keyframe+empty_moov+default_base_moof"}, (), "in fragments"),
    ({}, tuple(range(5120, 5120 + 5 * 512, 512)), "one that begins late, by an edit list"),
    ({"movflags": "use_metadata_tags"}, tuple(range(-1024, -1024 + 5 * 512, 512)), "one that begins before 0"),
]


@pytest.mark.parametrize(("options", "stamps"), [one[:2] for one in SOURCES], ids=[one[2] for one in SOURCES])
@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_adding_a_projection_changes_no_frame_of_any_kind_of_source(
    options: dict[str, str], stamps: tuple[int, ...], target: str, tmp_path: Path
) -> None:
    clip = Clip(frames=5, audio=("aac",), container=options, stamps=stamps or None, options={"bf": "2"})
    source = made(tmp_path / "a", clip)
    copy(source, tmp_path / f"flat{target}")
    copy(inject(source, V2, xml()), tmp_path / f"b{target}")
    assert side(tmp_path / f"b{target}") == {"sphere": PARTLY, "views": ABOVE}
    ours, plain = decoded(tmp_path / f"b{target}"), decoded(tmp_path / f"flat{target}")
    assert [time for time, _ in ours] == [time for time, _ in plain]
    planes = zip((one for _, some in ours for one in some), (one for _, some in plain for one in some), strict=True)
    assert all(np.array_equal(one, other) for one, other in planes)


MESH = sv3d(b"mshp", bytes(4) + b"raw ")
LOST = [
    (".mp4", b"", box(b"uuid", V1 + b"<rdf:SphericalVideo/>"), ".mp4", "XML without values"),
    (".mp4", b"", xml(ProjectionType="cylindrical"), ".mp4", "XML of another projection"),
    (".mp4", b"", xml(**AREA | {"CroppedAreaLeftPixels": 100}), ".mp4", "a part outside the sphere"),
    (".mp4", MESH, b"", ".mp4", "a mesh"),
    (".mp4", MESH, xml(), ".mp4", "a mesh, and V1, which does not count then"),
    (".mp4", st3d(9), b"", ".mp4", "an arrangement that nobody knows"),
    (".mp4", sv3d(b"equi", EQUI, (200 << 16, 0, 0)), b"", ".mp4", "an angle of 200 degrees"),
    (".mp4", sv3d(b"equi", EQUI[:8]), b"", ".mp4", "bounds that are cut off"),
    (".mp4", b"", V2, ".mp4", "boxes at the wrong place"),
    (".mp4", V2, b"", ".avi", "a target without a place for it"),
]


@pytest.mark.parametrize(("suffix", "entry", "track", "target"), [one[:4] for one in LOST], ids=[o[4] for o in LOST])
def test_a_lost_projection_is_reported(suffix: str, entry: bytes, track: bytes, target: str, tmp_path: Path) -> None:
    source = inject(made(tmp_path / "a", Clip(suffix=suffix, frames=3)), entry, track)
    writer = copy(source, tmp_path / f"b{target}")
    assert sum("360" in one and "flat" in one for one in writer.warnings) == 1
    assert side(tmp_path / f"b{target}") == {}


TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(("target", "kept"), [(".mp4", True), (".mkv", False)])
def test_the_projection_of_a_rotated_video_is_kept_where_the_container_can_hold_both(
    target: str, kept: bool, tmp_path: Path
) -> None:
    source = inject(made(tmp_path / "a", Clip(frames=3, matrix=TURNED)), V2)
    writer = copy(source, tmp_path / f"b{target}")
    # Of Matroska the element that says how to turn it is the same one.
    assert ("sphere" in side(tmp_path / f"b{target}")) is kept
    assert any("360" in one for one in writer.warnings) is not kept
    with av.open(str(tmp_path / f"b{target}")) as container:
        assert next(container.decode(video=0)).rotation == -90


def test_a_streamed_result_has_no_projection(tmp_path: Path) -> None:
    source = inject(made(tmp_path / "a", Clip(frames=3)), V2)
    with (tmp_path / "b.mp4").open("wb") as file:
        outlet = media.StreamSink(file, "MP4")
        with media.open_source(source, Limits()) as reader, media.open_sink(outlet, reader, Plan()) as writer:
            for frame in reader.frames():
                writer.write(frame)
    assert any("360" in one for one in writer.warnings)
    assert side(tmp_path / "b.mp4") == {}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("matrix", [(), TURNED], ids=["upright", "turned"])
def test_videos_without_a_projection_get_none(suffix: str, matrix: tuple[int, ...], tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip(suffix=suffix, base=Fraction(1, 1000), frames=3, matrix=matrix))
    assert not any("360" in one for one in copy(source, tmp_path / f"b{suffix}").warnings)


def test_matroska_holds_the_projection_in_the_track(tmp_path: Path) -> None:
    data = b"\x1a\x45\xdf\xa3\x80" + bytes(40) + b"\x76\x70\x88\x76\x71\x81\x01\x76\x73\x81\x00"
    path = tmp_path / "a.mkv"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        assert is_projected(file, len(data), "MKV")


def test_offsets_and_checksums_of_matroska_stay_right(tmp_path: Path) -> None:
    copy(inject(made(tmp_path / "a", CLIP), V2), tmp_path / "b.mkv")
    data = (tmp_path / "b.mkv").read_bytes()
    segment = ebml_head(data, next(ebml_elements(data, 0, len(data))).end, len(data))
    assert segment is not None
    assert segment[2] is not None
    parts = list(ebml_elements(data, segment[1], len(data), whole=True))
    assert parts[-1].end == len(data) == segment[1] + segment[2]
    starts = {part.start - segment[1]: part.name for part in parts}
    entries = [part for part in ebml_elements(data, parts[0].content, parts[0].end) if part.name == 0x4DBB]
    seeks = [
        {part.name: data[part.content : part.end] for part in ebml_elements(data, entry.content, entry.end)}
        for entry in entries
    ]
    assert len(seeks) >= 4
    assert all(starts[int.from_bytes(seek[0x53AC])] == int.from_bytes(seek[0x53AB]) for seek in seeks)
    summed = [(part.content, part.end) for part in parts[:3] if data[part.content] == 0xBF]
    assert summed
    for at, end in summed:
        assert data[at + 2 : at + 6] == zlib.crc32(data[at + 6 : end]).to_bytes(4, "little")


@pytest.mark.parametrize("movflags", ["faststart", "empty_moov+frag_keyframe"])
def test_data_behind_the_index_moves_completely_or_not_at_all(movflags: str, tmp_path: Path) -> None:
    path = made(tmp_path / "a", Clip(frames=3, container={"movflags": movflags}))
    before, tail = path.read_bytes(), box(b"free", os.urandom(9 << 20))
    path.write_bytes(before + tail)
    found = of_boxes(V2, 0, len(V2))
    assert found is not None
    assert embed_projection(path, "MP4", found) is (movflags == "faststart")
    after = path.read_bytes()
    assert after.endswith(tail)
    grown = len(to_boxes(found)) if movflags == "faststart" else 0
    assert len(after) == len(before) + len(tail) + grown


def test_offsets_that_would_overflow_leave_the_file_unchanged(tmp_path: Path) -> None:
    path = made(tmp_path / "a", Clip(frames=3, container={"movflags": "faststart"}))
    data = bytearray(path.read_bytes())
    at = data.index(b"stco") + 12
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    found = of_boxes(V2, 0, len(V2))
    assert found is not None
    assert not embed_projection(path, "MP4", found)
    assert path.read_bytes() == data


@pytest.mark.parametrize(("entry", "track"), [(V2, b""), (b"", xml())], ids=["V2", "V1"])
def test_surplus_bytes_in_projection_boxes_are_reported(entry: bytes, track: bytes, tmp_path: Path) -> None:
    source = inject(made(tmp_path / "a", Clip(frames=3)), entry, track)
    told = [one.description for one in video_surplus(source, "MP4")]
    assert [one for one in told if "sv3d" in one or "uuid" in one]


def test_surplus_bytes_in_projection_elements_of_matroska_are_reported(tmp_path: Path) -> None:
    source = _remuxed(inject(made(tmp_path / "a", Clip(frames=3)), V2), tmp_path / "b.mkv")
    assert not [one for one in video_surplus(source, "MKV") if "projection" in one.description]
    data = source.read_bytes()
    at = data.index(b"\x76\x72\x94")
    source.write_bytes(data[:at] + b"\x76\x7f" + data[at + 2 :])
    assert [one for one in video_surplus(source, "MKV") if "projection" in one.description]


@pytest.mark.parametrize("views", [0, 1, 2, 4])
@pytest.mark.parametrize("pose", [(0, 0, 0), (180 << 16, 90 << 16, -180 << 16), (1, -1, 1)])
def test_boxes_and_elements_hold_the_same_projection(views: int, pose: tuple[int, int, int]) -> None:
    whole = st3d(views) + sv3d(b"equi", struct.pack(">4I", 1, 2, 3, 4), pose)
    found = of_boxes(whole, 0, len(whole))
    assert found is not None
    assert (found.pose, found.values, found.views) == (pose, (1, 2, 3, 4), views)
    assert of_elements(to_elements(found)) == found == of_boxes(to_boxes(found), 0, len(to_boxes(found)))


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\x76\x70\x88\x76", ebml_element(0x53B8, b"\2"), ebml_element(0x7670, b"\1")]
)
def test_elements_of_unknown_projections_are_ignored(data: bytes) -> None:
    assert of_elements(data) is None


def test_values_that_are_no_numbers_are_not_kept() -> None:
    assert of_xml(xml(CroppedAreaTopPixels="Jane")[24:]) is None
