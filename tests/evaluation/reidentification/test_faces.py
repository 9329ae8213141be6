"""The trial takes faces from images: only faces, and only large ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum.errors import BadInput
from velum.evaluation.reidentification.samples import faces
from velum.limits import Limits
from velum.region import Box, Region
from velum.testing import FakeLocalizer


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for index, path in enumerate(paths):
        Image.fromarray(np.full((120, 160, 3), 100 + index, np.uint8)).save(path)
    return paths


def test_takes_each_face_that_is_large_enough(photos: list[Path]) -> None:
    found = [
        Region(Box(10, 10, 40, 50), "face"), Region(Box(60, 10, 80, 41), "Human Face"),
        Region(Box(90, 10, 140, 100), "person"), Region(Box(300, 10, 340, 90), "face"),
    ]  # fmt: skip
    localizer = FakeLocalizer(found, frozenset({"face", "Human Face", "person"}))
    assert [int(one.mean()) for one in faces(photos, localizer, Limits(), min_height=32)] == [100, 101]
    assert len(list(faces(photos, localizer, Limits(), min_height=31))) == 4


def test_refuses_a_localizer_without_faces_before_reading_an_image() -> None:
    with pytest.raises(BadInput, match="detects license_plate, not faces"):
        next(faces([Path("absent.png")], FakeLocalizer(labels=frozenset({"license_plate"})), Limits(), 32))
