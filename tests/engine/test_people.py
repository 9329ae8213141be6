"""Which faces are hidden: decided in images face by face, in videos track by track; a face in doubt is hidden."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from tests.engine.scripted_people import (
    EMBEDDING,
    SIDE,
    WIDTH,
    ColourEmbedder,
    Places,
    find_faces,
    host,
    picture,
    plan,
    save_film,
    save_photo,
    shown,
)
from tests.rows import exhaustive

from velum import Annotations, Engine, Report, RuntimeConfig, media
from velum.engine import known_people
from velum.engine.known_people import KnownPeople
from velum.engine.people import FaceSight, decide_face
from velum.errors import BadInput, BadPlan, PluginFault, Unavailable
from velum.file_hash import sha256_of
from velum.frame import Frame, Rgb
from velum.limits import Limits
from velum.people import People
from velum.plan import Plan, Rule, Video
from velum.region import Box, Region
from velum.testing import FakeLocalizer
from velum.verify import second_detector
from velum.verify.leak_check import Check

ALL: Places = {"anna": (10, 30), "ben": (140, 30), "cora": (270, 30)}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(host=host()) as engine:
        yield engine


def people(mode: str, *texts: str) -> People:
    return replace(People.parse(mode, texts), embedding=EMBEDDING)  # type: ignore[arg-type]


@pytest.fixture
def anna(tmp_path: Path) -> str:
    return save_photo(tmp_path / "anna.png", {"anna": (200, 20)})


def pixels_of(path: Path) -> Rgb:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def hide_photo(
    engine: Engine, folder: Path, places: Places, who: People, **more: Any
) -> tuple[dict[str, bool], Report]:
    source = save_photo(folder / "in.png", places)
    report = engine.hide(source, folder / "out.png", plan(people=who, **more))
    return shown(pixels_of(folder / "out.png"), places), report


@pytest.mark.parametrize(
    ("mode", "visible"),
    [("keep", {"anna": True, "ben": False, "cora": False}), ("only", {"anna": False, "ben": True, "cora": True})],
)
def test_a_named_person_among_several_faces_is_shown_or_hidden_alone(
    engine: Engine, tmp_path: Path, anna: str, mode: str, visible: dict[str, bool]
) -> None:
    found, report = hide_photo(engine, tmp_path, ALL, people(mode, f"Anna={anna}"))
    assert found == visible
    assert len(report.hidden) == list(visible.values()).count(False)
    assert report.people is not None
    decisions = report.people["decisions"]
    assert [one["result"] for one in decisions] == ["shown" if there else "hidden" for there in visible.values()]
    assert [one["nearness"] for one in decisions] == ["near", "far", "far"]
    assert decisions[0]["person"] == "Anna"
    photo = sha256_of(Path(anna))
    assert report.people["persons"] == [{"name": "Anna", "photos": [photo]}]
    assert Report.from_json(json.loads(json.dumps(report.to_json()))).people == report.people
    assert anna not in json.dumps(report.to_json()["people"])


def test_several_persons_are_kept(engine: Engine, tmp_path: Path, anna: str) -> None:
    cora = save_photo(tmp_path / "cora.png", {"cora": (20, 20)})
    found, _ = hide_photo(engine, tmp_path, ALL, people("keep", f"Anna={anna}", f"Cora={cora}"))
    assert found == {"anna": True, "ben": False, "cora": True}


@pytest.mark.parametrize("mode", ["keep", "only"])
def test_a_face_in_doubt_is_hidden(engine: Engine, tmp_path: Path, anna: str, mode: str) -> None:
    found, report = hide_photo(engine, tmp_path, {"nearly anna": (10, 30)}, people(mode, f"Anna={anna}"))
    assert found == {"nearly anna": False}
    assert report.people is not None
    assert [one["nearness"] for one in report.people["decisions"]] == ["in doubt"]
    assert any("Anna was not recognised for sure" in text for text in report.warnings)


def test_two_who_look_alike_are_both_hidden(engine: Engine, tmp_path: Path, anna: str) -> None:
    places: Places = {"anna": (10, 30), "anna's twin": (140, 30), "ben": (270, 30)}
    found, report = hide_photo(engine, tmp_path, places, people("keep", f"Anna={anna}"))
    assert found == dict.fromkeys(places, False)
    assert any("two faces at the same time look like Anna" in text for text in report.warnings)


def test_nobody_is_shown_where_only_strangers_are_seen(engine: Engine, tmp_path: Path) -> None:
    stranger = save_photo(tmp_path / "ref.png", {"cora": (20, 20)})
    found, _ = hide_photo(engine, tmp_path, {"anna": (10, 30), "ben": (140, 30)}, people("keep", f"X={stranger}"))
    assert found == {"anna": False, "ben": False}


def blur(rgb: Rgb) -> Rgb:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 4), np.uint8)


def pixelate(rgb: Rgb) -> Rgb:
    return rgb[::10, ::10].repeat(10, 0).repeat(10, 1)


@pytest.mark.parametrize(("change", "why"), [(blur, "blurred, in 1"), (pixelate, "hidden already, or blurred, in 1")])
@pytest.mark.parametrize("mode", ["keep", "only"])
def test_faces_that_cannot_be_compared_are_hidden(
    engine: Engine, tmp_path: Path, anna: str, mode: str, change: Any, why: str
) -> None:
    source = save_photo(tmp_path / "in.png", {"ben": (10, 30)}, change=change)
    report = engine.hide(source, tmp_path / "out.png", plan(people=people(mode, f"Anna={anna}")))
    assert report.people is not None
    (decision,) = report.people["decisions"]
    assert (decision["result"], decision["nearness"], decision["faces"]) == ("hidden", "not compared", 0)
    assert why in decision["why"]


def test_small_faces_are_hidden(engine: Engine, tmp_path: Path, anna: str) -> None:
    source = save_photo(tmp_path / "in.png", {"anna": (10, 30)}, side=36)
    report = engine.hide(source, tmp_path / "out.png", plan(people=people("keep", f"Anna={anna}")))
    assert report.people is not None
    assert "too small" in report.people["decisions"][0]["why"]
    assert pixels_of(tmp_path / "out.png").max() == 0


@pytest.mark.parametrize(
    ("places", "side", "change", "message"),
    [
        ({}, SIDE, None, "no face is found in .*; give an upright photo of the person from the front"),
        ({"anna": (10, 30), "ben": (140, 30)}, SIDE, None, "shows 2 faces; cut it to the one of the person"),
        (
            {"anna": (10, 30)},
            SIDE,
            blur,
            "the face in .* blurred,? and cannot be compared; give a sharp photo, upright and",
        ),
        ({"anna": (10, 30)}, SIDE, pixelate, "is hidden already, or blurred, and cannot be compared"),
        ({"anna": (10, 30)}, 48, None, "no face that is large enough to be .*at least 24 pixels between the eyes"),
    ],
    ids=["no face", "two faces", "blurred", "pixelated", "small"],
)
def test_a_photo_that_is_no_reference_is_refused_before_anything_is_written(
    engine: Engine, tmp_path: Path, places: Places, side: int, change: Any, message: str
) -> None:
    reference = save_photo(tmp_path / "ref.png", places, side, change or (lambda rgb: rgb))
    source = save_photo(tmp_path / "in.png", ALL)
    with pytest.raises(BadInput, match=message):
        engine.hide(source, tmp_path / "out.png", plan(people=people("keep", f"Anna={reference}")))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("largest", "widths"), [(400, [400]), (240, [240, WIDTH])])
def test_a_large_photo_is_searched_whole_only_where_less_does_not_do(
    anna: str, monkeypatch: pytest.MonkeyPatch, largest: int, widths: list[int]
) -> None:
    monkeypatch.setattr(known_people, "LARGEST_REFERENCE", largest)
    searched: list[int] = []

    def locate(frame: Frame) -> Sequence[Region]:
        searched.append(frame.width)
        return find_faces(frame)

    who = known_people.know_people(
        people("keep", f"Anna={anna}"), ColourEmbedder(), locate, partial(media.open_source, limits=Limits())
    )
    assert (searched, list(who.vectors)) == (widths, ["Anna"])


def test_photos_of_different_persons_under_one_name_are_refused(engine: Engine, tmp_path: Path, anna: str) -> None:
    ben = save_photo(tmp_path / "ben.png", {"ben": (20, 20)})
    who = people("keep", f"Anna={anna}", f"Anna={ben}")
    with pytest.raises(BadInput, match=r"anna.png and .*ben.png, given for Anna, seem to show different persons"):
        hide_photo(engine, tmp_path, ALL, who)


@pytest.mark.parametrize("mode", ["keep", "only"])
def test_one_photo_under_two_names_is_refused(engine: Engine, tmp_path: Path, anna: str, mode: Any) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(anna).read_bytes())
    who = people(mode, f"Anna={anna}", f"Ben={copy}")
    with pytest.raises(BadInput, match=r"anna.png, given for Anna, and .*copy.png, given for Ben, are the same photo"):
        hide_photo(engine, tmp_path, ALL, who)


def test_a_photo_that_has_changed_since_the_plan_was_made_is_refused(engine: Engine, tmp_path: Path, anna: str) -> None:
    who = people("keep", f"Anna={anna}").with_hashes()
    save_photo(Path(anna), {"ben": (20, 20)})
    with pytest.raises(BadInput, match="has changed since the plan was made"):
        hide_photo(engine, tmp_path, ALL, who)


def test_photos_are_compared_once_for_many_files(engine: Engine, tmp_path: Path, anna: str) -> None:
    who = people("keep", f"Anna={anna}")
    first = engine.check(plan(people=who)).people
    assert first is engine.check(plan(people=who, quality=50)).people
    save_photo(Path(anna), {"ben": (20, 20)})
    assert engine.check(plan(people=who)).people is not first
    engine.close()
    assert engine.check(plan(people=who)).people is not first


def test_people_are_forgotten_alone_or_all(engine: Engine, tmp_path: Path, anna: str) -> None:
    two = [people("keep", f"Anna={anna}"), people("only", f"Anna={anna}")]
    first, second = (engine.check(plan(people=who)).people for who in two)
    engine.forget_people(two[0].with_hashes())
    assert engine.check(plan(people=two[0])).people is not first
    assert engine.check(plan(people=two[1])).people is second
    engine.forget_people()
    assert engine.check(plan(people=two[1])).people is not second


@pytest.mark.parametrize("missing", ["nowhere.png", "."])
def test_a_photo_that_cannot_be_read_is_refused(engine: Engine, tmp_path: Path, missing: str) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        hide_photo(engine, tmp_path, ALL, people("keep", f"Anna={tmp_path / missing}"))


# Videos


def crossing(count: int = 40) -> list[Places]:
    """Anna goes right, Ben stays; they do not touch."""
    return [{"anna": (8 + 3 * i, 10), "ben": (380, 70)} for i in range(count)]


def decoded(path: Path) -> list[Rgb]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


@pytest.mark.parametrize(("mode", "visible"), [("only", "ben"), *exhaustive([("keep", "anna")])])
@pytest.mark.parametrize("every", [3, *exhaustive([1])])
def test_a_video_is_decided_track_by_track(
    engine: Engine, tmp_path: Path, anna: str, mode: str, visible: str, every: int
) -> None:
    film = save_film(tmp_path / "in.mkv", crossing())
    wanted = plan(people=people(mode, f"Anna={anna}"))
    wanted = replace(wanted, video=replace(wanted.video, every=every))
    report = engine.hide(film, tmp_path / "out.mkv", wanted)
    for places, pixels in zip(crossing(), decoded(tmp_path / "out.mkv"), strict=True):
        assert shown(pixels, places) == {name: name == visible for name in places}
    assert report.people is not None
    results = {one["why"]: (one["result"], one["first_frame"], one["last_frame"]) for one in report.people["decisions"]}
    assert results["it is Anna"] == ("shown" if mode == "keep" else "hidden", 0, 39)
    assert all(one["faces"] >= 2 for one in report.people["decisions"])
    assert len(report.tracks) == 1


def test_a_kept_track_that_passes_to_somebody_else_is_hidden(engine: Engine, tmp_path: Path, anna: str) -> None:
    """Anna's face becomes another one in the middle of the track."""
    frames: list[Places] = [{"anna" if i < 20 else "nearly anna": (100, 40)} for i in range(40)]
    save_film(tmp_path / "in.mkv", frames)
    report = engine.hide(tmp_path / "in.mkv", tmp_path / "out.mkv", plan(people=people("keep", f"Anna={anna}")))
    for places, pixels in zip(frames, decoded(tmp_path / "out.mkv"), strict=True):
        assert not any(shown(pixels, places).values())
    assert report.people is not None
    assert {one["result"] for one in report.people["decisions"]} == {"hidden"}


