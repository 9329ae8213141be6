"""A target appears complete or not at all, in a format that holds what the source has; the source is never touched."""

import hashlib
import os
import re
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from velum import media
from velum.errors import BadPlan, OutputFailed, VelumError
from velum.limits import Limits
from velum.media import Writer, publish
from velum.plan import Plan

from .factories import copy, frames, image, saved


def _tables(path: Path) -> tuple[object, object, object]:
    with Image.open(path) as picture:
        return picture.quantization, picture.layer, picture.info.get("progressive")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"quality": 71, "subsampling": "4:2:0"}),
        ("RGB", {"quality": 93, "subsampling": "4:2:2"}),
        ("RGB", {"quality": 88, "subsampling": "4:4:4", "progressive": True}),
        ("RGB", {"quality": 88, "keep_rgb": True}),
        ("L", {"quality": 60}),
        ("CMYK", {"quality": 75}),
    ],
)
def test_a_jpeg_keeps_tables_sampling_and_progression(tmp_path: Path, mode: str, options: dict[str, object]) -> None:
    source = saved(tmp_path / "a.jpg", image(mode), **options)
    writer = copy(source, tmp_path / "out.jpg")
    assert _tables(tmp_path / "out.jpg") == _tables(source)
    assert "quantisation tables" in writer.encoding
    assert "of the source" in writer.encoding
    with Image.open(source) as before, Image.open(tmp_path / "out.jpg") as after:
        assert (after.mode, after.info.get("adobe_transform")) == (before.mode, before.info.get("adobe_transform"))


