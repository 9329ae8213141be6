"""A hidden face that a network still matches with its original is a leak."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.engine.scripted_people import EMBEDDING, ColourEmbedder, Places, host, plan, save_film, save_photo
from tests.rows import exhaustive

from velum import Annotations, Engine
from velum.errors import BadPlan, NotHidden, Unavailable
from velum.frame import Frame, Rgb
from velum.limits import Limits
from velum.locate.embedding.alignment import FACE, align
from velum.plan import Plan, Rule, Verify
from velum.plugins import Embeddings
from velum.region import Points
from velum.verify.identity import identity_leaks
from velum.verify.leak_check import Check

ALL: Places = {"anna": (10, 30), "ben": (140, 30)}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Engine, Check]]:
    monkeypatch.setattr("velum.plan.DEFAULT_EMBEDDING", EMBEDDING)
    with Engine(host=host()) as engine:
        yield engine, Check(engine, host(), Limits())


def hidden_by(technique: str) -> Plan:
    rule = plan().rules[0]
    return replace(plan(), rules=(Rule.parse(f"face: {rule.locate} -> {technique} with grow=0"),))


@pytest.mark.parametrize(("technique", "leaks"), [("blacken", 0), ("pixelate(degree=0.1)", 2)])
@pytest.mark.parametrize("given", [False, *exhaustive([True])])
def test_a_face_that_is_recognisable_is_a_leak(
    checks: tuple[Engine, Check], tmp_path: Path, technique: str, leaks: int, given: bool
) -> None:
    engine, check = checks
    source, wanted = Path(save_photo(tmp_path / "in.png", ALL)), hidden_by(technique)
    regions = engine.locate(source, wanted) if given else None
    engine.hide(source, tmp_path / "out.png", wanted)
    done = check(tmp_path / "out.png", wanted, against=source, regions=regions, identity=True)
    found = [leak for leak in done.leaks if leak.kind == "identity"]
    assert len(found) == leaks
    assert all("is recognisable" in leak.message and leak.box is not None for leak in found)
    assert not [leak for leak in check(tmp_path / "out.png", wanted, against=source).leaks if leak.kind == "identity"]


def soften(pixels: Rgb) -> Rgb:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)


class MisledByEdges(ColourEmbedder):
    """Knows a face by its colour, unless there are hard edges as between cells."""

    def embed(self, frame: Frame, faces: Sequence[Points]) -> Embeddings:
        chips = [align(frame, points, FACE)[40:110, 40:110].astype(int) for points in faces]
        misled = [np.abs(np.diff(chip, axis=0)).max() > 40 for chip in chips]
        return np.asarray(super().embed(frame, faces) + 10 * np.array(misled)[:, None], np.float32)


def test_a_face_is_compared_smoothed_too(checks: tuple[Engine, Check], tmp_path: Path) -> None:
    engine, _ = checks
    source = Path(save_photo(tmp_path / "in.png", ALL, change=soften))
    regions = engine.locate(source, hidden_by("blacken")).frames
    hidden = np.asarray(Image.open(source)).copy()
    hidden[::8] = hidden[::8] // 3 * 2
    Image.fromarray(hidden).save(tmp_path / "out.png")
    leaks, compared = identity_leaks(tmp_path / "out.png", source, regions, MisledByEdges(), Limits())
    assert (len(leaks), compared) == (2, 2)


def test_faces_that_are_shown_on_purpose_are_left_out(checks: tuple[Engine, Check], tmp_path: Path) -> None:
    engine, check = checks
    source, wanted = Path(save_photo(tmp_path / "in.png", ALL)), hidden_by("blacken")
    located = engine.locate(source, wanted)
    (first, second) = located.frames[0]
    chosen = replace(located, frames={0: (replace(first, ignored=True), second)})
    engine.hide(source, tmp_path / "out.png", wanted, regions=chosen)
    done = check(tmp_path / "out.png", wanted, against=source, regions=chosen, identity=True)
    assert not [leak for leak in done.leaks if leak.kind == "identity"]


def test_a_leak_in_a_video_names_its_frame(checks: tuple[Engine, Check], tmp_path: Path) -> None:
    engine, check = checks
    source = save_film(tmp_path / "in.mkv", [{"anna": (10 + i, 30)} for i in range(5)])
    wanted = hidden_by("pixelate(degree=0.1)")
    engine.hide(source, tmp_path / "out.mkv", wanted)
    done = check(tmp_path / "out.mkv", wanted, against=source, identity=True)
    assert [leak.frame for leak in done.leaks if leak.kind == "identity"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("verify", [True, "identity"])
def test_a_plan_that_verifies_compares_faces_only_where_it_says_so(
    checks: tuple[Engine, Check], tmp_path: Path, verify: Verify
) -> None:
    engine, _ = checks
    source, out = Path(save_photo(tmp_path / "in.png", ALL)), tmp_path / "out.png"
    wanted = replace(hidden_by("pixelate(degree=0.1)"), verify=verify)
    assert Plan.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted == Plan.from_toml(wanted.to_toml())
    with pytest.raises(NotHidden) if verify == "identity" else nullcontext() as refused:
        engine.hide(source, out, wanted)
    assert out.exists() == (refused is None)
    assert refused is None or "is recognisable" in str(refused.value)
    engine.hide(source, tmp_path / "black.png", replace(hidden_by("blacken"), verify=verify))


def test_a_plan_that_compares_faces_needs_the_network_before_anything_is_read(tmp_path: Path) -> None:
    wanted = replace(hidden_by("blacken"), verify="identity")
    lacking = replace(host(), offline=True, cache=tmp_path / "nothing")
    with Engine(host=lacking) as engine, pytest.raises(Unavailable, match="dlib-resnet"):
        engine.hide(tmp_path / "nowhere.png", tmp_path / "out.png", wanted)


def test_a_note_says_that_no_face_could_be_compared(checks: tuple[Engine, Check], tmp_path: Path) -> None:
    engine, check = checks
    source, wanted = Path(save_photo(tmp_path / "in.png", ALL)), hidden_by("blacken")
    engine.hide(source, tmp_path / "out.png", wanted)
    with pytest.raises(BadPlan, match=r"give the source \(--against\)"):
        check(tmp_path / "out.png", wanted, identity=True)
    with Image.open(source) as image:
        nobody = Annotations(image.width, image.height, {})
    done = check(tmp_path / "out.png", wanted, against=source, regions=nobody, identity=True)
    assert any("no hidden face could be compared" in note for note in done.notes)
