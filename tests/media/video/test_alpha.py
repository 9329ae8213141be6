"""Pixels under transparency stay invisible: they stay transparent or become black, and the report says which."""

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.codec.context import CodecContext
from av.video.stream import VideoStream

from velum import BadInput, Engine, PartSpec, Plan, Rule
from velum.plan import Video
from velum.report import Report

WIDTH, HEIGHT, FRAMES = 64, 48, 4
CLEAR, FAINT, SOLID = slice(24, 40), slice(40, 48), slice(0, 24)
"""Columns that are transparent, nearly so, and opaque."""
ZONE = (slice(8, 20), slice(4, 36))
RULE = Rule("zone", PartSpec("fixed", {"box": (4, 8, 36, 20)}), PartSpec("blacken"), grow=0)
VPX = {"auto-alt-ref": "0", "crf": "4", "b": "4M", "cpu-used": "4"}

KEPT = [
    ("libvpx", "yuva420p", "in.webm", "out.webm"), ("libvpx-vp9", "yuva420p", "in.webm", "out.webm"),
    ("libvpx-vp9", "yuva420p", "in.mkv", "out.mkv"), ("libvpx", "yuva420p", "in.mkv", "out.webm"),
    ("prores_ks", "yuva444p10le", "in.mov", "out.mov"), ("prores_ks", "yuva444p10le", "in.mov", "out.mkv"),
    ("qtrle", "argb", "in.mov", "out.mov"), ("png", "rgba", "in.mov", "out.mov"),
    ("png", "rgba64be", "in.avi", "out.avi"),
    ("png", "ya8", "in.mov", "out.mov"), ("ffv1", "yuva422p10le", "in.mkv", "out.mkv"),
    ("ffv1", "bgra", "in.avi", "out.avi"),
    ("ffvhuff", "yuva420p", "in.avi", "out.avi"), ("huffyuv", "bgra", "in.avi", "out.avi"),
    ("utvideo", "gbrap", "in.avi", "out.avi"), ("rawvideo", "bgra", "in.avi", "out.avi"),
    ("rawvideo", "uyva", "in.mkv", "out.mkv"), ("ffv1", "ya8", "in.mkv", "out.mkv"),
]  # fmt: skip

BLACKENED = [
    ("libvpx-vp9", "yuva420p", "in.webm", "out.mp4", None), ("libvpx", "yuva420p", "in.webm", "out.avi", None),
    ("prores_ks", "yuva444p10le", "in.mov", "out.mp4", None), ("qtrle", "argb", "in.mov", "out.mov", "h264"),
    ("png", "rgba", "in.mov", "out.mp4", "hevc"), ("ffv1", "yuva420p", "in.mkv", "out.ts", None),
    ("ffv1", "bgra", "in.mkv", "out.avi", "mpeg4"), ("ffv1", "ya8", "in.mkv", "out.mp4", "h264"),
    ("ffvhuff", "yuva422p", "in.avi", "out.avi", "vp8"), ("png", "rgba64be", "in.mov", "out.mov", "mjpeg"),
    ("magicyuv", "yuva444p", "in.avi", "out.avi", None), ("cfhd", "gbrap12le", "in.mov", "out.mov", None),
    ("ffv1", "yuva420p", "in.mkv", "out.webm", "av1"),
]  # fmt: skip

Seen = npt.NDArray[np.int64]


def picture(*, opaque: bool = False) -> npt.NDArray[np.uint8]:
    """Columns that tell themselves apart, under an alpha that hides some of them."""
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[..., 0], rgba[..., 1], rgba[..., 2] = 200, 180, 160
    rgba[::4, :, :3] = 120
    rgba[..., 3] = 255
    if not opaque:
        rgba[:, CLEAR, 3], rgba[:, FAINT, 3] = 0, 3
    return rgba


