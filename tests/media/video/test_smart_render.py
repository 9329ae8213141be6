"""Groups of pictures without regions are copied and the others encoded; together they are one video."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum import media
from velum.errors import OutputFailed
from velum.limits import Limits
from velum.media.video.bitstream import packet_filter_for
from velum.plan import Plan, Video

from .factories import Clip, copy, decoded, made, packets

GROUP, FRAMES = 6, 24
TOUCHED = frozenset(range(8, 11))
_X264 = {"g": "6", "bf": "2", "sc_threshold": "0"}
_X265 = {"x265-params": "log-level=error:keyint=6:min-keyint=6:scenecut=0:open-gop=0:bframes=2"}
_VPX = {"cpu-used": "8", "g": "6", "lag-in-frames": "5", "auto-alt-ref": "1"}
_MILLI, _CLOCK = Fraction(1, 1000), Fraction(1, 90_000)
UNEVEN = tuple(512 * index + 97 * (index % 3) for index in range(FRAMES))

CLIPS = [
    (Clip("libx264", frames=FRAMES, options=_X264, audio=("aac",)), ".mp4", "H.264 with B-frames and sound"),
    (Clip("libx264", frames=FRAMES, options=_X264, suffix=".mov"), ".mov", "QuickTime"),
    (Clip("libx264", frames=FRAMES, options=_X264, suffix=".mkv", base=_MILLI), ".mkv", "Matroska, which has no DTS"),
    (Clip("libx264", frames=FRAMES, options=_X264, suffix=".ts", base=_CLOCK), ".ts", "a transport stream"),
    (Clip("libx264", frames=FRAMES, options=_X264 | {"bf": "0"}), ".ts", "from lengths to a byte stream"),
    (Clip("libx264", frames=FRAMES, options=_X264), ".mkv", "from MP4 to Matroska"),
    (Clip("libx264", frames=FRAMES, options=_X264, suffix=".ts", base=_CLOCK), ".mp4", "from a byte stream to lengths"),
    (Clip("libx264", "yuv422p10le", frames=FRAMES, options=_X264), ".mp4", "10 bit 4:2:2"),
    (Clip("libx264", options=_X264, stamps=UNEVEN), ".mp4", "variable frame rate"),
    (Clip("libx265", frames=FRAMES, options=_X265), ".mp4", "HEVC"),
    (Clip("libx265", frames=FRAMES, options=_X265, suffix=".mkv", base=_MILLI), ".mkv", "HEVC in Matroska"),
    (Clip("libx265", frames=FRAMES, options=_X265, suffix=".ts", base=_CLOCK), ".ts", "HEVC in a transport stream"),
    (Clip("libvpx-vp9", frames=FRAMES, options=_VPX, suffix=".webm", base=_MILLI), ".webm", "VP9 with hidden frames"),
    (Clip("libsvtav1", frames=FRAMES, options={"preset": "12", "g": "6"}), ".mp4", "AV1"),
]


def smart(source: Path, target: Path, touched: frozenset[int] = TOUCHED, **video: object) -> media.Writer:
    """Make the touched frames black, copy what may be."""
    plan = Plan(video=Video(smart=True, **video))  # type: ignore[arg-type]
    covered = plan.video.on_damage == "cover"
    with (
        media.open_source(source, Limits(), cover_damage=covered) as reader,
        media.open_sink(target, reader, plan, touched=touched) as writer,
    ):
        for frame in reader.frames():
            if frame.index in touched:
                for plane in frame.planes:
                    plane.pixels[...] = plane.black[0]
            writer.write(frame)
    return writer


def pictures_of(path: Path) -> list[bytes]:
    """What each packet holds of pictures, without parameter sets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        syntax = packet_filter_for(stream.codec_context.codec.canonical_name, stream.codec_context.extradata or b"")
        assert syntax is not None
        taken = [syntax.filter(bytes(packet)) for packet in container.demux(stream) if packet.size]
        return [one.data.removeprefix(syntax.header) if one.starts_closed_gop else one.data for one in taken]


