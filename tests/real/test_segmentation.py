"""Real segmentation networks on real photographs."""

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.rows import exhaustive

from velum.frame import Frame, Plane, Role
from velum.locate.class_maps import Mapper
from velum.locate.output_formats import Input
from velum.locate.output_formats.semantic import FAMILY
from velum.locate.runtime.openvino import OpenvinoNetwork
from velum.locate.segmenter import Outliner, Segmenter
from velum.plugins import RuntimeConfig
from velum.region import Mask
from velum.testing import check_localizer

pytestmark = pytest.mark.real

VOC = (
    "", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table", "dog", "horse",
    "motorcycle", "person", "plant", "sheep", "sofa", "train", "screen",
)  # fmt: skip


@dataclass(frozen=True)
class Weights:
    path: str
    form: Input
    labels: tuple[str, ...]


WEIGHTS = {
    "deeplab": Weights(
        "deeplab_v3_voc/deeplab_v3_1_default_1.onnx",
        Input("rgb", (127.5,) * 3, (1 / 127.5,) * 3, "stretch", "nhwc", size_wh=(257, 257)),
        VOC,
    ),
    "selfie": Weights(
        "selfie_segmentation/selfie_segmentation.onnx",
        Input("rgb", scale=(1 / 255,) * 3, fit="stretch", layout="nhwc", size_wh=(256, 256)),
        ("person",),
    ),
    "road": Weights(
        "road_segmentation_adas_0001/road_segmentation_adas_0001.onnx",
        Input("bgr", fit="stretch", layout="nhwc", size_wh=(896, 512)),
        ("", "road", "curb", "road mark"),
    ),
}


def outliner(shared: Path, name: str, wanted: str, scale: float | None) -> Outliner:
    weights = WEIGHTS[name]
    network = OpenvinoNetwork(shared / "models" / weights.path, weights.form, RuntimeConfig(precision="f32"))
    keep = (weights.labels.index(wanted),)
    mapper = Mapper(network, FAMILY, weights.form, len(weights.labels), keep, scale, 896 * 896, 1 << 26)
    return Outliner(mapper, (wanted,), 0.3, 0)


def photo(shared: Path, name: str) -> Frame:
    with Image.open(shared / "media" / name) as picture:
        return Frame.of(Plane(np.array(picture.convert("RGB")), Role.RGB))


def hidden(finder: Outliner, frame: Frame) -> Mask:
    mask = np.zeros((frame.height, frame.width), np.bool_)
    for region in finder.find(frame):
        mask[region.box.slices] |= True if region.mask is None else region.mask
    return mask


# Each found by a quarter of its box or more; with one look at the whole picture it is 61 %.
@pytest.mark.exhaustive
def test_persons_in_a_street_are_outlined(shared: Path) -> None:
    truth = json.loads((shared / "media" / "ground_truth.json").read_text(encoding="utf-8"))
    finder = outliner(shared, "deeplab", "person", 1.0)
    covered, beside = [], []
    for name in ("hall_queue", "bicycle_two_riders", "bus_front", "roadblock_truck"):
        frame = photo(shared, f"street/{name}.jpg")
        mask = hidden(finder, frame)
        free = mask.copy()
        for thing in truth[f"street/{name}.jpg"]["objects"]:
            if thing["label"] == "person":
                x0, y0, x1, y1 = (max(0, int(edge)) for edge in thing["bbox"])
                if not thing.get("ignore"):
                    covered.append(mask[y0:y1, x0:x1].mean())
                free[y0:y1, x0:x1] = False
        beside.append(free.mean())
    assert len(covered) >= 15
    assert np.mean(np.array(covered) > 0.25) >= 0.85
    assert np.mean(beside) < 0.05


@pytest.mark.parametrize(
    ("name", "wanted", "scale", "picture", "least", "most"),
    [
        ("selfie", "person", 1.0, "street/skier.jpg", 0.08, 0.25),
        *exhaustive(
            [
                ("deeplab", "person", 1.0, "street/skier.jpg", 0.08, 0.3),
                ("deeplab", "person", 1.0, "faces/negative_zebras.jpg", 0.0, 0.02),
                ("selfie", "person", None, "street/skier.jpg", 0.08, 0.25),
                ("deeplab", "bus", 1.0, "street/bus_front.jpg", 0.3, 0.7),
                ("road", "road", 1.0, "street/highway_1.jpg", 0.2, 0.45),
            ]
        ),
    ],
)
def test_the_segmented_share_of_the_image_is_right(
    shared: Path, name: str, wanted: str, scale: float | None, picture: str, least: float, most: float
) -> None:
    assert least <= hidden(outliner(shared, name, wanted, scale), photo(shared, picture)).mean() <= most


@pytest.mark.exhaustive
def test_the_segmenter_keeps_the_contract_of_localizers(shared: Path, tmp_path: Path) -> None:
    source = shared / "models" / WEIGHTS["deeplab"].path
    (tmp_path / "deeplab").mkdir()
    (tmp_path / "deeplab" / source.name).symlink_to(source)
    (tmp_path / "models.toml").write_text(
        f"""
        [model.deeplab]
        file = "{source.name}"
        size = {source.stat().st_size}
        sha256 = "{hashlib.sha256(source.read_bytes()).hexdigest()}"
        licence = "Apache-2.0"
        family = "semantic"
        labels = {list(VOC)}
        threshold = 0.3
        good_for = "tests"
        not_for = "anything else"
        input = {{ mean = [127.5, 127.5, 127.5], scale = [0.00784, 0.00784, 0.00784], layout = "nhwc", fit = "stretch", size_wh = [257, 257] }}
        sources = [{{ stored = "deeplab/{source.name}" }}]
        """,  # noqa: E501 - an inline table is one line
        encoding="utf-8",
    )
    with closing(Segmenter("deeplab", RuntimeConfig(models=tmp_path, offline=True))) as segmenter:
        assert segmenter.labels == frozenset(VOC[1:])
        assert segmenter.description["family"] == "semantic"
        check_localizer(segmenter)
        labels = {region.label for region in segmenter.locate([photo(shared, "street/bus_front.jpg")])[0]}
        assert labels >= {"bus", "person"}
    with closing(
        Segmenter("deeplab", RuntimeConfig(models=tmp_path, offline=True), only=("bus",), min_side=0)
    ) as segmenter:
        found = segmenter.locate([photo(shared, "street/bus_front.jpg")])[0]
        assert {region.label for region in found} == segmenter.labels == {"bus"}
