"""Every fault of the labels is found before the first step, with a message of its own."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.train.factories import Xywh, checked, coco, discs, draw_picture

from velum import Limits
from velum.errors import BadInput, BadPlan
from velum.evaluation.ground_truth import read
from velum.train.labels import check_labels, check_outlines
from velum.train.pictures import PictureStore, choose_pictures, draw_sheet

DISC: tuple[str, Xywh] = ("disc", (10, 20, 30, 40))


def test_good_labels_are_read(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, {"a.png": [DISC], "b.png": [DISC, ("disc", (-4, 50, 20, 20))]}))
    assert found.labels == ("disc",)
    assert found.count() == {"disc": 3}
    assert [box.xyxy for box in found.pictures[1].objects] == [(10, 20, 40, 60), (0, 50, 16, 70)]
    assert any("2 pictures are few" in note for note in found.notes)


@pytest.mark.parametrize(
    ("objects", "says"),
    [
        (
            [("disc", (150, 100, 40, 40))],
            r"1 box lies outside its picture: disc at \(150, 100, 190, 140\) in b.png of 160",
        ),
        ([("disc", (300, 20, 40, 40))], "1 box lies outside its picture"),
        ([("disc", (20, 20, 0.5, 40))], "1 box has no area: less than 1 pixel"),
    ],
)
def test_impossible_boxes_are_refused(tmp_path: Path, objects: list[tuple[str, Xywh]], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        checked(coco(tmp_path, {"a.png": [DISC], "b.png": objects}))


def test_boxes_of_no_area_in_coco_are_named(tmp_path: Path) -> None:
    path = coco(tmp_path, {"a.png": [DISC], "b.png": [DISC, ("disc", (4, 4, 0, 9))]})
    assert "1 box without an area left out" in checked(path).notes


def test_outlines_are_learned_from_outlines_only(tmp_path: Path) -> None:
    check_outlines(checked(coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]}, outlines=True)))
    with pytest.raises(BadInput, match="2 objects have a box and no outline: disc in a.png; disc in b.png; label outl"):
        check_outlines(checked(coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]})))


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    path = coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]})
    (tmp_path / "b.png").unlink()
    with pytest.raises(BadInput, match=r"1 labelled picture of 2 cannot be found: b.png; .*--media"):
        checked(path)


def test_a_single_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one picture only, a.png"):
        checked(coco(tmp_path, {"a.png": [DISC]}))


def test_a_label_without_examples_is_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]}, labels=("disc", "star"))
    with pytest.raises(BadInput, match="no example of star: .* --label disc"):
        checked(path)
    assert checked(path, "Disc").labels == ("disc",)
    with pytest.raises(BadPlan, match="no label moon; it has disc, star"):
        checked(path, "moon")


def test_a_truth_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="labels no object"):
        checked(coco(tmp_path, {"a.png": [], "b.png": []}))


def test_labels_for_another_picture_size_are_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]})
    Image.new("RGB", (320, 240)).save(tmp_path / "b.png")
    with pytest.raises(BadInput, match=r"b.png cannot be used: the truth has the size \(160, 120\), .* \(320, 240\)"):
        checked(path)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    path = coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]})
    (tmp_path / "b.png").write_bytes(b"\x89PNG nothing more")
    with pytest.raises(BadInput, match="b.png cannot be used"):
        checked(path)


def test_places_away_from_objects_are_unknown_where_labels_are_not_complete(tmp_path: Path) -> None:
    draw_picture(tmp_path / "a.png", [(10, 20, 30, 40)], 1)
    draw_picture(tmp_path / "b.png", [(10, 20, 30, 40)], 2)
    entry = {"objects": [{"label": "disc", "bbox": [10, 20, 40, 60]}]}
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"a.png": entry | {"exhaustive": ["disc"]}, "b.png": entry}))
    found = checked(path)
    assert [picture.complete for picture in found.pictures] == [{"disc"}, frozenset()]
    assert any("in 1 of 2 pictures disc is not said to be labelled completely" in note for note in found.notes)


def test_all_splits_of_a_yolo_data_set_count(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("val", "b")):
        draw_picture(tmp_path / "images" / split / f"{name}.png", [(10, 20, 30, 40)], ord(name))
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [disc]\n")
    assert [picture.name for picture in checked(tmp_path).pictures] == ["images/val/b.png", "images/train/a.png"]


def test_frames_of_videos_are_read_and_kept(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "truth.json"
    objects = [{"label": "disc", "bbox": [10, 20, 40, 60]}]
    path.write_text(json.dumps({video.name: {"objects_by_frame": {"0": objects, "7": objects}}}))
    found = check_labels(read(path, video.parent, Limits()), (), Limits())
    assert [picture.name for picture in found.pictures] == [f"{video.name}#0", f"{video.name}#7"]
    with PictureStore(Limits()) as store:
        store.extract_frames(found.pictures)
        first, later = (store.rgb(picture) for picture in found.pictures)
    assert first.shape == later.shape == (120, 160, 3)
    assert int(later.mean()) > int(first.mean()) + 20  # the clip gets brighter
    path.write_text(json.dumps({video.name: {"objects_by_frame": {"70": objects}}}))
    with pytest.raises(BadInput, match="labels frame 70, which the file does not have"):
        check_labels(read(path, video.parent, Limits()), (), Limits())


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for index in range(8):
        writer.write(np.full((120, 160, 3), 40 + 20 * index, np.uint8))
    writer.release()
    return path


def test_a_store_holds_no_more_than_it_may(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, discs(4)))
    with PictureStore(Limits(), most_bytes=160 * 120 * 3 * 2) as store:
        seen = [store.rgb(picture).copy() for picture in found.pictures]
        assert len(store._held) == 2
        assert all((store.rgb(picture) == rgb).all() for picture, rgb in zip(found.pictures, seen, strict=True))


def test_a_sheet_shows_sixteen_pictures_with_their_boxes(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, discs(20)))
    chosen = choose_pictures(found.pictures, 1)
    with PictureStore(Limits()) as store:
        sheet = cv2.imdecode(np.frombuffer(draw_sheet(chosen, found.labels, store), np.uint8), cv2.IMREAD_COLOR)
    assert len(chosen) == 16
    assert sheet is not None
    assert sheet.shape == (4 * 322, 4 * 400, 3)