@pytest.mark.parametrize("every", [1, 8])
def test_a_stranger_in_the_place_of_a_kept_person_is_hidden(
    engine: Engine, tmp_path: Path, anna: str, every: int
) -> None:
    """For five frames, all of them between two that `every` names."""
    frames: list[Places] = [{"ben" if 9 <= i < 14 else "anna": (100, 40)} for i in range(30)]
    film = save_film(tmp_path / "in.mkv", frames, fps=25)
    wanted = plan(people=people("keep", f"Anna={anna}"))
    engine.hide(film, tmp_path / "out.mkv", replace(wanted, video=replace(wanted.video, every=every)))
    for places, pixels in zip(frames, decoded(tmp_path / "out.mkv"), strict=True):
        assert not shown(pixels, places).get("ben", False)


@pytest.mark.parametrize(
    ("blurred", "hidden"),
    [
        (range(20, 40), range(20, 40)),  # to the end: nobody knows who it is
        *exhaustive([(range(20, 26), range(20, 26))]),
        *exhaustive([(range(20, 21), range(0))]),  # between two frames 0.2 s apart
    ],
)
def test_a_kept_person_is_shown_only_where_the_face_is_compared(
    engine: Engine, tmp_path: Path, anna: str, blurred: range, hidden: range
) -> None:
    frames: list[Places] = [{"anna": (100, 40)} for _ in range(40)]
    film = save_film(tmp_path / "in.mkv", frames, change=lambda index, rgb: blur(rgb) if index in blurred else rgb)
    engine.hide(film, tmp_path / "out.mkv", plan(people=people("keep", f"Anna={anna}")))
    found = [
        shown(pixels, places)["anna"] for places, pixels in zip(frames, decoded(tmp_path / "out.mkv"), strict=True)
    ]
    assert [index for index, is_shown in enumerate(found) if not is_shown] == list(hidden)


