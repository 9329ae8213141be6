"""License plates in real photographs: found and hidden to their edges by the network, or as text of their shape."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.rows import exhaustive

from velum.engine.apply import outline
from velum.engine.engine import Engine
from velum.frame import Frame, Plane, Role
from velum.locate.class_maps import Mapper
from velum.locate.output_formats.db import FAMILY
from velum.locate.registry import rules_for
from velum.locate.runtime.openvino import OpenvinoNetwork
from velum.locate.text import SHAPE_THRESHOLD, SHAPES
from velum.locate.text.detect import TextDetector
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.region import Region
from velum.spec import PartSpec

pytestmark = pytest.mark.real

PICTURES = tuple(
    f"plates/openalpr/{name}.jpg" for name in ("eu_test_002", "eu_test_026", "eu_test_062", "us_wts-lg-000029")
)
(RULE,) = rules_for(["license_plate"], PartSpec("blacken"), RuntimeConfig(models=Path("/nowhere")))


def shares(shared: Path, name: str, regions: Iterable[Region], rule: Rule) -> list[float]:
    """Return which share of each labelled plate of a picture the rule hides."""
    entry = json.loads((shared / "media" / "ground_truth.json").read_text())[name]
    hidden = np.zeros((entry["height"], entry["width"]), bool)
    for region in regions:
        area = outline(region, rule, entry["width"], entry["height"])
        if area is not None:
            hidden[area.box.slices] = True
    boxes = [np.rint(thing["bbox"]).astype(int) for thing in entry["objects"] if thing["label"] == "license_plate"]
    return [float(hidden[y0:y1, x0:x1].mean()) for x0, y0, x1, y1 in boxes]


@pytest.mark.parametrize("names", [PICTURES[:1], *exhaustive([(PICTURES[1:],)])])
def test_plates_are_hidden_to_their_edges(shared: Path, tmp_path: Path, names: Sequence[str]) -> None:
    """By the earlier file of the network where the usual one cannot be had: nothing is fetched, nothing warned of."""
    weights = shared / "models" / "lpd_yunet" / "license_plate_detection_lpd_yunet_2022may.onnx"
    host = RuntimeConfig(
        offline=True, cache=tmp_path, models=tmp_path, weights={"lpd-yunet-2022": weights}, precision="f32"
    )
    with Engine(host=host) as engine:
        assert engine.check(Plan((RULE,))).warnings == ()
        for name in names:
            found = engine.locate(shared / "media" / name, Plan((RULE,)))
            assert found.models[0]["model"] == "lpd-yunet-2022"
            assert min(shares(shared, name, found.frames[0], RULE)) >= 0.9, name
            assert len(found.frames[0]) <= 3, name


@pytest.mark.exhaustive
def test_text_of_a_plates_shape_covers_the_plate(shared: Path) -> None:
    path = shared / "models" / "ppocr_v3_det" / "ch_PP-OCRv3_det_infer.onnx"
    network = OpenvinoNetwork(path, FAMILY.input, RuntimeConfig(precision="f32"))
    mapper = Mapper(network, FAMILY, FAMILY.input, 1, (0,), 1.5, 896 * 896, 1 << 29)
    finder = TextDetector(mapper, SHAPE_THRESHOLD, None, SHAPES["plate"])
    for name in PICTURES:
        with Image.open(shared / "media" / name) as picture:
            frame = Frame.of(Plane(np.array(picture.convert("RGB")), Role.RGB))
        assert min(shares(shared, name, finder.find(frame), RULE)) >= 0.9, name
