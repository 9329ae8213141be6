"""A second image or other content at places of a file that no decoder needs is a leak."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from velum import Engine, Limits, Plan
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check

PLAN = Plan.of("zone: fixed(box=[8, 8, 40, 32]) -> blacken with grow=0")
SIZE = (64, 48)
SECRET = bytes(np.random.default_rng(7).integers(1, 250, 600, dtype=np.uint8))
"""Bytes that are no picture of a known kind: an encrypted one, or one of a rare format."""

EMPTY_EXIF = b"Exif\0\0II*\0\x08\0\0\0" + bytes(6)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    host = RuntimeConfig(offline=True)
    with Engine(host=host) as engine:
        yield Check(engine, host, Limits())


def picture(mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8))
    image = image.resize(SIZE, Image.Resampling.BICUBIC)
    image.paste((0, 0, 0), (8, 8, 40, 32))
    return image.quantize(32) if mode == "P" else image.convert(mode)


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    picture(mode).save(memory := io.BytesIO(), format, **options)
    return memory.getvalue()


def kinds(check: Check, tmp_path: Path, name: str, data: bytes) -> set[str]:
    path = tmp_path / name
    path.write_bytes(data)
    return {leak.kind for leak in check(path, PLAN).leaks}


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def behind_head(data: bytes, more: bytes) -> bytes:
    return data[:2] + more + data[2:]


def before_end(data: bytes, more: bytes) -> bytes:
    return data[:-2] + more + data[-2:]


def before_restart(data: bytes, more: bytes = SECRET, *, last: bool = False) -> bytes:
    """Put bytes before the second restart marker, of the first scan or of the last one."""
    start = data.rindex(b"\xff\xda") if last else 0
    at = data.index(b"\xff\xd1", start)
    return data[:at] + more + data[at:]


def icc(body: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0\1\1" + body)


def with_exif_slack() -> bytes:
    exif = Image.Exif()
    exif[274] = 1
    return saved("JPEG", exif=exif.tobytes() + SECRET)


def _two_pictures() -> bytes:
    picture().save(memory := io.BytesIO(), "MPO", save_all=True, append_images=[picture(seed=1)])
    return memory.getvalue()


def in_bits_of_blocks(data: bytes, more: bytes) -> bytes:
    """Put bytes behind the coded samples of the first scan that has one more bit of each block's mean."""
    at = data.index(b"\0\0\x10", data.index(b"\xff\xda", data.index(b"\xff\xda") + 2))
    end = next(n for n in range(at, len(data)) if data[n] == 0xFF and data[n + 1] and not 0xD0 <= data[n + 1] < 0xD8)
    return data[:end] + more + data[end:]


def _cut() -> bytes:
    picture("L").crop((0, 0, SIZE[0], 41)).save(memory := io.BytesIO(), "JPEG", quality=95, restart_marker_rows=1)
    return memory.getvalue()


