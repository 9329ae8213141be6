"""On real faces, black leaves nothing, and blur and pixelation leave what docs/strength.md says."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.rows import exhaustive

from velum.evaluation.reidentification.attack import AttackTrial
from velum.evaluation.reidentification.samples import sample
from velum.plugins import Technique
from velum.region import Box
from velum.techniques.blacken import Blacken
from velum.techniques.blur import Blur
from velum.techniques.pixelate import Pixelate

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def trial(shared: Path) -> AttackTrial:
    truth = json.loads((shared / "media" / "ground_truth.json").read_text())
    samples = []
    for name in ("faces/group_19_large.jpg", "faces/five_scouts.jpg", "faces/four_white_background.jpg"):
        rgb = np.ascontiguousarray(np.asarray(cv2.imread(str(shared / "media" / name)), np.uint8)[..., ::-1])
        faces = [one for one in truth[name]["objects"] if one["label"] == "face" and not one.get("ignore")]
        samples += [sample(rgb, Box.around(*one["bbox"])) for one in faces]
    return AttackTrial(samples)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("technique", "at_chance"),
    [(Blacken(), True), *exhaustive([(Pixelate(), False), (Blacken(0.98), False), (Blur(), False)])],
    ids=repr,
)
def test_techniques_on_copies_of_real_faces(trial: AttackTrial, technique: Technique, at_chance: bool) -> None:
    copy = next(trial.results("it", technique))
    assert copy.faces == 28
    assert copy.worst == pytest.approx(1 / 28) if at_chance else copy.worst > 0.9