@pytest.mark.parametrize(("clip", "suffix", "reason"), CLIPS, ids=[reason for *_, reason in CLIPS])
def test_untouched_groups_are_copied(tmp_path: Path, clip: Clip, suffix: str, reason: str) -> None:
    source, target = made(tmp_path / "a", clip), tmp_path / f"b{suffix}"
    writer = smart(source, target)
    assert writer.encoding.startswith("smart: 18 of 24 frames copied; the rest re-encoded: ")
    assert not [note for note in writer.warnings if "smart" in note]
    before, after = decoded(source), decoded(target)
    assert [time for time, _ in after] == [time for time, _ in before]
    for index, ((_, old), (_, new)) in enumerate(zip(before, after, strict=True)):
        if not 6 <= index < 12:
            assert all(np.array_equal(one, other) for one, other in zip(old, new, strict=True)), index
        scale = 4 if "10" in clip.pix_fmt else 1
        if index in TOUCHED:
            assert abs(new[0].astype(int) - 16 * scale).max() < 8 * scale, index
    assert packets(target) == packets(source)


ALL = [CLIPS[0], CLIPS[2], CLIPS[3], *CLIPS[-5:]]


@pytest.mark.parametrize(("clip", "suffix", "reason"), ALL, ids=[reason for *_, reason in ALL])
def test_packets_are_copied_bit_by_bit_without_their_side_messages(
    tmp_path: Path, clip: Clip, suffix: str, reason: str
) -> None:
    source, target = made(tmp_path / "a", clip), tmp_path / f"b{suffix}"
    writer = smart(source, target, frozenset())
    assert writer.encoding == "smart: 24 of 24 frames copied"
    assert pictures_of(target) == pictures_of(source)
    # The encoders of these clips sign their streams.
    signed = {"libx264": b"x264 - core", "libx265": b"x265 (build"}.get(clip.codec)
    if signed:
        assert signed in source.read_bytes()
        assert signed not in target.read_bytes()


@pytest.mark.real
def test_a_partly_copied_phone_video_decodes_as_one_video(shared: Path, tmp_path: Path) -> None:
    source, target = shared / "media/video/rotated_phone_wall_audio.mov", tmp_path / "b.mov"
    writer = smart(source, target, frozenset(range(35, 40)))
    assert writer.encoding.startswith("smart: 36 of 66 frames copied")
    with media.open_source(source, Limits()) as old, media.open_source(target, Limits()) as new:
        for index, (before, after) in enumerate(zip(old.frames(), new.frames(), strict=True)):
            same = [
                np.array_equal(one.pixels, two.pixels) for one, two in zip(before.planes, after.planes, strict=True)
            ]
            assert all(same) == (not 30 <= index < 60), index
            assert (before.time, before.orientation) == (after.time, after.orientation)
    assert packets(target) == packets(source)