JPEG: dict[str, Callable[[], bytes]] = {
    "APP15": lambda: behind_head(saved("JPEG"), segment(0xEF, SECRET)),
    "APP13": lambda: behind_head(saved("JPEG"), segment(0xED, SECRET)),
    "behind Adobe": lambda: behind_head(saved("JPEG"), segment(0xEE, b"Adobe" + bytes(7) + SECRET)),
    "thumbnail of JFIF": lambda: saved("JPEG").replace(
        saved("JPEG")[2:20], segment(0xE0, saved("JPEG")[6:18] + b"\x0a\x14" + SECRET)
    ),
    "second EXIF": lambda: behind_head(with_exif_slack(), segment(0xE1, EMPTY_EXIF + SECRET)),
    "slack of EXIF": with_exif_slack,
    "behind the profile": lambda: behind_head(saved("JPEG"), icc(PROFILE + SECRET)),
    "no profile at all": lambda: behind_head(saved("JPEG"), icc(SECRET)),
    "unused tables": lambda: behind_head(
        saved("JPEG"), segment(0xDB, b"".join(bytes([n]) + SECRET[64 * n : 64 * n + 64] for n in (2, 3)))
    ),
    "tables that are replaced": lambda: behind_head(saved("JPEG"), segment(0xDB, b"\0" + SECRET[:64])),
    "unused Huffman table": lambda: behind_head(
        saved("JPEG"), segment(0xC4, b"\x13" + bytes(9) + b"\xf0" + bytes(6) + SECRET[:240])
    ),
    "before the end": lambda: before_end(saved("JPEG"), SECRET),
    "before the end, progressive": lambda: before_end(saved("JPEG", progressive=True), SECRET),
    "before a restart": lambda: before_restart(saved("JPEG", restart_marker_rows=1)),
    "before a restart after each unit": lambda: before_restart(saved("JPEG", restart_marker_blocks=1, quality=95)),
    "before a restart of the last scan": lambda: before_restart(
        saved("JPEG", progressive=True, quality=95, restart_marker_rows=1), last=True
    ),
    "behind single bits": lambda: in_bits_of_blocks(saved("JPEG", progressive=True, quality=100), SECRET),
    "before a restart of single bits": lambda: in_bits_of_blocks(
        saved("JPEG", progressive=True, quality=95, restart_marker_rows=1), SECRET
    ),
    "before a restart of grey": lambda: before_restart(saved("JPEG", "L", restart_marker_blocks=3, quality=95)),
    "before the end, where the last row of units has one row of pixels": lambda: before_end(_cut(), SECRET),
    "between two restarts": lambda: before_restart(saved("JPEG", restart_marker_rows=1), SECRET + b"\xff\xd3"),
    "behind a restart where there are none": lambda: before_end(saved("JPEG"), b"\xff\xd0" + SECRET),
    "between segments": lambda: behind_head(saved("JPEG"), segment(0xFE, b"") + SECRET),
    "behind the end": lambda: saved("JPEG") + SECRET,
    "behind the end, with another end": lambda: saved("JPEG") + SECRET + b"\xff\xd9",
    "comment": lambda: behind_head(saved("JPEG"), segment(0xFE, b"Ada") + segment(0xFE, b"")),
    "XMP with a thumbnail": lambda: behind_head(saved("JPEG"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")),
    "second picture of an MPO": _two_pictures,
    "restart intervals that no scan uses": lambda: behind_head(
        saved("JPEG"), b"".join(segment(0xDD, SECRET[n : n + 2]) for n in range(0, 600, 2)) + segment(0xDD, bytes(2))
    ),
}


def chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


def with_chunk(name: bytes, content: bytes, data: bytes | None = None) -> bytes:
    data = data or saved("PNG")
    return data[:33] + chunk(name, content) + data[33:]


def with_samples(change: Callable[[bytes], bytes]) -> bytes:
    """Change the compressed samples of a PNG."""
    data = saved("PNG")
    at = data.index(b"IDAT") - 4
    size = int.from_bytes(data[at : at + 4])
    return data[:at] + chunk(b"IDAT", change(data[at + 8 : at + 8 + size])) + data[at + 12 + size :]


def animated(**more: Any) -> bytes:
    picture().save(
        memory := io.BytesIO(), "PNG", save_all=True, append_images=[picture(seed=1), picture(seed=2)], **more
    )
    return memory.getvalue()


def too_few_counted() -> bytes:
    data = animated()
    at = data.index(b"acTL")
    return data[: at - 4] + chunk(b"acTL", (2).to_bytes(4) + bytes(4)) + data[at + 16 :]


PNG: dict[str, Callable[[], bytes]] = {
    "private chunk": lambda: with_chunk(b"prVt", SECRET),
    "suggested palette": lambda: with_chunk(b"sPLT", SECRET),
    "palette of true colours": lambda: with_chunk(b"PLTE", SECRET),
    "frequencies of colours": lambda: with_chunk(b"hIST", SECRET[:512]),
    "behind the profile": lambda: with_chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILE + SECRET)),
    "behind the packed profile": lambda: with_chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILE) + SECRET),
    "no profile at all": lambda: with_chunk(b"iCCP", b"x\0\0" + zlib.compress(SECRET)),
    "private tag of the profile": lambda: with_chunk(b"iCCP", b"x\0\0" + zlib.compress(_private_tag())),
    "behind the samples": lambda: with_samples(lambda packed: packed + SECRET),
    "more rows": lambda: with_samples(lambda packed: zlib.compress(zlib.decompress(packed) + SECRET)),
    "another chunk of samples": lambda: with_samples(lambda packed: packed).replace(
        chunk(b"IEND", b""), chunk(b"IDAT", SECRET) + chunk(b"IEND", b"")
    ),
    "end of a chunk": lambda: with_chunk(b"gAMA", (45455).to_bytes(4) + SECRET),
    "chunk twice": lambda: with_chunk(b"pHYs", bytes(9), with_chunk(b"pHYs", SECRET[:9])),
    "slack of EXIF": lambda: with_chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0" + SECRET),
    "words": lambda: saved("PNG", pnginfo=_words()),
    "time": lambda: with_chunk(b"tIME", bytes([7, 232, 1, 2, 3, 4, 5])),
    "behind the end": lambda: saved("PNG") + SECRET,
    "picture that is not counted": too_few_counted,
}


