"""The real weights on real photographs, in f32, against known values and against the plainest way to use them."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.rows import but_for, exhaustive

from velum.errors import Unavailable
from velum.frame import Frame, Plane, Role
from velum.locate import registry
from velum.locate.detector import Detector
from velum.locate.output_formats import family
from velum.locate.runtime.openvino import OpenvinoNetwork
from velum.locate.weights import fetch
from velum.plan import Effort
from velum.plugins import RuntimeConfig
from velum.region import Box, Region

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def centerface() -> Path:
    try:
        return fetch.ensure_local(registry.find("centerface"), RuntimeConfig())
    except Unavailable as error:
        pytest.skip(f"the weights of CenterFace cannot be had: {error}")


@pytest.fixture(scope="session")
def yunet(shared: Path) -> Path:
    return shared / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"


def photo(shared: Path, name: str) -> Frame:
    with Image.open(shared / "media" / "faces" / name) as picture:
        return Frame.of(Plane(np.array(picture.convert("RGB")), Role.RGB))


def iou(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    shared = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return shared / (sum(areas) - shared)


# What one look at the whole gave here, in f32 and at a threshold of 0.5; YuNet's also agree with OpenCV's own decoder.
# Looks at half the size may be surer of a face, and frame it a little otherwise.
GOLDEN = {
    "centerface": [
        ((128, 128, 212, 227), 0.868),
        ((295, 157, 372, 255), 0.844),
        ((469, 98, 558, 217), 0.928),
        ((653, 141, 710, 214), 0.789),
        ((791, 97, 878, 202), 0.894),
    ],
    "yunet": [
        ((129, 127, 205, 226), 0.909),
        ((292, 145, 337, 210), 0.781),
        ((293, 163, 369, 255), 0.912),
        ((463, 108, 553, 217), 0.927),
        ((647, 141, 708, 212), 0.882),
        ((798, 99, 879, 199), 0.923),
    ],
}


@pytest.mark.parametrize("name", but_for(GOLDEN, ["centerface"]))
def test_known_faces_are_found(request: pytest.FixtureRequest, shared: Path, name: str) -> None:
    host = RuntimeConfig(precision="f32", weights={name: request.getfixturevalue(name)})
    regions = Detector(name, host, min_side=16, threshold=0.5).locate([photo(shared, "five_night.jpg")])[0]
    assert len(regions) == len(GOLDEN[name])
    for region, (xyxy, score) in zip(sorted(regions, key=lambda one: one.box), GOLDEN[name], strict=True):
        assert iou(region.box.xyxy, xyxy) > 0.75
        assert score - 0.01 <= region.score <= score + 0.06


@pytest.mark.exhaustive
def test_tiles_find_the_same_as_decoding_the_whole_image(centerface: Path, shared: Path) -> None:
    """One look at the whole picture, decoded cell by cell and without suppression, knows every face and no other."""
    frame = photo(shared, "five_night.jpg")
    kind = family("centerface")
    heat, size, offset, _ = (
        OpenvinoNetwork(centerface, kind.input, RuntimeConfig(precision="f32")).infer(frame.rgb(1024, 768)).values()
    )
    plain = []
    for y, x in zip(*np.nonzero(heat[0] >= 0.5), strict=True):
        height, width = (4 * math.exp(size[i, y, x]) for i in (0, 1))
        cy, cx = 4 * (y + offset[0, y, x] + 0.5), 4 * (x + offset[1, y, x] + 0.5)
        plain.append((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
    regions = Detector(
        "centerface", RuntimeConfig(precision="f32", weights={"centerface": centerface}), min_side=16, threshold=0.5
    ).locate([frame])[0]
    for region in regions:
        assert max(iou(region.box.xyxy, box) for box in plain) > 0.8
    for box in plain:
        assert max(iou(box, region.box.xyxy) for region in regions) > 0.3


@pytest.mark.exhaustive
def test_reduced_precision_finds_the_same_faces(centerface: Path, shared: Path) -> None:
    frame = photo(shared, "group_19_indoor.jpg")
    found = [
        Detector(
            "centerface", RuntimeConfig(precision=precision, weights={"centerface": centerface}), threshold=0.5
        ).locate([frame])[0]
        for precision in ("f32", "auto")
    ]
    assert len(found[0]) == len(found[1]) == 19
    for region in found[0]:
        assert max(iou(region.box.xyxy, other.box.xyxy) for other in found[1]) > 0.9


@pytest.mark.exhaustive
def test_faces_are_found_from_the_smallest_to_one_that_fills_the_image(centerface: Path, shared: Path) -> None:
    detector = Detector("centerface", RuntimeConfig(precision="f32", weights={"centerface": centerface}))
    crowd = np.zeros((1500, 2400, 3), np.uint8)
    small = photo(shared, "group_77_small.jpg").planes[0].pixels
    crowd[900 : 900 + small.shape[0], 1300 : 1300 + small.shape[1]] = small
    assert len(detector.locate([Frame.of(Plane(crowd, Role.RGB))])[0]) >= 77
    portrait = photo(shared, "one_portrait_full.jpg")
    close = portrait.rgb(1800, 2400, Box(560, 180, 1010, 780))
    regions = detector.locate([Frame.of(Plane(close, Role.RGB))])[0]
    assert iou(regions[0].box.xyxy, (336, 340, 1404, 1730)) > 0.7
    assert len(regions) == 1


@pytest.mark.exhaustive
def test_several_threads_find_the_same_as_one(centerface: Path, shared: Path) -> None:
    detector = Detector("centerface", RuntimeConfig(weights={"centerface": centerface}))
    frames = [photo(shared, name) for name in ("voc_2008_001322.jpg", "voc_2008_002470.jpg", "voc_2009_004587.jpg")] * 2
    alone = [[region.box for region in regions] for regions in detector.locate(frames)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: [region.box for region in detector.locate([frame])[0]], frames))
    assert together == alone


@pytest.mark.exhaustive
@pytest.mark.parametrize("quarters", [2, *exhaustive([1])])
def test_faces_of_turned_images_are_found_by_a_thorough_look(shared: Path, centerface: Path, quarters: int) -> None:
    upright = photo(shared, "five_scouts.jpg")
    width, height = upright.width // 3, upright.height // 3
    turned = Frame.of(Plane(np.rot90(upright.rgb(width, height), quarters).copy(), Role.RGB))
    turns: dict[Effort, int] = {"balanced": 0, "thorough": 0}
    for effort in turns:
        (found,) = Detector("centerface", RuntimeConfig(), effort=effort).locate([turned])
        turns[effort] = sum(region.box.width > 18 and region.score >= 0.5 for region in found)
    assert turns["thorough"] == 5 > turns["balanced"]


def test_a_second_look_in_a_video_tells_faces_from_other_things(centerface: Path, shared: Path) -> None:
    host = RuntimeConfig(precision="f32", weights={"centerface": centerface})
    frame = photo(shared, "five_night.jpg")
    whole = Detector("centerface", host, effort="balanced")
    detector = whole.for_video(sparse=True)
    assert detector is not None
    faces = [region for region in detector.locate([frame])[0] if region.score >= 0.5]
    assert len(faces) >= 5
    assert detector.look_again(frame, faces) == [None] * len(faces)  # they are sure
    doubtful = [replace(region, score=detector.track_threshold) for region in faces]
    moved = [replace(region, box=region.box.move(0, 420)) for region in doubtful[:2]]
    scores = detector.look_again(frame, [*doubtful[:2], *moved])
    assert all(score is not None and score >= detector.track_threshold for score in scores[:2])
    assert scores[2:] == [0.0, 0.0]
    assert whole.look_again(frame, doubtful) == [None] * len(doubtful)  # images are looked at once


def largest_share(frame: Frame, regions: list[Region]) -> float:
    return max((box.width * box.height for box in (region.box for region in regions)), default=0) / (
        frame.width * frame.height
    )


def test_a_fast_look_hides_no_large_part_of_a_room_without_a_large_face(yunet: Path, shared: Path) -> None:
    """At one small scale, YuNet takes half of this picture for a face."""
    detector = Detector("yunet", RuntimeConfig(weights={"yunet": yunet}), effort="fast")
    frame = photo(shared, "two_fisheye.png")
    truth = json.loads((shared / "media" / "ground_truth.json").read_text())["faces/two_fisheye.png"]["objects"]
    for look in (detector, detector.for_video(sparse=True)):
        assert look is not None
        (regions,) = look.locate([frame])
        assert largest_share(frame, regions) < 0.1
        for face in truth:
            assert max(iou(region.box.xyxy, face["bbox"]) for region in regions) > 0.3


@pytest.mark.exhaustive
def test_a_fast_look_finds_every_face_that_fills_much_of_a_picture(yunet: Path, shared: Path) -> None:
    detector = Detector("yunet", RuntimeConfig(weights={"yunet": yunet}), effort="fast")
    media = shared / "media" / "hard"
    for name, entry in json.loads((media / "ground_truth.json").read_text()).items():
        long = max(entry["width"], entry["height"])
        large = [thing["bbox"] for thing in entry["objects"] if thing["label"] == "face" and not thing.get("ignore")]
        large = [box for box in large if max(box[2] - box[0], box[3] - box[1]) >= 0.3 * long]
        if large:
            with Image.open(media / name) as picture:
                (regions,) = detector.locate([Frame.of(Plane(np.array(picture.convert("RGB")), Role.RGB))])
            for box in large:
                assert max((iou(region.box.xyxy, box) for region in regions), default=0) > 0.3, name
