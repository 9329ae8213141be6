"""Text recognition with the API of the TensorFlow variant."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.bmw.inference_server.factories import HEIGHT, WIDTH, client, encoded, host, png

from velum.bmw.inference_server.ocr import Ocr
from velum.engine.part_cache import PartCache
from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate import user_models
from velum.locate.import_model import ImportOptions, identify_model
from velum.locate.text.recognize import RapidRecognizer, RecognizedText, TextRecognizer
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.spec import PartSpec
from velum.testing import FakeLocalizer


class Says:
    """Reads the same text in every line."""

    description = {"reader": "fake"}  # noqa: RUF012 - nobody changes it

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, line: Rgb) -> RecognizedText:
        if self.text == "fault":
            raise PluginFault("cannot read")
        return RecognizedText(self.text, (0.5,) * len(self.text), (0.875,) * len(self.text))


def texts(reader: Callable[[], TextRecognizer], *boxes: Box) -> Ocr:
    return Ocr(lambda: FakeLocalizer([Region(box, "text") for box in boxes], frozenset({"text"})), reader)


def test_reads_text_in_the_whole_image_or_within_detections() -> None:
    reading = texts(lambda: Says("AB 12"), Box(1, 2, 9, 5), Box(12, 8, 24, 11))
    with client("tensorflow", host([Region(Box(10, 5, 30, 25), "face")]), texts=reading) as server:
        whole = server.post("/models/fake/ocr", files={"image": png()})
        inside = server.post("/models/fake/one_shot_ocr", files={"image": png()})
    assert whole.text == (
        '[{"text":"AB 12","box":[1,2,9,5],"score":0.875},{"text":"AB 12","box":[12,8,24,11],"score":0.875}]'
    )
    assert inside.text == '[{"text":"AB 12","box":[12,8,24,11],"score":0.875}]'


class ByLength:
    """Reads more text in longer lines."""

    description = {"reader": "fake"}  # noqa: RUF012 - nobody changes it

    def read(self, line: Rgb) -> RecognizedText:
        text = "ABCD" if line.shape[1] > 100 else "AB"
        return RecognizedText(text, (0.5,) * len(text), (0.9,) * len(text))


def test_returns_a_line_found_at_two_scales_once() -> None:
    lines = Box(2, 2, 8, 5), Box(1, 1, 21, 6), Box(1, 20, 7, 23)
    with client("tensorflow", texts=texts(ByLength, *lines)) as server:
        found = server.post("/models/fake/ocr", files={"image": png()}).json()
    assert [(one["text"], one["box"]) for one in found] == [("ABCD", [1, 1, 21, 6]), ("AB", [1, 20, 7, 23])]


def test_boxes_of_lines_are_in_pixels_of_the_stored_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encoded(Image.new("RGB", (WIDTH, HEIGHT)), "JPEG", exif=exif)
    with client("tensorflow", texts=texts(lambda: Says("x"), Box(2, 3, 12, 8))) as server:
        assert server.post("/models/fake/ocr", files={"image": photo}).json()[0]["box"] == [3, 18, 8, 28]


def absent() -> TextRecognizer:
    raise Unavailable("not installed")


@pytest.mark.parametrize(
    ("model", "reader", "data", "status", "text"),
    [
        ("nothing", lambda: Says("x"), png(), 404, "Invalid Model"),
        ("fake", absent, png(), 400, "Inference (Determination of Texts) is not Possible with the Specified Model"),
        (
            "fake", lambda: Says("x"), b"no picture", 500,
            "Unexpected Error during Inference (Determination of Texts)",
        ),
        ("fake", lambda: Says("fault"), png(), 500, "Unexpected Error during Inference (Determination of Texts)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("call", ["ocr", "one_shot_ocr"])
def test_answers_failures_of_text_recognition_as_the_original(
    call: str, model: str, reader: Callable[[], TextRecognizer], data: bytes, status: int, text: str
) -> None:
    with client("tensorflow", texts=texts(reader, Box(12, 8, 24, 11))) as server:
        answer = server.post(f"/models/{model}/{call}", files={"image": data})
    assert (answer.status_code, answer.text) == (status, json.dumps({"detail": text}, separators=(",", ":")))


def test_only_the_tensorflow_profile_serves_text_recognition() -> None:
    assert client("yolo").post("/models/fake/ocr", files={"image": png()}).status_code == 404


@pytest.mark.real
@pytest.mark.exhaustive
def test_reads_a_line_of_text_in_a_photograph(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    local = RuntimeConfig(models=tmp_path / "store", cache=tmp_path / "cache", offline=True)
    weights = shared / "models" / "ppocr_v3_det" / "ch_PP-OCRv3_det_infer.onnx"
    user_models.put(identify_model(weights, ImportOptions(name="lines", labels=("text",), family="db")), local)
    parts = PartCache(local)
    reading = Ocr(lambda: parts.localizer(PartSpec("lines")), lambda: RapidRecognizer(local))
    image = Image.new("RGB", (640, 200), "white")
    ImageDraw.Draw(image).text((40, 60), "HELLO 4711", fill="black", font=ImageFont.load_default(size=48))
    with client("tensorflow", host([Region(Box(0, 0, 640, 200), "face")]), texts=reading) as server:
        found = server.post("/models/fake/one_shot_ocr", files={"image": encoded(image)}).json()
    parts.close()
    words = sorted(found, key=lambda one: int(one["box"][0]))
    assert "".join(one["text"] for one in words).replace(" ", "") == "HELLO4711"
    assert all(one["score"] > 0.8 for one in words)
    left, top, right, bottom = words[0]["box"]
    assert left < 60 < right
    assert top < 80 < bottom
