"""A second image or other content inside the coded frames of a video is a leak; ordinary units are not."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from velum import Engine, Limits, Plan
from velum.plan import Video
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check

PLAN = Plan.of("zone: fixed(box=[8, 8, 40, 32]) -> blacken with grow=0")
WIDTH, HEIGHT = 64, 48
SECRET = bytes(np.random.default_rng(7).integers(1, 250, 600, dtype=np.uint8))
"""Bytes that are no picture of a known kind."""

Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    host = RuntimeConfig(offline=True)
    with Engine(host=host) as engine:
        yield Check(engine, host, Limits())


def film(format: str, codec: str, change: Change = bytes, options: dict[str, str] | None = None) -> bytes:
    """Return six frames of a clip, with `change` made to the bytes of the first packet."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[8:32, 8:40] = 0
    with av.open(memory := io.BytesIO(), "w", format=format) as container:
        stream: Any = container.add_stream(codec, 25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        packets = [
            packet for frame in [*[av.VideoFrame.from_ndarray(picture, "rgb24")] * 6, None]
            for packet in stream.encode(frame)
        ]  # fmt: skip
        for number, packet in enumerate(packets):
            made: Any = av.Packet(change(bytes(packet)) if number == 0 else bytes(packet))
            made.stream, made.pts, made.dts, made.time_base = stream, packet.pts, packet.dts, packet.time_base
            made.is_keyframe, made.duration = packet.is_keyframe, packet.duration
            container.mux(made)
    return memory.getvalue()


def before(unit: bytes) -> Change:
    return lambda packet: unit + packet


def nal(head: bytes, body: bytes) -> bytes:
    """Return a unit of H.264 or HEVC with its start code; the bodies here hold nothing to be escaped."""
    return b"\0\0\0\1" + head + body


def sei(kind: int, body: bytes) -> bytes:
    more, size = divmod(len(body), 255)
    return bytes([kind]) + b"\xff" * more + bytes([size]) + body + b"\x80"


def obu(kind: int, body: bytes) -> bytes:
    return bytes([kind << 3 | 2, len(body) & 127 | 128, len(body) >> 7]) + body


X264 = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")
FREE = bytes(16).replace(b"\0", b"\x11")
HIDDEN: dict[str, tuple[str, str, Change]] = {
    "message of H.264": ("mp4", "libx264", before(nal(b"\x06", sei(5, FREE + SECRET)))),
    "message of H.264 in TS": ("mpegts", "libx264", before(nal(b"\x06", sei(5, FREE + SECRET)))),
    "words of x264, and more": ("mp4", "libx264", before(nal(b"\x06", sei(5, X264 + b"x264 - core 165" + SECRET)))),
    "captions of H.264": ("mp4", "libx264", before(nal(b"\x06", sei(4, b"\xb5\x31GA94\x03" + SECRET)))),
    "a message of an unknown type": ("mp4", "libx264", before(nal(b"\x06", sei(200, SECRET)))),
    "a message about colours, too long": ("mp4", "libx264", before(nal(b"\x06", sei(137, SECRET)))),
    "filler of H.264": ("mp4", "libx264", before(nal(b"\x0c", SECRET + b"\x80"))),
    "unspecified unit of H.264": ("matroska", "libx264", before(nal(b"\x1e", SECRET))),
    "another layer of H.264": ("mp4", "libx264", before(nal(b"\x74", SECRET))),
    "long parameter set of H.264": ("mpegts", "libx264", before(nal(b"\x6d", SECRET * 4))),
    "message of HEVC": ("mp4", "libx265", before(nal(b"\x4e\x01", sei(5, FREE + SECRET)))),
    "message behind a picture of HEVC": ("mp4", "libx265", before(nal(b"\x50\x01", sei(5, FREE + SECRET)))),
    "filler of HEVC": ("mp4", "libx265", before(nal(b"\x4c\x01", SECRET + b"\x80"))),
    "unspecified unit of HEVC": ("matroska", "libx265", before(nal(b"\x7c\x01", SECRET))),
    "another layer of HEVC": ("mp4", "libx265", before(nal(b"\x02\x09", SECRET))),
    "metadata of AV1": ("matroska", "libsvtav1", lambda packet: packet + obu(5, b"\x04" + SECRET)),
    "reserved unit of AV1": ("mp4", "libsvtav1", lambda packet: packet + obu(9, SECRET)),
    "user data of MPEG-4": ("mp4", "mpeg4", before(b"\0\0\1\xb2" + SECRET)),
    "user data of MPEG-4 in AVI": ("avi", "mpeg4", before(b"\0\0\1\xb2" + SECRET)),
    "user data of MPEG-2": ("mpegts", "mpeg2video", lambda packet: packet + b"\0\0\1\xb2" + SECRET),
}  # fmt: skip


@pytest.mark.parametrize(("format", "codec", "change"), HIDDEN.values(), ids=HIDDEN.keys())
def test_bytes_in_coded_frames_that_no_decoder_needs_are_leaks(
    check: Check, tmp_path: Path, format: str, codec: str, change: Change
) -> None:
    path = tmp_path / "out"
    path.write_bytes(film(format, codec, change))
    assert [leak.kind for leak in check(path, PLAN).leaks] == ["rest"]


MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def test_padding_of_av1_with_content_is_a_leak(check: Check, tmp_path: Path) -> None:
    reserved, padding = obu(9, SECRET), obu(15, SECRET)  # FFmpeg itself writes no padding
    path = tmp_path / "out.mp4"
    path.write_bytes(film("mp4", "libsvtav1", lambda packet: packet + reserved).replace(reserved, padding))
    (leak,) = check(path, PLAN).leaks
    assert leak.message == "the file still contains padding that is not empty in the coded frames (av1) (600 bytes)"


ORDINARY: dict[str, tuple[str, str, dict[str, str]]] = {
    "H.264": ("mp4", "libx264", {}),
    "H.264 at a fixed rate, with filler": (
        "mpegts", "libx264", {"x264-params": "nal-hrd=cbr:vbv-maxrate=200:vbv-bufsize=200:bitrate=200"}
    ),
    "H.264 with colours of HDR": (
        "mp4", "libx264",
        {"x264-params": f"mastering-display={MASTERING}:cll=1,1"},
    ),
    "interlaced H.264": ("mp4", "libx264", {"x264-params": "tff=1"}),
    "HEVC": ("mp4", "libx265", {}),
    "HEVC with hashes and times": (
        "matroska", "libx265", {"x265-params": "hash=1:hrd=1:vbv-maxrate=200:vbv-bufsize=200"}
    ),
    "AV1": ("mp4", "libsvtav1", {}),
    "AV1 with colours of HDR": ("matroska", "libsvtav1", {"svtav1-params": "content-light=100,50"}),
    "MPEG-4": ("avi", "mpeg4", {}),
    "MPEG-2": ("mpegts", "mpeg2video", {}),
    "MPEG-1": ("mpegts", "mpeg1video", {}),
}  # fmt: skip


@pytest.mark.parametrize(("format", "codec", "options"), ORDINARY.values(), ids=ORDINARY.keys())
def test_units_that_encoders_usually_write_are_no_leaks(
    check: Check, tmp_path: Path, format: str, codec: str, options: dict[str, str]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(film(format, codec, options=options))
    assert check(path, PLAN).leaks == ()


def cut_film(tmp_path: Path, format: str, first: int) -> Path:
    """Return a clip of 12 frames whose edit list begins at one of them; those before it stay in the file."""
    whole, path = tmp_path / f"whole.{format}", tmp_path / f"cut.{format}"
    with av.open(whole, "w") as container:
        stream: Any = container.add_stream("libx264", 25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(whole) as source, av.open(path, "w") as container:
        copied: Any = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - first * 512, packet.dts - first * 512
                packet.stream = copied
                container.mux(packet)
    return path


@pytest.mark.parametrize("format", ["mp4", "mov"])
def test_frames_hidden_by_an_edit_list_are_leaks(check: Check, tmp_path: Path, format: str) -> None:
    told = check(cut_film(tmp_path, format, first=5), Plan.of("zone: fixed -> blacken"))
    assert told.frames == 7
    (message,) = [leak.message for leak in told.leaks if leak.kind == "picture"]
    assert message.startswith("the file still contains 5 coded frames of stream 0 that its edit list leaves out (")


@pytest.mark.parametrize("format", ["mp4", "mov"])
def test_a_result_has_no_frames_that_the_edit_list_of_its_source_hides(
    check: Check, tmp_path: Path, format: str
) -> None:
    source, target = cut_film(tmp_path, format, first=5), tmp_path / f"out.{format}"
    check.engine.hide(source, target, PLAN)
    assert check(target, PLAN, against=source).leaks == ()


CAPTIONS = b"\xb5\x00\x31GA94\x03\x41\xff\xfc" + b"AB" + b"\xff"


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "mpeg2video"])
def test_captions_in_coded_frames_are_removed(check: Check, tmp_path: Path, codec: str) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    source.write_bytes(film("matroska", "libx264", before(nal(b"\x06", sei(4, CAPTIONS)))))
    with av.open(source) as container:
        first: Any = next(container.decode(video=0))
        assert [one.type.name for one in first.side_data if one.type.name == "A53_CC"] == ["A53_CC"]
    plan = Plan.of("zone: fixed(box=[8, 8, 40, 32]) -> blacken with grow=0", video=Video(codec=codec))
    check.engine.hide(source, target, plan)
    assert check(target, plan, against=source).leaks == ()
