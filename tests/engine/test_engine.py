"""The whole path, with a localizer that returns given regions."""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import tiny_models

from velum import Annotations, Engine, Limits, Plan, Region, RuntimeConfig, VelumError
from velum.engine.stages import NOTHING_FOUND
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, PluginFault
from velum.frame import Frame, Samples
from velum.locate import user_models
from velum.locate.import_model import ImportOptions, identify_model
from velum.plan import Rule
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

FACE = Region(Box(10, 5, 30, 25), "face", 0.8)
PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),))


def finding(regions: Sequence[Region] | Callable[[Frame], Sequence[Region]]) -> Engine:
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(regions)}))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def test_located_regions_are_hidden_and_nothing_else_changes(photo: Path) -> None:
    with finding([FACE]) as engine:
        report = engine.hide(photo, photo.with_name("out.png"), PLAN)
    before, after = np.asarray(Image.open(photo)), np.asarray(Image.open(photo.with_name("out.png")))
    assert (after[5:25, 10:30] == 0).all()
    expected = before.copy()
    expected[5:25, 10:30] = 0
    assert np.array_equal(after, expected)
    assert report.labels == {"face": 1}
    assert report.warnings == ()


def test_the_report_states_what_was_hidden_and_holds_no_pixels(photo: Path) -> None:
    target = photo.with_name("out.png")
    with finding([FACE]) as engine:
        report = engine.hide(photo, target, PLAN)
    told = json.loads(json.dumps(report.to_json()))
    assert told["hidden"] == [
        {
            "frame": 0,
            "label": "face",
            "xyxy": [10, 5, 30, 25],
            "score": 0.8,
            "found": "detected",
            "rule": 0,
            "technique": "blacken",
            "masked": False,
        }
    ]
    assert told["input_sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert told["output_sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert told["plan"] == PLAN.digest
    assert told["models"] == [{"model": "fake"}]
    assert set(told["seconds"]) == {"decode", "locate", "hide", "encode"}
    assert (told["format"], told["width"], told["height"], told["frames"]) == ("PNG", 60, 40, 1)


@pytest.mark.parametrize(
    ("regions", "hide", "warning"),
    [
        ([], "blacken", NOTHING_FOUND),
        ([FACE], "blacken(degree=0.5)", "can be undone"),
        ([FACE], "blur(degree=0.1)", "recognisable"),
        ([FACE], "pixelate", "does not destroy"),
    ],
)
def test_warnings_are_in_the_report(photo: Path, regions: list[Region], hide: str, warning: str) -> None:
    with finding(regions) as engine:
        report = engine.hide(photo, photo.with_name("out.png"), Plan.of(f"face: fake -> {hide}"))
    assert len(report.warnings) == 1
    assert warning in report.warnings[0]


def test_rules_pick_their_regions_by_label_and_score(photo: Path) -> None:
    regions = [FACE, Region(Box(40, 5, 50, 15), "face", 0.3), Region(Box(0, 30, 9, 39), "plate")]
    plan = Plan.of("face: fake -> blacken with min_score=0.5")
    with finding(regions) as engine:
        assert [hidden.box for hidden in engine.hide(photo, photo.with_name("out.png"), plan).hidden] == [FACE.box]


def test_given_regions_are_hidden_at_any_score(photo: Path) -> None:
    doubtful = Region(Box(40, 5, 50, 15), "face", 0.3)
    plan = Plan.of("face: fake -> blacken with min_score=0.5")
    given, told = Annotations(60, 40, {0: (doubtful,)}), list[tuple[int, tuple[Region, ...]]]()
    with finding([FACE]) as engine:
        report = engine.hide(
            photo, photo.with_name("out.png"), plan, regions=given, on_regions=lambda *hidden: told.append(hidden)
        )
    assert [hidden.box for hidden in report.hidden] == [doubtful.box]
    assert told == [(0, (doubtful,))]


def test_what_a_person_marked_is_hidden_although_no_rule_names_its_label(photo: Path) -> None:
    chosen = Region(Box(40, 5, 50, 15), "license plate", origin="manual", technique=PartSpec("blacken"))
    others = (
        Region(Box(2, 30, 9, 39), "license plate"),
        Region(Box(20, 30, 30, 39), "dog", technique=chosen.technique, ignored=True),
    )
    given = Annotations(60, 40, {0: (FACE, chosen, *others)})
    with finding([]) as engine:
        report = engine.hide(photo, photo.with_name("out.png"), PLAN, regions=given)
    assert [hidden.box for hidden in report.hidden] == [FACE.box, chosen.box]
    assert report.labels == {"face": 1, "license plate": 1}
    assert report.rules[report.hidden[1].rule] == "license plate: by-hand -> blacken with grow=0"
    after = np.asarray(Image.open(photo.with_name("out.png")))
    assert (after[5:15, 40:50] == 0).all()
    assert (after[30:39, 2:9] != 0).any()


def test_a_localizer_named_by_several_rules_runs_once_per_frame(photo: Path) -> None:
    seen: list[Frame] = []

    def regions(frame: Frame) -> list[Region]:
        seen.append(frame)
        return [FACE]

    with finding(regions) as engine:
        engine.hide(photo, photo.with_name("out.png"), Plan.of("face: fake -> blacken", "face: fake -> blur"))
    assert len(seen) == 1


def test_locate_then_hide_gives_the_same_as_hide(photo: Path) -> None:
    with finding([FACE]) as engine:
        findings = Annotations.from_json(json.loads(json.dumps(engine.locate(photo, PLAN).to_json())))
        engine.hide(photo, photo.with_name("one.png"), PLAN)
    with finding(lambda frame: pytest.fail("located though the regions are known")) as engine:
        report = engine.hide(photo, photo.with_name("two.png"), PLAN, regions=findings)
    assert photo.with_name("one.png").read_bytes() == photo.with_name("two.png").read_bytes()
    assert report.models == ({"model": "fake"},)


def test_annotations_of_another_image_are_refused(photo: Path) -> None:
    with finding([FACE]) as engine:
        findings = engine.locate(photo, PLAN)
        Image.new("RGB", (60, 40)).save(photo)
        with pytest.raises(BadInput, match="another file"):
            engine.hide(photo, photo.with_name("out.png"), PLAN, regions=findings)
    assert not photo.with_name("out.png").exists()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (40, 60, 4)])
