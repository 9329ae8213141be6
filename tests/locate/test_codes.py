"""Codes are found turned, small and several at a time, and nothing is where there is none."""

import importlib.util
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.rows import exhaustive

from velum import Engine, Plan
from velum.frame import Frame, Plane, Role
from velum.locate.codes import Codes
from velum.region import Box

Grey = npt.NDArray[np.uint8]

EAN_LEFT = [
    "0001101", "0011001", "0010011", "0111101", "0100011", "0110001", "0101111", "0111011", "0110111", "0001011",
]  # fmt: skip
"""Bars of each digit with odd parity in the left half (ISO/IEC 15420)."""


def qr_code(text: str, module: int) -> Grey:
    code = np.asarray(cv2.QRCodeEncoder.create().encode(text), np.uint8)
    return np.kron(np.pad(code, 4, constant_values=255), np.ones((module, module), np.uint8)).astype(np.uint8)


def barcode(digits: Sequence[int], module: int) -> Grey:
    """EAN-13 of a first digit 0, with its quiet zones."""
    left = "".join(EAN_LEFT[digit] for digit in digits[:6])
    right = "".join(bit for digit in digits[6:] for bit in EAN_LEFT[digit].translate(str.maketrans("01", "10")))
    bits = "0" * 11 + "101" + left + "01010" + right + "101" + "0" * 11
    row = np.array([255 * (bit == "0") for bit in bits], np.uint8)
    return np.kron(np.tile(row, (60, 1)), np.ones((1, module), np.uint8)).astype(np.uint8)


def scene(width: int, height: int, *codes: tuple[Grey, int, int, float]) -> tuple[Frame, list[Box]]:
    """A grey scene with noise and lines, and codes at (x, y), turned by an angle in degrees; with their boxes."""
    pixels = np.random.default_rng(3).integers(90, 150, (height, width), dtype=np.uint8)
    for x in range(0, width, 90):
        cv2.line(pixels, (x, 0), (width - x, height), 40, 3)
    boxes = []
    for code, x, y, angle in codes:
        rows, columns = code.shape
        place = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1)
        place[:, 2] += x, y
        layer = cv2.warpAffine(code, place, (width, height), flags=cv2.INTER_AREA)
        mask = cv2.warpAffine(np.full_like(code, 255), place, (width, height))
        pixels = np.where(mask > 127, layer, pixels).astype(np.uint8)
        boxes.append(Box(*(round(edge) for edge in (x, y, x + columns, y + rows))))
    return Frame.of(Plane(pixels, Role.GREY)), boxes


def found(frame: Frame) -> list[Box]:
    (regions,) = Codes().locate([frame])
    assert {region.label for region in regions} <= {"code"}
    return [region.box for region in regions]


def holds(box: Box, middle: tuple[float, float]) -> bool:
    return box.x0 < middle[0] < box.x1 and box.y0 < middle[1] < box.y1


@pytest.mark.parametrize("angle", [0, 33, 180, *exhaustive([90, 120, 270, 301])])
@pytest.mark.parametrize("module", [3, *exhaustive([4, 6, 10])])
def test_a_qr_code_is_found_at_any_angle(angle: float, module: int) -> None:
    code = qr_code("https://example.org/u/4711", module)
    frame, (place,) = scene(700, 520, (code, 150, 90, angle))
    (box,) = found(frame)
    assert holds(box, ((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2))
    dark = np.flatnonzero((code == 0).any(axis=0))
    assert min(box.width, box.height) >= dark[-1] - dark[0] + 1, "all modules are inside"


@pytest.mark.parametrize("angle", [0, *exhaustive([20, 90, 200])])
def test_a_barcode_is_found(angle: float) -> None:
    frame, (place,) = scene(900, 520, (barcode([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2], 3), 200, 150, angle))
    assert any(holds(box, ((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2)) for box in found(frame))


def test_each_of_several_codes_is_found_once() -> None:
    codes = [
        (qr_code(f"person {number}", 4), 30 + 220 * number, 40 + 90 * number, 15.0 * number) for number in range(3)
    ]
    frame, places = scene(800, 560, *codes)
    boxes = found(frame)
    assert len(boxes) == 3
    for place in places:
        middle = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
        assert sum(holds(box, middle) for box in boxes) == 1


def test_a_light_code_on_dark_ground_is_found() -> None:
    frame, (place,) = scene(500, 400, (255 - qr_code("ticket 4711", 4), 100, 60, 0))
    assert any(holds(box, ((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2)) for box in found(frame))


def test_nothing_is_found_where_there_is_no_code() -> None:
    assert found(scene(700, 500)[0]) == []
    assert found(Frame.of(Plane(np.zeros((1, 1), np.uint8), Role.GREY))) == []


def test_a_hidden_code_can_no_longer_be_read() -> None:
    frame, _ = scene(500, 400, (qr_code("DE89370400440532013000", 5), 100, 60, 10))
    pixels = frame.planes[0].pixels
    assert cv2.QRCodeDetector().detectAndDecode(pixels)[0] == "DE89370400440532013000"
    with Engine() as engine:
        hidden, report = engine.hide_pixels(pixels, Plan.of("qr_code: codes -> blacken"))
    assert report.labels == {"code": 1}
    assert cv2.QRCodeDetector().detectAndDecode(hidden)[0] == ""
    assert (hidden == pixels)[:40].all()


@pytest.mark.skipif(importlib.util.find_spec("zxingcpp") is None, reason="zxing-cpp (extra codes) is not installed")
@pytest.mark.parametrize("name", ["DataMatrix", "Aztec", "PDF417"])
def test_further_codes_are_found_with_the_extra(name: str) -> None:
    zxing = importlib.import_module("zxingcpp")
    made = zxing.create_barcode("order 4711", getattr(zxing.BarcodeFormat, name))
    code = np.array(made.to_image(scale=5, add_quiet_zones=True))
    frame, (place,) = scene(900, 640, (code, 150, 120, 0))
    assert any(holds(box, ((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2)) for box in found(frame))