def test_two_alike_at_the_same_time_are_hidden_in_a_video(engine: Engine, tmp_path: Path, anna: str) -> None:
    frames: list[Places] = [{"anna": (10 + i, 40), "anna's twin": (300, 40)} for i in range(20)]
    save_film(tmp_path / "in.mkv", frames)
    report = engine.hide(tmp_path / "in.mkv", tmp_path / "out.mkv", plan(people=people("keep", f"Anna={anna}")))
    for places, pixels in zip(frames, decoded(tmp_path / "out.mkv"), strict=True):
        assert not any(shown(pixels, places).values())
    assert any("look like Anna" in text for text in report.warnings)


def test_shown_people_are_ignored_in_the_annotation_file_and_hiding_by_it_gives_the_same(
    engine: Engine, tmp_path: Path, anna: str
) -> None:
    film = save_film(tmp_path / "in.mkv", crossing())
    wanted = plan(people=people("keep", f"Anna={anna}"))
    located = Annotations.from_json(json.loads(engine.locate(film, wanted).to_text()))
    assert {(one.ignored, one.box.x0 < 300) for found in located.frames.values() for one in found} == {
        (True, True), (False, False),
    }  # fmt: skip
    assert all(one.points for found in located.frames.values() for one in found if one.origin == "detected")
    # Given regions are what people decided, and no photo is read.
    Path(anna).unlink()
    report = engine.hide(film, tmp_path / "out.mkv", wanted, regions=located)
    for places, pixels in zip(crossing(), decoded(tmp_path / "out.mkv"), strict=True):
        assert shown(pixels, places) == {"anna": True, "ben": False}
    assert report.people is None


