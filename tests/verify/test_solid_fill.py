"""Faint remains in black regions, and changes outside of regions, are leaks; noise of coding is not."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.rows import exhaustive
from typer.testing import CliRunner

from velum import Engine, Limits, Plan
from velum.annotations import Annotations
from velum.cli.main import app
from velum.errors import Unavailable
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.spec import PartSpec
from velum.verify.leak_check import Check

pytestmark = pytest.mark.slow

SIZE = (256, 192)
BOX = Box(48, 32, 176, 160)
RULE = f"zone: fixed(box={list(BOX.xyxy)}) -> {{}} with grow=0"
PLAN = Plan.of(RULE.format("blacken"))

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    host = RuntimeConfig(offline=True)
    with Engine(host=host) as engine:
        yield Check(engine, host, Limits())


def source(seed: int = 0) -> Pixels:
    """A picture with detail of all sizes and colours, as photographs have."""
    rng = np.random.default_rng(seed)
    whole = np.zeros((SIZE[1], SIZE[0], 3))
    for cells, share in ((16, 0.5), (8, 0.3), (4, 0.2)):
        small = rng.integers(0, 256, (SIZE[1] // cells, SIZE[0] // cells, 3), dtype=np.uint8)
        whole += share * np.asarray(Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC))
    return whole.astype(np.uint8)


def face() -> npt.NDArray[np.float64]:
    return source()[BOX.slices].astype(np.float64)


def blackened(inside: npt.NDArray[Any] | int = 0) -> Pixels:
    made = source()
    made[BOX.slices] = inside
    return made


def dithered() -> Pixels:
    """One level or none, as often as the source is bright."""
    return (face() / 255 > np.random.default_rng(1).random(face().shape)).astype(np.uint8)


def chroma_only() -> Pixels:
    """What has colours and no brightness, as a YCbCr picture that a decoder makes RGB."""
    grey = face().mean(axis=2)
    ycc = np.dstack([np.zeros_like(grey), 128 + (grey - 128) / 8, np.full_like(grey, 128)]).astype(np.uint8)
    return np.asarray(Image.fromarray(ycc, "YCbCr").convert("RGB"))


FAINT: dict[str, Callable[[], npt.NDArray[Any]]] = {
    "1/32": lambda: face() / 32, "1/64": lambda: face() / 64, "lowest bit": lambda: source()[BOX.slices] >> 7,
    "dithered": dithered, "colours alone": chroma_only, "blue alone": lambda: face() * [0, 0, 1] / 32,
}  # fmt: skip

LOSSLESS = {
    "png": ("png", {}), "tif": ("tif", {}), "bmp": ("bmp", {}), "webp": ("webp", {"lossless": True, "exact": True}),
    "jp2": ("jp2", {}),
}  # fmt: skip
LOSSY = {
    "jpg 95": ("jpg", {"quality": 95}), "jpg 90 4:4:4": ("jpg", {"quality": 90, "subsampling": 0}),
    "webp": ("webp", {"quality": 95}), "avif": ("avif", {"quality": 90}),
}  # fmt: skip


def leaks(check: Check, tmp_path: Path, name: str, pixels: Pixels, options: dict[str, Any], **more: Any) -> set[str]:
    before, after = tmp_path / "in.png", tmp_path / f"out.{name}"
    Image.fromarray(source()).save(before)
    Image.fromarray(pixels).save(after, **options)
    return {leak.kind for leak in check(after, PLAN, **more or {"against": before}).leaks}


@pytest.mark.parametrize(("how", "kind"), [*((how, "png") for how in FAINT), *(("1/64", kind) for kind in LOSSLESS)])
def test_faint_remains_in_black_are_leaks_in_lossless_images(check: Check, tmp_path: Path, how: str, kind: str) -> None:
    name, options = LOSSLESS[kind]
    assert leaks(check, tmp_path, name, blackened(FAINT[how]()), options) == {"weak"}
    found = {0: (Region(BOX, "zone", origin="manual"),)}
    assert leaks(check, tmp_path, name, blackened(FAINT[how]()), options, regions=Annotations(*SIZE, found)) == {"weak"}


@pytest.mark.parametrize(
    ("how", "kind"),
    [*((how, "jpg 95") for how in ("1/32", "1/64", "blue alone")), *(("colours alone", one) for one in LOSSY)],
)
def test_faint_remains_in_black_are_leaks_in_lossy_images(check: Check, tmp_path: Path, how: str, kind: str) -> None:
    name, options = LOSSY[kind]
    pixels = blackened(FAINT[how]())
    Image.fromarray(pixels).save(memory := io.BytesIO(), name.replace("jpg", "jpeg"), **options)
    left = np.asarray(Image.open(memory).convert("RGB")).astype(int)[64:128, 80:144]
    if left.std(axis=(0, 1)).max() < 0.25:
        pytest.skip("the coder itself has left nothing of it")
    assert leaks(check, tmp_path, name, pixels, options) == {"weak"}


@pytest.mark.parametrize(("kind", "quality"), [(kind, quality) for kind in LOSSY for quality in (75, 40)])
def test_a_black_region_passes_at_any_quality(check: Check, tmp_path: Path, kind: str, quality: int) -> None:
    name, options = LOSSY[kind]
    options = options | {"quality": quality}
    assert leaks(check, tmp_path, name, blackened(), options) == set()


@pytest.mark.parametrize("name", ["png", "gif", "bmp", "tif"])
@pytest.mark.parametrize("other", [(0, 0, 0), (1, 0, 0)])
def test_two_palette_indices_of_one_colour_that_draw_the_face_are_a_leak(
    check: Check, tmp_path: Path, name: str, other: tuple[int, ...]
) -> None:
    before, after = tmp_path / "in.png", tmp_path / f"out.{name}"
    thirds = blackened() // 86
    table = [86 * value for colour in np.ndindex(3, 3, 3) for value in colour] + [255] * 111
    image = Image.fromarray(thirds @ np.array([9, 3, 1], np.uint8), "P")
    image.putpalette(table)
    image.convert("RGB").save(before)
    indices = np.asarray(image).copy()
    bright = face().mean(axis=2) > 128
    indices[BOX.slices][bright] = 70
    for spoiled, told in ((indices, {"weak"}), (np.asarray(image), set())):
        made = Image.fromarray(spoiled, "P")
        made.putpalette([*table[:192], *bytes(18), *other])
        made.save(after)
        assert {leak.kind for leak in check(after, PLAN, against=before).leaks} == told


@pytest.mark.parametrize("how", ["1/32", "1/8"])
@pytest.mark.parametrize("technique", ["pixelate", "blur"])
@pytest.mark.parametrize("name", ["png", "jpg"])
def test_faint_remains_are_leaks_where_techniques_destroy_only_in_part(
    check: Check, tmp_path: Path, how: str, technique: str, name: str
) -> None:
    if (how, name) == ("1/32", "jpg"):
        pytest.skip("it drowns in the noise of coding")
    plan, before, after = Plan.of(RULE.format(technique)), tmp_path / "in.png", tmp_path / f"out.{name}"
    Image.fromarray(source()).save(before)
    check.engine.hide(before, after, plan)
    assert check(after, plan, against=before).is_clean
    hidden = np.asarray(Image.open(after).convert("RGB")).astype(np.float64)
    hidden[BOX.slices] += (face() - face().mean()) * {"1/32": 1 / 32, "1/8": 1 / 8}[how]
    Image.fromarray(hidden.round().clip(0, 255).astype(np.uint8)).save(after, quality=95)
    assert [leak.kind for leak in check(after, plan, against=before).leaks] == ["weak"]


COLOURS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "red and blue": lambda p: p[..., ::-1], "grey": lambda p: np.repeat(p.mean(axis=2, keepdims=True), 3, 2),
    "full range taken for limited": lambda p: (p - 16.0) * 255 / 219,
    "limited range taken for full": lambda p: p * 0.86 + 16,
    "noise": lambda p: np.random.default_rng(3).integers(0, 256, p.shape), "negative": lambda p: 255 - p,
    "another picture": lambda p: source(5), "shifted": lambda p: np.roll(p, 16, 1),
}  # fmt: skip


@pytest.mark.parametrize("how", COLOURS)
@pytest.mark.parametrize("name", ["png", "jpg"])
def test_a_colour_change_outside_hidden_regions_is_a_leak(check: Check, tmp_path: Path, how: str, name: str) -> None:
    changed = COLOURS[how](source()).clip(0, 255).astype(np.uint8)
    changed[BOX.slices] = 0
    assert "colour" in leaks(check, tmp_path, name, changed, {})


def test_a_colour_change_everywhere_is_a_leak_without_given_regions(check: Check, tmp_path: Path) -> None:
    before, after = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(source()).save(before)
    plan = Plan.of("face: centerface -> blacken")
    for pixels, told in ((source()[..., ::-1], True), (blackened(), False)):
        Image.fromarray(pixels).save(after)
        try:
            found = check(after, plan, against=before)
        except Unavailable as error:
            pytest.skip(f"the weights of CenterFace cannot be had: {error}")
        assert ("colour" in {leak.kind for leak in found.leaks}) == told


@pytest.mark.parametrize(("mode", "name"), [("RGBA", "png"), ("LA", "png"), ("RGBA", "webp"), ("RGBA", "tif")])
def test_visible_pixels_that_were_transparent_are_a_leak(check: Check, tmp_path: Path, mode: str, name: str) -> None:
    before, after = tmp_path / f"in.{name}", tmp_path / f"out.{name}"
    picture, clear = Image.fromarray(blackened()).convert(mode), Image.new("L", SIZE, 255)
    clear.paste(0, (180, 0, 256, 192))
    options: dict[str, Any] = {"lossless": True, "exact": True} if name == "webp" else {}
    opaque = picture.copy()
    picture.putalpha(clear)
    picture.save(before, **options)
    picture.save(after, **options)
    assert check(after, PLAN, against=before).is_clean
    opaque.save(after, **options)
    assert {leak.kind for leak in check(after, PLAN, against=before).leaks} == {"picture"}


@pytest.mark.parametrize(
    ("name", "depth", "level", "told"),
    [
        ("png", 3, 20, False),
        ("png", 3, 60, True),
        ("webp", 3, 60, False),
        ("webp", 3, 200, True),
        ("webp", 40, 60, True),
    ],
)
def test_black_over_transparency_may_have_a_rim_from_lossy_coding(
    check: Check, tmp_path: Path, name: str, depth: int, level: int, *, told: bool
) -> None:
    clear = np.zeros((SIZE[1], SIZE[0], 1), np.uint8)
    Image.fromarray(np.dstack([source(), clear])).save(tmp_path / "in.png")
    made = blackened()
    made[BOX.y1 - depth : BOX.y1, BOX.x0 : BOX.x1] = (level, 0, 0)
    clear[BOX.slices] = 255
    after = tmp_path / f"out.{name}"
    Image.fromarray(np.dstack([made, clear])).save(after, quality=95)
    found = {leak.kind for leak in check(after, PLAN, against=tmp_path / "in.png").leaks}
    assert ("picture" in found) == told


@pytest.mark.parametrize(("colours", "told"), [(256, False), (255, True), (100, True)])
def test_only_a_full_palette_excuses_a_region_that_is_not_black(
    check: Check, tmp_path: Path, colours: int, *, told: bool
) -> None:
    numbers = np.random.default_rng(3).integers(0, colours, (SIZE[1], SIZE[0]), dtype=np.uint8)
    numbers.flat[:colours] = np.arange(colours)
    numbers[BOX.slices] = 0  # the darkest colour that there is
    table = np.random.default_rng(4).integers(60, 256, (colours, 3), dtype=np.uint8)
    table[0] = 40
    image = Image.fromarray(numbers, "P")
    image.putpalette(table.tobytes())
    image.save(tmp_path / "out.png")
    assert {leak.kind for leak in check(tmp_path / "out.png", PLAN).leaks} == ({"weak"} if told else set())


def test_a_colour_other_than_the_nearest_of_the_palette_is_a_leak(check: Check, tmp_path: Path) -> None:
    numbers = np.random.default_rng(3).integers(0, 256, (SIZE[1], SIZE[0]), dtype=np.uint8)
    numbers.flat[:256] = np.arange(256)
    numbers[BOX.slices] = 1
    table = np.random.default_rng(4).integers(60, 256, (256, 3), dtype=np.uint8)
    table[:2] = [[40], [50]]
    image = Image.fromarray(numbers, "P")
    image.putpalette(table.tobytes())
    image.save(tmp_path / "out.png")
    assert {leak.kind for leak in check(tmp_path / "out.png", PLAN).leaks} == {"weak"}


ELSEWHERE = Box(200, 20, 240, 60)


@pytest.mark.parametrize(
    ("decided", "told"),
    [
        ((Region(BOX, "zone", ignored=True),), False),
        ((Region(ELSEWHERE, "zone", ignored=True),), True),
        ((Region(ELSEWHERE, "zone", technique=PartSpec.parse("pixelate")),), True),
        ((Region(BOX, "face", ignored=True),), True),
    ],
    ids=["the zone itself is off", "another is off", "another has a technique", "something else is off"],
)
def test_a_person_decides_about_one_zone_and_the_plan_about_the_others(
    check: Check, tmp_path: Path, decided: tuple[Region, ...], *, told: bool
) -> None:
    before = tmp_path / "in.png"
    Image.fromarray(source()).save(before)
    after = check.engine.hide(before, tmp_path / "out.png", PLAN, regions=Annotations(*SIZE, {0: decided}))
    assert after is not None
    leaks = check(tmp_path / "out.png", PLAN, against=before, regions=Annotations(*SIZE, {0: decided})).leaks
    assert (BOX in {leak.box for leak in leaks}) == told


@pytest.mark.parametrize("after", ["opaque", "black", "kept"])
def test_visible_pixels_that_were_transparent_are_a_leak_in_videos(check: Check, tmp_path: Path, after: str) -> None:
    clear = np.full((SIZE[1], SIZE[0], 1), 255, np.uint8)
    clear[:, 180:] = 0
    shown = blackened()
    before = moving(tmp_path / "in.mkv", [np.dstack([shown, clear])] * 3, "ffv1", "yuva444p")
    if after == "black":
        shown[:, 180:] = 0
    pictures = [np.dstack([shown, clear]) if after == "kept" else shown] * 3
    made = moving(tmp_path / "out.mkv", pictures, "ffv1", "yuva444p" if after == "kept" else "yuv444p")
    found = {leak.kind for leak in check(made, PLAN, against=before).leaks}
    assert found == ({"picture"} if after == "opaque" else set())


def moving(path: Path, pictures: list[Pixels], codec: str = "libx264", layout: str = "yuv420p", **more: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, 25, options=more)
        stream.width, stream.height, stream.pix_fmt = *SIZE, layout
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[2] == 4 else "rgb24").reformat(
                format=layout
            )
            frame.pts = number
            for packet in stream.encode(frame):
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


def pan(inside: npt.NDArray[Any] | int | None) -> list[Pixels]:
    whole = np.concatenate([source(), source(2)], axis=1)
    frames = []
    for number in range(8):
        frame = np.ascontiguousarray(whole[:, 4 * number : 4 * number + SIZE[0]])
        if inside is not None:
            frame[BOX.slices] = inside if isinstance(inside, int) else frame[BOX.slices] / 32
        frames.append(frame)
    return frames


@pytest.mark.parametrize(
    ("codec", "layout", "options"),
    [("ffv1", "yuv444p", {}), ("libx264", "yuv420p", {"crf": "23"}),
     *exhaustive([
         ("libx264", "yuv420p", {"crf": "14"}), ("libx264", "yuv420p", {"crf": "32", "preset": "ultrafast"}),
         ("libx265", "yuv420p", {"crf": "20"}), ("libvpx-vp9", "yuv420p", {"crf": "30", "b": "0"}),
         ("mpeg4", "yuv420p", {"qscale": "6"}),
     ])],
)  # fmt: skip
def test_faint_remains_in_videos_are_leaks(
    check: Check, tmp_path: Path, codec: str, layout: str, options: dict[str, str]
) -> None:
    before = moving(tmp_path / "in.mkv", pan(None), crf="14")
    good = moving(tmp_path / "good.mkv", pan(0), codec, layout, **options)
    assert [leak.message for leak in check(good, PLAN, against=before).leaks] == []
    bad = moving(tmp_path / "bad.mkv", pan(np.zeros(1)), codec, layout, **options)
    if options.get("crf") not in {"23", "32", "30"} and codec != "mpeg4":
        assert {leak.kind for leak in check(bad, PLAN, against=before).leaks} == {"weak"}


@pytest.mark.parametrize(("rule", "told"), [("", range(8)), (", from=0.08, to=0.2", range(2, 5))])
def test_times_of_zones_count_from_the_first_frame(check: Check, tmp_path: Path, rule: str, told: range) -> None:
    plan = Plan.of(RULE.replace("]) ->", f"]{rule}) ->").replace(f"]{rule}", f"]{rule}").format("blacken"))
    before = moving(tmp_path / "in.mkv", pan(None), crf="14")
    assert [leak.frame for leak in check(before, plan, against=before).leaks if leak.kind == "weak"] == list(told)
    assert [leak.frame for leak in check(before, plan).leaks if leak.kind == "weak"] == list(told)


def test_the_command_verifies_zones_without_regions(tmp_path: Path) -> None:
    before = tmp_path / "in.png"
    Image.fromarray(source()).save(before)
    made = CliRunner().invoke(app, ["check", str(before), "--against", str(before), "--rule", RULE.format("blacken")])
    assert (made.exit_code, made.stdout.split()[0]) == (1, "weak")


@pytest.mark.parametrize("name", ["gif", "png", "webp"])
@pytest.mark.parametrize("duration", [100, 0])
def test_frames_that_the_source_lacks_are_leaks(check: Check, tmp_path: Path, name: str, duration: int) -> None:
    before, after = tmp_path / f"in.{name}", tmp_path / f"out.{name}"

    def save(path: Path, pictures: list[Pixels]) -> None:
        first, *rest = [Image.fromarray(one // 86 * 86) for one in pictures]
        first.save(path, save_all=True, append_images=rest, duration=duration, lossless=True)

    frames = pan(0)[:3]
    save(before, [frames[0], frames[0], *frames])
    save(after, frames)
    assert check(after, PLAN, against=before).is_clean
    save(before, frames)
    save(after, [frames[0], pan(None)[0], *frames[1:]])
    assert not check(after, PLAN, against=before).is_clean


def test_a_plan_with_two_techniques_passes_its_own_check(check: Check, tmp_path: Path) -> None:
    plan = replace(PLAN, rules=(*PLAN.rules, *Plan.of("zone: fixed(box=[0, 0, 20, 20]) -> pixelate with grow=0").rules))
    before, after = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(source()).save(before)
    check.engine.hide(before, after, plan)
    assert check(after, plan, against=before).is_clean
