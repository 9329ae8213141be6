"""Crops show objects with their boxes, the same ones for the same seed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.train.factories import checked, coco, discs

from velum import Limits
from velum.train.crops import CropSampler, HardNegative, change, occlude
from velum.train.pictures import PictureStore


@pytest.fixture
def sampler(tmp_path: Path) -> Iterator[CropSampler]:
    found = checked(coco(tmp_path, discs(6)))
    with PictureStore(Limits()) as store:
        yield CropSampler(found.pictures, found.labels, store, 96, 1.0, 3)


def test_boxes_lie_around_the_drawn_objects(sampler: CropSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.train.crops.change", lambda rgb, _: rgb)
    monkeypatch.setattr("velum.train.crops.occlude", lambda rgb, _, __: rgb)
    seen = 0
    for crop in sampler.batch(0, 40):
        assert crop.rgb.shape == (96, 96, 3)
        red = (crop.rgb[..., 0] > 180) & (crop.rgb[..., 1] < 90)
        for x0, y0, x1, y1 in crop.boxes:
            inside = np.zeros_like(red)
            inside[round(float(y0)) : round(float(y1)), round(float(x0)) : round(float(x1))] = True
            if min(x0, y0) > 0 and max(x1, y1) < 96 and not len(crop.ignored):
                rows, columns = np.nonzero(red)
                edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                np.testing.assert_allclose(edges, (x0, y0, x1, y1), atol=2.5)
                seen += 1
    assert seen > 10


def test_a_seed_and_a_step_give_the_same_crops(sampler: CropSampler) -> None:
    for one, other in zip(sampler.batch(5, 4), sampler.batch(5, 4), strict=True):
        assert (one.rgb == other.rgb).all()
        assert (one.boxes == other.boxes).all()
    assert not np.array_equal(sampler.batch(5, 1)[0].rgb, sampler.batch(6, 1)[0].rgb)


def test_objects_that_are_cut_or_ignored_are_no_examples(sampler: CropSampler) -> None:
    picture = sampler.pictures[0]
    boxes = tuple(replace(box, ignore=True) for box in picture.boxes)
    crops = replace(sampler, pictures=[replace(picture, boxes=boxes)]).batch(0, 30)
    assert not any(len(crop.boxes) for crop in crops)
    assert any(len(crop.ignored) for crop in crops)


def test_hard_negatives_are_shown(sampler: CropSampler) -> None:
    empty = [replace(picture, boxes=()) for picture in sampler.pictures]
    sampler = replace(sampler, pictures=empty, hard=[HardNegative(2, (10, 10, 30, 30))])
    chosen = [sampler._choose_place(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.4 < np.mean([index == 2 for index, _ in chosen]) < 0.9


def test_crops_are_changed_as_cameras_change_images() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    rgb = np.asarray(cv2.resize(noise, (96, 96)), np.uint8)
    results = [change(rgb, np.random.default_rng(seed)) for seed in range(60)]
    means = [float(result.mean()) for result in results]
    assert min(means) < 60  # dark ones
    assert max(means) > 150  # bright ones
    assert any(np.ptp(result, axis=2).max() < 40 for result in results)  # without colour
    boxes = np.array([[20, 20, 60, 40]], np.float32)
    covered = [
        np.mean(occlude(rgb, boxes, np.random.default_rng(s))[20:40, 20:60] != rgb[20:40, 20:60]) for s in range(80)
    ]
    assert 0 < np.mean([share > 0 for share in covered]) < 0.4
    assert max(covered) < 0.5
