"""Recordings of real cameras and programs keep their time stamps, sizes, rotation and audio."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.rows import but_for

from velum import media
from velum.limits import Limits
from velum.media.video.info import VideoInfo
from velum.plan import Plan, Video

from .factories import decoded, packets, times

pytestmark = pytest.mark.real
SHORT = [
    "face_gesture.mkv", "face_hevc.mp4", "face_rotate180_audio.mp4", "face_rotate90_audio.mp4",
    "rotated_phone_wall_audio.mov",
]  # fmt: skip


def _few(source: Path, target: Path, video: Video) -> VideoInfo:
    with media.open_source(source, Limits()) as reader, media.open_sink(target, reader, Plan(video=video)) as writer:
        for frame in reader.frames():
            writer.write(frame)
    assert isinstance(reader.info, VideoInfo)
    return reader.info


@pytest.mark.parametrize("name", but_for(SHORT, SHORT[::2]))
def test_recordings_keep_time_stamps_size_rotation_and_audio(shared: Path, tmp_path: Path, name: str) -> None:
    source, target = shared / "media" / "video" / name, tmp_path / name
    video = Video(codec="h264", preset="ultrafast")
    info = _few(source, target, video)
    assert times(target) == times(source)
    assert packets(target) == packets(source)
    with media.open_source(target, Limits()) as reader:
        assert isinstance(reader.info, VideoInfo)
        assert (reader.info.width, reader.info.height) == (info.width, info.height)
        assert reader.info.coding.matrix == info.coding.matrix
        assert reader.info.coding.colour == info.coding.colour
    assert b"location" not in target.read_bytes()


@pytest.mark.exhaustive
def test_a_lossless_copy_of_a_recording_changes_no_sample(shared: Path, tmp_path: Path) -> None:
    source = shared / "media" / "video" / "face_hevc.mp4"
    _few(source, tmp_path / "b.mkv", Video(codec="ffv1"))
    for (_, before), (_, after) in zip(decoded(source), decoded(tmp_path / "b.mkv"), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_an_avi_with_packed_frames_is_read_completely(shared: Path) -> None:
    source = shared / "media" / "video" / "makeup_closeup_audio.avi"
    with media.open_source(source, Limits()) as reader:
        stamps = [frame.time for frame in reader.frames()]
    assert stamps == [Fraction(index, 25) for index in range(164)]