def test_the_quality_of_the_plan_takes_precedence(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.jpg", image("RGB"), quality=95)
    writer = copy(source, tmp_path / "out.jpg", Plan(quality=30))
    assert (tmp_path / "out.jpg").stat().st_size < source.stat().st_size / 2
    assert writer.encoding == "re-encoded: jpeg, quality 30, 4:2:0"


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

REFUSED = [
    ("a.png", "RGBA", {}, "b.jpg", BadPlan, "rgb\\+alpha", "alpha would be lost"),
    ("a.png", "I;16", {}, "b.jpg", BadPlan, "16 bits", "depth would be lost"),
    ("a.png", "LA", {}, "b.webp", BadPlan, "grey\\+alpha", "no such kind in WebP"),
    ("a.jpg", "CMYK", {}, "b.png", BadPlan, "cmyk", "no print colours in PNG"),
    ("a.png", "RGB", {"icc_profile": PROFILE}, "b.bmp", BadPlan, "colour profile", "profile would be lost"),
    ("a.png", "RGB", {}, "b.gif", BadPlan, "GIF", "colours would be lost"),
    ("a.png", "RGB", {}, "b.xyz", BadPlan, "allowed are .avif, .bmp", "unknown suffix"),
    ("a.png", "RGB", {}, "b", BadPlan, "allowed are", "no suffix"),
    ("a.png", "RGB", {}, "none/b.png", OutputFailed, "no folder", "missing folder"),
    ("a.png", "RGB", {}, "a.png", OutputFailed, "never touched", "onto the source"),
    ("a.png", "RGB", {}, "link.png", OutputFailed, "never touched", "onto the source through a link"),
    ("a.png", "RGB", {}, "hard.png", OutputFailed, "never touched", "onto the source through a second name"),
    ("a.png", "RGB", {}, "taken.png", OutputFailed, "exists", "taken"),
    ("a.png", "RGB", {}, "folder.png", OutputFailed, "folder", "a folder"),
]


@pytest.mark.parametrize(("name", "mode", "options", "target", "error", "says", "reason"), REFUSED)
def test_impossible_targets_are_refused_before_anything_is_written(
    tmp_path: Path, name: str, mode: str, options: dict[str, object], target: str, error: type[VelumError], says: str,
    reason: str,
) -> None:  # fmt: skip
    source = saved(tmp_path / name, image(mode), **options)
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    (tmp_path / "taken.png").write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    before, original = set(tmp_path.iterdir()), source.read_bytes()
    with pytest.raises(error, match=says):
        copy(source, tmp_path / target, overwrite="taken" not in target)
    assert set(tmp_path.iterdir()) == before, reason
    assert source.read_bytes() == original
    assert (tmp_path / "taken.png").read_bytes() == b"mine"


SUFFIXES = [".avif", ".bmp", ".gif", ".jp2", ".jpg", ".png", ".tif", ".webp"]
MODES = {
    "a.bmp": ["RGB", "P"], "a.gif": ["P", "L"], "a.jp2": ["RGB", "RGBA"], "a.jpg": ["RGB", "CMYK"],
    "a.png": ["RGB", "RGBA", "LA", "P", "I;16"], "a.tif": ["RGB", "CMYK", "RGBA", "I;16"], "a.webp": ["RGBA"],
    "odd.jpg": ["RGBA"], "odd.bmp": ["LA"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mode", "moving"),
    [
        (name, mode, moving)
        for name, modes in MODES.items()
        for mode in modes
        for moving in ((False, True) if name in {"a.gif", "a.tif"} else (False,))
    ],
)
def test_a_proposed_suffix_works(tmp_path: Path, name: str, mode: str, *, moving: bool) -> None:
    """Also for those whose own name is of another format, which is why they do not fit under it."""
    source = tmp_path / name
    kind = "PNG" if name.startswith("odd") else None
    turned = Image.Exif()
    turned[0x0112] = 6
    more = {"save_all": True, "append_images": [image(mode, 1)]} if moving else {}
    image(mode).save(source, format=kind, **({"exif": turned} if name == "a.png" else {}), **more)
    for suffix in SUFFIXES:
        message = _refusal(source, tmp_path / f"out{suffix}")
        if message:
            proposed = re.search(r"choose another suffix, such as (\.\w+)$", message)
            assert proposed, message
            assert proposed[1] != suffix
            copy(source, tmp_path / f"proposed{proposed[1]}", overwrite=True)


def _refusal(source: Path, target: Path) -> str:
    try:
        copy(source, target, overwrite=True)
    except BadPlan as error:
        return str(error)
    return ""


def test_several_pages_are_refused_by_formats_for_one_image(tmp_path: Path) -> None:
    pages = saved(tmp_path / "a.tif", image("RGB"), save_all=True, append_images=[image("RGB", 1)])
    moving = saved(tmp_path / "a.gif", image("P"), save_all=True, append_images=[image("P", 1)])
    for source, target in [(pages, "b.png"), (moving, "b.jpg"), (moving, "b.tif")]:
        with pytest.raises(BadPlan, match="cannot hold its 2"):
            copy(source, tmp_path / target)


@pytest.mark.parametrize(
    ("name", "mode", "target"),
    [("a.jpg", "RGB", "b.png"), ("a.jpg", "L", "b.tif"), ("a.jpg", "RGB", "b.bmp"), ("a.bmp", "P", "b.png"),
     ("a.png", "RGBA", "b.tif"), ("a.png", "RGBA", "b.webp"), ("a.png", "P", "b.gif"), ("a.tif", "CMYK", "b.tiff"),
     ("a.png", "1", "b.tif"), ("a.png", "I;16", "b.tif"), ("a.png", "RGB", "b.jp2")],
)  # fmt: skip
def test_lossless_conversions_are_done(tmp_path: Path, name: str, mode: str, target: str) -> None:
    source = saved(tmp_path / name, image(mode))
    copy(source, tmp_path / target)
    _, (before,) = frames(source)
    _, (after,) = frames(tmp_path / target)
    assert np.array_equal(before.planes[0].pixels, after.planes[0].pixels)


def test_an_animation_can_be_converted_to_another_format(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.gif", image("P"), save_all=True, append_images=[image("P", 1)], duration=[40, 60])
    copy(source, tmp_path / "b.webp")
    _, before = frames(source)
    info, after = frames(tmp_path / "b.webp")
    assert info.coding.loop == 1
    assert all(np.array_equal(a.planes[0].pixels, b.planes[0].pixels) for a, b in zip(before, after, strict=True))


def test_images_too_wide_for_the_format_are_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", Image.new("RGB", (65_535, 1)))
    with pytest.raises(BadPlan, match="at most 65,500"):
        copy(source, tmp_path / "b.jpg")


def test_the_hash_is_that_of_the_published_file(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.jpg", image("RGB"))
    with media.open_source(source, Limits()) as reader:
        assert reader.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    writer = copy(source, tmp_path / "out.jpg")
    assert writer.sha256 == hashlib.sha256((tmp_path / "out.jpg").read_bytes()).hexdigest()


@contextmanager
def _started(tmp_path: Path, name: str, **options: object) -> Iterator[Writer]:
    source = saved(tmp_path / f"source{Path(name).suffix}", image("P"), **options)
    with (
        media.open_source(source, Limits()) as reader,
        media.open_sink(tmp_path / name, reader, Plan(), overwrite=True) as writer,
    ):
        writer.write(next(iter(reader.frames())))
        yield writer


@pytest.mark.parametrize("name", ["out.png", "out.gif", "out.tif"])
def test_an_error_leaves_the_target_as_it_was(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    many = {} if name == "out.png" else {"save_all": True, "append_images": [image("P", 1)]}
    with pytest.raises(ZeroDivisionError), _started(tmp_path, name, **many):
        raise ZeroDivisionError
    assert (tmp_path / name).read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["out.gif", "out.tif"])
def test_a_target_with_missing_frames_is_not_published(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(OutputFailed, match="only 1 of 2"),
        _started(tmp_path, name, save_all=True, append_images=[image("P", 1)]),
    ):
        pass
    assert len(list(tmp_path.iterdir())) == 1


def _write_twice(source: Path, target: Path) -> None:
    with media.open_source(source, Limits()) as reader, media.open_sink(target, reader, Plan()) as writer:
        (frame,) = reader.frames()
        writer.write(frame)
        writer.write(frame)


def test_frames_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", image("RGB"))
    with pytest.raises(OutputFailed, match="got frame 0 instead of frame 1 of 1"):
        _write_twice(source, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


@contextmanager
def _full_disk(room: int) -> Iterator[None]:
    """Let no file of this process grow over `room` bytes, as a disk without more of them would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".jp2", ".avif"])
@pytest.mark.parametrize("room", [0, 1000])
def test_on_a_full_disk_no_image_is_published(tmp_path: Path, suffix: str, room: int) -> None:
    source = saved(tmp_path / f"a{suffix}", image("P" if suffix == ".gif" else "RGB"))
    with pytest.raises(OutputFailed, match="nothing was published"), _full_disk(room):
        copy(source, tmp_path / f"out{suffix}")
    assert list(tmp_path.iterdir()) == [source]


def test_on_a_full_disk_no_animation_is_published(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.gif", image("P"), save_all=True, append_images=[image("P", 1)])
    with pytest.raises(OutputFailed), _full_disk(3000):
        copy(source, tmp_path / "out.gif")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", image("L"))
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputFailed, match="ermission"):
        copy(source, tmp_path / "closed" / "b.png")


def test_publishing_does_not_overwrite_a_file_created_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with ExitStack() as stack:
        stack.enter_context(publish(target)).write_text("ours")
        target.write_text("theirs")
        with pytest.raises(OutputFailed, match="exists"):
            stack.close()
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_published_files_have_the_usual_permissions_and_long_names(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".json")
    with publish(target) as part:
        part.write_text("{}")
    with (tmp_path / "usual").open("w"):
        pass
    assert target.stat().st_mode == (tmp_path / "usual").stat().st_mode
    with publish(target, overwrite=True) as part:
        part.write_text("[]")
    assert target.read_text() == "[]"
