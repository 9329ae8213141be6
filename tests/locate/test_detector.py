"""A detector finds each object once, wherever and however large it is, and nothing else."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset13 as ops
from tests.rows import exhaustive

from velum.errors import BadPlan, PluginFault, Unavailable
from velum.frame import Frame, Orientation, Plane, Rgb, Role
from velum.locate import registry
from velum.locate.detector import Detector
from velum.locate.output_formats import Decode, Detections, Family, Input, Tensors, no_detections
from velum.locate.tiled_detector import TiledDetector
from velum.locate.weights import fetch
from velum.parts import make
from velum.plugins import Described, Localizer, Mode, RuntimeConfig
from velum.spec import PartSpec

WHITE = (255, 255, 255)


@dataclass
class Seer:
    """A network that sees white rectangles, also parts of them, and reports each of its two corners."""

    precision: str = "f32"
    runtime: str = "fake 1"
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def infer(self, rgb: Rgb) -> Tensors:
        self.sizes.append((rgb.shape[1], rgb.shape[0]))
        _, _, stats, _ = cv2.connectedComponentsWithStats((rgb.min(axis=2) > 127).astype(np.uint8))
        x, y, width, height = stats[1:, :4].T
        return {"boxes": np.stack((x, y, x + width, y + height), axis=1).astype(np.float32)}

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        return map(self.infer, pictures)


def read_boxes(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    boxes = outputs["boxes"]
    scores, kinds = np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int32)
    return Detections(boxes, scores, kinds, points=boxes.reshape(-1, 2, 2))


def finder(scale: float = 1.0, network: Seer | None = None, form: Input | None = None) -> TiledDetector:
    return TiledDetector(network or Seer(), Family(read_boxes), form or Input(), 0.2, scale, 320 * 320)


def picture(width: int, height: int, *boxes: tuple[int, int, int, int]) -> Frame:
    pixels = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = WHITE
    return Frame.of(Plane(pixels, Role.RGB))


@pytest.mark.parametrize(
    ("width", "height", "boxes", "why"),
    [
        (64, 64, [(10, 20, 40, 50)], "one look"),
        (1000, 700, [(300, 200, 340, 260)], "where four tiles meet"),
        (1000, 700, [(0, 0, 30, 30), (970, 670, 1000, 700)], "in the corners"),
        (1000, 700, [(x, y, x + 40, y + 40) for x in range(0, 950, 64) for y in range(0, 650, 64)], "everywhere"),
        (1000, 700, [(100, 60, 900, 640)], "larger than a tile"),
        (1000, 700, [(200, 300, 360, 480)], "larger than the overlap"),
        (3000, 8, [(1500, 0, 1520, 8)], "a thin picture"),
        (65_535, 8, [(0, 0, 20, 8), (40_000, 1, 40_020, 7), (65_515, 0, 65_535, 8)], "as wide as a JPEG can be"),
        (8, 9000, [(1, 8900, 7, 8920)], "a high picture"),
    ],
)
def test_each_object_is_found_once(width: int, height: int, boxes: list[tuple[int, int, int, int]], why: str) -> None:
    found = finder().find(picture(width, height, *boxes))
    assert len(found) == len(boxes), why
    # A later pass sees down to a sixteenth of the size: as exact as a sixteenth of the object, or a pixel.
    for box in np.array(boxes):
        allowed = 1 + max(box[2:] - box[:2]) / 16
        assert np.abs(found.xyxy - box).max(axis=1).min() <= allowed, why
    assert found.points is not None
    np.testing.assert_allclose(found.points.reshape(-1, 4), found.xyxy, atol=0.01)


def test_objects_too_large_for_a_pass_are_left_to_a_later_one() -> None:
    def shrink_large(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
        """Report boxes above 150 pixels a fourth too small on each side, as CenterFace does above 600."""
        found = read_boxes(outputs, input_wh, threshold)
        sides = found.xyxy[:, 2:] - found.xyxy[:, :2]
        less = np.where(sides.max(axis=1, keepdims=True) > 150, sides / 4, 0).astype(np.float32)
        return replace(found, xyxy=found.xyxy + np.hstack((less, -less)))

    family = Family(shrink_large, largest_side=75)
    found = TiledDetector(Seer(), family, Input(), 0.2, 1.0, 640 * 640).find(picture(600, 500, (100, 80, 500, 420)))
    np.testing.assert_allclose(found.xyxy, [[100, 80, 500, 420]], atol=16)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (33, 31), (65_535, 1)])
def test_an_empty_image_of_any_shape_has_no_regions(size: tuple[int, int]) -> None:
    assert len(finder().find(picture(*size))) == 0


@pytest.mark.parametrize("scale", [0.25, 0.8, 2.0])
def test_boxes_are_in_pixels_of_the_image_at_any_scale(scale: float) -> None:
    found = finder(scale).find(picture(640, 480, (200, 100, 280, 180)))
    assert len(found) == 1
    np.testing.assert_allclose(found.xyxy[0], [200, 100, 280, 180], atol=1 + 1 / scale)


def test_no_tile_is_larger_than_allowed() -> None:
    network = Seer()
    finder(2.0, network).find(picture(900, 1300))
    assert max(width * height for width, height in network.sizes) <= 320 * 320
    assert all(side % 32 == 0 for size in network.sizes for side in size)


def test_a_network_of_one_size_sees_the_whole_in_tiles() -> None:
    network = Seer()
    form = Input(size_wh=(300, 200), stride=1)
    found = finder(1.0, network, form).find(picture(1000, 700, (450, 340, 490, 380), (20, 20, 60, 60)))
    assert set(network.sizes) == {(300, 200)}
    np.testing.assert_allclose(sorted(found.xyxy.tolist()), [[20, 20, 60, 60], [450, 340, 490, 380]], atol=2)


def test_objects_are_found_in_the_upright_image() -> None:
    stored = np.zeros((40, 100, 3), np.uint8)
    stored[5:15, 70:90] = WHITE
    frame = Frame.of(Plane(stored, Role.RGB), orientation=Orientation.from_exif(6))  # shown turned right
    assert (frame.width, frame.height) == (40, 100)
    np.testing.assert_allclose(finder().find(frame).xyxy, [[25, 70, 35, 90]], atol=1)


@pytest.mark.parametrize(("score", "found"), [(0.39, 0), (0.41, 1)])
def test_detections_of_one_coarse_pass_need_a_higher_score(score: float, found: int) -> None:
    def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
        """Report an object of 10 pixels, and see it in the coarsest pass only, as a network that needs surroundings."""
        if max(input_wh) > 160:
            return no_detections()
        box = np.array([[20, 20, 30, 30]], np.float32)
        return Detections(box, np.array([score], np.float32), np.zeros(1, np.int32)).take(
            np.array([score >= threshold])
        )

    family = Family(decode, smallest_side=16)
    assert len(TiledDetector(Seer(), family, Input(), 0.2, 1.0, 320 * 320).find(picture(300, 300))) == found


def scores_by_scale(scores: dict[float, float], side: int) -> Decode:
    """Return a decoder of a network that gives a square of `side` image pixels a score that depends on the scale.

    The picture has 800 x 600 pixels, and the scale is 1, 0.5 or 0.25.
    """

    def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
        scale = {800: 1.0, 416: 0.5, 224: 0.25}[input_wh[0]]
        box = np.array([[100, 100, 100 + side, 100 + side]], np.float32) * np.float32(scale)
        score = np.array([scores.get(scale, 0.0)], np.float32)
        return Detections(box, score, np.zeros(1, np.int32)).take(score >= threshold)

    return decode


@pytest.mark.parametrize(
    ("scores", "side", "found"),
    [
        pytest.param({1.0: 0.9}, 240, 0, id="in one pass"),
        pytest.param({1.0: 0.9, 0.5: 0.11}, 240, 1, id="in two passes"),
        pytest.param({1.0: 0.9, 0.5: 0.09}, 240, 0, id="hardly in the second"),
        pytest.param({1.0: 0.15, 0.5: 0.11}, 240, 0, id="surely in none"),
        pytest.param({0.5: 0.3, 0.25: 0.11}, 240, 1, id="in two coarse passes"),
        pytest.param({1.0: 0.9}, 120, 1, id="not large"),
    ],
)
def test_a_large_object_must_show_in_two_passes(scores: dict[float, float], side: int, found: int) -> None:
    family = Family(scores_by_scale(scores, side))
    detector = TiledDetector(Seer(), family, Input(), 0.2, 1.0, 800 * 608, twice_from=0.25)
    assert len(detector.find(picture(800, 600))) == found
    assert len(replace(detector, twice_from=0.0).find(picture(800, 600))) == (max(scores.values()) >= 0.2)


def test_a_large_object_counts_at_once_where_one_pass_alone_can_see_it() -> None:
    family = Family(scores_by_scale({0.5: 0.3}, 240), smallest_side=48, largest_side=200)
    detector = TiledDetector(Seer(), family, Input(), 0.2, 1.0, 800 * 608, twice_from=0.25)
    assert len(detector.find(picture(800, 600))) == 1


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(320, 240, 2.5), (640, 480, 1.6), (1280, 960, 1.25), (4000, 3000, 1.25)]
)
def test_small_images_are_enlarged(width: int, height: int, scale: float) -> None:
    close = replace(finder(1.25), closest=2.5, closest_pixels=round(640 * 480 * 1.6**2))
    assert close.scale_of(picture(width, height)) == pytest.approx(scale)


@given(st.integers(40, 900), st.integers(40, 900), st.floats(1, 4), st.sampled_from([(0, 0), (3.0, 400_000)]))
def test_a_larger_image_of_a_scene_gets_no_smaller_input(
    width: int, height: int, times: float, close: tuple[float, int]
) -> None:
    detector = replace(finder(0.9), closest=close[0], closest_pixels=close[1])
    pictures = picture(width, height), picture(round(width * times), round(height * times))
    sides = [detector.scale_of(frame) * math.sqrt(frame.width * frame.height) for frame in pictures]
    assert sides[1] >= sides[0] * 0.98


@pytest.mark.parametrize("side", [5, *exhaustive([8, 11, 16, 23, 32, 47, 64, 96, 150, 300])])
def test_searching_smaller_objects_still_finds_the_larger_ones(side: int) -> None:
    """Objects of all sizes, seen by a network that knows sizes from 16 to 75 pixels only."""

    def limited(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
        found = read_boxes(outputs, input_wh, threshold)
        sides = found.xyxy[:, 2:] - found.xyxy[:, :2]
        return found.take((sides.min(axis=1) >= 14) & (sides.max(axis=1) <= 80))

    family = Family(limited, smallest_side=16, largest_side=75)
    frame = picture(700, 500, (101, 83, 101 + side, 83 + side))
    counts = [
        len(TiledDetector(Seer(), family, Input(), 0.2, scale, 320 * 320).find(frame)) for scale in (0.25, 0.5, 1, 2, 4)
    ]
    assert counts == sorted(counts)
    assert counts[-1] == 1


# The detector itself, with weights made here: heat is the red of each 4 x 4 cell, every face 32 pixels high and wide.


def save_red_network(folder: Path) -> Path:
    given = ops.parameter([1, 3, 32, 32], np.float32, name="picture")
    red = ops.slice(given, [0], [1], [1], [1])
    heat = ops.avg_pool(red, [4, 4], [0, 0], [0, 0], [4, 4], exclude_pad=False)
    heat = ops.divide(heat, np.float32(255))
    flat = ops.multiply(ops.concat([heat, heat], 1), np.float32(0))
    size = ops.add(flat, np.float32(np.log(8)))
    for name, output in (("heat", heat), ("size", size), ("offset", flat)):
        output.output(0).set_names({name})
    ov.save_model(ov.Model([ops.result(one) for one in (heat, size, flat)], [given]), folder / "red.xml")
    return folder / "red.xml"


@pytest.fixture
def red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.Model:
    path = save_red_network(tmp_path)
    model = registry.Model(
        name="red", file="red.xml", size=1, sha256="ab" * 32, licence="CC0", sources=(), family="centerface",
        labels=("face",), threshold=0.3, good_for="tests", not_for="anything else",
    )  # fmt: skip
    monkeypatch.setattr(registry, "catalog", lambda host=None: {"red": model})
    monkeypatch.setattr(fetch, "ensure_local", lambda asset, host: path)
    return model


HOST = RuntimeConfig(precision="f32", threads=1)


def red_spot(width: int, height: int, x: int, y: int, red: int = 255) -> Frame:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y : y + 4, x : x + 4, 0] = red
    return Frame.of(Plane(pixels, Role.RGB))


def test_regions_have_label_score_and_clipped_boxes(red: registry.Model) -> None:
    detector = Detector("red", HOST)
    assert isinstance(detector, Localizer)
    frames = [red_spot(200, 100, 100, 52, 204), red_spot(200, 100, 0, 0), red_spot(200, 100, 8, 8, 50)]
    middle, corner, faint = detector.locate(frames)
    assert [(r.box.xyxy, r.label, round(r.score, 2)) for r in middle] == [((86, 38, 118, 70), "face", 0.8)]
    assert [(r.box.xyxy, r.score) for r in corner] == [((0, 0, 18, 18), 1.0)]
    assert faint == []
    detector.close()


def test_one_detector_serves_several_threads(red: registry.Model) -> None:
    detector = Detector("red", HOST)
    frames = [red_spot(150 + 16 * i, 200, 4 * i, 100) for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda frame: detector.locate([frame])[0], frames))
    for i, regions in enumerate(found):
        assert [region.box.xyxy for region in regions] == [(max(0, 4 * i - 14), 86, 4 * i + 18, 118)]


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_a_batch_of_frames_gives_the_same_as_each_frame_alone(red: registry.Model, mode: Mode) -> None:
    detector = Detector("red", replace(HOST, mode=mode, threads=0), tile=256)
    frames = [red_spot(150 + 200 * i, 700 - 100 * i, 40 * i, 60) for i in range(6)]  # one look, and many
    together = detector.locate(frames)
    alone = [detector.locate([frame])[0] for frame in frames]
    assert [[(r.box, r.score) for r in one] for one in together] == [[(r.box, r.score) for r in one] for one in alone]
    assert all(alone)
    assert detector.locate([]) == []


def test_a_network_that_answers_too_few_tiles_is_a_fault() -> None:
    class Lazy(Seer):
        def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
            return islice(super().infer_many(pictures), 1)

    with pytest.raises(RuntimeError):
        finder(network=Lazy()).find(picture(1000, 700))


def test_the_description_states_model_and_options(red: registry.Model) -> None:
    detector = Detector("red", HOST, min_side=20, threshold=0.45)
    assert isinstance(detector, Described)
    facts = dict(detector.description)
    assert facts.pop("runtime").startswith("openvino ")
    assert facts == {
        "model": "red", "weights": "sha256:" + "ab" * 32, "family": "centerface",
        "precision": "f32", "threshold": "0.45", "min_side": "20",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_side": 3}, "min_side of red is 3; it must be from 3.2 to 1000"),
        ({"threshold": 0.0}, "threshold of red is 0.0; it must be from 0.01 to 1"),
        ({"threshold": float("nan")}, "threshold of red is nan"),
        ({"tile": 100}, "tile of red is 100; it must be from 256 to 4096"),
    ],
)
def test_options_out_of_range_are_refused_before_weights_are_fetched(
    red: registry.Model, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.delattr(fetch, "ensure_local")
    with pytest.raises(BadPlan, match=message):
        Detector("red", HOST, **options)


def test_a_plan_names_the_model_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="model 'nosuch' is unknown; known are centerface"):
        make("velum.localizers", PartSpec("model", {"name": "nosuch"}), RuntimeConfig())
    with pytest.raises(Unavailable, match="fetching is forbidden"):
        make("velum.localizers", PartSpec("model", {"name": "yunet"}), RuntimeConfig(cache=tmp_path, offline=True))


def test_labels_that_do_not_match_the_network_are_a_fault(red: registry.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
        return Detections(np.array([[0, 0, 20, 20]], np.float32), np.ones(1, np.float32), np.ones(1, np.int32))

    monkeypatch.setattr("velum.locate.detector.family", lambda name: Family(decode))
    with pytest.raises(PluginFault, match="red returned class 1, but has only 1 labels"):
        Detector("red", HOST).locate([red_spot(50, 50, 0, 0)])