def test_an_array_is_hidden_and_returned_as_an_array(shape: tuple[int, ...], dtype: type) -> None:
    pixels: Samples = np.full(shape, 200, dtype)
    with finding([FACE]) as engine:
        done, report = engine.hide_pixels(pixels, PLAN)
    assert (pixels == 200).all()
    assert (done[5:25, 10:30].reshape(20, 20, -1)[..., 0] == 0).all()
    assert (done != 200).any(axis=tuple(range(2, done.ndim))).sum() == 400
    assert report.labels == {"face": 1}


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)],
)
def test_an_array_that_is_no_image_is_refused(pixels: Any) -> None:
    with finding([]) as engine, pytest.raises(BadInput, match="not an image"):
        engine.hide_pixels(pixels, PLAN)


def test_an_engine_serves_many_threads(photo: Path) -> None:
    once = threading.Barrier(4)

    def regions(frame: Frame) -> list[Region]:
        once.wait(timeout=30)  # all four are inside at the same time
        return [FACE]

    with finding(regions) as engine, ThreadPoolExecutor(4) as pool:
        reports = pool.map(lambda i: engine.hide(photo, photo.with_name(f"{i}.png"), PLAN), range(4))
        assert [report.labels for report in reports] == [{"face": 1}] * 4
    assert len({photo.with_name(f"{i}.png").read_bytes() for i in range(4)}) == 1


class Failing:
    """A localizer that fails in a way of its own."""

    labels = frozenset({"face"})

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RuntimeError("device lost"), PluginFault),
        (BadInput("no such picture"), BadInput),
        ([], PluginFault),  # a list too few
        (None, PluginFault),
        ([[FACE] * 11], LimitExceeded),
        ([[FACE]], None),
    ],
)
def test_any_failure_while_locating_means_no_output(photo: Path, answer: Any, error: type[VelumError] | None) -> None:
    host = RuntimeConfig(localizers={"fake": lambda: Failing(answer)})
    with Engine(host=host, limits=Limits(regions=10)) as engine:
        if error is None:
            engine.hide(photo, photo.with_name("out.png"), PLAN)
            return
        with pytest.raises(error):
            engine.hide(photo, photo.with_name("out.png"), PLAN)
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("face: centrface -> blacken", "'centrface' is unknown; models are .*centerface"),
        ("plate: fake -> blacken", "fake finds face, not 'plate'"),
        ("face: fake -> blackn", "installed are blacken"),
        ("face: fake(x=1) -> blacken", "no option x"),
        ("face: fake -> blacken(degree=7)", "from 0"),
    ],
)
def test_mistakes_in_a_plan_are_reported_before_the_source_is_read(rule: str, message: str) -> None:
    with finding([FACE]) as engine, pytest.raises(BadPlan, match=message):
        engine.hide("does-not-exist.png", "out.png", Plan.of(rule))


def test_the_source_is_never_overwritten(photo: Path) -> None:
    before = photo.read_bytes()
    with finding([FACE]) as engine:
        for target in (photo, photo.parent / "." / photo.name):
            with pytest.raises(OutputFailed):
                engine.hide(photo, target, PLAN, overwrite=True)
        link = photo.with_name("link.png")
        link.symlink_to(photo)
        with pytest.raises(OutputFailed):
            engine.hide(photo, link, PLAN, overwrite=True)
    assert photo.read_bytes() == before


def test_a_model_that_is_replaced_is_used_from_the_next_image_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_models(tmp_path / "tiny", monkeypatch)
    host = RuntimeConfig(models=tmp_path / "own", cache=tmp_path / "cache", offline=True)
    first, second = (identify_model(file, ImportOptions(name="mine", labels=("cat",))) for file in tiny.files)
    user_models.put(first, host)
    pixels, plan = np.zeros((96, 96, 3), np.uint8), Plan.of("cat: mine -> blacken with grow=0")

    with Engine(host=host) as engine:

        def box() -> tuple[int, int, int, int]:
            return engine.hide_pixels(pixels, plan)[1].hidden[0].box.xyxy

        assert box() == (0, 30, 40, 90)
        user_models.put(second, host, replace=True)
        assert box() == (20, 30, 60, 90)
        user_models.switch_back("mine", host)
        assert box() == (0, 30, 40, 90)