def clip(path: Path, encoder: str, layout: str, *, opaque: int = 0, tell: bool = True) -> Path:
    """Write pictures of which the first `opaque` are without transparency."""
    with av.open(str(path), "w") as container:
        options = VPX if encoder.startswith("libvpx") else {}
        stream = cast("VideoStream", container.add_stream(encoder, rate=25, options=options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        if tell and encoder.startswith("libvpx"):
            stream.metadata["alpha_mode"] = "1"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(opaque=index < opaque), "rgba").reformat(
                format=layout, dst_colorspace=5, dst_color_range=1
            )
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def seen(path: Path) -> Seen:
    """Return the first picture, with alpha where there is any."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.codec.canonical_name)
        decoder: Any = CodecContext.create(name, "r") if name else stream.codec_context
        frames = (frame for packet in container.demux(stream) for frame in decoder.decode(packet))
        shown: Seen = next(frames).to_ndarray(format="rgba").astype(np.int64)
    return shown


def hidden(source: Path, target: Path, video: Video | None = None) -> Report:
    with Engine() as engine:
        return engine.hide(source, target, Plan((RULE,), video=video or Video()))


@pytest.mark.parametrize(("encoder", "layout", "source", "target"), KEPT)
def test_transparency_is_kept(tmp_path: Path, encoder: str, layout: str, source: str, target: str) -> None:
    before = seen(clip(tmp_path / source, encoder, layout))
    report = hidden(tmp_path / source, tmp_path / target)
    after = seen(tmp_path / target)
    exact = "lossless" in report.encoding
    zone = np.zeros(before.shape[:2], bool)
    zone[ZONE] = True
    assert before[30:, CLEAR, 3].max() <= 2
    assert np.abs(after - before)[30:, :20].max() <= (0 if exact else 12)
    assert np.abs(after[..., 3] - before[..., 3])[30:].max() <= (0 if exact else 12)
    assert after[12:16, 8:20, :3].max() <= (0 if exact else 8)
    # What is hidden is opaque black, so that the outline of what is transparent goes too.
    assert after[12:16, 8:32, 3].min() >= (255 if exact else 240)
    assert not any("transparen" in warning for warning in report.warnings)


@pytest.mark.parametrize(("encoder", "layout", "source", "target", "codec"), BLACKENED)
def test_where_transparency_cannot_be_kept_the_pixels_under_it_become_black(
    tmp_path: Path, encoder: str, layout: str, source: str, target: str, codec: str | None
) -> None:
    before = seen(clip(tmp_path / source, encoder, layout))
    report = hidden(tmp_path / source, tmp_path / target, Video(codec=codec))
    after = seen(tmp_path / target)
    assert any("transparent parts were blackened" in warning for warning in report.warnings)
    assert after[30:, 28:36, :3].max() < 24
    assert after[30:, 42:46, :3].max() < 28
    assert np.abs(after - before)[30:, :16, :3].mean() < 8


@pytest.mark.parametrize("encoder", ["libvpx", "libvpx-vp9"])
def test_transparency_without_a_flag_in_the_container_is_detected(tmp_path: Path, encoder: str) -> None:
    source = clip(tmp_path / "in.mkv", encoder, "yuva420p", tell=False)
    hidden(source, tmp_path / "out.mp4", Video(codec="h264"))
    assert seen(tmp_path / "out.mp4")[30:, 28:36, :3].max() < 24


def test_transparency_that_begins_in_the_middle_is_refused(tmp_path: Path) -> None:
    """Packets without transparency come first, and nothing says that there will be any."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        plain = container.add_stream("libvpx", rate=25, options=VPX)
        plain.width, plain.height, plain.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        clear = cast("Any", CodecContext.create("libvpx", "w"))
        clear.width, clear.height, clear.pix_fmt = WIDTH, HEIGHT, "yuva420p"
        clear.time_base, clear.framerate, clear.options = Fraction(1, 1000), Fraction(25), VPX
        for encoder, start in ((plain, 0), (clear, 4)):
            streams.append(encoder)
            frames = [av.VideoFrame.from_ndarray(picture(), "rgba") for _ in range(4)]
            packets: list[Any] = []
            for index, frame in enumerate(frames):
                made = frame.reformat(format="yuv420p" if encoder is plain else "yuva420p")
                made.pts, made.time_base = (start + index) * 40, Fraction(1, 1000)
                packets += encoder.encode(made)
            for packet in packets + encoder.encode(None):
                packet.stream = plain
                container.mux(packet)
    with pytest.raises(BadInput, match="transparency begins"):
        hidden(path, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("encoder", ["libvpx", "libvpx-vp9"])
def test_frames_without_transparency_among_others_are_opaque(tmp_path: Path, encoder: str) -> None:
    source = clip(tmp_path / "in.webm", encoder, "yuva420p", opaque=2)
    hidden(source, tmp_path / "out.webm")
    after = seen(tmp_path / "out.webm")
    assert after[30:, :, 3].min() >= 240


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_no_packet_with_transparency_is_copied(tmp_path: Path, suffix: str) -> None:
    source = clip(tmp_path / f"in{suffix}", "libvpx-vp9", "yuva420p")
    nowhere = Rule("zone", PartSpec("fixed", {"box": (0, 0, 2, 2), "from": 9.0}), PartSpec("blacken"))
    with Engine() as engine:
        report = engine.hide(source, tmp_path / f"out{suffix}", Plan((nowhere,), video=Video(smart=True)))
    assert seen(tmp_path / f"out{suffix}")[:, 28:36, 3].max() < 12
    assert any("smart had no effect" in warning for warning in report.warnings)


MESSAGES = {
    "alpha": b"\xa5\x04\x00\x10\x7f\x90",
    "alpha, taken back": b"\xa5\x01\x80",
    "another": b"\x88\x04\x00\x10\x7f\x90",
}


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_hevc_whose_transparent_layer_is_not_decoded_is_refused(tmp_path: Path, message: str, suffix: str) -> None:
    """A second layer is transparency where a message says so; else it is another view, which may be left out."""
    source = tmp_path / f"in{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=error", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        pictures = [av.VideoFrame.from_ndarray(picture()[..., :3], "rgb24") for _ in range(FRAMES)]
        packets = [packet for one in (*pictures, None) for packet in stream.encode(one)]
        for index, packet in enumerate(packets):
            unit = b"\0\0\0\1\x4e\x01" + MESSAGES[message] + b"\x80" if index == 0 else b""
            changed = av.Packet(unit + bytes(packet))
            changed.stream, changed.pts, changed.dts = stream, packet.pts, packet.dts
            changed.time_base, changed.is_keyframe = packet.time_base, packet.is_keyframe
            container.mux(changed)
    if message == "alpha":
        with pytest.raises(BadInput, match="transparency is in a separate layer"):
            hidden(source, tmp_path / f"out{suffix}")
    else:
        hidden(source, tmp_path / f"out{suffix}")


AUXILIARY = {"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha": True, "urn:mpeg:hevc:2015:auxid:1": True,
             "urn:mpeg:hevc:2015:auxid:2": False}  # fmt: skip


@pytest.mark.parametrize("kind", AUXILIARY)
def test_transparency_in_a_track_of_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.metadata["handler_name"] = kind
        for _ in range(FRAMES):
            for stream in streams:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture()[..., :3], "rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    data = source.read_bytes()
    at = data.rindex(b"mhlrvide") + 4
    source.write_bytes(data[:at] + b"auxv" + data[at + 4 :])
    if AUXILIARY[kind]:
        with pytest.raises(BadInput, match="transparency is in a separate track"):
            hidden(source, tmp_path / "out.mov")
    else:
        hidden(source, tmp_path / "out.mov")


def test_opaque_frames_with_an_alpha_plane_give_no_warning(tmp_path: Path) -> None:
    clip(tmp_path / "in.mov", "png", "rgba", opaque=FRAMES)
    assert not any("transparen" in one for one in hidden(tmp_path / "in.mov", tmp_path / "out.mp4").warnings)


@pytest.mark.real
@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_a_person_under_transparency_does_not_become_visible(shared: Path, tmp_path: Path, suffix: str) -> None:
    source = shared / "cases" / "webm-alpha-reveals" / "alpha_cutout.webm"
    hidden(source, tmp_path / f"out{suffix}")
    unseen = seen(source)[..., 3] == 0
    after = seen(tmp_path / f"out{suffix}")
    shown = (after[..., :3].max(-1) if suffix == ".mp4" else after[..., 3])[unseen]
    assert unseen.mean() > 0.5
    assert np.percentile(shown, 99) < 24
