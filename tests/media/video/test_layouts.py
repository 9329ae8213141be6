"""Each layout of samples of each codec, in each container that holds it, proved by the colours that come out.

The reading is FFmpeg's own, as the container's tag says: outside the zone all is as it was, inside it is black.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.codec.codec import Codec
from av.video import format as formats
from av.video.stream import VideoStream
from PIL import ExifTags, Image, ImageOps
from tests.rows import but_for

from velum import Engine, PartSpec, Plan, Rule, media
from velum.limits import Limits
from velum.plan import Video
from velum.report import Report

WIDTH, HEIGHT = 64, 48
ZONE = (slice(8, 28), slice(16, 40))
INSIDE = (slice(12, 24), slice(20, 36))
"""Of the zone, what no reader's chroma of a neighbour reaches."""
AROUND = (slice(4, 32), slice(12, 44))
RULE = Rule("zone", PartSpec("fixed", {"box": (16, 8, 40, 28)}), PartSpec("blacken"), grow=0)

Pixels = npt.NDArray[np.int64]

MUXERS = {".avi": "avi", ".mov": "mov", ".mkv": "matroska", ".mp4": "mp4", ".webm": "webm"}
QUALITY = {
    "dnxhd": {"profile": "dnxhr_hq"}, "libvpx": {"auto-alt-ref": "0", "b": "2M"}, "mjpeg": {"q": "2"},
    "libvpx-vp9": {"auto-alt-ref": "0", "crf": "10", "b": "0"}, "libx265": {"x265-params": "log-level=error:crf=10"},
    "libx264": {"crf": "10"}, "libx264rgb": {"crf": "10"}, "mpeg4": {"q": "2"}, "mpeg2video": {"q": "2"},
    "mpeg1video": {"q": "2"},
}  # fmt: skip
PLACES = {
    (".avi", ".mov", ".mkv"): ("rawvideo", "huffyuv", "utvideo", "magicyuv", "png", "qtrle", "mjpeg", "libx264rgb"),
    (".avi",): ("ffvhuff", "jpegls", "targa", "bmp", "zmbv", "mpeg4"),
    (".mov",): ("v210", "v308", "v408", "v410", "r210", "prores_ks", "dnxhd", "cfhd", "rpza"),
    (".mov", ".mp4", ".mkv"): ("libx264", "libx265"),
    (".mkv", ".webm", ".mp4"): ("libvpx-vp9",),
    (".mkv",): ("ffv1", "libvpx", "mpeg2video", "mpeg1video", "prores_ks"),
}  # fmt: skip
TABLE = [(encoder, suffix) for suffixes, encoders in PLACES.items() for encoder in encoders for suffix in suffixes]
EVERYDAY = [
    (encoder, suffixes[index % len(suffixes)])
    for suffixes, encoders in PLACES.items()
    for index, encoder in enumerate(encoders)
]
"""Each encoder in one of its containers, in turn; every third of them runs with every change."""
# Its header says limited range, and FFmpeg shows grey as full range whatever is said.
SHOWN_OTHERWISE = {("magicyuv", "gray")}


def picture() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = 40 + 170 * x / WIDTH, 40 + 170 * y / HEIGHT, 210 - 150 * (x + y) / (WIDTH + HEIGHT)
    return np.stack(rgb, -1).astype(np.uint8)


def written(path: Path, encoder: str, layout: str) -> Path:
    """Write one picture; raises what FFmpeg does where the container or the encoder takes no such thing."""
    with av.open(str(path), "w", format=MUXERS[path.suffix]) as container:
        stream = cast("VideoStream", container.add_stream(encoder, rate=25, options=QUALITY.get(encoder, {})))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        frame = av.VideoFrame.from_ndarray(picture(), "rgb24").reformat(
            format=layout, dst_colorspace=5, dst_color_range=1
        )
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def seen(path: Path) -> Pixels:
    with av.open(str(path)) as container:
        shown: Pixels = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.int64)
    return shown


def sources(folder: Path, encoder: str, suffix: str) -> Iterator[tuple[str, Path, Pixels]]:
    """Yield each layout that FFmpeg writes so that it can read it again, with the file and what it shows."""
    offered = [one.name for one in Codec(encoder, "w").video_formats or ()] or sorted(formats.names)  # type: ignore[attr-defined]  # its stubs do not say so
    for layout in offered:
        try:
            path = written(folder / f"in{suffix}", encoder, layout)
            shown = seen(path)
        except (av.FFmpegError, OSError, ValueError):
            continue
        grey = layout.startswith(("gray", "ya", "mono"))
        meant = picture().astype(np.int64).mean(-1, keepdims=True) if grey else picture()
        if np.abs(shown - meant).mean() < 30 and (encoder, layout) not in SHOWN_OTHERWISE:
            yield layout, path, shown


