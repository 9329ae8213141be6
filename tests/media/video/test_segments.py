"""Videos written segment by segment give what one run writes, or nothing."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.rows import but_for

from velum import media
from velum.errors import BadInput, LimitExceeded, OutputFailed, VelumError
from velum.limits import Limits
from velum.media import Segment
from velum.plan import Plan, Video

from .factories import Clip, copy, decoded, made, packets, times

GROUPED = {"g": "6", "sc_threshold": "0", "bf": "2"}
COUNT, OVERLAP = 40, 5
H264 = Clip(frames=COUNT, options=GROUPED)
VFR = tuple(int(stamp) for stamp in np.cumsum(np.random.default_rng(2).choice([400, 512, 700, 1400], COUNT)))
TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
QUICK_HEVC = {"x265-params": "keyint=6:min-keyint=6:open-gop=0:scenecut=0:log-level=error"}


def cut(source: Path, plan: Plan, format: str = "MP4", seconds: float = 0.4) -> tuple[Segment, ...] | str:
    covered = plan.video.on_damage == "cover"
    with media.open_source(source, Limits(), cover_damage=covered) as reader:
        assert reader.sha256 is not None
        return media.split_video(reader, format, seconds=seconds, overlap_frames=OVERLAP)


def make(source: Path, span: Segment, plan: Plan, to: Path) -> Path:
    with (
        media.open_segment(source, Limits(), span) as reader,
        media.open_segment_sink(to, reader, plan, span) as writer,
    ):
        for frame in reader.frames():
            if span.first.frame <= frame.index < span.end.frame:
                writer.write(frame)
    return to


def in_spans(source: Path, target: Path, plan: Plan, order: Callable[[Any], Any] = reversed) -> tuple[Segment, ...]:
    spans = cut(source, plan, media.VIDEO_SUFFIXES[target.suffix])
    assert not isinstance(spans, str), spans
    # In any order: none needs another.
    parts = [make(source, span, plan, source.with_name(f"{span.index}.part")) for span in order(spans)]
    with media.open_source(source, Limits()) as reader:
        media.join_segments(target, reader, plan, parts)
    return spans


def seen(path: Path) -> dict[str, Any]:
    """Return what a player learns of the pictures, beside these."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        sent = [packet for packet in container.demux(stream) if packet.size]
        container.seek(0)
        first = next(container.decode(video=0))
        side: Any = first.side_data  # its types say that iteration gives names
        return {
            "dts": [packet.dts for packet in sent], "pts": [packet.pts for packet in sent if packet.pts is not None],
            "base": stream.time_base, "frames": stream.frames, "duration": stream.duration, "start": stream.start_time,
            "whole": container.duration, "tag": context.codec_tag, "extradata": context.extradata,
            "rate": stream.average_rate, "size": (context.width, context.height), "format": context.pix_fmt,
            "colour": (first.color_primaries, first.color_trc, first.colorspace, first.color_range),
            "side": sorted(str(one.type) for one in side), "streams": [s.type for s in container.streams],
        }  # fmt: skip


