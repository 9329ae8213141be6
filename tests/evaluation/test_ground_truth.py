"""Reads ground truth from files of COCO, VOC, YOLO and velum; errors name the mistake."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from velum import Limits
from velum.errors import BadInput
from velum.evaluation.ground_truth import GroundTruth, GroundTruthBox, read

FACE = GroundTruthBox("face", (10, 20, 40, 60))
COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "a.png", "width": 100, "height": 80}, {"id": "b", "file_name": "b.png"}],
    "categories": [{"id": 1, "name": "Human-Face"}, {"id": 2, "name": "number plate"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40]},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 1, "segmentation": {"counts": []}},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 2, 0, 4]},
        {"id": 4, "image_id": "b", "category_id": 1, "bbox": [10, 20, 30, 40], "track_id": 5, "ignore": 0,
         "segmentation": [[10, 20, 40, 20, 40, 60]], "attributes": {"pose": "left", "occluded": True, "seen": None}},
    ],
}  # fmt: skip
VOC = """<annotation><filename>a.png</filename><size><width>100</width><height>80</height></size>
<object><name>Face</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>
<object><name>face</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    return tmp_path


def written(folder: Path, value: Any, name: str = "truth.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def only(truth: GroundTruth) -> tuple[GroundTruthBox, ...]:
    ((_, things),) = truth.items[0].frames.items()
    return things


def test_reads_coco(folder: Path) -> None:
    truth = read(written(folder, COCO), None, Limits())
    one, other = truth.items
    assert (truth.kind, truth.notes) == ("COCO", ("1 box without an area left out",))
    assert truth.sha256 is not None
    assert one.complete == {"face", "license_plate"}
    assert (one.path, one.name, one.size) == (folder / "a.png", "a.png", (100, 80))
    assert only(truth) == (FACE, GroundTruthBox("license_plate", (1, 2, 4, 6), ignore=True, area=True))
    (thing,) = other.frames[0]
    assert (other.size, thing.track, thing.tags) == (None, "5", {"pose": "left", "occluded": "yes"})
    assert thing.outline == ((10, 20, 40, 20, 40, 60),)


def test_searches_images_of_coco_in_the_folder_images(folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "a.png").rename(folder / "images" / "a.png")
    assert read(written(folder, COCO), None, Limits()).items[0].path == folder / "images" / "a.png"
    assert read(written(folder, COCO), folder / "images", Limits()).items[0].path == folder / "images" / "a.png"


def test_reads_voc(folder: Path) -> None:
    written(folder, VOC, "Annotations/a.xml")
    (folder / "JPEGImages").mkdir()
    (folder / "a.png").rename(folder / "JPEGImages" / "a.png")
    truth = read(folder, None, Limits())
    assert (truth.kind, truth.items[0].size) == ("VOC", (100, 80))
    assert truth.items[0].complete == {"face"}
    assert truth.items[0].path.resolve() == folder / "JPEGImages" / "a.png"
    first, second = only(truth)
    assert (first.xyxy, first.ignore, first.tags) == ((10, 20, 40, 60), False, {"pose": "Left", "truncated": "yes"})
    assert second.ignore


@pytest.mark.parametrize(
    "form", ["data.yaml", "classes.txt beside", "classes.txt in labels", "outline", "with a score"]
)
def test_reads_yolo(folder: Path, form: str) -> None:
    line = {"outline": "0 0.1 0.25 0.4 0.25 0.4 0.75\n", "with a score": "0 0.25 0.5 0.3 0.5 0.87\n"}.get(
        form, "0 0.25 0.5 0.3 0.5\n"
    )
    if form in {"data.yaml", "outline"}:
        (folder / "images" / "val").mkdir(parents=True)
        (folder / "a.png").rename(folder / "images" / "val" / "a.png")
        Image.new("RGB", (10, 10)).save(folder / "images" / "val" / "nothing.png")
        written(folder, line, "labels/val/a.txt")
        written(folder, "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: face\n", "data.yaml")
    else:
        place = "labels/" if form == "classes.txt in labels" else ""
        written(folder, "face\nplate\n", f"{place}classes.txt")
        written(folder, line, f"{place}a.txt")
    truth = read(folder, None, Limits())
    assert truth.kind == "YOLO"
    (thing,) = only(truth)
    assert thing.label == "face"
    assert thing.xyxy == pytest.approx((10, 20, 40, 60))
    if form == "data.yaml":
        assert [item.frames for item in truth.items[1:]] == [{0: ()}]
        assert truth.notes == ("split 'val' of data.yaml was used",)
    if form == "outline":
        assert thing.outline[0] == pytest.approx((10, 20, 40, 20, 40, 60))


def test_reads_a_yolo_split_listed_in_a_text_file(folder: Path) -> None:
    written(folder, "a.png\n", "val.txt")
    written(folder, "0 0.25 0.5 0.3 0.5\n", "a.txt")
    truth = read(written(folder, "val: val.txt\nnames: [face]\n", "data.yaml"), None, Limits())
    assert [item.name for item in truth.items] == ["a.png"]
    assert only(truth)[0].xyxy == pytest.approx((10, 20, 40, 60))


def test_reads_the_format_of_velum(folder: Path) -> None:
    value = {
        "a.png": {
            "width": 100, "height": 80, "exhaustive": ["Face"], "tags": {"light": "dim"},
            "objects": [
                {"label": "face", "bbox": [10, 20, 40, 60], "tags": {"pose": "left"}, "polygon": [1, 2, 3, 4, 5, 6]},
                {"label": "car", "bbox": [0, 0, 9, 9], "region": True},
            ],
        },
        "b.mp4": {"objects_by_frame": {"0": [], "9": [{"label": "face", "bbox": [1, 2, 3, 4], "track": 3}]}},
        "c.mp4": {"width": 5},
    }  # fmt: skip
    truth = read(written(folder, value), None, Limits())
    first, second = truth.items
    assert (truth.kind, truth.notes) == ("velum", ("c.mp4 is not labelled",))
    assert first.frames[0][0].tags == {"light": "dim", "pose": "left"}
    assert (first.frames[0][1].ignore, first.frames[0][1].area) == (True, True)
    assert first.complete == {"face"}
    assert second.complete == set()
    assert [thing.track for thing in second.frames[9]] == ["3"]
    assert second.frames[0] == ()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", [], "must be an object"),
        ("a.json", {"x": {"width": 1}}, "no entry has objects"),
        ("a.json", {"x": 3}, "the entry of x is 3"),
        ("a.json", {"x": {"objects": [{"label": "", "bbox": [0, 0, 1, 1]}]}}, "label of an object of x"),
        ("a.json", {"x": {"objects": [{"label": "a", "bbox": [0, 0, 1]}]}}, "list of 4 numbers"),
        ("a.json", {"x": {"objects": [{"label": "a", "bbox": [0, 0, 0, 1]}]}}, "which is empty"),
        ("a.json", {"x": {"objects_by_frame": {"-1": []}}}, "counted from 0"),
        ("a.json", {"x\0": {"objects": []}}, "no file can have that name"),
        ("a.json", COCO | {"categories": None}, "categories is None"),
        ("a.json", COCO | {"images": [{"file_name": "x"}]}, "id None"),
        ("a.json", COCO | {"annotations": [{"image_id": [], "category_id": 1}]}, "must be a number or a text"),
        ("a.json", COCO | {"annotations": [{"image_id": 8, "category_id": 1}]}, "does not define"),
        ("a.json", COCO | {"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, float("nan"), 4]}]},
         "list of 4 numbers"),
        ("data.yaml", "names: [", "cannot be read as YAML"),
        ("data.yaml", "names: [face]", "names no images"),
        ("data.yaml", "names: [face]\nval: nowhere", "--media"),
        ("a.xml", "<annotation>", "cannot be read as XML"),
        ("a.xml", "<annotation><object><name>x</name></object></annotation>", "bndbox of x"),
        ("a.doc", "", "has no known format of truth"),
        ("readme", "", "holds no single truth file"),
    ],
)  # fmt: skip
def test_refuses_malformed_ground_truth(tmp_path: Path, name: str, value: Any, why: str) -> None:
    path = written(tmp_path, value, name)
    with pytest.raises(BadInput, match=why):
        read(tmp_path if name in {"a.xml", "readme"} else path, None, Limits())