def _words() -> PngImagePlugin.PngInfo:
    words = PngImagePlugin.PngInfo()
    words.add_text("of", "Ada", zip=True)
    return words


def _private_tag() -> bytes:
    at = len(PROFILE)
    count = int.from_bytes(PROFILE[128:132])
    body = SECRET * 10
    moved = bytearray(PROFILE[:128] + (count + 1).to_bytes(4))
    for n in range(count):
        name, start, size = struct.unpack_from(">4sII", PROFILE, 132 + 12 * n)
        moved += struct.pack(">4sII", name, start + 12, size)
    moved += struct.pack(">4sII", b"prVt", at + 12, len(body)) + PROFILE[132 + 12 * count :] + body
    moved[:4] = len(moved).to_bytes(4)
    return bytes(moved)


def gif_extension(label: int, *blocks: bytes) -> bytes:
    return b"\x21" + bytes([label]) + b"".join(bytes([len(one)]) + one for one in blocks) + b"\0"


def in_gif(more: bytes) -> bytes:
    data = saved("GIF", "P")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + more + data[at:]


def behind_codes() -> bytes:
    data = saved("GIF", "P")
    return data[:-2] + bytes([200]) + SECRET[:200] + data[-2:]


def beyond_screen() -> bytes:
    data = bytearray(saved("GIF", "P"))
    data[6:10] = struct.pack("<HH", 40, 48)
    return bytes(data)


GIF: dict[str, Callable[[], bytes]] = {
    "comment": lambda: in_gif(gif_extension(0xFE, b"of Ada")),
    "application": lambda: in_gif(gif_extension(0xFF, b"XMP DataXMP", SECRET[:200])),
    "behind the loops": lambda: in_gif(gif_extension(0xFF, b"NETSCAPE2.0", b"\1\0\0", SECRET[:200])),
    "plain text": lambda: in_gif(gif_extension(0x01, bytes(12), b"of Ada")),
    "behind the codes": behind_codes,
    "behind the end": lambda: saved("GIF", "P") + SECRET,
    "beyond the screen": beyond_screen,
    "end of a control block": lambda: in_gif(gif_extension(0xF9, b"\0\0\0\0", SECRET[:200])),
}


def riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def in_webp(more: bytes, data: bytes | None = None) -> bytes:
    data = data or saved("WEBP")
    body = data[8:] + more
    return b"RIFF" + struct.pack("<I", len(body)) + body


def longer_chunk(data: bytes, name: bytes) -> bytes:
    at = data.index(name)
    size = struct.unpack_from("<I", data, at + 4)[0]
    body = data[at + 8 : at + 8 + size]
    return in_webp(b"", data[:at] + riff(name, body + SECRET) + data[at + 8 + size + size % 2 :])


WEBP: dict[str, Callable[[], bytes]] = {
    "unknown chunk": lambda: in_webp(riff(b"PRVT", SECRET)),
    "behind lossy samples": lambda: longer_chunk(saved("WEBP"), b"VP8 "),
    "behind lossless samples": lambda: longer_chunk(saved("WEBP", lossless=True), b"VP8L"),
    "behind the profile": lambda: saved("WEBP", icc_profile=PROFILE + SECRET),
    "behind the end": lambda: saved("WEBP") + SECRET,
    "slack of EXIF": lambda: saved("WEBP", exif=EMPTY_EXIF + SECRET),
    "XMP": lambda: saved("WEBP", xmp=b"<x/>"),
}


def tiff_strip() -> bytes:
    """Return a TIFF whose one strip is longer than its samples."""
    data = saved("TIFF", compression="tiff_adobe_deflate")
    with Image.open(io.BytesIO(data)) as image:
        (start,), (size,) = image.tag_v2[273], image.tag_v2[279]  # type: ignore[attr-defined]
    at = len(data)
    moved = data + data[start : start + size] + SECRET
    moved = moved.replace(struct.pack("<HHII", 273, 4, 1, start), struct.pack("<HHII", 273, 4, 1, at))
    return _longer(moved, size).replace(data[start : start + size], bytes(size), 1)


def _longer(data: bytes, size: int) -> bytes:
    for kind, form in ((4, "<HHII"), (3, "<HHIHxx")):
        data = data.replace(struct.pack(form, 279, kind, 1, size), struct.pack("<HHII", 279, 4, 1, size + len(SECRET)))
    return data