CLIPS: dict[str, tuple[Clip, Video, str]] = {
    "sound, words, rotation, colours": (
        replace(H264, audio=("aac",), subtitles="mov_text", matrix=TURNED, colour=(1, 1, 1, 1)), Video(), ".mp4",
    ),
    "B-frames in the source and the result": (H264, Video(preset="medium"), ".mp4"),
    "times that vary": (replace(H264, stamps=VFR, audio=("aac",)), Video(), ".mp4"),
    "times that vary, and B-frames": (replace(H264, stamps=VFR), Video(preset="medium"), ".mov"),
    "a start elsewhere": (replace(H264, stamps=tuple(5000 + 512 * i for i in range(COUNT))), Video(), ".mp4"),
    "no index": (replace(H264, suffix=".mkv", base=Fraction(1, 1000), container={"live": "1"}), Video(), ".mkv"),
    "fragments": (
        replace(H264, container={"movflags": "frag_keyframe+empty_moov+default_base_moof"}), Video(), ".mp4",
    ),
    "silence": (replace(H264, audio=("aac",)), Video(audio="silence"), ".mp4"),
    "HEVC": (replace(H264, codec="libx265", options=QUICK_HEVC), Video(), ".mp4"),
    "VP9 in its own container": (
        Clip("libvpx-vp9", suffix=".webm", frames=COUNT, base=Fraction(1, 1000),
             options={"g": "6", "cpu-used": "8", "deadline": "realtime"}), Video(), ".webm",
    ),
    "ProRes": (Clip("prores_ks", "yuv422p10le", ".mov", frames=COUNT), Video(), ".mov"),
    "an encoder that counts frames": (H264, Video(codec="mpeg4"), ".mp4"),
    "a transport stream": (H264, Video(), ".ts"),
    "a container without times": (H264, Video(), ".avi"),
}  # fmt: skip


@pytest.mark.parametrize("name", but_for(CLIPS, list(CLIPS)[::6]))
def test_joined_segments_equal_the_result_of_one_run(name: str, tmp_path: Path) -> None:
    clip, video, suffix = CLIPS[name]
    source = made(tmp_path / "source", clip)
    whole, joined = tmp_path / f"whole{suffix}", tmp_path / f"joined{suffix}"
    copy(source, whole, video)
    spans = in_spans(source, joined, Plan(video=video))
    assert len(spans) > 2
    assert times(joined) == times(whole)
    assert packets(joined) == packets(whole)
    first, second = seen(whole), seen(joined)
    assert sorted(first.pop("pts")) == sorted(second.pop("pts"))
    assert first == second
    assert {path.suffix for path in tmp_path.iterdir()} <= {clip.suffix, suffix, ".part"}


def test_segments_cover_each_frame_once_and_overlap_for_tracking(tmp_path: Path) -> None:
    source = made(tmp_path / "source", H264)
    spans = cut(source, Plan())
    assert not isinstance(spans, str)
    assert [frame for one in spans for frame in range(one.first.frame, one.end.frame)] == list(range(COUNT))
    for span in spans:
        assert span.read.frame <= max(span.first.frame - OVERLAP, 0)
        assert span.stop.frame >= min(span.end.frame + OVERLAP, COUNT)
        assert Segment.from_json(span.to_json()) == span
        with media.open_segment(source, Limits(), span) as reader:
            read = list(reader.frames())
        known = decoded(source)
        assert [frame.index for frame in read] == list(range(span.read.frame, span.stop.frame))
        for frame in read:
            assert frame.time == known[frame.index][0]
            assert np.array_equal(frame.planes[0].pixels, known[frame.index][1][0])


def test_frames_of_segments_equal_those_of_the_whole_sample_by_sample(tmp_path: Path) -> None:
    source = made(tmp_path / "source", replace(H264, stamps=VFR))
    in_spans(source, tmp_path / "joined.mkv", Plan(video=Video(codec="ffv1")))
    for (_, before), (_, after) in zip(decoded(source), decoded(tmp_path / "joined.mkv"), strict=True):
        assert all(map(np.array_equal, before, after))


def test_a_segment_is_encoded_the_same_each_time(tmp_path: Path) -> None:
    source, plan = made(tmp_path / "source", H264), Plan()
    spans = cut(source, plan)
    assert not isinstance(spans, str)
    twice = [make(source, spans[1], plan, tmp_path / name).read_bytes() for name in ("a.part", "b.part")]
    assert twice[0] == twice[1]
    assert cut(source, plan) == spans