def hidden(source: Path, target: Path, video: Video | None = None) -> Report:
    with Engine() as engine:
        return engine.hide(source, target, Plan((RULE,), video=video or Video()), overwrite=True)


def fault(before: Pixels, after: Pixels, report: Report) -> str:
    outside = np.ones(before.shape[:2], bool)
    outside[AROUND] = False
    change, black = np.abs(after - before)[outside], int(after[INSIDE].max())
    if "lossless" in report.encoding:
        return "" if change.max() == black == 0 else f"lossless, yet {change.max()} off, black is {black}"
    return "" if change.mean() < 4 and black < 24 else f"{change.mean():.1f} off on average, black is {black}"


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "suffix"), but_for(TABLE, EVERYDAY[::3]))
def test_every_pixel_layout_keeps_its_colours(tmp_path: Path, encoder: str, suffix: str) -> None:
    faults = {}
    for layout, source, before in sources(tmp_path, encoder, suffix):
        target = tmp_path / f"out{suffix}"
        report = hidden(source, target)
        if found := fault(before, seen(target), report):
            faults[layout] = found
    assert not faults


def with_palette(path: Path) -> Path:
    """Write raw pictures of 8 bits whose colours are in the file's header."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "pal8"
        colours = np.zeros((256, 4), np.uint8)
        colours[:, 0], colours[:, 1], colours[:, 2], colours[:, 3] = np.arange(256), 90, 255 - np.arange(256), 255
        frame = av.VideoFrame(WIDTH, HEIGHT, "pal8")
        indices = np.zeros((HEIGHT, frame.planes[0].line_size), np.uint8)
        indices[:, :WIDTH] = np.linspace(20, 230, WIDTH).astype(np.uint8)
        frame.planes[0].update(indices.tobytes())
        frame.planes[1].update(colours.tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mov"])
def test_palette_video_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    source = with_palette(tmp_path / f"in{suffix}")
    report = hidden(source, tmp_path / f"out{suffix}")
    before = seen(source)
    assert before.std() > 30
    assert fault(before, seen(tmp_path / f"out{suffix}"), report) == ""
    assert "lossless" in report.encoding


CHANGED = [
    ("png", "rgb48be", "h264", ".mov"), ("png", "gray", "h264", ".mp4"), ("qtrle", "argb", "mpeg4", ".avi"),
    ("ffv1", "gbrp16le", "prores", ".mov"), ("ffv1", "yuv444p12le", "prores", ".mov"),
    ("ffv1", "gray", "mpeg4", ".avi"),
    ("ffv1", "yuv420p", "png", ".mov"), ("ffv1", "yuv444p10le", "qtrle", ".mov"), ("ffv1", "gray", "vp9", ".webm"),
    ("ffv1", "yuv422p12le", "vp9", ".webm"), ("ffv1", "bgr0", "mjpeg", ".avi"), ("ffv1", "gray16le", "h264", ".mkv"),
    ("ffv1", "bgr0", "mpeg2video", ".mkv"), ("png", "rgb48be", "av1", ".mkv"), ("ffv1", "yuv440p", "h264", ".mp4"),
    ("rawvideo", "nv12", "huffyuv", ".avi"), ("ffv1", "yuv411p", "utvideo", ".avi"),
    ("ffv1", "yuv420p14le", "hevc", ".mkv"),
]  # fmt: skip


@pytest.mark.parametrize(("encoder", "layout", "codec", "suffix"), CHANGED)
def test_colours_survive_a_change_of_codec(tmp_path: Path, encoder: str, layout: str, codec: str, suffix: str) -> None:
    source = written(tmp_path / ("in.mov" if encoder in {"qtrle", "png"} else "in.mkv"), encoder, layout)
    report = hidden(source, tmp_path / f"out{suffix}", Video(codec=codec))
    assert fault(seen(source), seen(tmp_path / f"out{suffix}"), report) == ""


EXACT = [
    ("rawvideo", "gray", "in.mkv", "out.mov", "rgb24"), ("rawvideo", "rgb565le", "in.mov", "out.mov", "rgb24"),
    ("qtrle", "argb", "in.mov", "out.mov", "argb"), ("png", "rgb48be", "in.mov", "out.mov", "rgb48be"),
    ("rawvideo", "rgb555le", "in.avi", "out.avi", "bgr24"), ("rawvideo", "yuyv422", "in.avi", "out.mov", "yuyv422"),
]  # fmt: skip


@pytest.mark.parametrize(("encoder", "layout", "source", "target", "kept"), EXACT)
def test_a_lossless_codec_is_kept_lossless(
    tmp_path: Path, encoder: str, layout: str, source: str, target: str, kept: str
) -> None:
    """Where its own layout cannot be written, or not read again, another one holds the very same samples."""
    before = seen(written(tmp_path / source, encoder, layout))
    report = hidden(tmp_path / source, tmp_path / target)
    with av.open(str(tmp_path / target)) as container:
        assert next(container.decode(video=0)).format.name == kept
    assert "lossless" in report.encoding
    assert fault(before, seen(tmp_path / target), report) == ""


def test_pixels_that_a_container_would_mislabel_are_written_with_another_codec(tmp_path: Path) -> None:
    """Raw 4:2:0 has no name in MOV: there it would be read as noise."""
    source = written(tmp_path / "in.avi", "rawvideo", "yuv410p")
    report = hidden(source, tmp_path / "out.mov")
    assert fault(seen(source), seen(tmp_path / "out.mov"), report) == ""
    source = written(tmp_path / "in.mov", "rawvideo", "rgb48be")
    report = hidden(source, tmp_path / "out.mkv")
    assert any("rawvideo in MKV cannot hold pixels of format rgb48be" in one for one in report.warnings)
    assert fault(seen(source), seen(tmp_path / "out.mkv"), report) == ""
    assert "ffv1" in report.encoding


@pytest.mark.parametrize(
    ("encoder", "layout", "name"),
    [("magicyuv", "gbrp", "in.mov"), ("magicyuv", "gbrap", "in.avi"), ("qtrle", "rgb555be", "in.mov")],
)
def test_rgb_of_an_unwritable_codec_becomes_h264_that_players_show(
    encoder: str, layout: str, name: str, tmp_path: Path
) -> None:
    source = written(tmp_path / name, encoder, layout)
    target = tmp_path / "out.mp4"
    report = hidden(source, target)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.profile in {"Constrained Baseline", "Main", "High"}
    assert any("yuv420p" in warning and "ffv1 in MKV" in warning for warning in report.warnings)
    assert "lossless" not in report.encoding
    assert fault(seen(source), seen(target), report) == ""


def test_rgb_written_as_h264_on_request_keeps_its_samples(tmp_path: Path) -> None:
    source = written(tmp_path / "in.mov", "png", "rgb24")
    report = hidden(source, tmp_path / "out.mp4", Video(codec="h264", crf=0))
    assert "lossless" in report.encoding
    assert fault(seen(source), seen(tmp_path / "out.mp4"), report) == ""


@pytest.mark.parametrize("frames", [1, 2, 3, 6])
def test_a_video_of_few_frames_can_be_written_as_hevc(tmp_path: Path, frames: int) -> None:
    """Of fewer pictures than it reorders, x265 gives times of decoding that are any number."""
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(), "rgb24")))
        container.mux(stream.encode(None))
    hidden(source, tmp_path / "out.mp4", Video(codec="hevc"))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == frames


CASES = [
    "rawvideo-red-blue/raw.avi", "rawvideo-uyvy-mov/k_raw_uyvy.mov", "prores-4444-garbage/k_prores4444.mov",
    "mov-rgb-codecs/alpha_qtrle.mov", "mov-rgb-codecs/k_png48.mov",
]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("name", CASES)
def test_reported_files_keep_their_colours(shared: Path, tmp_path: Path, name: str) -> None:
    source = shared / "cases" / name
    report = hidden(source, tmp_path / f"out{source.suffix}")
    assert fault(seen(source), seen(tmp_path / f"out{source.suffix}"), report) == ""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frames_of_mjpeg_are_turned_as_their_exif_says(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    upright[:24, :32], upright[:24, 32:], upright[24:, :32] = (220, 60, 60), (60, 220, 60), (60, 60, 220)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(upright).save(file, "JPEG", quality=95, exif=exif)
    with av.open(str(tmp_path / "in.avi"), "w") as container:
        stream = container.add_mux_stream("mjpeg", rate=25, width=WIDTH, height=HEIGHT)
        packet = av.Packet(file.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        packet.is_keyframe = True
        container.mux(packet)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(file))).astype(int)
    with media.open_source(tmp_path / "in.avi", Limits()) as reader:
        frame = next(iter(reader.frames()))
    assert np.abs(frame.rgb(frame.width, frame.height).astype(int) - shown).mean() < 6
    warned = any("rotation" in one for one in hidden(tmp_path / "in.avi", tmp_path / "out.avi").warnings)
    assert warned == (orientation != 1)
