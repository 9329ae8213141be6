"""Content that velum keeps on purpose is no leak: every format with everything it can keep passes its own check."""

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.rows import exhaustive

from velum import Engine, Plan
from velum.media.image.fast_png import encode_png
from velum.plan import METADATA, Video
from velum.plugins import RuntimeConfig

pytestmark = pytest.mark.slow

RULE = "zone: fixed(box=[8, 8, 40, 32]) -> {} with grow=0"
SIZE = (64, 48)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(host=RuntimeConfig(offline=True)) as made:
        yield made


def picture(mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8))
    image = coarse.resize(SIZE, Image.Resampling.BICUBIC)
    if mode == "P":
        return image.quantize(64)
    if mode in {"RGBA", "LA"}:
        image.putalpha(Image.linear_gradient("L").resize(SIZE))
    return image.convert(mode)


def tags() -> Image.Exif:
    """EXIF of every kind that a plan can keep, and turned by a quarter."""
    exif = Image.Exif()
    exif.update({271: "Maker", 272: "Model", 274: 6, 270: "words", 305: "tool", 306: "2024:01:02 03:04:05"})
    exif.update({315: "Ada", 33432: "Ada"})
    exif[0x8769] = {36867: "2024:01:02 03:04:05", 33434: (1, 100), 33437: (28, 10), 34855: 100, 42036: "a lens"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    return exif


STILL: dict[str, list[dict[str, Any]]] = {
    ".jpg": [
        {"icc_profile": PROFILE}, {"dpi": (300, 300)}, {"exif": tags().tobytes()}, {"progressive": True},
        {"restart_marker_rows": 1},
    ],
    ".png": [{"icc_profile": PROFILE}, {"dpi": (300, 300)}, {"exif": tags().tobytes()}],
    ".tif": [
        {"icc_profile": PROFILE}, {"dpi": (300, 300)}, {"exif": tags().tobytes()}, {"compression": "tiff_lzw"},
        {"compression": "tiff_adobe_deflate"}, {"compression": "packbits"}, {"compression": "jpeg"},
    ],
    ".webp": [
        {"icc_profile": PROFILE}, {"exif": tags().tobytes()}, {"lossless": True},
        {"lossless": True, "icc_profile": PROFILE},
    ],
    ".avif": [{"icc_profile": PROFILE}, {"exif": tags().tobytes()}],
    ".heic": [{"icc_profile": PROFILE}, {"exif": tags().tobytes()}],
    ".bmp": [{"dpi": (300, 300)}],
    ".gif": [{}],
    ".jp2": [{"irreversible": True}, {"irreversible": False}],
    ".j2k": [{}],
}  # fmt: skip
"""Pillow's options, by suffix."""

MODES = {
    ".jpg": ["RGB", "L", "CMYK"], ".png": ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"],
    ".tif": ["RGB", "L", "P", "CMYK", "1", "RGBA", "I;16"], ".webp": ["RGB", "RGBA"], ".avif": ["RGB", "RGBA"],
    ".heic": ["RGB", "RGBA"], ".bmp": ["RGB", "L", "P", "1"], ".gif": ["P", "L"], ".jp2": ["RGB", "L", "RGBA"],
}  # fmt: skip

CASES = [
    *(
        (suffix, "RGB" if suffix != ".gif" else "P", options, "blacken")
        for suffix, every in STILL.items()
        for options in every
    ),
    *((suffix, mode, {}, "pixelate") for suffix, modes in MODES.items() for mode in modes),
]


def spelled(value: Any) -> str:
    """Return the id of a case: the same in each process."""
    return "+".join(value) if isinstance(value, dict) else str(value)


def verified(engine: Engine, source: Path, technique: str = "blacken", suffix: str | None = None, **more: Any) -> Path:
    """Hide with a check of the result, keeping every kind of metadata."""
    plan = replace(Plan.of(RULE.format(technique)), metadata=METADATA, verify=True, **more)
    out = source.with_name(f"out{suffix or source.suffix}")
    report = engine.hide(source, out, plan)
    assert report.check is not None
    assert report.check["regions_verified"] > 0
    return out


@pytest.mark.parametrize(("suffix", "mode", "options", "technique"), CASES, ids=spelled)
def test_images_pass_the_check_in_every_format(
    engine: Engine, tmp_path: Path, suffix: str, mode: str, options: dict[str, Any], technique: str
) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    source = tmp_path / f"in{suffix}"
    picture(mode).save(source, **options)
    verified(engine, source, technique)


def chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


@pytest.mark.parametrize(
    "more", [(b"cICP", bytes([9, 16, 0, 1])), (b"gAMA", (45455).to_bytes(4)), (b"sRGB", b"\0"), (b"cHRM", bytes(32))]
)
def test_display_chunks_of_a_png_are_no_leaks(engine: Engine, tmp_path: Path, more: tuple[bytes, bytes]) -> None:
    source = tmp_path / "in.png"
    data = encode_png(np.asarray(picture()))
    source.write_bytes(data[:33] + chunk(*more) + data[33:])
    assert more[0] in verified(engine, source).read_bytes()


def frames_alike(count: int, *, moving: bool = False) -> list[Image.Image]:
    """Pictures of which two neighbours are equal, or all of them once the zone is hidden."""
    every = [picture("RGB").quantize(64).convert("RGB") for _ in range(count)]
    if moving:
        for index, image in enumerate(every):
            image.paste((index * 60, 0, 0), (12, 12, 20, 20))
    else:
        every[-1] = picture("RGB", 1).quantize(64).convert("RGB")
    return every


@pytest.mark.parametrize(
    ("suffix", "options"), [(".gif", {}), (".png", {}), (".webp", {}), (".webp", {"lossless": True}), (".avif", {})]
)
@pytest.mark.parametrize(("moving", "duration"), [(True, [100, 0, 30, 70]), *exhaustive([(False, 100), (True, 0)])])
def test_animations_with_equal_neighbouring_frames_pass(
    engine: Engine, tmp_path: Path, suffix: str, moving: bool, duration: Any, options: dict[str, Any]
) -> None:
    source = tmp_path / f"in{suffix}"
    first, *rest = frames_alike(4, moving=moving)
    if suffix == ".gif":
        source.write_bytes(gif([first, *rest], duration))
    else:
        first.save(source, save_all=True, append_images=rest, duration=duration, **options)
    verified(engine, source)


def gif(frames: list[Image.Image], duration: Any) -> bytes:
    """Return a GIF that stores every frame, equal ones too: Pillow itself would leave them out."""
    parts = []
    for index, frame in enumerate(frames):
        frame.quantize(64).save(memory := io.BytesIO(), "GIF")
        data = memory.getvalue()
        table = 3 * 2 ** ((data[10] & 7) + 1)
        at = data.index(b"\x2c", 13 + table)
        each = duration[index] if isinstance(duration, list) else duration
        control = b"\x21\xf9\x04\x04" + (each // 10).to_bytes(2, "little") + b"\0\0"
        head = data[at : at + 9] + bytes([0x80 | (data[10] & 7)])
        parts.append(control + head + data[13 : 13 + table] + data[at + 10 : -1])
    screen = b"GIF89a" + SIZE[0].to_bytes(2, "little") + SIZE[1].to_bytes(2, "little") + b"\0\0\0"
    return screen + b"".join(parts) + b";"


VIDEOS: list[tuple[str, str, str]] = [
    (".mp4", "libx264", "yuv420p"), (".mov", "libx264", "yuv420p"), (".mkv", "libx264", "yuv420p"),
    (".ts", "libx264", "yuv420p"), (".avi", "mpeg4", "yuv420p"), (".webm", "libvpx", "yuv420p"),
    (".webm", "libvpx-vp9", "yuv420p"), (".mpg", "mpeg2video", "yuv420p"), (".mov", "prores_ks", "yuv422p10le"),
    (".mkv", "ffv1", "yuv444p"), (".mp4", "libx265", "yuv420p"), (".avi", "mjpeg", "yuvj420p"),
    (".mkv", "libx265", "yuv420p10le"),
]  # fmt: skip


QUIET = {"x265-params": "log-level=none"}


def clip(path: Path, codec: str, layout: str, prepare: Callable[[Any, Any], None] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, 25, options=QUIET if "265" in codec else {})
        stream.width, stream.height, stream.pix_fmt = 128, 96, layout
        sound: Any = container.add_stream("libopus" if path.suffix == ".webm" else "mp2", 48000, layout="mono")
        if prepare is not None:
            prepare(container, stream)
        moving = np.asarray(picture().resize((160, 96)))
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(moving[:, index : index + 128]), "rgb24")
            container.mux(stream.encode(frame.reformat(format=layout)))
        container.mux(stream.encode(None))
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), "s16", "mono")
        heard.sample_rate = 48000
        fitted = av.AudioResampler(sound.codec_context.format, "mono", 48000, sound.codec_context.frame_size or 960)
        for part in [*fitted.resample(heard), *fitted.resample(None)]:
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "layout", "audio"),
    [
        *((*one, "copy") for one in VIDEOS[::3]),
        *exhaustive((*one, "copy") for index, one in enumerate(VIDEOS) if index % 3),
        (*VIDEOS[0], "mute"),
        *exhaustive([(*VIDEOS[2], "mute"), (*VIDEOS[0], "drop"), (*VIDEOS[2], "drop")]),
    ],
)
def test_videos_pass_the_check_in_every_format(
    engine: Engine, tmp_path: Path, suffix: str, codec: str, layout: str, audio: Any
) -> None:
    source = clip(tmp_path / f"in{suffix}", codec, layout)
    verified(engine, source, video=Video(audio=audio))


def hdr(_container: Any, stream: Any) -> None:
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1


def narrow(_container: Any, stream: Any) -> None:
    stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("prepare", [hdr, narrow])
def test_colour_tags_and_aspect_ratio_of_videos_are_no_leaks(
    engine: Engine, tmp_path: Path, suffix: str, prepare: Any
) -> None:
    verified(engine, clip(tmp_path / f"in{suffix}", "libx264", "yuv420p", prepare))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize(("more", "told"), [(b"secret" * 99, False), (None, True)])
def test_bytes_behind_a_colour_profile_are_removed(
    engine: Engine, tmp_path: Path, suffix: str, more: bytes | None, told: bool
) -> None:
    source = tmp_path / f"in{suffix}"
    picture().save(source, icc_profile=b"secret" * 99 if more is None else PROFILE + more)
    out = verified(engine, source)
    with Image.open(out) as image:
        assert image.info.get("icc_profile") == (None if told else PROFILE)


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_images_of_several_pages_pass_the_check(engine: Engine, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "in.tif"
    picture(mode).save(source, save_all=True, append_images=[picture(mode, seed) for seed in (1, 2)], dpi=(300, 300))
    verified(engine, source)