TIFF: dict[str, Callable[[], bytes]] = {
    "behind everything": lambda: saved("TIFF") + SECRET,
    "behind the samples": tiff_strip,
    "behind the profile": lambda: saved("TIFF", icc_profile=PROFILE + SECRET),
    "private tag": lambda: saved("TIFF", tiffinfo={65000: SECRET}),
}


def bmp_gap() -> bytes:
    data = saved("BMP")
    return data[:10] + struct.pack("<I", 54 + len(SECRET)) + data[14:54] + SECRET + data[54:]


def bmp_rows() -> bytes:
    odd = picture().crop((0, 0, 61, 48))
    odd.save(memory := io.BytesIO(), "BMP")
    data = bytearray(memory.getvalue())
    data[54 + 183] = 77
    return bytes(data)


BMP: dict[str, Callable[[], bytes]] = {
    "before the samples": bmp_gap,
    "behind the samples": lambda: saved("BMP") + SECRET,
    "ends of rows": bmp_rows,
}


def box(name: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4) + name + body


JP2: dict[str, Callable[[], bytes]] = {
    "unknown box": lambda: saved("JPEG2000") + box(b"xml ", SECRET),
    "behind the end": lambda: saved("JPEG2000") + SECRET,
    "comment": lambda: _marked(b"\xff\x64" + (len(SECRET) + 4).to_bytes(2) + b"\0\0" + SECRET),
}


def _marked(marker: bytes) -> bytes:
    data = saved("JPEG2000", no_jp2=True)
    at = 4 + int.from_bytes(data[4:6])
    return data[:at] + marker + data[at:]


AVIF: dict[str, Callable[[], bytes]] = {
    "free box": lambda: saved("AVIF") + box(b"free", SECRET),
    "unknown box": lambda: saved("AVIF") + box(b"prvt", SECRET),
    "unknown extension": lambda: saved("AVIF") + box(b"uuid", SECRET),
    "bytes of no item": lambda: saved("AVIF") + box(b"mdat", SECRET),
    "behind the profile": lambda: saved("AVIF", icc_profile=PROFILE + SECRET),
    "XMP": lambda: saved("AVIF", xmp=b"<x/>"),
}

EVERY = [
    (f"{name} of {what}", f"out.{suffix}", make)
    for what, suffix, table in (
        ("PNG", "png", PNG), ("GIF", "gif", GIF), ("WebP", "webp", WEBP), ("TIFF", "tif", TIFF), ("BMP", "bmp", BMP),
        ("JPEG 2000", "jp2", JP2), ("AVIF", "avif", AVIF),
    )
    for name, make in table.items()
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), [one[1:] for one in EVERY], ids=[one[0] for one in EVERY])
def test_bytes_of_an_image_that_no_decoder_needs_are_leaks(
    check: Check, tmp_path: Path, name: str, make: Callable[[], bytes]
) -> None:
    assert kinds(check, tmp_path, name, make()) & {"rest", "picture", "metadata"}


@pytest.mark.usefixtures("has_turbojpeg")
@pytest.mark.parametrize("make", JPEG.values(), ids=JPEG)
def test_bytes_of_a_jpeg_that_no_decoder_needs_are_leaks(
    check: Check, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    assert kinds(check, tmp_path, "out.jpg", make()) & {"rest", "picture", "metadata"}


RESTARTED: list[dict[str, Any]] = [
    {"restart_marker_rows": 1}, {"restart_marker_blocks": 1}, {"restart_marker_blocks": 7, "progressive": True},
    {"restart_marker_blocks": 1, "subsampling": "4:2:2", "quality": 100}, {"mode": "L", "restart_marker_blocks": 5},
    {"mode": "CMYK", "restart_marker_blocks": 2}, {"progressive": True, "quality": 100, "restart_marker_rows": 2},
]  # fmt: skip


@pytest.mark.usefixtures("has_turbojpeg")
@pytest.mark.parametrize("options", RESTARTED, ids=str)
def test_jpegs_of_other_programs_with_restart_markers_pass_the_check(
    check: Check, tmp_path: Path, options: dict[str, Any]
) -> None:
    data = saved("JPEG", **options)
    assert b"\xff\xd1" in data
    assert kinds(check, tmp_path, "out.jpg", data) == set()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_images_of_other_programs_pass_the_check(check: Check, tmp_path: Path, name: str) -> None:
    assert kinds(check, tmp_path, "out", saved(name, "P" if name == "GIF" else "RGB")) == set()


@pytest.mark.usefixtures("has_turbojpeg")
def test_a_progressive_jpeg_passes_the_check(check: Check, tmp_path: Path) -> None:
    assert kinds(check, tmp_path, "good.jpg", saved("JPEG", progressive=True)) == set()


def video(format: str, codec: str = "mpeg4", **options: str) -> bytes:
    with av.open(memory := io.BytesIO(), "w", format=format, options=options) as container:
        stream: Any = container.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture()), "rgb24")))
        container.mux(stream.encode(None))
    return memory.getvalue()


