"""A second look scores doubtful detections from nearby, at a bounded cost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.output_formats import Detections, Family, Input, Tensors
from velum.locate.second_look import COST, PART, SecondLook, join_opinions
from velum.region import Box, Region

SIDE = 96


@dataclass
class Seer:
    """A network that sees white rectangles, and scores each by how grey it is: (box, score) for each."""

    precision: str = "f32"
    runtime: str = "fake 1"
    inputs: list[Rgb] = field(default_factory=list)

    def infer(self, rgb: Rgb) -> Tensors:
        self.inputs.append(rgb)
        _, _, stats, _ = cv2.connectedComponentsWithStats((rgb.min(axis=2) > 40).astype(np.uint8))
        x, y, width, height = stats[1:, :4].T
        boxes = np.stack((x, y, x + width, y + height), axis=1).astype(np.float32)
        scores = [float(np.median(rgb[int(b[1]) : int(b[3]), int(b[0]) : int(b[2])])) / 255 for b in boxes]
        return {"boxes": boxes, "scores": np.array(scores, np.float32)}

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        return map(self.infer, pictures)


def read_boxes(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    sure = outputs["scores"] >= threshold
    return Detections(outputs["boxes"][sure], outputs["scores"][sure], np.zeros(int(sure.sum()), np.int32))


def frame_of(*boxes: tuple[Box, int]) -> Frame:
    pixels = np.zeros((300, 400, 3), np.uint8)
    for box, level in boxes:
        pixels[box.slices] = level
    return Frame.of(Plane(pixels, Role.RGB))


def scores(
    frame: Frame, boxes: Sequence[Box], *, label: str = "face", pixels: int = 1 << 22, seer: Seer | None = None
) -> list[float | None]:
    look = SecondLook(seer or Seer(), Family(read_boxes), Input(), 0.3, SIDE)
    return look.scores(frame, [Region(box, label, 0.2) for box in boxes], ("face",), pixels)


SMALL, LARGE, CORNER = Box(100, 100, 112, 116), Box(150, 60, 300, 260), Box(0, 0, 20, 24)


@pytest.mark.parametrize("box", [SMALL, LARGE, CORNER, Box(390, 290, 400, 300)])
@pytest.mark.parametrize(("level", "score"), [(200, 200 / 255), (100, 100 / 255), (60, 0.0), (0, 0.0)])
def test_each_region_gets_its_score_from_nearby(box: Box, level: int, score: float) -> None:
    seer = Seer()
    assert scores(frame_of((box, level)), [box], seer=seer) == [pytest.approx(score, abs=0.02)]
    (seen,) = seer.inputs
    assert seen.shape == (SIDE, SIDE, 3)
    height, width = (np.ptp(np.flatnonzero((seen > 40).any(axis=(2, axis)))) + 1 if level else 0 for axis in (1, 0))
    assert not level or max(height, width) == pytest.approx(SIDE / PART, abs=3)


def test_another_object_nearby_does_not_count() -> None:
    other = Box(116, 100, 128, 116)
    assert scores(frame_of((other, 200)), [SMALL]) == [0.0]
    assert scores(frame_of((SMALL, 200)), [SMALL], label="license_plate") == [0.0]


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_the_number_of_second_looks_is_bounded_by_the_first_look(looks: int) -> None:
    boxes = [Box(x, 10, x + 12, 26) for x in range(10, 90, 20)]
    seer = Seer()
    found = scores(frame_of(*((box, 200) for box in boxes)), boxes, pixels=round(looks * SIDE**2 / COST), seer=seer)
    assert len(seer.inputs) == min(looks, len(boxes))
    assert [score is not None for score in found] == [i < looks for i in range(len(boxes))]


def test_at_least_one_region_gets_a_second_look() -> None:
    assert scores(frame_of((SMALL, 200)), [SMALL], pixels=1) != [None]


SURE, WEAK, ELSEWHERE = Box(10, 10, 50, 60), Box(100, 10, 140, 60), Box(200, 10, 240, 60)


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        ([(SURE, 0.3)], [], [(SURE, 0.3)]),
        ([(SURE, 0.27)], [], []),
        ([(SURE, 0.21)], [(Box(12, 11, 51, 61), 0.36)], [(SURE, 0.21)]),
        ([(WEAK, 0.21)], [(SURE, 0.6)], []),
        ([], [(SURE, 0.7)], [(SURE, 0.7)]),
        ([], [(SURE, 0.69)], []),
        ([(SURE, 0.3)], [(Box(12, 11, 51, 61), 0.9)], [(SURE, 0.3)]),
        ([(SURE, 0.3), (WEAK, 0.2)], [(ELSEWHERE, 0.8)], [(ELSEWHERE, 0.8), (SURE, 0.3)]),
    ],
    ids=["sure", "unsure", "confirmed", "not confirmed", "alone", "too weak alone", "seen by both", "best first"],
)
def test_two_networks_decide_by_their_scores(
    first: list[tuple[Box, float]], second: list[tuple[Box, float]], counts: list[tuple[Box, float]]
) -> None:
    regions = ([Region(box, "face", score) for box, score in found] for found in (first, second))
    joined = join_opinions(*regions, sure=0.28, alone=0.7)
    assert [(region.box, region.score) for region in joined] == counts


def test_a_detection_of_another_label_confirms_nothing() -> None:
    assert join_opinions([Region(SURE, "face", 0.2)], [Region(SURE, "head", 0.5)], sure=0.28, alone=0.7) == []