@pytest.mark.parametrize(
    "line", ["1 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "x 1 2 3 4", "0 1 1 0 0"]
)
def test_refuses_malformed_yolo_lines(folder: Path, line: str) -> None:
    written(folder, "face\n", "classes.txt")
    written(folder, line, "a.txt")
    with pytest.raises(BadInput, match="line"):
        read(folder, None, Limits())


def test_refuses_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read(tmp_path / "truth.json", None, Limits())


def annotated(folder: Path, name: str, **changes: Any) -> Path:
    regions = [
        {"label": "face", "xyxy": [10, 20, 40, 60], "score": 0.9, "found": "manual", "track": 3},
        {"label": "face", "xyxy": [50, 20, 60, 60], "score": 0.9, "found": "detected", "off": True},
        {"label": "face", "xyxy": [70, 20, 74, 24], "score": 0.9, "found": "detected", "mask_runs": [5, 2, 2, 2, 5]},
    ]
    value = {"format": "velum-regions/1", "width": 100, "height": 80, "frames": [{"index": 0, "regions": regions}]}
    return written(folder, value | changes, name)


def test_annotation_files(folder: Path) -> None:
    path = annotated(folder / "labels", "a.regions.json")
    for given, media in ((path, folder), (path, folder / "a.png"), (folder / "labels", folder)):
        truth = read(given, media, Limits())
        (item,) = truth.items
        assert (truth.kind, item.name, item.path, item.size) == (
            "annotation files",
            "a.png",
            folder / "a.png",
            (100, 80),
        )
        assert item.complete == {"face"}
        first, second = item.frames[0]
        assert (first.xyxy, first.track, first.outline) == ((10, 20, 40, 60), "3", ())
        assert set(zip(second.outline[0][::2], second.outline[0][1::2], strict=True)) == {
            (71, 21),
            (72, 21),
            (72, 22),
            (71, 22),
        }


def test_annotation_files_about_another_file(folder: Path) -> None:
    path = annotated(folder, "a.regions.json", sha256="0" * 64)
    with pytest.raises(BadInput, match=r"is about a file of sha256 000000000000, and .*a.png has"):
        read(path, None, Limits())
    with pytest.raises(BadInput, match="whole number"):
        read(annotated(folder, "a.regions.json", frames=[{"index": "x", "regions": []}]), None, Limits())


@pytest.mark.parametrize(
    ("size", "counts", "runs"),
    [
        ([4, 4], [5, 6, 5], [5, 6, 5]),
        ([4, 4], "565", [5, 6, 5]),
        ([4, 4], "2431O", [2, 4, 3, 5, 2]),  # from the fourth on, differences: 5 - 4, and 2 - 3
        ([8, 8], "d0d0h0", [20, 20, 24]),
    ],
)
def test_run_lengths_of_coco_are_outlines(folder: Path, size: list[int], counts: Any, runs: list[int]) -> None:
    value = {**COCO, "annotations": [{**COCO["annotations"][0], "segmentation": {"size": size, "counts": counts}}]}
    (box,) = read(written(folder, value), None, Limits()).items[0].frames[0]
    wanted = np.repeat(np.arange(len(runs)) % 2, runs).reshape(size[1], size[0]).T
    filled = np.zeros(size, np.uint8)
    cv2.fillPoly(filled, [np.reshape(polygon, (-1, 2)).astype(np.int32) for polygon in box.outline], 1)
    assert (filled == wanted).all()


def test_run_lengths_that_do_not_fill_their_picture(folder: Path) -> None:
    value = {**COCO["annotations"][0], "segmentation": {"size": [4, 4], "counts": [5, 6]}}
    with pytest.raises(BadInput, match="run lengths of annotation 1 do not fill their size of 4 x 4"):
        read(written(folder, {**COCO, "annotations": [value]}), None, Limits())


@pytest.mark.parametrize("mode", ["L", "P"])
def test_images_of_objects_give_the_outlines_of_voc(folder: Path, mode: str) -> None:
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / "a.xml").write_text(VOC, encoding="utf-8")
    numbers = np.zeros((80, 100), np.uint8)
    numbers[20:60, 10:40], numbers[0:9, 0:9] = 1, 2
    image = Image.frombytes(mode, (100, 80), numbers.tobytes())
    if mode == "P":
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    (folder / "SegmentationObject").mkdir()
    image.save(folder / "SegmentationObject" / "a.png")
    outlines = [list(box.outline) for box in read(folder, None, Limits()).items[0].frames[0]]
    assert outlines == [[(10, 20, 10, 59, 39, 59, 39, 20)], [(0, 0, 0, 8, 8, 8, 8, 0)]]


def test_a_folder_of_masks_has_an_object_for_each_component(folder: Path) -> None:
    mask = np.zeros((80, 100), np.uint8)
    mask[20:60, 10:40], mask[0:9, 60:70], mask[79, 99] = 255, 1, 255
    for label in ("helmet", "vest"):
        (folder / "masks" / label).mkdir(parents=True)
    Image.fromarray(mask).save(folder / "masks" / "helmet" / "a.png")
    truth = read(folder, None, Limits())
    (item,) = truth.items
    assert (item.name, item.size) == ("a.png", (100, 80))
    assert item.complete == {"helmet", "vest"}
    assert sorted(box.xyxy for box in item.frames[0]) == [(10, 20, 40, 60), (60, 0, 70, 9)]
    assert all(box.label == "helmet" and box.outline for box in item.frames[0])