def ebml(name: bytes, body: bytes) -> bytes:
    return name + (0x1000_0000 | len(body)).to_bytes(4) + body


def stray_packets() -> bytes:
    body = b"".join(b"\x47\x1a\xbc\x10" + SECRET[:184] for _ in range(3))
    return video("mpegts", "mpeg2video") + body


def stuffed() -> bytes:
    return video("mpegts", "mpeg2video") + b"\x47\x1f\xff\x10" + SECRET[:184]


def junk_in_avi(data: bytes) -> bytes:
    more = riff(b"JUNK", bytes(24) + SECRET)
    at = data.index(b"LIST", data.index(b"movi") - 8)
    return data[:4] + struct.pack("<I", len(data) + len(more) - 8) + data[8:at] + more + data[at:]


FILMS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "free box of MP4": ("mp4", lambda: video("mp4") + box(b"free", SECRET)),
    "unknown box of MP4": ("mp4", lambda: video("mp4") + box(b"prvt", SECRET)),
    "unknown extension of MP4": ("mp4", lambda: video("mp4") + box(b"uuid", SECRET)),
    "bytes of no sample of MP4": ("mp4", lambda: video("mp4") + box(b"mdat", SECRET)),
    "bytes of no sample of a fragmented MP4": (
        "mp4", lambda: video("mp4", movflags="frag_keyframe+empty_moov") + box(b"mdat", SECRET),
    ),
    "behind the boxes of MOV": ("mov", lambda: video("mov") + SECRET[:7]),
    "unknown words of MOV": ("mov", lambda: video("mov") + box(b"moov", box(b"udta", box(b"PRVT", SECRET)))),
    "padding of MKV": ("mkv", lambda: video("matroska") + ebml(b"\xec", SECRET)),
    "unknown element of MKV": ("mkv", lambda: video("matroska") + ebml(b"\x42\xff", SECRET)),
    "samples of no track of WebM": (
        "webm", lambda: video("webm", "libvpx") + ebml(b"\x1f\x43\xb6\x75", ebml(b"\xa3", b"\x87\0\0\x80" + SECRET)),
    ),
    "junk of AVI": ("avi", lambda: junk_in_avi(video("avi"))),
    "behind the end of AVI": ("avi", lambda: video("avi") + SECRET),
    "packets of no stream of TS": ("ts", stray_packets),
    "padding of TS": ("ts", stuffed),
    "padding of MPEG": ("mpg", lambda: video("vob", "mpeg2video") + b"\0\0\1\xbe" + len(SECRET).to_bytes(2) + SECRET),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "make"), FILMS.values(), ids=FILMS.keys())
def test_bytes_of_a_video_that_no_player_needs_are_leaks(
    check: Check, tmp_path: Path, suffix: str, make: Callable[[], bytes]
) -> None:
    assert kinds(check, tmp_path, f"out.{suffix}", make()) & {"rest", "picture", "metadata"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "codec", "options"),
    [("mp4", "mpeg4", {}), ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}), ("mov", "libx264", {}),
     ("matroska", "libx264", {}), ("webm", "libvpx", {}),
     ("avi", "mpeg4", {}), ("mpegts", "mpeg2video", {}), ("vob", "mpeg2video", {}), ("mp4", "libx265", {})],
)  # fmt: skip
def test_videos_of_other_programs_pass_the_check(
    check: Check, tmp_path: Path, format: str, codec: str, options: dict[str, str]
) -> None:
    assert kinds(check, tmp_path, "out", video(format, codec, **options)) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "make"), [("mp4", lambda: video("mp4")), ("avif", lambda: saved("AVIF"))])
def test_content_credentials_are_a_note_and_no_leak(
    check: Check, tmp_path: Path, suffix: str, make: Callable[[], bytes]
) -> None:
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(make() + box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + SECRET))
    result = check(path, PLAN)
    assert (result.leaks, len(result.notes)) == ((), 1)
