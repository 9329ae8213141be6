"""Videos keep every frame, its time stamp, the way it is shown, and the other tracks."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from velum import media
from velum.errors import BadInput, BadPlan
from velum.frame import Role
from velum.limits import Limits
from velum.media.video.info import VideoInfo
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.reader import VideoReader
from velum.plan import Plan, Video

from .factories import FRAMES, HEIGHT, WIDTH, Clip, copy, decoded, made, packets, times

QUARTER = (0, 65_536, 0, -65_536, 0, 0, 48 << 16, 0, 1 << 30)
MIRROR = (-65_536, 0, 0, 0, 65_536, 0, 64 << 16, 0, 1 << 30)
UNEVEN = (0, 512, 700, 2000, 2100, 2912, 5000, 5512)

CLIPS = [
    (Clip(), "H.264 with B-frames"),
    (Clip(pix_fmt="yuv422p10le"), "10 bit 4:2:2"),
    (Clip(pix_fmt="yuv444p"), "4:4:4"),
    (Clip(pix_fmt="yuvj420p"), "full range"),
    (Clip(pix_fmt="gray"), "grey"),
    (Clip("libx264rgb", "rgb24", ".mkv"), "red, green, blue in H.264"),
    (Clip(stamps=UNEVEN), "variable frame rate"),
    (Clip(stamps=UNEVEN, suffix=".mkv", base=Fraction(1, 1000)), "variable frame rate in Matroska"),
    (Clip(stamps=tuple(range(700, 700 + 512 * 8, 512))), "starts late"),
    (Clip(suffix=".mov"), "QuickTime"),
    (Clip("libx265", suffix=".mkv", options={"x265-params": "log-level=error"}, base=Fraction(1, 1000)), "HEVC"),
    (Clip("libx265", "yuv420p10le", options={"x265-params": "log-level=error"}), "HEVC, 10 bit"),
    (Clip("libvpx-vp9", suffix=".webm", base=Fraction(1, 1000), options={"cpu-used": "8"}, frames=6), "VP9"),
    (Clip("libvpx-vp9", size=(63, 47), options={"cpu-used": "8"}, frames=6), "VP9, odd size, MP4"),
    (Clip("libvpx", suffix=".webm", base=Fraction(1, 1000), options={"auto-alt-ref": "1"}), "VP8"),
    (Clip("libsvtav1", frames=6, options={"preset": "12"}), "AV1"),
    (Clip("mpeg4", base=Fraction(1, 25), options={"bf": "2"}), "MPEG-4 with B-frames"),
    (Clip("mpeg4", suffix=".avi", base=Fraction(1, 25)), "MPEG-4 in AVI"),
    (Clip("mpeg2video", suffix=".mpg", base=Fraction(1, 25)), "MPEG-2 program stream"),
    (Clip("mpeg2video", suffix=".ts", base=Fraction(1, 25), options={"bf": "2"}), "MPEG-2 transport stream"),
    (Clip(suffix=".ts", base=Fraction(1, 90_000)), "H.264 transport stream"),
    (Clip("mjpeg", "yuvj422p", ".avi", base=Fraction(1, 25)), "MJPEG in AVI"),
    (Clip("mjpeg", "yuvj420p", ".mov", size=(63, 47)), "MJPEG in QuickTime, odd size"),
    (Clip("prores_ks", "yuv422p10le", ".mov"), "ProRes"),
    (Clip("ffv1", "yuv420p", ".mkv", size=(63, 47), base=Fraction(1, 1000)), "FFV1, odd size"),
    (Clip("ffv1", "gray16le", ".mkv", base=Fraction(1, 1000)), "FFV1, 16 bit grey"),
    (Clip("ffv1", "bgr0", ".mkv", base=Fraction(1, 1000)), "FFV1, red, green, blue"),
    (Clip("ffv1", "gbrp10le", ".mkv", base=Fraction(1, 1000)), "FFV1, 10 bit red, green, blue"),
    (Clip("png", "rgba", ".mov"), "PNG with transparency"),
]


@pytest.mark.parametrize(("clip", "reason"), CLIPS, ids=[reason for _, reason in CLIPS])
def test_frames_are_read_as_decoded_and_written_like_the_source(tmp_path: Path, clip: Clip, reason: str) -> None:
    source = made(tmp_path / "a", clip)
    before = decoded(source)
    with media.open_source(source, Limits()) as reader:
        frames = list(reader.frames())
    assert [frame.index for frame in frames] == list(range(len(clip.stamps or range(clip.frames))))
    assert [frame.time for frame in frames] == [time - before[0][0] for time, _ in before]
    for frame, (_, planes) in zip(frames, before, strict=True):
        assert len(frame.planes) == len(planes)
        assert all(np.array_equal(plane.pixels, one) for plane, one in zip(frame.planes, planes, strict=True))
        assert (frame.width, frame.height) == clip.size
        assert frame.rgb(16, 12).shape == (12, 16, 3)
    writer = copy(source, tmp_path / f"b{clip.suffix}")
    after = decoded(tmp_path / f"b{clip.suffix}")
    assert [time for time, _ in after] == [time for time, _ in before]
    lossless = writer.encoding.startswith("lossless")
    for (_, ours), (_, theirs) in zip(after, before, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.shape == other.shape
            assert np.array_equal(one, other) or not lossless
    assert not [note for note in writer.warnings if "converted" in note or "rounded" in note]


OTHERS = [
    (Clip("flv", suffix=".flv", base=Fraction(1, 1000), audio=("libmp3lame",)), "Flash"),
    (Clip("libx264", suffix=".flv", base=Fraction(1, 1000), audio=("aac",)), "Flash, H.264"),
    (Clip("wmv2", suffix=".wmv", base=Fraction(1, 25), audio=("libmp3lame",)), "Windows Media"),
    (Clip("mpeg2video", suffix=".mxf", base=Fraction(1, 25), audio=("pcm_s16le",)), "MXF"),
    (Clip("libvpx", suffix=".ogv", base=Fraction(1, 25), audio=("libopus",)), "Ogg"),
    (Clip("mpeg4", suffix=".3gp", base=Fraction(1, 25), audio=("aac",)), "3GP"),
]


@pytest.mark.parametrize(("clip", "reason"), OTHERS, ids=[reason for _, reason in OTHERS])
def test_a_read_only_container_is_converted_to_a_writable_one(tmp_path: Path, clip: Clip, reason: str) -> None:
    source = made(tmp_path / "a", clip)
    kind = media.kind_of(source)
    assert kind is not None
    target = tmp_path / f"b{media.suffix_of(kind)}"
    writer = copy(source, target)
    assert not any("left out" in one for one in writer.warnings)
    with media.open_source(source, Limits()) as before, media.open_source(target, Limits()) as after:
        assert [frame.time for frame in before.frames()] == [frame.time for frame in after.frames()]
    ours, theirs = packets(target), packets(source)
    assert [len(track) for track in ours] == [len(track) for track in theirs] == [len(ours[0])]
    source.write_bytes(source.read_bytes()[:-5])
    with pytest.raises(BadInput, match="truncated"):
        copy(source, tmp_path / "c.mkv")


LOSSLESS = [
    ("yuv420p", "ffv1", None, "8 bit"),
    ("yuv422p10le", "ffv1", None, "10 bit"),
    ("yuv444p12le", "ffv1", None, "12 bit"),
    ("yuv420p", "h264", 0, "H.264 without loss"),
    ("yuv422p10le", "h264", 0, "H.264 without loss, 10 bit"),
    ("yuv420p", "hevc", 0, "HEVC without loss"),
]


@pytest.mark.parametrize(("pix_fmt", "codec", "crf", "reason"), LOSSLESS)
def test_a_lossless_codec_changes_no_sample(
    tmp_path: Path, pix_fmt: str, codec: str, crf: int | None, reason: str
) -> None:
    source = made(tmp_path / "a", Clip("ffv1", pix_fmt, ".mkv", base=Fraction(1, 1000)))
    writer = copy(source, tmp_path / "b.mkv", Video(codec=codec, crf=crf))
    assert writer.encoding.startswith("lossless")
    for (_, before), (_, after) in zip(decoded(source), decoded(tmp_path / "b.mkv"), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
def test_an_odd_size_in_h264_keeps_size_and_samples(tmp_path: Path, pix_fmt: str) -> None:
    source = made(tmp_path / "a", Clip("ffv1", pix_fmt, ".mkv", size=(63, 47), base=Fraction(1, 1000)))
    writer = copy(source, tmp_path / "b.mp4", Video(codec="h264", crf=0))
    assert any("even size" in note for note in writer.warnings)
    for (_, before), (_, after) in zip(decoded(source), decoded(tmp_path / "b.mp4"), strict=True):
        assert np.array_equal(before[0], after[0])
        wide = before[1].repeat(47 // before[1].shape[0] + 1, axis=0) if pix_fmt == "yuv420p" else before[1]
        assert np.array_equal(wide.repeat(2, axis=1)[:47, :63], after[1])


@pytest.mark.parametrize(
    ("matrix", "size", "corner"), [(QUARTER, (HEIGHT, WIDTH), (0, -1)), (MIRROR, (WIDTH, HEIGHT), (0, -1))]
)
def test_rotation_is_understood_and_kept(
    tmp_path: Path, matrix: tuple[int, ...], size: tuple[int, int], corner: tuple[int, int]
) -> None:
    source = made(tmp_path / "a", Clip(matrix=matrix, audio=("aac",)))
    with media.open_source(source, Limits()) as reader:
        frame = next(iter(reader.frames()))
        assert (reader.info.width, reader.info.height) == (frame.width, frame.height) == size
        luma = frame.planes[0].pixels
        assert frame.orientation.upright(luma)[corner] == luma[0, 0]
    copy(source, tmp_path / "b.mp4")
    for path in (source, tmp_path / "b.mp4"):
        with media.open_source(path, Limits()) as reader:
            assert isinstance(reader.info, VideoInfo)
            assert reader.info.coding.matrix == matrix


def test_colour_aspect_and_range_are_kept(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip(aspect=Fraction(4, 3), colour=(9, 16, 9, 1), pix_fmt="yuv420p10le"))
    copy(source, tmp_path / "b.mkv")
    for path in (source, tmp_path / "b.mkv"):
        with media.open_source(path, Limits()) as reader:
            assert isinstance(reader.info, VideoInfo)
            coding = reader.info.coding
            assert coding.aspect == Fraction(4, 3)
            assert (coding.colour.primaries, coding.colour.transfer, coding.colour.matrix) == (9, 16, 9)
            assert not coding.colour.full_range


HDR = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


@pytest.mark.parametrize("codec", ["hevc", "av1", "h264"])
def test_hdr_metadata_is_kept(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": f"log-level=error:{HDR}"}
    source = made(tmp_path / "a", Clip("libx265", "yuv420p10le", colour=(9, 16, 9, 1), options=options, frames=6))
    copy(source, tmp_path / "b.mp4", Video(codec=codec))
    found = []
    for path in (source, tmp_path / "b.mp4"):
        with media.open_source(path, Limits()) as reader:
            assert isinstance(reader.info, VideoInfo)
            colour = reader.info.coding.colour
            assert colour.mastering
            found.append((colour.light, colour.primaries))
    assert found[0] == found[1]


def test_planes_state_role_and_subsampling(tmp_path: Path) -> None:
    for pix_fmt, limited in (("yuv420p", True), ("yuvj420p", False)):
        source = made(tmp_path / pix_fmt, Clip(pix_fmt=pix_fmt))
        with media.open_source(source, Limits()) as reader:
            planes = next(iter(reader.frames())).planes
        assert [plane.role for plane in planes] == [Role.LUMA, Role.CHROMA, Role.CHROMA]
        assert [(plane.scale_x, plane.scale_y, plane.limited) for plane in planes] == [
            (1, 1, limited), (2, 2, limited), (2, 2, limited),
        ]  # fmt: skip


def test_every_frame_has_buffers_of_its_own(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip())
    before = decoded(source)
    with media.open_source(source, Limits()) as reader:
        held = []
        for frame in reader.frames():
            held.append([plane.pixels.copy() for plane in frame.planes])
            for plane in frame.planes:
                plane.pixels[...] = 77  # were it the decoder's, the next pictures would be damaged
    for ours, (_, theirs) in zip(held, before, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_changed_planes_are_what_is_written(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip("ffv1", suffix=".mkv", base=Fraction(1, 1000)))
    with media.open_source(source, Limits()) as reader:
        kept = [np.zeros_like(plane.pixels) for plane in next(iter(reader.frames())).planes]

    with media.open_source(source, Limits()) as reader, media.open_sink(tmp_path / "b.mkv", reader, Plan()) as writer:
        for frame in reader.frames():
            assert isinstance(frame, VideoFrame)
            planes = tuple(replace(plane, pixels=pixels) for plane, pixels in zip(frame.planes, kept, strict=True))
            writer.write(replace(frame, planes=planes))
    assert all(not plane.any() for _, planes in decoded(tmp_path / "b.mkv") for plane in planes)


TRACKS = [
    (".mp4", ("aac", "aac"), "mov_text", ".mp4", "two tracks and subtitles"),
    (".mkv", ("libopus", "flac"), "subrip", ".mkv", "other codecs"),
    (".mp4", ("aac",), None, ".mkv", "into another container"),
    (".mp4", ("aac",), None, ".ts", "into a transport stream"),
    (".avi", ("libmp3lame",), None, ".avi", "AVI"),
    (".mpg", ("mp2",), None, ".mpg", "program stream"),
    (".ts", ("aac",), None, ".ts", "transport stream"),
    (".ts", ("aac",), None, ".mp4", "from a transport stream"),
]


@pytest.mark.parametrize(("suffix", "audio", "subtitles", "target", "reason"), TRACKS)
def test_tracks_are_copied_packet_by_packet(
    tmp_path: Path, suffix: str, audio: tuple[str, ...], subtitles: str | None, target: str, reason: str
) -> None:
    codec = "mpeg2video" if suffix == ".mpg" else "mpeg4" if suffix == ".avi" else "libx264"
    base = Fraction(1, 25) if codec != "libx264" else Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 90_000)
    clip = Clip(
        codec, suffix=suffix, audio=audio, subtitles=subtitles, base=base, tags={"title": "Jane Roe", "location": "+1"}
    )
    source = made(tmp_path / "a", clip)
    writer = copy(source, tmp_path / f"b{target}")
    before, after = packets(source), packets(tmp_path / f"b{target}")
    assert len(before) == len(after) == len(audio) + bool(subtitles)
    shift = times(tmp_path / f"b{target}")[0] - times(source)[0]
    for ours, theirs in zip(after, before, strict=True):
        if (suffix == ".ts") == (target == ".ts"):  # else AAC gets or loses its ADTS headers
            assert [one for _, one in ours] == [one for _, one in theirs]
        assert all(abs(a - shift - b) < Fraction(1, 900) for (a, _), (b, _) in zip(ours, theirs, strict=True))
    assert sum("identify people" in note for note in writer.warnings) == 1 + bool(subtitles)
    data = (tmp_path / f"b{target}").read_bytes()
    assert b"private" not in data
    assert b"Jane Roe" not in data.replace(b"Jane Roe lives", b"")
    if suffix != ".avi":
        with av.open(str(tmp_path / f"b{target}")) as container:
            assert {stream.language for stream in container.streams.audio} <= {"deu", None}


def test_tracks_are_dropped_or_silenced_as_the_plan_says(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip(audio=("aac", "ac3"), subtitles="mov_text", frames=25))
    copy(source, tmp_path / "b.mp4", Video(audio="drop", subtitles="drop"))
    assert packets(tmp_path / "b.mp4") == []
    writer = copy(source, tmp_path / "c.mp4", Video(audio="silence", subtitles="drop"))
    assert not any("voices" in note for note in writer.warnings)
    with av.open(str(source)) as before, av.open(str(tmp_path / "c.mp4")) as after:
        for ours, theirs in zip(after.streams.audio, before.streams.audio, strict=True):
            assert ours.codec_context.name == theirs.codec_context.name
            assert ours.duration and theirs.duration  # noqa: PT018 - for the type checker too
            assert abs(ours.duration * ours.time_base - theirs.duration * theirs.time_base) < 0.05  # type: ignore[operator]
        sounds = [frame.to_ndarray() for frame in after.decode(after.streams.audio[0])]
        assert sounds
        assert max(float(np.abs(sound).max()) for sound in sounds) < 1e-4


REFUSED = [
    (Clip(audio=("libopus",), suffix=".mkv"), "b.avi", Video(), "cannot hold the audio .*opus.*drop", "sound"),
    (Clip(suffix=".mkv", subtitles="subrip"), "b.mp4", Video(), "subtitle .*subrip", "subtitles"),
    (Clip(), "b.webm", Video(codec="h264"), "WEBM cannot hold h264; it can hold av1, vp8, vp9", "codec"),
    (Clip(), "b.mp4", Video(codec="nonsense"), "allowed are .*ffv1.*h264", "unknown codec"),
    (Clip(), "b.mp4", Video(preset="hasty"), "allowed are ultrafast", "unknown preset"),
    (Clip(), "b.mp4", Video(crf=60), "from 0 to 51", "quality out of range"),
    (Clip(), "b.mkv", Video(codec="ffv1", crf=3), "no such setting", "quality of a lossless codec"),
    (Clip(), "b.png", Video(), "not a video suffix", "an image's suffix"),
    (Clip(), "b", Video(), r"allowed are .*\.avi", "no suffix"),
]


@pytest.mark.parametrize(("clip", "target", "video", "says", "reason"), REFUSED)
def test_impossible_plans_are_refused_before_anything_is_written(
    tmp_path: Path, clip: Clip, target: str, video: Video, says: str, reason: str
) -> None:
    source = made(tmp_path / "a", clip)
    with pytest.raises(BadPlan, match=says):
        copy(source, tmp_path / target, video)
    assert list(tmp_path.iterdir()) == [source]


def test_a_codec_without_encoder_falls_back_with_a_warning(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip("asv1", suffix=".avi", base=Fraction(1, 25)))
    writer = copy(source, tmp_path / "b.mkv")
    assert any("no encoder for asv1" in note for note in writer.warnings)
    assert "libx264" in writer.encoding
    copy(made(tmp_path / "c", Clip()), tmp_path / "d.webm")
    with av.open(str(tmp_path / "d.webm")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == "vp9"


def test_rounded_time_stamps_are_reported(tmp_path: Path) -> None:
    writer = copy(made(tmp_path / "a", Clip(stamps=UNEVEN)), tmp_path / "b.mkv")
    assert any("rounded: MKV counts time in units of 1/1000 s" in note for note in writer.warnings)


def test_a_second_pass_gives_the_same_frames(tmp_path: Path) -> None:
    with media.open_source(made(tmp_path / "a", Clip()), Limits()) as reader:
        assert isinstance(reader, VideoReader)
        first, second = ([frame.planes[0].pixels.sum() for frame in reader.frames()] for _ in range(2))
    assert first == second
    assert len(first) == FRAMES


def test_fast_start_puts_the_index_first(tmp_path: Path) -> None:
    copy(made(tmp_path / "a", Clip()), tmp_path / "b.mp4")
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