def test_verification_accepts_faces_that_are_shown_on_purpose(
    engine: Engine, tmp_path: Path, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Rule("face", plan().rules[0].locate, plan().rules[0].hide, grow=0)
    monkeypatch.setattr(
        second_detector, "make_search_plan", lambda *_, **__: (Plan((rule,), video=Video(track=False, every=1)), ())
    )
    found, report = hide_photo(engine, tmp_path, ALL, people("keep", f"Anna={anna}"), verify=True)
    assert found == {"anna": True, "ben": False, "cora": False}
    assert report.check is not None
    assert report.check["leaks"] == []


def test_a_kept_person_is_hidden_half_a_second_around_frames_in_doubt(
    engine: Engine, tmp_path: Path, anna: str
) -> None:
    anna_here, in_doubt = dict[str, tuple[int, int]](anna=(10, 30)), {"like anna": (10, 30)}
    film = save_film(tmp_path / "in.mkv", [*[anna_here] * 16, *[in_doubt] * 4, *[anna_here] * 10])
    located = engine.locate(film, plan(people=people("keep", f"Anna={anna}")))
    assert [index for index, found in located.frames.items() if all(region.ignored for region in found)] == [
        *range(11), *range(25, 30),
    ]  # fmt: skip


def test_the_check_of_a_kept_face_does_not_search_the_source_for_it(
    tmp_path: Path, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, searched = plan().rules[0], list[Frame]()
    monkeypatch.setattr(
        second_detector, "make_search_plan", lambda *_, **__: (Plan((rule,), video=Video(track=False, every=1)), ())
    )

    def find(frame: Frame) -> list[Region]:
        searched.append(frame)
        return find_faces(frame)

    with Engine(host=replace(host(), localizers={"scripted": lambda: FakeLocalizer(find)})) as engine:
        hide_photo(engine, tmp_path, {"anna": (10, 30)}, people("keep", f"Anna={anna}"), verify=True)
    assert len(searched) == 3, "the photo of Anna, the source, and the hidden file"


class UnmeasuredEmbedder(ColourEmbedder):
    """Compares as `ColourEmbedder` does, by thresholds that nobody has measured."""

    warning = "the thresholds are not measured"


def test_an_embedding_with_a_warning_decides_nothing_in_silence(tmp_path: Path, anna: str) -> None:
    with Engine(host=replace(host(), embeddings={EMBEDDING.name: UnmeasuredEmbedder})) as engine:
        who = people("keep", f"Anna={anna}")
        _, report = hide_photo(engine, tmp_path, ALL, who)
        assert "the thresholds are not measured" in report.warnings
        check = Check(engine, host(), Limits())
        done = check(tmp_path / "out.png", plan(people=who), against=tmp_path / "in.png", identity=True)
        assert "the thresholds are not measured" in done.notes


@pytest.mark.parametrize("keeps", [True, False])
def test_a_video_hides_exactly_what_its_first_pass_has_located(tmp_path: Path, anna: str, *, keeps: bool) -> None:
    """Tracking again would change boxes and numbers of tracks, and may drop what was to be hidden."""

    def find_shaking(frame: Frame) -> list[Region]:
        return [
            replace(region, box=Box(region.box.x0, region.box.y0, region.box.x1 + frame.index % 3 * 4, region.box.y1))
            for region in find_faces(frame)
        ]

    film = save_film(tmp_path / "in.mkv", [{"anna": (10 + 6 * i, 30), "ben": (350 - 5 * i, 30)} for i in range(8)])
    wanted = plan(people=people("keep", f"Anna={anna}")) if keeps else plan()
    wanted = replace(wanted, video=replace(wanted.video, two_pass=True))
    hidden: dict[int, tuple[Region, ...]] = {}
    with Engine(host=replace(host(), localizers={"scripted": lambda: FakeLocalizer(find_shaking)})) as engine:
        located = engine.locate(film, wanted).frames
        engine.hide(film, tmp_path / "out.mkv", wanted, on_regions=hidden.__setitem__)
    assert {i: list(map(str, regions)) for i, regions in hidden.items()} == {
        i: list(map(str, regions)) for i, regions in located.items()
    }


def test_an_array_and_bytes_take_the_same_decision(engine: Engine, tmp_path: Path, anna: str) -> None:
    wanted = plan(people=people("keep", f"Anna={anna}"))
    hidden, report = engine.hide_pixels(picture(ALL), wanted)
    assert shown(np.asarray(hidden, np.uint8), ALL) == {"anna": True, "ben": False, "cora": False}
    assert report.people is not None
    data, _ = engine.hide_image_bytes(Path(save_photo(tmp_path / "in.png", ALL)).read_bytes(), wanted)
    (tmp_path / "out.png").write_bytes(data)
    assert shown(pixels_of(tmp_path / "out.png"), ALL) == {"anna": True, "ben": False, "cora": False}


def test_plans_that_people_cannot_be_combined_with_are_refused(engine: Engine, tmp_path: Path, anna: str) -> None:
    who = people("keep", f"Anna={anna}")
    with pytest.raises(BadPlan, match=r"decided for each track of a video; leave video.track out"):
        plan(people=who).__class__((plan().rules[0],), people=who, video=Video(track=False))
    with pytest.raises(BadPlan, match="comes once; leave out two_pass, smart, size and people"):
        engine.hide(media.LiveSource("-"), tmp_path / "out.mkv", plan(people=who))
    with pytest.raises(BadPlan, match="which no rule of the plan hides"):
        zones = Plan.of("zone: fixed(box=[0, 0, 9, 9], label='zone') -> blacken", people=who)
        engine.check(zones)
    assert engine.split(save_film(tmp_path / "in.mkv", crossing(4)), "matroska", plan(people=who)) == (
        "people are decided over the whole file"
    )


def test_a_localizer_without_landmarks_hides_all_and_says_so(tmp_path: Path, anna: str) -> None:
    def blind(frame: Any) -> Sequence[Region]:
        return (
            [replace(one, points=None) for one in find_faces(frame)] if frame.width == WIDTH + 2 else find_faces(frame)
        )

    with Engine(host=replace(host(), localizers={"scripted": lambda: FakeLocalizer(blind)})) as engine:
        pixels = np.pad(picture(ALL), ((0, 0), (0, 2), (0, 0)))
        hidden, report = engine.hide_pixels(pixels, plan(people=people("keep", f"Anna={anna}")))
    assert hidden.max() == 0
    assert any("gives no landmarks" in text for text in report.warnings)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((0, 3), np.float32), "did not return one vector for each of 1 faces"),
        (np.full((1, 3), np.nan, np.float32), "NaN or infinity"),
        (None, "did not return one vector"),
        (RuntimeError("out of order"), "RuntimeError: out of order"),
    ],
)
def test_an_embedding_that_breaks_its_contract_is_a_fault(tmp_path: Path, anna: str, answer: Any, message: str) -> None:
    class Broken(ColourEmbedder):
        def embed(self, *_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    broken = replace(host(), embeddings={str(EMBEDDING): Broken})
    with Engine(host=broken) as engine, pytest.raises(PluginFault, match=message):
        engine.check(plan(people=people("keep", f"Anna={anna}")))


@pytest.mark.parametrize(
    ("mode", "distances", "result", "nearness"),
    [
        ("keep", [0.05, 0.08], "shown", "near"),
        ("keep", [0.05], "hidden", "in doubt"),  # one face of a track may be a chance likeness
        ("keep", [0.01, 0.01, 0.25], "hidden", "in doubt"),  # one frame near a stranger
        ("keep", [0.12, 0.13], "hidden", "in doubt"),
        ("keep", [0.4, 0.5], "hidden", "far"),
        ("keep", [], "hidden", "not compared"),
        ("only", [0.4, 0.5], "shown", "far"),
        ("only", [0.4], "hidden", "in doubt"),
        ("only", [0.9, 0.9, 0.15], "hidden", "in doubt"),
        ("only", [0.05, 0.05], "hidden", "near"),
        ("only", [], "hidden", "not compared"),
    ],
)
def test_a_track_is_shown_only_where_the_comparison_is_sure(
    mode: Any, distances: list[float], result: str, nearness: str
) -> None:
    known = KnownPeople(people(mode, "A=a.jpg"), ColourEmbedder(), {"A": np.zeros((1, 3), np.float32)})
    decision = decide_face(known, [FaceSight({"A": distance}) for distance in distances], 2)
    assert (decision.result, decision.nearness, decision.faces) == (result, nearness, len(distances))


def test_several_photos_count_against_showing() -> None:
    vectors = {"A": np.array([[0, 0, 0], [0.3, 0, 0]], np.float32)}

    class Still(ColourEmbedder):
        def embed(self, *_: Any) -> Any:
            return np.zeros((1, 3), np.float32)

    for mode, expected in (("keep", 0.15), ("only", 0.0)):
        known = KnownPeople(people(mode, "A=a.jpg"), Still(), vectors)
        (found,) = known.distances(None, [()])  # type: ignore[arg-type]
        assert found["A"] == pytest.approx(expected)


def test_a_missing_embedding_network_gives_a_short_message_with_the_cure(tmp_path: Path, anna: str) -> None:
    offline = RuntimeConfig(
        cache=tmp_path / "cache", models=tmp_path / "models", offline=True, localizers=host().localizers
    )
    with Engine(host=offline) as engine, pytest.raises(Unavailable, match="run 'velum models pull dlib-resnet'"):
        engine.check(plan(people=People.parse("keep", [f"Anna={anna}"])))
