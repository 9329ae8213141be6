"""Every pixel layout of a decoder is passed on as it is, or as one that holds the same samples."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.format import VideoFormat

from velum.frame import Frame, Role
from velum.media.video.pixel_formats import (
    KEPT_LAYOUTS,
    FramePool,
    VideoFrame,
    blacken,
    copy_frame,
    kept_layout,
    layout_of,
    native_of,
    planes_of,
    views,
)

EXACT = [
    ("nv12", "yuv420p"), ("nv21", "yuv420p"), ("nv16", "yuv422p"), ("nv24", "yuv444p"), ("p010le", "yuv420p10le"),
    ("p210le", "yuv422p10le"), ("yuyv422", "yuv422p"), ("uyvy422", "yuv422p"), ("yuv420p10be", "yuv420p10le"),
    ("gbrp", "rgb24"), ("bgr24", "rgb24"), ("bgra", "rgba"), ("argb", "rgba"), ("gbrp10le", "rgb48le"),
    ("gbrp16le", "rgb48le"), ("yuv440p", "yuv440p"), ("gray12le", "gray12le"), ("yvyu422", "yuv422p"),
    ("gbrap", "rgba"), ("gbrap12le", "rgba64le"), ("rgba64be", "rgba64le"), ("ya16be", "ya16le"), ("ayuv", "yuva444p"),
    ("vuya", "yuva444p"), ("yuva422p12be", "yuva422p12le"), ("gray10be", "gray10le"), ("y210le", "yuv422p10le"),
    ("xv30le", "yuv444p10le"), ("v30xle", "yuv444p10le"), ("xv48le", "yuv444p16le"), ("vyu444", "yuv444p"),
]  # fmt: skip


def noise(name: str) -> av.VideoFrame:
    frame = av.VideoFrame(32, 24, name)
    for plane, values in zip(
        views(frame, layout_of(name)), np.random.default_rng(1).integers(0, 1 << 16, (9, 1)), strict=False
    ):
        wave = np.arange(plane.size).reshape(plane.shape) * 257 + values
        plane[...] = (wave % (1 << layout_of(name).bits)).astype(plane.dtype)
    return frame


@pytest.mark.parametrize(("name", "kept"), EXACT)
def test_no_sample_is_lost_on_the_way_to_planes(name: str, kept: str) -> None:
    layout, lost = kept_layout(name)
    assert (layout.name, lost) == (kept, None)
    source = noise(kept).reformat(format=name)
    planes = views(copy_frame(source, layout), layout)
    again = views(copy_frame(copy_frame(source, layout).reformat(format=name), layout), layout)
    assert all(np.array_equal(one, other) for one, other in zip(planes, again, strict=True))


LOSSY = [
    ("bayer_rggb8", "converted to", "not yet colours"),
    ("xyz12le", "converted to", "cinema's colours"),
    ("gbrpf32le", "converted to", "more than 16 bits"),
]


@pytest.mark.parametrize(("name", "says", "reason"), LOSSY)
def test_lost_samples_are_reported(name: str, says: str, reason: str) -> None:
    assert says in (kept_layout(name)[1] or "")


@pytest.mark.parametrize("name", KEPT_LAYOUTS)
def test_planes_match_what_ffmpeg_says_of_the_layout(name: str) -> None:
    layout = layout_of(name)
    frame = av.VideoFrame(63, 47, name)
    planes = planes_of(frame, layout, limited=True)
    assert layout.alpha == any(one.is_alpha for one in VideoFormat(name, 1, 1).components)
    assert {plane.bits for plane in planes} == {VideoFormat(name, 1, 1).components[0].bits}
    for plane, theirs in zip(planes, frame.planes, strict=True):
        assert plane.pixels.shape[:2] == (theirs.height, theirs.width)
        assert plane.pixels.shape[:2] == (-(-47 // plane.scale_y), -(-63 // plane.scale_x))
        assert plane.limited == (plane.role in {Role.LUMA, Role.CHROMA})
    blacken(frame, layout, limited=True)
    assert all((plane.pixels == np.array(plane.black)).all() for plane in planes)


def test_a_copied_frame_shares_no_memory_with_the_decoder() -> None:
    source = noise("yuv420p")
    copy = copy_frame(source, layout_of("yuv420p"))
    for ours, theirs in zip(views(copy, layout_of("yuv420p")), views(source, layout_of("yuv420p")), strict=True):
        assert np.array_equal(ours, theirs)
        assert not np.shares_memory(ours, theirs)


YUV420 = layout_of("yuv420p")


def buffers() -> FramePool:
    return FramePool(32, 24, YUV420)


def place(frame: av.VideoFrame) -> int:
    return frame.planes[0].buffer_ptr


def test_memory_of_an_unused_frame_is_used_again() -> None:
    spare = buffers()
    places = set()
    for _ in range(5):
        frame = copy_frame(noise("yuv420p"), YUV420, spare.take())
        places.add(place(frame))
        del frame
    assert len(places) == 1


def test_memory_that_a_view_still_uses_is_not_used_again() -> None:
    spare = buffers()
    kept = copy_frame(noise("yuv420p"), YUV420, spare.take())
    (luma, *_), expected = views(kept, YUV420), noise("yuv420p").to_ndarray()[:24]
    row = luma[3:4]
    del kept, luma  # the view of a view is all that is left
    for _ in range(3):
        blacken(spare.take(), YUV420, limited=True)
    assert np.array_equal(row[0], expected[3])


def test_memory_that_an_encoder_still_reads_is_not_used_again() -> None:
    """What FFmpeg holds, as encoders with threads do, it holds by a count of its own: here a queue of filters."""
    spare, graph = buffers(), av.filter.Graph()
    made = spare.take()
    source = graph.add_buffer(width=32, height=24, format=made.format, time_base=Fraction(1, 30))
    sink = graph.add("buffersink")
    source.link_to(sink)
    graph.configure()
    copy_frame(noise("yuv420p"), YUV420, made)
    graph.push(made)
    first = place(made)
    del made
    again = spare.take()
    assert place(again) != first
    blacken(again, YUV420, limited=True)
    assert np.array_equal(graph.pull().to_ndarray(), noise("yuv420p").to_ndarray())


def test_replaced_planes_are_encoded() -> None:
    native = copy_frame(noise("yuv420p"), YUV420)
    planes = planes_of(native, YUV420, limited=True)
    picture = VideoFrame(planes, 32, 24, native=native, given=planes)
    assert native_of(picture, YUV420) is native
    light = replace(planes[0], pixels=np.full((24, 32), 200, np.uint8))
    encoded = native_of(replace(picture, planes=(light, *planes[1:])), YUV420)
    luma, *chroma = views(encoded, YUV420)
    assert (luma == 200).all()
    assert all(np.array_equal(a, b) for a, b in zip(chroma, views(noise("yuv420p"), YUV420)[1:], strict=True))


def test_a_frame_of_planes_alone_can_be_encoded() -> None:
    layout = layout_of("yuv422p10le")
    planes = planes_of(noise("yuv422p10le"), layout, limited=True)
    native = native_of(Frame(planes, 32, 24), layout)
    assert all(np.array_equal(one.pixels, other) for one, other in zip(planes, views(native, layout), strict=True))
