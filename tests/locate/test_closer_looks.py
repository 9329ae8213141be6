"""Whoever looks more closely finds no less, with every network that is at hand and on photographs."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from bench.models import ASKED, WISHES, add_model, labelled_pictures, pictures_of, scores_by_side

from velum.engine.part_cache import PartCache
from velum.locate import registry
from velum.locate.labels import covers
from velum.plugins import RuntimeConfig

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]

SIDES = (64, 32, 16)
"""Smallest objects looked for, in pixels. Each half of the one before: the closer look has all inputs of the other."""
PICTURES = 6
FORGIVEN = 1
"""Objects that a closer look may miss: one that only a coarse input shows, and not surely, counts as false there."""


@pytest.mark.parametrize("path", ["centerface", *WISHES])
def test_a_smaller_min_side_finds_no_less(path: str, shared: Path, tmp_path: Path) -> None:
    host = RuntimeConfig(models=tmp_path)
    model = add_model(shared / "models" / path, path, host) if path in WISHES else registry.find(path)
    parts = PartCache(host)
    pictures = list(labelled_pictures(shared / "media"))
    for label in ASKED:
        if any(covers(label, known) for known in model.labels if known):
            scores = scores_by_side(SIDES, parts, model.name, label, pictures_of(label, pictures, PICTURES))
            counts = [score.found for score in scores.values()]
            for coarse, close in pairwise(counts):
                assert close >= coarse - FORGIVEN, f"{label}: {dict(zip(scores, counts, strict=True))}"
            assert max(counts) > 0


def test_faces_of_sixteen_pixels_are_found_by_a_network_that_needs_larger_ones(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue states which sizes a network sees. The file at hand is not that of the catalogue."""
    name = "face-detection-adas-0001"
    host = RuntimeConfig(models=tmp_path)
    added = add_model(shared / "models" / name / f"{name}.xml", f"{name}/{name}.xml", host)
    model = replace(added, sizes=registry.find(name).sizes)
    monkeypatch.setattr(registry, "find", lambda *_: model)
    pictures = pictures_of("face", list(labelled_pictures(shared / "media")), PICTURES)
    (score,) = scores_by_side((16,), PartCache(host), added.name, "face", pictures).values()
    assert score.found >= 0.95 * score.objects > 0
