"""On any fault there is an error with the place, and no file."""

import hashlib
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from velum import media
from velum.errors import BadInput, LimitExceeded, OutputFailed
from velum.limits import Limits
from velum.media.video.expected_pts import ExpectedPts
from velum.plan import Plan, Video

from .factories import FRAMES, Clip, copy, decoded, full_disk, made, times

MILLI = Fraction(1, 1000)
WHOLE = Clip(audio=("aac",), frames=30, options={"g": "10"})
KINDS = {
    ".mp4": WHOLE,
    ".mov": Clip(suffix=".mov", frames=30),
    ".mkv": Clip(suffix=".mkv", frames=30, base=MILLI),
    ".avi": Clip("mpeg4", suffix=".avi", frames=30, base=Fraction(1, 25)),
    ".ts": Clip("mpeg2video", suffix=".ts", frames=30, base=Fraction(1, 25)),
}


def nothing_but(folder: Path, *paths: Path) -> bool:
    return sorted(folder.iterdir()) == sorted(paths)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_truncated_file_is_reported_and_publishes_nothing(tmp_path: Path, suffix: str, share: float) -> None:
    source = made(tmp_path / "a", KINDS[suffix])
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * share) | 1])
    with pytest.raises(BadInput, match="truncated|damaged"):
        copy(source, tmp_path / f"b{suffix}")
    assert nothing_but(tmp_path, source)


def test_a_truncated_file_with_its_index_first_is_noticed(tmp_path: Path) -> None:
    clip = Clip(frames=30, container={"movflags": "+faststart"})
    source = made(tmp_path / "a", clip)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(BadInput, match="truncated: it has"):
        copy(source, tmp_path / "b.mp4")
    copy(source, tmp_path / "b.mp4", Video(on_damage="cover"))
    assert 10 < len(times(tmp_path / "b.mp4")) <= 30


