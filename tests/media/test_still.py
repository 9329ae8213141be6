"""Stills of the pictures in archives and documents."""

import io
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.still import render_still
from velum.media.video.proxy import write_preview


def png(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, "PNG")
    return data.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("member", "colour"),
    [("", (255, 0, 0)), ("a.png", (255, 0, 0)), ("in/b.png", (0, 0, 255)), ("more.zip/a.png", (0, 255, 0))],
)
def test_a_member_is_shown_by_its_name_in_the_report(tmp_path: Path, member: str, colour: tuple[int, int, int]) -> None:
    inner = zipped({"notes.txt": b"x", "a.png": png("#0f0")})
    source = tmp_path / "source"
    source.write_bytes(zipped({"notes.txt": b"x", "a.png": png("#f00"), "in/b.png": png("#00f"), "more.zip": inner}))
    still = render_still(source, Limits(), 0, 20, member, tmp_path)
    with Image.open(io.BytesIO(still.jpeg)) as picture:
        found = picture.getpixel((5, 5))
        assert (picture.size, still.pages, still.seconds) == ((20, 15), 1, None)
    assert isinstance(found, tuple)
    assert max(abs(one - other) for one, other in zip(found, colour, strict=True)) < 6


@pytest.mark.parametrize("member", ["notes.txt", "b.png", "a.png/more"])
def test_what_is_no_picture_of_the_archive_is_refused_by_name(tmp_path: Path, member: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(zipped({"notes.txt": b"x", "a.png": png("#f00")}))
    with pytest.raises(BadInput, match=f"no picture '{member}'"):
        render_still(source, Limits(), 0, 0, member, tmp_path)


def test_a_still_of_a_video_tells_its_length(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", 10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(15):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")))
        container.mux(stream.encode())
    still = render_still(tmp_path / "clip.mp4", Limits(), 0, 0)
    assert still.seconds == pytest.approx(1.5, abs=0.05)


def test_the_images_of_a_topic_are_shown_as_a_video(tmp_path: Path) -> None:
    pytest.importorskip("rosbags", reason="pip install rosbags")
    logs = pytest.importorskip("tests.media.archive.logs", reason="pip install mcap")
    source = logs.mcap(tmp_path / "drive.mcap", logs.drive(4))
    still = render_still(source, Limits(), 0, 0, "/front/compressed", tmp_path)
    assert still.seconds == pytest.approx(0.4)
    assert list(write_preview(source, tmp_path / "p.mp4", Limits(), "/front/compressed", tmp_path))[-1] == (4, 4)
    with av.open(str(tmp_path / "p.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.1, 0.2, 0.3], abs=0.01)