def test_copied_groups_may_be_at_either_end(tmp_path: Path) -> None:
    source = made(tmp_path / "a", CLIPS[0][0])
    for touched in (frozenset({0}), frozenset({FRAMES - 1}), frozenset({0, 7, 23})):
        target = tmp_path / f"b{len(touched)}{min(touched)}.mp4"
        smart(source, target, touched)
        same = [
            all(np.array_equal(one, other) for one, other in zip(old, new, strict=True))
            for (_, old), (_, new) in zip(decoded(source), decoded(target), strict=True)
        ]
        groups = {index // GROUP for index in touched}
        assert all(equal for index, equal in enumerate(same) if index // GROUP not in groups)
        assert not any(same[index] for index in touched)


_OPEN264 = {"x264-params": "keyint=6:min-keyint=6:scenecut=0:bframes=2:open-gop=1"}
_OPEN265 = {"x265-params": "log-level=error:keyint=6:min-keyint=6:scenecut=0:bframes=2:open-gop=1"}
_BT2020 = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
REFUSED = [
    (Clip("libx264", frames=FRAMES, options=_OPEN264), ".mp4", {}, "each of its 1 closed groups", "open groups"),
    (Clip("libx265", frames=FRAMES, options=_OPEN265), ".mp4", {}, "each of its 1 closed groups", "open groups, HEVC"),
    (Clip("ffv1", suffix=".mkv", base=_MILLI), ".mkv", {}, "cannot copy packets of ffv1", "settings in the header"),
    (Clip(options=_X264), ".mp4", {"codec": "hevc"}, "h264 is written as hevc", "another codec"),
    (Clip(options=_X264), ".avi", {}, "from MP4 to AVI", "no time stamps of display"),
    (Clip(options=_X264), ".ts", {}, "with a decoding time before 0", "MP4 starts earlier than a transport stream can"),
    (Clip(options=_X264), ".mp4", {"on_damage": "cover"}, "damaged frames are to be covered", "black frames"),
    (Clip(options=_X264 | {"x264-params": "tff=1"}), ".mp4", {}, "interlaced", "two pictures in one"),
    (Clip(options=_X264 | {"x264-params": _BT2020}), ".mp4", {}, "HDR metadata", "messages that players need"),
    (Clip(frames=FRAMES, size=(64, 44), options=_X264), ".mp4", {}, None, "blocks that are not whole"),
]


@pytest.mark.parametrize(("clip", "suffix", "video", "why", "reason"), REFUSED, ids=[one[-1] for one in REFUSED])
def test_where_packets_cannot_be_copied_every_frame_is_encoded(
    tmp_path: Path, clip: Clip, suffix: str, video: dict[str, object], why: str | None, reason: str
) -> None:
    source, target = made(tmp_path / "a", clip), tmp_path / f"b{suffix}"
    writer = smart(source, target, frozenset({8}), **video)
    notes = [note for note in writer.warnings if note.startswith("smart had no effect, every frame was encoded: ")]
    assert [why in note for note in notes] == [True] if why else not notes
    assert writer.encoding.startswith("smart" if why is None else ("re-encoded", "lossless"))
    assert abs(decoded(target)[8][1][0].astype(int) - 16).max() < 16
    assert len(decoded(target)) == len(decoded(source))


def test_a_cropped_video_is_not_copied(tmp_path: Path) -> None:
    whole, source = made(tmp_path / "a", CLIPS[0][0]), tmp_path / "cropped.mp4"
    with av.open(str(whole)) as old, av.open(str(source), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        crop = av.bitstream.BitStreamFilterContext("h264_metadata=crop_right=32", old.streams.video[0], stream)
        for packet in old.demux(old.streams.video[0]):
            for cut in crop.filter(packet if packet.size else None):
                cut.stream = stream
                new.mux(cut)
    writer = smart(source, tmp_path / "b.mp4")
    assert any("more of each frame than is shown" in note for note in writer.warnings)


def test_a_writer_that_gets_too_few_frames_publishes_nothing(tmp_path: Path) -> None:
    source, target = made(tmp_path / "a", CLIPS[0][0]), tmp_path / "b.mp4"
    with (
        pytest.raises(OutputFailed),
        media.open_source(source, Limits()) as reader,
        media.open_sink(target, reader, Plan(), touched=TOUCHED) as writer,
    ):
        for frame, _ in zip(reader.frames(), range(FRAMES - 2), strict=False):
            writer.write(frame)
    assert list(tmp_path.iterdir()) == [source]


def test_without_touched_nothing_is_copied(tmp_path: Path) -> None:
    source = made(tmp_path / "a", CLIPS[0][0])
    assert copy(source, tmp_path / "b.mp4", Video(smart=True)).encoding.startswith("re-encoded")


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "prores"])
@given(extradata=st.binary(max_size=60), data=st.lists(st.binary(max_size=80), max_size=3), marked=st.booleans())
def test_any_bytes_are_parsed_without_an_unexpected_error(
    codec: str, extradata: bytes, data: list[bytes], marked: bool
) -> None:
    syntax = packet_filter_for(codec, (b"\1" if marked else b"") + extradata)
    assert syntax is not None
    for one in data:
        piece = syntax.filter(one)
        assert isinstance(piece.data, bytes)
        assert len(piece.data) <= len(one) + len(syntax.header) + 4 * len(one)