def _without_packet(source: Path, target: Path, lost: int, change: Callable[[bytes], bytes] | None = None) -> None:
    """Copy a video with one packet cut out of it, or changed."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0], opaque=True)
        for index, packet in enumerate(before.demux(before.streams.video[0])):
            if not packet.size or (index == lost and change is None):
                continue
            if index == lost and change is not None:
                changed = av.Packet(change(bytes(packet)))
                changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
                changed.duration = packet.duration or 0
                changed.stream = stream
                after.mux(changed)
                continue
            packet.stream = stream
            after.mux(packet)


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xA5 for byte in data[middle : middle + 60]) + data[middle + 60 :]


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".mp4", "mpeg4"), (".mp4", "libx264")])
def test_a_damaged_frame_is_reported_with_its_place_or_covered(tmp_path: Path, suffix: str, codec: str) -> None:
    base = MILLI if suffix == ".mkv" else Fraction(1, 12_800)
    whole = made(tmp_path / "whole", Clip(codec, suffix=suffix, frames=20, base=base, options={"bf": "0", "g": "5"}))
    source = tmp_path / f"a{suffix}"
    _without_packet(whole, source, 7, lambda data: b"\xff" * len(data))
    with pytest.raises(BadInput, match=r"damaged at frame 7 at 0\.280 s.*on_damage"):
        copy(source, tmp_path / f"b{suffix}")
    writer = copy(source, tmp_path / f"b{suffix}", Video(on_damage="cover"))
    assert any("made black: frame 7 at 0.280 s" in note for note in writer.warnings)
    assert times(tmp_path / f"b{suffix}") == times(whole)
    assert decoded(tmp_path / f"b{suffix}")[7][1][0].mean() < 20


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_damage_is_detected_in_a_clip_trimmed_by_its_edit_list(tmp_path: Path, suffix: str) -> None:
    stamps = tuple(512 * index for index in range(-3, 17))
    trimmed = Clip(suffix=suffix, container={"avoid_negative_ts": "disabled"}, stamps=stamps, options={"bf": "0"})
    source = made(tmp_path / "a", trimmed)
    assert len(times(source)) == 17
    assert not copy(source, tmp_path / f"b{suffix}").warnings
    with av.open(str(source)) as container:
        packet = [bytes(one) for one in container.demux(video=0) if one.size][7]
    source.write_bytes(source.read_bytes().replace(packet, b"\xff" * len(packet)))
    with pytest.raises(BadInput, match=r"damaged at frame 4 at 0\.160 s"):
        copy(source, tmp_path / f"c{suffix}")


def test_covered_frames_of_an_avi_keep_their_place(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", Clip("mpeg4", suffix=".avi", frames=20, base=Fraction(1, 25)))
    source = tmp_path / "a.avi"
    _without_packet(whole, source, 7, lambda data: b"\xff" * len(data))
    with pytest.raises(BadInput, match="damaged at frame"):
        copy(source, tmp_path / "b.avi")
    copy(source, tmp_path / "b.avi", Video(on_damage="cover"))
    assert times(tmp_path / "b.avi") == times(whole)


def test_flipped_bits_are_reported_or_harmless(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", Clip("libx264", suffix=".mkv", frames=20, base=MILLI, options={"g": "5"}))
    for lost in range(3, 9):
        source = tmp_path / "a.mkv"
        source.unlink(missing_ok=True)
        _without_packet(whole, source, lost, _flipped)
        try:
            copy(source, tmp_path / "b.mkv")
        except BadInput as error:
            assert "damaged at frame" in str(error)  # noqa: PT017 - either is right
        else:
            assert len(times(tmp_path / "b.mkv")) == 20


PLAYLISTS = [
    (b"ffconcat version 1.0\nfile 'secret.mp4'\n", "a list of FFmpeg"),
    (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.mp4\n#EXT-X-ENDLIST\n", "a playlist"),
]


@pytest.mark.parametrize(("content", "reason"), PLAYLISTS)
def test_a_playlist_with_the_suffix_of_a_video_opens_no_other_file(tmp_path: Path, content: bytes, reason: str) -> None:
    made(tmp_path / "secret", Clip())
    source = tmp_path / "a.mp4"
    source.write_bytes(content)
    with pytest.raises(BadInput, match="unknown kind"):
        media.open_source(source, Limits())


def test_a_movie_that_refers_to_another_file_does_not_read_it(tmp_path: Path) -> None:
    secret = made(tmp_path / "secret", Clip())
    data = secret.read_bytes()
    start = data.index(b"url \0\0\0\1") - 4
    # ISO/IEC 14496-12, 8.7.2: without the flag, the samples are in the file that is named.
    source = tmp_path / "a.mp4"
    source.write_bytes(data[: start + 8] + b"\0\0\0\0" + data[start + 12 :])
    with media.open_source(source, Limits()) as reader:
        assert reader.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


NOT_VIDEO = [
    (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "an empty container"),
    (b"\x1a\x45\xdf\xa3\x84matroska", "only a header"),
    (b"RIFF\x04\0\0\0AVI ", "an AVI without content"),
    (b"G" + bytes(187) + b"G" + bytes(187), "a transport stream of nothing"),
    (b"\0\0\1\xba" + bytes(100), "a program stream of nothing"),
]


@pytest.mark.parametrize(("content", "reason"), NOT_VIDEO)
def test_a_container_without_video_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(content)
    with pytest.raises(BadInput):
        media.open_source(source, Limits())


def test_an_audio_file_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    whole = made(tmp_path / "whole", Clip(audio=("aac",)))
    with av.open(str(whole)) as before, av.open(str(source), "w") as after:
        stream = after.add_stream_from_template(before.streams.audio[0])
        for packet in before.demux(before.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    with pytest.raises(BadInput, match="holds no video, only audio"):
        media.open_source(source, Limits())


def test_an_encrypted_video_is_recognised(tmp_path: Path) -> None:
    keys = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "00112233445566778899aabbccddeeff",
        "encryption_kid": "112233445566778899aabbccddeeff00",
    }
    source = made(tmp_path / "a", Clip(container=keys))
    with pytest.raises(BadInput, match="encrypted"):
        media.open_source(source, Limits())


LIMITS = [
    (Limits(bytes=100), "bytes", "size of the file"),
    (Limits(pixels=64 * 48 - 1), "pixels", "size of a frame"),
    (Limits(seconds=1), "seconds", "length"),
    (Limits(video_frames=20), "video_frames", "number of frames"),
]


@pytest.mark.parametrize(("limits", "name", "reason"), LIMITS)
def test_videos_beyond_a_limit_are_refused(tmp_path: Path, limits: Limits, name: str, reason: str) -> None:
    source = made(tmp_path / "a", Clip(frames=55))
    with pytest.raises(LimitExceeded) as caught:
        copy(source, tmp_path / "b.mp4", limits=limits)
    assert caught.value.limit == name
    assert nothing_but(tmp_path, source)


@pytest.mark.parametrize("room", [0, 1000])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_a_full_disk_publishes_nothing(tmp_path: Path, suffix: str, room: int) -> None:
    source = made(tmp_path / "a", Clip("mpeg4", suffix=suffix, base=Fraction(1, 25)))
    with pytest.raises(OutputFailed, match="nothing was published"), full_disk(room):
        copy(source, tmp_path / f"b{suffix}")
    assert nothing_but(tmp_path, source)


def _interrupted(source: Path, target: Path, error: type[BaseException]) -> None:
    with media.open_source(source, Limits()) as reader, media.open_sink(target, reader, Plan()) as writer:
        for frame in reader.frames():
            writer.write(frame)
            if frame.index == 5:
                raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_run_leaves_no_file_behind(tmp_path: Path, error: type[BaseException]) -> None:
    source = made(tmp_path / "a", Clip(audio=("aac",)))
    with pytest.raises(error):
        _interrupted(source, tmp_path / "b.mp4", error)
    assert nothing_but(tmp_path, source)


def _skipping(source: Path, target: Path, skipped: set[int]) -> None:
    with media.open_source(source, Limits()) as reader, media.open_sink(target, reader, Plan()) as writer:
        for frame in reader.frames():
            if frame.index not in skipped:
                writer.write(frame)


@pytest.mark.parametrize(
    ("skipped", "says"),
    [({4}, "frame 5 came, but frame 4 was expected"), ({FRAMES - 1}, "only 11 of"), (set(range(FRAMES)), "only 0")],
)
def test_a_missing_frame_publishes_nothing(tmp_path: Path, skipped: set[int], says: str) -> None:
    source = made(tmp_path / "a", Clip())
    with pytest.raises(OutputFailed, match=says):
        _skipping(source, tmp_path / "b.mp4", skipped)
    assert nothing_but(tmp_path, source)


def test_the_source_is_never_the_target(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip())
    (tmp_path / "link.mp4").hardlink_to(source)
    before = source.read_bytes()
    for name in ("a.mp4", "link.mp4"):
        with pytest.raises(OutputFailed, match="never touched"):
            copy(source, tmp_path / name)
    assert source.read_bytes() == before


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip())
    with media.open_source(source, Limits()) as reader:
        pass
    assert reader.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()  # also when the file is closed
    writer = copy(source, tmp_path / "b.mp4")
    assert writer.sha256 == hashlib.sha256((tmp_path / "b.mp4").read_bytes()).hexdigest()


def test_the_content_decides_the_format_and_not_the_name(tmp_path: Path) -> None:
    shutil.copy(made(tmp_path / "a", Clip(suffix=".mkv", base=MILLI)), tmp_path / "photo.jpg")
    with media.open_source(tmp_path / "photo.jpg", Limits()) as reader:
        assert reader.info.format == "MKV"
    assert media.SUFFIXES[".mp4"] == "MP4"
    assert not np.any([suffix in media.IMAGE_SUFFIXES for suffix in media.VIDEO_SUFFIXES])


def test_a_key_frame_left_out_by_an_edit_list_is_not_expected() -> None:
    timeline = ExpectedPts()
    for pts in (10, 20, 30):
        assert timeline.announce(pts, key=pts == 10, shown=pts == 30)
    assert timeline.take_missing() == [30]


def test_missing_frames_are_named_by_their_time() -> None:
    timeline = ExpectedPts()
    assert not timeline.announce(5, key=False)  # before the first key frame
    for pts, key in ((10, True), (40, False), (20, False), (30, False)):
        assert timeline.announce(pts, key=key, damaged=pts == 30)
    assert not timeline.announce(8, key=False)  # leading picture: needs what was before the recording
    assert timeline.check_off(10) == ([], False)
    assert timeline.check_off(30) == ([20], True)
    assert timeline.next_pts() == 40
    assert timeline.take_missing() == [40]
    assert timeline.take_missing() == []


def _rename_codec(name: bytes, letters: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(name, letters)


def _state_odd_depth(data: bytes) -> bytes:
    place = data.index(b"rle ") + 78  # of the depth, in a sample entry of QuickTime
    return data[:place] + bytes([0, 7]) + data[place + 2 :]


@pytest.mark.parametrize(
    ("suffix", "codec", "layout", "change", "says"),
    [
        (".mov", "tiff", "rgb24", bytes, "video of tiff is not supported"),
        (".mov", "qtrle", "rgb24", _state_odd_depth, "video of qtrle is not supported"),
        (".avi", "mpeg4", "yuv420p", _rename_codec(b"FMP4", b"ZZZZ"), "codec is unknown"),
        (".avi", "mpeg4", "yuv420p", _rename_codec(b"FMP4", bytes(4)), "codec is unknown"),
    ],
    ids=["strict decoding fails", "no decoder opens", "unknown name", "no name"],
)
def test_whole_videos_that_cannot_be_decoded_are_not_called_damaged(
    tmp_path: Path, suffix: str, codec: str, layout: str, change: Callable[[bytes], bytes], says: str
) -> None:
    source = tmp_path / f"a{suffix}"
    with av.open(source, "w") as container:
        stream: Any = container.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        for _ in range(3):
            black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            container.mux(stream.encode(black.reformat(format=layout)))
        container.mux(stream.encode(None))
    source.write_bytes(change(source.read_bytes()))
    with pytest.raises(BadInput, match=f"{says}.*convert it first$") as caught:
        copy(source, tmp_path / "b.mkv")
    assert "damaged" not in str(caught.value)
