"""Damage in coded frames is reported where the decoder can detect it, and the advice of the message works."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.codec.context import ThreadType
from PIL import Image
from typer.testing import CliRunner

from velum import Limits, media
from velum.cli.main import app
from velum.errors import BadInput
from velum.media.video.file_input import decode_strictly
from velum.media.video.reader import VideoReader

SIZE, COUNT = (192, 144), 12


def film(path: Path, codec: str, options: dict[str, str] | None = None) -> list[bytes]:
    """Write a clip of moving detail, and return its packets."""
    small = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(small).resize((256, 192), Image.Resampling.BICUBIC))
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, 25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(COUNT):
            cut = np.ascontiguousarray(whole[number : number + SIZE[1], 2 * number : 2 * number + SIZE[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cut, "rgb24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def slices(packet: bytes, *, hevc: bool) -> list[int]:
    """Return where the lengths of the slices in a packet lie."""
    found, at = [], 0
    while at < len(packet):
        kind = packet[at + 4] >> 1 & 63 if hevc else packet[at + 4] & 31
        found += [at] if kind < 32 and (hevc or kind in {1, 5}) else []
        at += 4 + int.from_bytes(packet[at : at + 4])
    return found


def longer(packet: bytes, at: int) -> bytes:
    return packet[:at] + (int.from_bytes(packet[at : at + 4]) + 5).to_bytes(4) + packet[at + 4 :]


def shorter(packet: bytes, at: int) -> bytes:
    return packet[:at] + (int.from_bytes(packet[at : at + 4]) // 2).to_bytes(4) + packet[at + 4 :]


def empty(packet: bytes, at: int) -> bytes:
    return packet[:at] + bytes(4) + packet[at + 4 :]


def another_kind(packet: bytes, at: int) -> bytes:
    return packet[: at + 4] + b"\x4c" + packet[at + 5 :]  # filler, of both


CODINGS = {
    "H.264": ("libx264", {}),
    "H.264 in slices": ("libx264", {"x264-params": "slices=3"}),
    "H.264 without arithmetic coding": ("libx264", {"x264-params": "cabac=0:slices=3"}),
    "interlaced H.264": ("libx264", {"x264-params": "tff=1"}),
    "HEVC": ("libx265", {}),
}


@pytest.mark.parametrize("harm", [longer, shorter, empty, another_kind])
@pytest.mark.parametrize(("codec", "options"), CODINGS.values(), ids=CODINGS.keys())
def test_a_lost_or_truncated_slice_is_reported(
    tmp_path: Path, codec: str, options: dict[str, str], harm: Callable[[bytes, int], bytes]
) -> None:
    path = tmp_path / "a.mp4"
    packets = film(path, codec, options)
    data = path.read_bytes()
    for number in (0, 3, 8):
        place = slices(packets[number], hevc=codec == "libx265")[-1]
        path.write_bytes(data.replace(packets[number], harm(packets[number], place)))
        with pytest.raises(BadInput, match="damaged"), media.open_source(path, Limits()) as reader:
            list(reader.frames())


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize(("options", "sliced"), [("slices=3", True), ("sliced-threads=0", False)])
def test_pictures_of_several_slices_are_decoded_one_by_one(
    tmp_path: Path, suffix: str, options: str, *, sliced: bool
) -> None:
    """With several threads, a frame may come before the decoder has marked its lost slice: once in 4,500 tries."""
    path = tmp_path / f"a{suffix}"
    film(path, "libx264", {"x264-params": options})
    with VideoReader(path, Limits()) as reader, av.open(path) as container:
        stream = container.streams.video[0]
        decode_strictly(stream, Limits(), sliced=reader.info.coding.sliced)
        assert stream.thread_type == (ThreadType.NONE if sliced else ThreadType.AUTO)


def test_frames_with_a_wrong_hash_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    packets = film(path, "libx265", {"x265-params": "hash=1"})
    middle = len(packets[0]) // 2
    harmed = packets[0][:middle] + b"\x55\xaa\x33" * 4 + packets[0][middle + 12 :]
    path.write_bytes(path.read_bytes().replace(packets[0], harmed))
    with pytest.raises(BadInput, match="damaged"), media.open_source(path, Limits()) as reader:
        list(reader.frames())


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mpeg4")])
def test_the_advice_for_a_truncated_video_recovers_the_rest_of_it(tmp_path: Path, name: str, codec: str) -> None:
    source, target = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    film(source, codec)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 9 // 10 + 1])
    run = ["hide", str(source), "-o", str(target), "--rule", "zone: fixed(box=[8, 8, 40, 40]) -> blacken"]
    with pytest.raises(BadInput, match=r"truncated.*on_damage = cover\)$"):
        CliRunner().invoke(app, run, catch_exceptions=False)
    assert CliRunner().invoke(app, [*run, "--on-damage", "cover"], catch_exceptions=False).exit_code == 0
    with media.open_source(target, Limits()) as reader:
        assert len(list(reader.frames())) > 1


def test_no_advice_is_given_that_cannot_work(tmp_path: Path) -> None:
    """Without the index at its end, nobody can read an MP4."""
    path = tmp_path / "a.mp4"
    film(path, "libx264")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 8 - 100])
    with pytest.raises(BadInput, match="copy the file again$"):
        media.open_source(path, Limits())


@pytest.mark.parametrize("harmed_at", [0, 3, 11], ids=["first", "middle", "last"])
@pytest.mark.parametrize("options", [{}, {"g": "1"}, {"slices": "6"}], ids=["groups", "intra", "slices"])
def test_a_flipped_bit_in_ffv1_is_reported(options: dict[str, str], harmed_at: int, tmp_path: Path) -> None:
    """FFmpeg conceals a slice whose checksum does not fit, and only says so in its log."""
    path = tmp_path / "a.mkv"
    packet = film(path, "ffv1", options)[harmed_at]
    middle = len(packet) // 2
    harmed = packet[:middle] + bytes([packet[middle] ^ 4]) + packet[middle + 1 :]
    path.write_bytes(path.read_bytes().replace(packet, harmed))
    with pytest.raises(BadInput, match="checksum"), media.open_source(path, Limits()) as reader:
        list(reader.frames())


def test_frames_that_follow_damaged_ffv1_are_covered_up_to_the_next_key_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    packet = film(path, "ffv1", {"g": "4"})[5]
    path.write_bytes(path.read_bytes().replace(packet, packet[:50] + bytes([packet[50] ^ 4]) + packet[51:]))
    with VideoReader(path, Limits(), cover_damage=True) as reader:
        lit = [bool(frame.planes[0].pixels.std() > 1) for frame in reader.frames()]
        assert lit == [True] * 5 + [False] * 3 + [True] * 4
        assert "3 damaged" in reader.source.state.warnings[0]


@pytest.mark.parametrize("options", [{}, {"level": "1"}, {"slicecrc": "0", "level": "3"}], ids=["sums", "old", "none"])
def test_whole_ffv1_is_read_with_checksums_and_without(options: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    film(path, "ffv1", options)
    with media.open_source(path, Limits()) as reader:
        assert len(list(reader.frames())) == COUNT
