"""An object in one frame of a video is followed to the frames around it, without reading all of a long video."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from tests.rows import exhaustive

from velum import Engine
from velum.errors import BadInput, BadPlan
from velum.region import Box, Region

pytestmark = pytest.mark.slow

RATE, FRAMES, WIDTH, HEIGHT, SIDE = 10, 80, 320, 240, 48


def place(index: int) -> Box:
    return Box(20 + 3 * index, 60 + index, 20 + 3 * index + SIDE, 60 + index + SIDE)


def film(path: Path) -> Path:
    """Return a film of a textured square that moves over a textured ground, with a group of pictures each second."""
    soft = [
        cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8), (0, 0), 3)
        for seed in (1, 2)
    ]
    ground, skin = (cv2.normalize(one, np.empty_like(one), 0, 255, cv2.NORM_MINMAX) for one in soft)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE, options={"crf": "12", "g": str(RATE), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(FRAMES):
            picture = ground.copy()
            box = place(index).clip(WIDTH, HEIGHT)
            if box is not None:
                picture[box.slices] = skin[: box.height, : box.width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.dstack([picture] * 3).astype(np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("suffix", "why"), [(".mp4", "one stretch is read"), (".avi", "read from its start")])
@pytest.mark.parametrize(("at", "seconds"), [(40, 1.5), *exhaustive([(0, 1.0), (55, 10.0)])])
def test_a_followed_object_is_covered_in_every_frame_around(
    tmp_path: Path, suffix: str, why: str, at: int, seconds: float
) -> None:
    reach = round(seconds * RATE)
    with Engine() as engine:
        found = engine.follow(film(tmp_path / f"a{suffix}"), at, Region(place(at), "face"), seconds=seconds)
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    there = [i for i in range(max(0, at - reach), min(FRAMES, at + reach + 1)) if place(i).x0 < WIDTH - SIDE // 2]
    assert set(there) <= set(found.frames), why
    assert set(found.frames) <= set(range(max(0, at - reach), at + reach + 1))
    for index in there:
        ((region,), seen) = found.frames[index], place(index).pad(-4, -4).clip(WIDTH, HEIGHT)
        assert seen is not None
        assert region.box.join(seen) == region.box, index
    found.check(width=WIDTH, height=HEIGHT, frames=FRAMES, sha256=found.sha256)


def test_impossible_requests_to_follow_are_refused(tmp_path: Path) -> None:
    video, picture = film(tmp_path / "a.mp4"), tmp_path / "a.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(picture)
    with Engine() as engine:
        for source, at, region, seconds, kind, why in (
            (picture, 0, place(0), 1.0, BadInput, "this is an image"),
            (video, FRAMES, place(0), 1.0, BadInput, f"no frame {FRAMES}"),
            (video, 0, Box(400, 0, 500, 50), 1.0, BadInput, "outside of the frame"),
            (video, 0, place(0), 11.0, BadPlan, "from 0 to 10"),
        ):
            with pytest.raises(kind, match=why):
                engine.follow(source, at, Region(region, "face"), seconds=seconds)