@pytest.mark.parametrize(
    ("clip", "video", "why"),
    [
        (H264, Video(on_damage="cover"), "damaged frames are to be covered"),
        (Clip("mjpeg", "yuvj420p", ".avi", frames=COUNT, base=Fraction(1, 25)), Video(), "cannot split AVI"),
        (Clip("ffv1", suffix=".mkv", frames=COUNT), Video(), "packets of ffv1"),
        (replace(H264, suffix=".ts", base=Fraction(1, 90_000)), Video(), "cannot split TS"),
        (replace(H264, frames=8), Video(), "short"),
        (replace(H264, options={"g": "500", "sc_threshold": "0"}), Video(), "groups of pictures are too long"),
    ],
)
def test_a_video_that_cannot_be_split_says_why(clip: Clip, video: Video, why: str, tmp_path: Path) -> None:
    reason = cut(made(tmp_path / "source", clip), Plan(video=video))
    assert isinstance(reason, str)
    assert why in reason


def test_a_video_of_too_many_frames_is_not_split(tmp_path: Path) -> None:
    source = made(tmp_path / "source", H264)
    with (
        media.open_source(source, Limits(video_frames=COUNT - 1)) as reader,
        pytest.raises(LimitExceeded, match=f"{COUNT}"),
    ):
        media.split_video(reader, "MP4", seconds=0.4, overlap_frames=OVERLAP)


Wrong = Callable[[Path, list[Path], tuple[Segment, ...]], object]


def _other_part(source: Path, parts: list[Path], spans: tuple[Segment, ...]) -> None:
    make(source, spans[1], Plan(video=Video(crf=30)), parts[1])


def _other_profile(source: Path, parts: list[Path], spans: tuple[Segment, ...]) -> None:
    data = parts[1].read_bytes()
    start = data.index(b'"header": "') + len(b'"header": "') + 12
    parts[1].write_bytes(data[:start] + (b"ff" if data[start : start + 2] != b"ff" else b"00") + data[start + 2 :])


def _cut_off(source: Path, parts: list[Path], spans: tuple[Segment, ...]) -> None:
    parts[-1].write_bytes(parts[-1].read_bytes()[:-10])


def _source_changes(source: Path, parts: list[Path], spans: tuple[Segment, ...]) -> None:
    source.write_bytes(source.read_bytes() + b"\0\0\0\x08free")


REFUSED: dict[str, tuple[Wrong, str]] = {
    "a span is missing": (lambda source, parts, spans: parts.pop(1), "some are missing"),
    "the last span is missing": (lambda source, parts, spans: parts.pop(), "some are missing"),
    "all are missing": (lambda source, parts, spans: parts.clear(), "some are missing"),
    "a span twice": (lambda source, parts, spans: parts.append(parts[0]), "some are missing"),
    "one was encoded otherwise": (_other_part, "encoded with another plan"),
    "one has other parameter sets": (_other_profile, "encoded with another plan"),
    "one is cut off": (_cut_off, "is incomplete"),
    "one is none": (lambda source, parts, spans: parts[0].write_bytes(b"x"), "not a segment file of velum"),
    "one is gone": (lambda source, parts, spans: parts[0].unlink(), "No such file"),
    "the source changed": (_source_changes, "has changed"),
}


@pytest.mark.parametrize(("wrong", "why"), REFUSED.values(), ids=REFUSED)
def test_segment_files_that_do_not_fit_are_refused(wrong: Wrong, why: str, tmp_path: Path) -> None:
    source, plan = made(tmp_path / "source", H264), Plan()
    spans = cut(source, plan)
    assert not isinstance(spans, str)
    parts = [make(source, span, plan, tmp_path / f"{span.index}.part") for span in spans]
    wrong(source, parts, spans)
    with media.open_source(source, Limits()) as reader, pytest.raises(BadInput, match=why):
        media.join_segments(tmp_path / "out.mp4", reader, plan, parts)
    assert not [path for path in tmp_path.iterdir() if path.suffix not in {".part", ".mp4"}]
    assert not (tmp_path / "out.mp4").exists()


