"""Techniques that draw over a region: the same for a track, in its corners, and verified like all others."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from tests.media.video.factories import Clip, made

from velum import Engine, Plan
from velum.engine.apply import subject_of
from velum.errors import BadPlan, NotHidden, Unavailable
from velum.frame import Frame
from velum.locate.pii import KINDS as FOUND
from velum.locate.pii import luhn, mod97
from velum.plan import Rule, Video
from velum.plugins import RuntimeConfig
from velum.region import Box, Points, Region
from velum.spec import PartSpec
from velum.techniques.glyphs import AROUND, INK, PAPER
from velum.techniques.plate import Plate
from velum.techniques.replace import KINDS, Replace
from velum.testing import FakeLocalizer

ONE, OTHER = bytes(32), bytes([1] * 32)


def engine_with(regions: object, label: str = "license_plate") -> Engine:
    fake = FakeLocalizer(regions, frozenset({label}))  # type: ignore[arg-type]  # regions, or what gives them
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: fake}, offline=True))


def plan_of(label: str, technique: str, grow: float = 0.2) -> Plan:
    return Plan((Rule(label, PartSpec("fake"), PartSpec.parse(technique), grow=grow),))


def hidden(regions: Sequence[Region], technique: str = "plate", size: tuple[int, int] = (200, 120)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    with engine_with(regions, regions[0].label) as engine:
        drawn, _ = engine.hide_pixels(pixels, plan_of(regions[0].label, technique))
    return Image.fromarray(drawn)


def test_the_characters_are_those_of_the_track_and_of_the_key() -> None:
    plate, names = Plate(ONE), [f"license_plate {track}" for track in range(200)]
    assert [plate.characters(name) for name in names] == [Plate(bytes(32)).characters(name) for name in names]
    assert len({plate.characters(name) for name in names}) > 190
    assert all(plate.characters(name) != Plate(OTHER).characters(name) for name in names[:20])
    assert "0" * 8 not in repr(plate) + repr(Replace(ONE))


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_replaced_by_text_of_its_kind_that_belongs_to_nobody(kind: str) -> None:
    texts = {Replace(ONE, kind).text(f"text {track}") for track in range(300)}
    assert len(texts) > 1
    for text in texts:
        compact = text.replace(" ", "")
        assert (kind == "words") or len(text) >= 6
        assert {
            "phone": "55501" in compact, "email": text.endswith("@EXAMPLE.ORG"), "url": text.startswith("EXAMPLE.ORG/"),
            "iban": compact.startswith("XX") and mod97(compact) == 1, "ip": text.startswith("192.0.2."),
            "card": luhn(compact) if kind == "card" else True, "date": text.startswith("31.02."),
            "mac": text.startswith("00:00:5E:00:53:"),
        }.get(kind, True)  # fmt: skip
        if kind in {"email", "ip", "mac", "phone"}:
            assert [match.kind for match in FOUND[kind](text)] == [kind], "velum itself takes it for that kind"


def test_a_plate_is_drawn_into_its_corners_and_the_rest_of_the_region_is_grey() -> None:
    corners: Points = ((40, 50), (150, 30), (156, 62), (46, 84))
    picture = np.asarray(hidden([Region(Box(40, 30, 156, 84), "license_plate", points=corners[2:] + corners[:2])]))
    assert (picture == picture[..., :1])[20:95, 20:180].all(), "no colour is left"
    inside, outside = picture[57, 44, 0], picture[25, 30, 0]
    assert (inside, outside) in {(PAPER, AROUND), (INK, AROUND)}
    inner = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(inner, np.array(corners, np.int32), 1)
    whole = Box(40, 30, 156, 84).pad(23, 10).clip(200, 120)
    assert whole is not None
    around = np.zeros_like(inner)
    around[whole.slices] = 1
    away = (around == 1) & (cv2.dilate(inner, np.ones((9, 9), np.uint8)) == 0)
    assert (picture[away] == AROUND).all()
    assert 0.05 < (picture[inner == 1] < 64).mean() < 0.5, "there are strokes"


def test_two_plates_that_touch_are_both_drawn() -> None:
    one, other = Box(10, 20, 90, 40), Box(92, 20, 172, 40)
    picture = np.asarray(hidden([Region(one, "license_plate"), Region(other, "license_plate")]))
    assert all((picture[box.slices] == PAPER).mean() > 0.3 for box in (one, other))


def test_subjects_of_tracks_have_the_corners_of_their_box() -> None:
    corners: Points = ((1, 1), (9, 2), (9, 5), (1, 4))
    region = Region(Box(0, 0, 10, 6), "license_plate", track=7, points=corners)
    assert subject_of(region) == ("license_plate 7", ((0, 0), (10, 0), (10, 6), (0, 6)))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_text_is_upright_however_the_picture_is_stored(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    size = (120, 200) if orientation in {6, 8} else (200, 120)
    Image.new("RGB", size, "white").save(tmp_path / "in.png", exif=exif)
    region = Region(Box(30, 30, 170, 60), "license_plate")
    with engine_with([region]) as engine:
        engine.hide(tmp_path / "in.png", tmp_path / "out.png", plan_of("license_plate", "plate"))
        upright, _ = engine.hide_pixels(np.full((120, 200, 3), 255, np.uint8), plan_of("license_plate", "plate"))
    with Image.open(tmp_path / "out.png") as image:
        turned = {1: 0, 3: 180, 6: -90, 8: 90}[orientation if image.getexif().get(0x0112) else 1]
        shown = np.asarray(image.convert("RGB").rotate(turned, expand=True)).astype(int)
    assert np.abs(shown - upright)[30:60, 30:170].mean() < 12


@pytest.mark.parametrize(("label", "technique"), [("license_plate", "plate"), ("text", "replace(kind=email)")])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_check_takes_a_drawing_for_hidden_and_finds_what_was_not(
    label: str, technique: str, suffix: str, tmp_path: Path
) -> None:
    region = Region(Box(30, 40, 170, 80), label)
    noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((200, 120), Image.Resampling.BICUBIC).save(tmp_path / "in.png")
    with engine_with([region], label) as engine:
        plan = Plan(plan_of(label, technique).rules, verify=True)
        report = engine.hide(tmp_path / "in.png", tmp_path / f"out{suffix}", plan)
        assert report.check is not None
        assert report.check["passed"]
        with pytest.raises(NotHidden):
            engine.hide(
                tmp_path / "in.png", tmp_path / "not.png",
                Plan(plan.rules, verify=True, keep_out=(PartSpec("fixed", {"box": (0, 0, 100, 120)}),)),
            )  # fmt: skip


def test_a_plate_in_a_video_keeps_its_characters(tmp_path: Path) -> None:
    source = made(tmp_path / "in", Clip(size=(320, 160), frames=12))

    def moving(frame: Frame) -> list[Region]:
        return [Region(Box(20 + 8 * frame.index, 40, 140 + 8 * frame.index, 80), "license_plate", 0.9)]

    with engine_with(moving) as engine:
        plan = Plan(plan_of("license_plate", "plate", grow=0).rules, video=Video(every=1, crf=12), verify=True)
        engine.hide(source, tmp_path / "out.mp4", plan)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    plates = [frame[44:76, 24 + 8 * n : 136 + 8 * n] for n, frame in enumerate(frames)]
    assert all(np.abs(plate - plates[0]).mean() < 20 for plate in plates)
    assert all((plate > 200).mean() > 0.4 and (plate < 64).mean() > 0.05 for plate in plates)


def test_wrong_kinds_labels_and_secrets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="kind of replace is 'fax'; it must be of card, date"):
        hidden([Region(Box(1, 1, 9, 9), "text")], "replace(kind=fax)")
    with pytest.raises(BadPlan, match="replace hides only text, not 'license_plate'"):
        hidden([Region(Box(1, 1, 9, 9), "license_plate")], "replace")
    (tmp_path / "key").write_text("short")
    with (
        Engine(host=RuntimeConfig(uid_key=tmp_path / "key", localizers={"fake": FakeLocalizer})) as engine,
        pytest.raises(Unavailable, match="secret for invented names .* no 64 digits"),
    ):
        engine.check(plan_of("face", "plate"))
