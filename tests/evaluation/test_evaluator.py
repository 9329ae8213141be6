"""Evaluates plans against ground truth, with detectors that return given regions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from velum import Engine, Limits, Plan
from velum.errors import BadInput, BadPlan
from velum.evaluation import metrics, requirements, thresholds
from velum.evaluation.evaluator import Evaluate
from velum.evaluation.ground_truth import GroundTruth, GroundTruthBox, LabelledFile
from velum.evaluation.html_report import draw_misses, render_page
from velum.evaluation.metrics import Observations
from velum.evaluation.result import Evaluation
from velum.frame import Frame
from velum.plan import Video
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.testing import FakeLocalizer

SIZE = (120, 90)
PLAN = Plan.of("face: fake -> blacken with grow=0")


def face(x: int, y: int, side: int, score: float = 0.9, label: str = "face") -> Region:
    return Region(Box(x, y, x + side, y + side), label, score)


def thing(
    x: int, y: int, side: int, label: str = "face", *, track: str | None = None, tags: Mapping[str, str] = {}
) -> GroundTruthBox:
    return GroundTruthBox(label, (x, y, x + side, y + side), track=track, tags=tags)


class Stage:
    """An engine whose `fake` finds these regions with a threshold, and whose `plain` has no threshold."""

    def __init__(self, finds: Sequence[Region] | Callable[[Frame], Sequence[Region]]) -> None:
        def found(frame: Frame) -> Sequence[Region]:
            return finds(frame) if callable(finds) else finds

        def fake(threshold: float = 0.5) -> FakeLocalizer:
            return FakeLocalizer(lambda frame: [one for one in found(frame) if one.score >= threshold])

        host = RuntimeConfig(localizers={"fake": fake, "plain": lambda: FakeLocalizer(found)}, offline=True)
        self.engine = Engine(host=host)
        self.evaluate = Evaluate(self.engine, Limits())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(path)
    return path


def truth(
    path: Path, *things: GroundTruthBox, complete: Sequence[str] = ("face",), size: tuple[int, int] = SIZE
) -> GroundTruth:
    return GroundTruth("velum", (LabelledFile(path, path.name, {0: things}, frozenset(complete), size),))


def told(observed: Observations) -> dict[str, tuple[int, int]]:
    return {row.kind: (row.found.hits, row.found.total) for row in metrics.by_size(observed.outcomes)}


def test_counts_found_hidden_and_false_objects(picture: Path) -> None:
    stage = Stage([face(10, 10, 20), face(60, 10, 40, 0.6), face(2, 60, 8, 0.7)])
    known = truth(
        picture, thing(10, 10, 20, tags={"pose": "left"}), thing(60, 10, 50), thing(10, 60, 12, tags={"pose": "right"}),
        thing(5, 40, 12, "car"),
    )  # fmt: skip
    observed = stage.evaluate(known, PLAN)
    assert told(observed) == {"all": (2, 3), "under 16 px": (0, 1), "16 to 31 px": (1, 1), "32 to 63 px": (1, 1)}
    assert [one.covered for one in observed.outcomes] == pytest.approx([1.0, 0.64, 0.0])
    assert [(one.file, one.box.xyxy, one.score) for one in observed.wrong] == [("a.png", (2, 60, 10, 68), 0.7)]
    assert {label: (rate.hits, rate.total) for label, rate in metrics.precision(observed).items()} == {"face": (2, 3)}
    assert observed.not_asked == {"car": 1}
    assert [(row.kind, row.found.hits) for row in metrics.by_tag(observed.outcomes)] == [
        ("pose = left", 1),
        ("pose = right", 0),
    ]


def test_counts_no_false_positives_where_labels_are_incomplete(picture: Path) -> None:
    observed = Stage([face(10, 10, 20)]).evaluate(truth(picture, complete=()), PLAN)
    assert (observed.wrong, metrics.precision(observed)) == ((), {})


def test_areas_of_keep_out_do_not_count_as_hidden(picture: Path) -> None:
    kept = Plan.from_json({"rules": ["face: fake -> blacken with grow=0"], "keep_out": ["fixed(box=[0, 0, 20, 90])"]})
    stage = Stage([face(10, 10, 20)])
    assert [stage.evaluate(truth(picture, thing(10, 10, 20)), one).outcomes[0].covered for one in (PLAN, kept)] == [
        1.0,
        0.5,
    ]


@pytest.mark.parametrize(("size", "why"), [((90, 120), "label the upright image"), (SIZE, "cannot read it")])
def test_leaves_out_unreadable_files_with_the_reason(picture: Path, size: tuple[int, int], why: str) -> None:
    good = truth(picture, thing(10, 10, 20)).items[0]
    path = picture if size != SIZE else picture.with_name("missing.png")
    bad = truth(path, thing(10, 10, 20), size=size).items[0]
    stage = Stage([face(10, 10, 20)])
    observed = stage.evaluate(GroundTruth("velum", (good, bad)), PLAN)
    assert (observed.files, len(observed.outcomes)) == (1, 1)
    assert why in observed.left_out[0]
    assert str(picture.parent) not in observed.left_out[0]
    with pytest.raises(BadInput, match="none of the labelled files"):
        stage.evaluate(GroundTruth("velum", (bad,)), PLAN)


def clip(path: Path, frames: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))))
        container.mux(stream.encode())
    return path


@pytest.mark.slow
def test_measures_exposure_in_videos(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 10)
    shown = Stage(lambda frame: [] if 3 <= frame.index < 7 else [face(10, 10, 20)])
    frames = {i: (thing(10, 10, 20, track="1"), thing(60, 10, 20, track="2")) if i < 8 else () for i in range(0, 10, 2)}
    known = GroundTruth("velum", (LabelledFile(path, "a.mp4", frames, frozenset()),))
    observed = shown.evaluate(known, Plan(PLAN.rules, video=Video(track=False)))
    assert metrics.frames(observed).total == metrics.frames(observed).hits == 4
    assert [(one.track, one.exposed, one.frames, one.longest_seconds) for one in metrics.tracks(observed)] == [
        ("2", 4, 4, 0.7), ("1", 2, 4, 0.3),
    ]  # fmt: skip
    followed = shown.evaluate(known, PLAN)
    assert [(one.track, one.exposed) for one in metrics.tracks(followed)] == [("2", 4), ("1", 0)]
    beyond = GroundTruth("velum", (LabelledFile(path, "a.mp4", {12: ()}, frozenset()),))
    with pytest.raises(BadInput, match="labels frame 12; the file has 10 frames"):
        shown.evaluate(beyond, PLAN)


FINDS = [
    face(10, 10, 20, 0.8),
    face(40, 10, 20, 0.3456),
    face(70, 10, 20, 0.2),
    face(100, 70, 12, 0.25),
    face(0, 60, 9, 0.1),
]
THINGS = [thing(10, 10, 20), thing(40, 10, 20), thing(70, 10, 20), thing(0, 60, 9)]


@pytest.mark.parametrize(
    ("rule", "wanted", "chosen", "right"),
    [
        ("face: fake -> blacken", thresholds.RecallTarget(0.5, 16), "face: fake(threshold=0.345) -> blacken", (2, 2)),
        ("face: fake -> blacken", thresholds.RecallTarget(1.0, 16), "face: fake(threshold=0.2) -> blacken", (3, 4)),
        ("face: fake -> blacken", thresholds.RecallTarget(1.0), "face: fake(threshold=0.1) -> blacken", (4, 5)),
        (
            "face: plain -> blacken", thresholds.RecallTarget(0.5, 16), "face: plain -> blacken with min_score=0.345",
            (2, 2),
        ),
        (
            "face: fake(threshold=0.9) -> blacken with min_score=0.95", thresholds.RecallTarget(0.5, 16),
            "face: fake(threshold=0.345) -> blacken", (2, 2),
        ),
    ],
)  # fmt: skip
def test_chooses_the_highest_thresholds_that_reach_the_recall(
    picture: Path, rule: str, wanted: thresholds.RecallTarget, chosen: str, right: tuple[int, int]
) -> None:
    stage = Stage(FINDS)
    known = truth(picture, *THINGS)
    searched = stage.evaluate(known, thresholds.make_search_plan(Plan.of(rule), stage.engine))
    plan, choices = thresholds.choose(searched, Plan.of(rule), wanted, stage.engine)
    assert [str(one) for one in plan.rules] == [chosen]
    assert (choices[0].chosen.right.hits, choices[0].chosen.right.total) == right
    again = stage.evaluate(known, plan)
    reached = [one for one in again.outcomes if one.height >= wanted.min_height]
    assert sum(one.score is not None for one in reached) >= wanted.recall * len(reached)
    assert sum(one.score is not None for one in reached) == choices[0].chosen.found.hits


def test_reports_a_recall_that_cannot_be_reached(picture: Path) -> None:
    stage = Stage(FINDS[:2])
    searched = stage.evaluate(truth(picture, *THINGS), thresholds.make_search_plan(PLAN, stage.engine))
    with pytest.raises(BadInput, match=r"only 66.7% \(2 of 3\) of face from 16 px"):
        thresholds.choose(searched, PLAN, thresholds.RecallTarget(0.9, 16), stage.engine)
    with pytest.raises(BadInput, match="no face of 200 px"):
        thresholds.choose(searched, PLAN, thresholds.RecallTarget(0.9, 200), stage.engine)
    with pytest.raises(BadPlan, match="recall"):
        thresholds.RecallTarget(1.5)


@pytest.mark.parametrize(
    ("demand", "passed"),
    [
        ("min_height = 16\ndetection_rate = 0.6\ncovered = 0.5", True),
        ("min_height = 16\ndetection_rate = 0.7\ncovered = 0.5", False),
        ("min_height = 16\ndetection_rate = 0.6\ncovered = 0.5\nfalse_rate = 0.4", True),
        ("min_height = 16\ndetection_rate = 0.6\ncovered = 0.5\nfalse_rate = 0.3", False),
        ("min_height = 300\ndetection_rate = 0.0\ncovered = 0.5", False),
    ],
)
def test_judges_the_built_in_profiles(picture: Path, tmp_path: Path, demand: str, passed: bool) -> None:
    path = tmp_path / "house.toml"
    path.write_text(f"[house]\n[house.face]\n{demand}\n")
    observed = Stage([*FINDS[:1], face(41, 11, 20), face(100, 70, 12)]).evaluate(truth(picture, *THINGS[:3]), PLAN)
    standing = requirements.judge_requirements(observed, requirements.load_profile(str(path)), ("face",))
    assert standing.is_met is passed
    assert not any(one.is_sure for one in standing.results)


def test_a_plan_without_a_rule_for_a_label_does_not_meet_a_profile(picture: Path) -> None:
    observed = Stage([face(10, 10, 40)]).evaluate(truth(picture, thing(10, 10, 40)), PLAN)
    standing = requirements.judge_requirements(observed, requirements.load_profile("gbt-44464-2024"), ("face",))
    assert [one.is_met for one in standing.results] == [True]
    assert (standing.not_asked, standing.is_met, standing.profile.official) == (("license_plate",), False, False)


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("", BadInput, "0 profiles"),
        ("[a]\n[b]", BadInput, "2 profiles"),
        ("[", BadInput, "as TOML"),
        ("a = 1", BadPlan, "must be a table"),
        ("[a]", BadPlan, "has no requirement"),
        ("[a]\nx = 1", BadPlan, "has no x"),
        ("[a.face]\nmin_height = 1", BadPlan, "lacks covered, detection_rate"),
        ("[a.face]\nmin_height = 1.5\ncovered = 1\ndetection_rate = 1", BadPlan, "whole number"),
        ("[a.face]\nmin_height = 1\ncovered = 2\ndetection_rate = 1", BadPlan, "from 0 to 1"),
    ],
)
def test_refuses_malformed_profiles(tmp_path: Path, text: str, kind: type[Exception], why: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(kind, match=why):
        requirements.load_profile(str(path))


def test_the_error_for_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(BadPlan, match="gbt-44464-2024, strict"):
        requirements.load_profile("iso")


def test_the_page_shows_the_worst_misses_and_escapes_html(picture: Path) -> None:
    bad = picture.rename(picture.with_name("<b>&.png"))
    known = truth(bad, *THINGS, thing(100, 70, 40, tags={"<i>": "<u>"}))
    stage = Stage(FINDS[:2])
    observed = stage.evaluate(known, PLAN)
    done = Evaluation(
        known,
        PLAN,
        observed,
        0.3,
        requirements.judge_requirements(observed, requirements.load_profile("strict"), ("face",)),
    )
    drawn = draw_misses(done.misses, {"<b>&.png": bad}, Limits())
    assert [miss for miss, _ in drawn] == done.misses
    assert all(jpeg.startswith(b"\xff\xd8") for _, jpeg in drawn)
    made = render_page(done, drawn)
    assert made.count("<figure>") == len(done.misses) == 4
    assert not {"<b>", "<i>", "<u>", "<script", "http"} & {
        made[at : at + n] for n in (3, 4, 7) for at in range(len(made))
    }
    assert made.count("<svg") == 2
