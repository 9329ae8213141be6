"""One of two people in a clip, and one of five in a photograph, recognised by the real networks."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.rows import exhaustive

from velum import Engine, Plan, RuntimeConfig
from velum.errors import Unavailable
from velum.frame import Rgb
from velum.locate import registry
from velum.locate.weights import fetch
from velum.people import People
from velum.plan import Rule, Video
from velum.region import Region

pytestmark = pytest.mark.real

CLIPS = {"a": ("face_gesture.mkv", (160, 60)), "b": ("face_tshirt_print.mkv", (230, 30))}
"""Clips of one person each, with the upper left corner of the part that shows the head."""

WIDTH, HEIGHT, COUNT = 240, 180, 40
RULE = Rule.parse("face: centerface(min_side=24) -> blacken with grow=0")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        for model in (registry.find("centerface"), registry.find_weights("dlib-resnet")):
            fetch.ensure_local(model, RuntimeConfig())
    except Unavailable as error:
        pytest.skip(f"the weights cannot be had: {error}")
    with Engine(host=RuntimeConfig(precision="f32")) as engine:
        yield engine


def heads(shared: Path, who: str) -> list[Rgb]:
    name, (x, y) = CLIPS[who]
    with av.open(str(shared / "media" / "video" / name)) as container:
        frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [np.asarray(frame[y : y + HEIGHT, x : x + WIDTH], np.uint8) for frame in frames]


@pytest.fixture(scope="module")
def desk(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip of both, and a photo of each: a frame after those of the clip."""
    folder = tmp_path_factory.mktemp("people")
    both = {who: heads(shared, who) for who in CLIPS}
    for who, frames in both.items():
        Image.fromarray(frames[COUNT + 8]).save(folder / f"{who}.png")
    with av.open(str(folder / "both.mkv"), "w") as container:
        stream = container.add_stream("ffv1", 30)
        stream.width, stream.height, stream.pix_fmt = 2 * WIDTH, HEIGHT, "yuv420p"
        for index in range(COUNT):
            picture = np.hstack([frames[index] for frames in both.values()])
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with Image.open(shared / "media" / "faces" / "five_scouts.jpg") as photo:
        photo.crop((370, 210, 525, 400)).resize((240, 294)).save(folder / "scout.jpg", quality=80)
    return folder


def shares_shown(file: Path, regions: dict[int, tuple[Region, ...]]) -> dict[str, float]:
    """Return for each half the share of the frames, of those in which its face was found, in which the face shows."""
    shown: dict[str, list[bool]] = {who: [] for who in CLIPS}
    with av.open(str(file)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for region in (one for one in regions[index] if one.score >= 0.6):
                who = "a" if region.box.x0 + region.box.x1 < 2 * WIDTH else "b"
                shown[who].append(bool((pixels[region.box.slices].max(axis=2) > 40).mean() > 0.2))
    assert all(len(seen) >= COUNT for seen in shown.values())
    return {who: float(np.mean(seen)) for who, seen in shown.items()}


@pytest.mark.parametrize(
    ("mode", "photo", "visible"),
    [
        pytest.param("keep", "a.png", "a", id="keep a"),
        *exhaustive(
            [
                pytest.param("keep", "scout.jpg", "", id="keep a stranger"),
                pytest.param("only", "a.png", "b", id="only a"),
                pytest.param("keep", "b.png", "b", id="keep b"),
            ]
        ),
    ],
)
def test_one_of_two_people_in_a_clip_is_recognised(
    engine: Engine, desk: Path, tmp_path: Path, mode: str, photo: str, visible: str
) -> None:
    people = People.parse(mode, [f"X={desk / photo}"])  # type: ignore[arg-type]  # one of two
    found: dict[int, tuple[Region, ...]] = {}
    plan = Plan((RULE,), people=people, video=Video(codec="ffv1"))
    report = engine.hide(desk / "both.mkv", tmp_path / "out.mkv", plan, on_regions=found.__setitem__)
    shares = shares_shown(tmp_path / "out.mkv", found)
    for who, share in shares.items():
        assert share >= 0.95 if who == visible else share == 0, (shares, report.people)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("photo", "kept"), [("scout.jpg", 1), *exhaustive([("a.png", 0)])])
def test_one_of_five_people_in_a_photo_is_recognised(
    engine: Engine, desk: Path, shared: Path, tmp_path: Path, photo: str, kept: int
) -> None:
    source = shared / "media" / "faces" / "five_scouts.jpg"
    report = engine.hide(
        source, tmp_path / "out.png", Plan((RULE,), people=People.parse("keep", [f"X={desk / photo}"]))
    )
    assert report.people is not None
    shown = [one for one in report.people["decisions"] if one["result"] == "shown"]
    assert len(shown) == kept
    assert len(report.hidden) >= 5 - kept
    for one in shown:
        x0, y0, x1, y1 = one["xyxy"]
        assert 377 < x0 < 437
        with Image.open(source) as before, Image.open(tmp_path / "out.png") as after:
            assert before.convert("RGB").crop((x0, y0, x1, y1)).tobytes() == after.crop((x0, y0, x1, y1)).tobytes()
