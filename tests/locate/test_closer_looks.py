"""Whoever looks more closely finds no less, with every network that is at hand and on photographs."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from bench.models import ASKED, WISHES, LabelledPicture, Score, add_model, add_to_score, labelled_pictures

from velum.engine.prepare import PartCache
from velum.errors import BadPlan
from velum.frame import Frame, Plane, Role
from velum.locate.labels import covers
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]

SIDES = (64, 32, 16)
"""Smallest objects looked for, in pixels. Each half of the one before: the closer look has all inputs of the other."""
MOST_PIXELS, PICTURES = 600_000, 6
FORGIVEN = 1
"""Objects that a closer look may miss: one that only a coarse input shows, and not surely, counts as false there."""


def scaled_down(picture: LabelledPicture) -> LabelledPicture:
    pixels = picture.frame.planes[0].pixels
    scale = min(1.0, (MOST_PIXELS / (pixels.shape[0] * pixels.shape[1])) ** 0.5)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    objects = [{**found, "bbox": [edge * scale for edge in found["bbox"]]} for found in picture.objects]
    return replace(picture, frame=Frame.of(Plane(np.ascontiguousarray(small, np.uint8), Role.RGB)), objects=objects)


def found_at(
    sides: tuple[int, ...], parts: PartCache, name: str, label: str, pictures: list[LabelledPicture]
) -> Iterator[int]:
    for side in sides:
        try:
            localizer = parts.localizer(PartSpec(name, {"min_side": side}))
        except BadPlan:  # smaller than this network can be made to see
            continue
        score = Score()
        for picture in pictures:
            add_to_score(score, label, localizer.locate([picture.frame])[0], picture)
        yield int(score.found)


@pytest.mark.parametrize("path", WISHES)
def test_a_smaller_min_side_finds_no_less(path: str, shared: Path, tmp_path: Path) -> None:
    host = RuntimeConfig(models=tmp_path)
    model = add_model(shared / "models" / path, path, host)
    parts = PartCache(host)
    for label in ASKED:
        if not any(covers(label, known) for known in model.labels if known):
            continue
        pictures = [
            picture
            for picture in labelled_pictures(shared / "media")
            if any(covers(label, thing["label"]) for thing in picture.objects)
        ]
        chosen = list(map(scaled_down, pictures[:: max(1, len(pictures) // PICTURES)]))
        counts = list(found_at(SIDES, parts, model.name, label, chosen))
        for coarse, close in pairwise(counts):
            assert close >= coarse - FORGIVEN, f"{label}: {dict(zip(SIDES, counts, strict=False))}"
        assert max(counts) > 0