def test_joining_into_another_format_than_planned_is_refused(tmp_path: Path) -> None:
    source, plan = made(tmp_path / "source", H264), Plan()
    spans = cut(source, plan)
    assert not isinstance(spans, str)
    parts = [make(source, span, plan, tmp_path / f"{span.index}.part") for span in spans]
    with media.open_source(source, Limits()) as reader, pytest.raises(BadInput, match="as MKV: they were made for MP4"):
        media.join_segments(tmp_path / "out.mkv", reader, plan, parts)


def _shifted(span: Segment) -> Segment:
    """Return the span as of a survey that counted one frame less."""
    return replace(span, first=replace(span.first, frame=span.first.frame - 1))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda span: replace(span, sha256="0" * 64), "has changed"),
        (_shifted, "has changed"),
        (lambda span: replace(span, stop=replace(span.stop, frame=span.stop.frame + 1)), "has changed"),
        (lambda span: replace(span, stop=replace(span.stop, pts=span.stop.pts + 1)), "has changed"),
        (lambda span: replace(span, read=replace(span.read, pts=span.read.pts + 1)), "has changed"),
    ],
)
def test_a_segment_of_another_file_is_refused(change: Callable[[Segment], Segment], error: str, tmp_path: Path) -> None:
    source = made(tmp_path / "source", H264)
    spans = cut(source, Plan())
    assert not isinstance(spans, str)
    with pytest.raises(VelumError, match=error):
        make(source, change(spans[1]), Plan(), tmp_path / "1.part")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_segment_with_missing_frames_leaves_no_file(tmp_path: Path) -> None:
    source = made(tmp_path / "source", H264)
    spans = cut(source, Plan())
    assert not isinstance(spans, str)
    with (
        media.open_segment(source, Limits(), spans[0]) as reader,
        pytest.raises(OutputFailed, match=f"ended at 3 of {spans[0].end.frame}"),
        media.open_segment_sink(tmp_path / "0.part", reader, Plan(), spans[0]) as writer,
    ):
        for frame in list(reader.frames())[:3]:
            writer.write(frame)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_damage_fails_only_its_own_segment(suffix: str, tmp_path: Path) -> None:
    clip = replace(H264, suffix=suffix, base=Fraction(1, 1000) if suffix == ".mkv" else H264.base)
    source = made(tmp_path / "source", clip)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        sent = [packet for packet in container.demux(video=0) if packet.size]
    at = data.index(bytes(sent[20])) + 5  # behind the length, in the slice itself
    data[at : at + 20] = b"\xff" * 20
    source.write_bytes(data)
    spans = cut(source, Plan())
    assert not isinstance(spans, str), spans
    failed = []
    for span in spans:
        try:
            make(source, span, Plan(), tmp_path / f"{span.index}.part")
        except BadInput:
            failed.append(span.index)
    reading = [span.index for span in spans if span.read.frame <= 20 < span.stop.frame]
    assert failed == reading
    assert not any((tmp_path / f"{index}.part").exists() for index in failed)


def test_a_truncated_segment_file_is_detected(tmp_path: Path) -> None:
    """An MKV of unknown length tells it by its duration only, which is known at its end."""
    source = made(tmp_path / "source", replace(H264, suffix=".mkv", base=Fraction(1, 1000), frames=200))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadInput, match="truncated"):
        cut(source, Plan())


def test_a_joined_file_has_its_hash_and_its_index_first(tmp_path: Path) -> None:
    source = made(tmp_path / "source", H264)
    spans = cut(source, Plan())
    assert not isinstance(spans, str)
    parts = [make(source, span, Plan(), tmp_path / f"{span.index}.part") for span in spans]
    out = tmp_path / "out.mp4"
    with media.open_source(source, Limits()) as reader:
        writer = media.join_segments(out, reader, Plan(), parts)
        with pytest.raises(OutputFailed, match="exists"):
            media.join_segments(out, reader, Plan(), parts)
    assert writer.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert out.read_bytes().index(b"moov") < out.read_bytes().index(b"mdat")
