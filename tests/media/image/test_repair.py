"""Damage in parts that are dropped anyway does not prevent reading; errors tell damage, limits and support apart."""

import hashlib
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from velum import media
from velum.errors import BadInput, VelumError
from velum.limits import Limits

from .factories import Array, copy, encoded, frames, image, noise, profile, smooth

PICTURE = smooth(3)
LARGE = 3 << 20


def _pixels(path: Path) -> Array:
    (frame,) = frames(path)[1]
    return frame.planes[0].pixels


# PNG


def _chunk(name: bytes, content: bytes, *, harm: bool = False) -> bytes:
    checksum = zlib.crc32(name + content) ^ (1 if harm else 0)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _png(*chunks: bytes, behind: bytes = b"") -> bytes:
    """A PNG with further chunks in front of its samples, or behind them."""
    data = encoded(Image.fromarray(PICTURE), "PNG")
    end = data.index(b"IEND") - 4
    return data[:33] + b"".join(chunks) + data[33:end] + behind + data[end:]


NOISE = noise(LARGE).tobytes()
TEXTS: list[tuple[Callable[[], bytes], str]] = [
    (lambda: _png(_chunk(b"zTXt", b"Raw\0\0" + zlib.compress(bytes(LARGE)))), "compressed text above 1 MB"),
    (lambda: _png(_chunk(b"iTXt", b"XML\0\1\0\0\0" + zlib.compress(bytes(LARGE)))), "international text above 1 MB"),
    (
        lambda: _png(behind=_chunk(b"iTXt", b"XML\0\1\0\0\0" + zlib.compress(bytes(LARGE)))),
        "text behind the samples",
    ),
    (lambda: _png(*[_chunk(b"tEXt", b"Note\0" + bytes(1 << 20))] * 70), "70 MB of text in pieces"),
    (lambda: _png(_chunk(b"zTXt", b"Raw\0\7" + zlib.compress(b"text"))), "an unknown method of compression"),
    (lambda: _png(_chunk(b"zTXt", b"Raw\0\0damaged")), "compressed text that is damaged"),
    (lambda: _png(_chunk(b"tEXt", b"Note\0text", harm=True)), "a bad checksum in a text"),
    (lambda: _png(_chunk(b"tIME", bytes(7), harm=True)), "a bad checksum in a time"),
    (lambda: _png(_chunk(b"gAMA", struct.pack(">I", 45455), harm=True)), "a bad checksum in a gamma"),
    (lambda: _png(_chunk(b"gAMA", b"\0")), "a gamma of one byte"),
    (lambda: _png(_chunk(b"pHYs", b"\0\0")), "a resolution of two bytes"),
    (lambda: _png(_chunk(b"cHRM", bytes(5)), _chunk(b"sRGB", b"")), "colours of too few bytes"),
    (lambda: _png(_chunk(b"eXIf", b"no TIFF")), "EXIF that is none"),
    (lambda: _png(_chunk(b"prIv", bytes(99), harm=True)), "a chunk of somebody's own"),
]


@pytest.mark.parametrize(("make", "reason"), TEXTS, ids=[row[1] for row in TEXTS])
def test_damaged_chunks_that_are_not_needed_do_not_prevent_reading_a_png(
    tmp_path: Path, make: Callable[[], bytes], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(make())
    copy(tmp_path / "a.png", tmp_path / "out.png")
    assert np.array_equal(_pixels(tmp_path / "out.png"), PICTURE), reason
    assert (tmp_path / "out.png").stat().st_size < 20_000
    assert capfd.readouterr() == ("", ""), "libraries say nothing on the screen"


@pytest.mark.parametrize("size", [3000, LARGE])
def test_a_colour_profile_of_any_size_is_kept(tmp_path: Path, size: int) -> None:
    made = profile(size)
    (tmp_path / "a.png").write_bytes(_png(_chunk(b"iCCP", b"Printer\0\0" + zlib.compress(made))))
    for target in ("out.png", "out.tif", "out.jpg"):
        copy(tmp_path / "a.png", tmp_path / target)
        info, _ = frames(tmp_path / target)
        assert info.coding.first.icc == made
    copy(tmp_path / "out.png", tmp_path / "again.png")
    assert frames(tmp_path / "again.png")[0].coding.first.icc == made


@pytest.mark.parametrize(
    "chunk",
    [
        _chunk(b"iCCP", b"Bad\0\0damaged"),
        _chunk(b"iCCP", b"Bad\0\3" + zlib.compress(b"profile")),
        _chunk(b"iCCP", b"Bad\0\0" + zlib.compress(b"profile"), harm=True),
        _chunk(b"iCCP", b"no end of the name"),
        _chunk(b"iCCP", b"Bomb\0\0" + zlib.compress(bytes(80 << 20), 1)),
    ],
)
def test_an_unreadable_colour_profile_is_dropped_with_a_warning(tmp_path: Path, chunk: bytes) -> None:
    (tmp_path / "a.png").write_bytes(_png(chunk))
    writer = copy(tmp_path / "a.png", tmp_path / "out.png")
    assert np.array_equal(_pixels(tmp_path / "out.png"), PICTURE)
    assert "the colour profile cannot be read and is left out" in writer.warnings


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_chunk_length_beyond_the_file_allocates_no_memory(tmp_path: Path, kind: type[np.generic]) -> None:
    """OpenCV would take and clear the 4 GB that a chunk says to have, for seconds."""
    data = cv2.imencode(".png", noise(20, 30, 3, kind=kind))[1].tobytes()
    (tmp_path / "a.png").write_bytes(data[:33] + b"\xf0\0\0\0tEXt" + data[33:])
    code = """if True:
        import pathlib, re, sys
        from velum import media
        from velum.errors import VelumError
        from velum.limits import Limits
        try:
            with media.open_source(pathlib.Path(sys.argv[1]), Limits()) as reader:
                list(reader.frames())
        except VelumError:
            pass
        # Not ru_maxrss, which begins with that of the process that started this one.
        print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
        """
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1_000_000, "in kilobytes"


def test_a_chunk_that_changes_the_image_is_not_dropped(tmp_path: Path) -> None:
    """Without its transparency the picture would show what it hides."""
    data = encoded(image("P"), "PNG", transparency=5)
    at = data.index(b"tRNS")
    end = at + 4 + int.from_bytes(data[at - 4 : at])
    (tmp_path / "a.png").write_bytes(data[:end] + b"\0\0\0\0" + data[end + 4 :])
    with pytest.raises(BadInput, match="damaged"):
        frames(tmp_path / "a.png")


# JPEG

PROGRESSIVE = encoded(Image.fromarray(PICTURE), "JPEG", progressive=True)
BASELINE = encoded(Image.fromarray(PICTURE), "JPEG")
GREY = encoded(Image.fromarray(smooth()), "JPEG", progressive=True)
JPEGS = pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE, GREY], ids=["baseline", "progressive", "grey"])


@JPEGS
@pytest.mark.parametrize("tail", [b"", b"\xff", b"\0", b"\0" * 40])
def test_a_jpeg_without_its_end_marker_is_read_with_a_warning(tmp_path: Path, data: bytes, tail: bytes) -> None:
    (tmp_path / "whole.jpg").write_bytes(data)
    (tmp_path / "a.jpg").write_bytes(data[:-2] + tail)
    assert np.array_equal(_pixels(tmp_path / "a.jpg"), _pixels(tmp_path / "whole.jpg"))
    writer = copy(tmp_path / "a.jpg", tmp_path / "out.jpg")
    assert "the file has no end mark; the image is complete" in writer.warnings
    assert (tmp_path / "out.jpg").read_bytes().endswith(b"\xff\xd9")
    assert not any("end mark" in warning for warning in copy(tmp_path / "whole.jpg", tmp_path / "b.jpg").warnings)


def _cuts(data: bytes) -> Iterator[int]:
    """Places where some of the picture is missing: between scans, within them, shortly before their end."""
    at = data.index(b"\xff\xda")
    while (at := data.find(b"\xff", at + 2)) >= 0:
        if data[at + 1] not in {0, 0xD9}:
            yield at
    yield from (len(data) - missing for missing in (4, 5, 9, 30, 100))


FILM = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + noise(5000).tobytes()
BEHIND = {
    "film": FILM,
    "Samsung's film": b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + FILM + b"SEFH\x6b\0\0\0\1\0\0\0\0\0\x30\x0aSEFT",
    "a film with a JPEG in it": FILM + encoded(Image.fromarray(PICTURE), "JPEG"),
}


@JPEGS
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
def test_a_motion_photo_without_the_end_marker_of_its_photo_is_read(tmp_path: Path, data: bytes, behind: bytes) -> None:
    (tmp_path / "whole.jpg").write_bytes(data)
    (tmp_path / "a.jpg").write_bytes(data[:-2] + behind)
    assert np.array_equal(_pixels(tmp_path / "a.jpg"), _pixels(tmp_path / "whole.jpg"))
    writer = copy(tmp_path / "a.jpg", tmp_path / "out.jpg")
    assert "the file has no end mark; the image is complete" in writer.warnings
    assert b"ftyp" not in (tmp_path / "out.jpg").read_bytes()


@JPEGS
def test_a_motion_photo_that_lacks_more_is_refused(tmp_path: Path, data: bytes) -> None:
    for cut in _cuts(data):
        (tmp_path / "a.jpg").write_bytes(data[:cut] + BEHIND["a film with a JPEG in it"][:5000])
        with pytest.raises(BadInput, match="truncated"):
            frames(tmp_path / "a.jpg")


@JPEGS
@pytest.mark.parametrize("more", [1, 3])
def test_a_jpeg_with_a_repeated_start_marker_is_read(tmp_path: Path, data: bytes, more: int) -> None:
    (tmp_path / "whole.jpg").write_bytes(data)
    (tmp_path / "a.jpg").write_bytes(data[:2] * more + data)
    assert np.array_equal(_pixels(tmp_path / "a.jpg"), _pixels(tmp_path / "whole.jpg"))
    writer = copy(tmp_path / "a.jpg", tmp_path / "out.jpg")
    assert "the file has its start mark more than once" in writer.warnings
    assert (tmp_path / "out.jpg").read_bytes()[:4] == data[:4]


@JPEGS
def test_a_jpeg_that_lacks_more_is_refused(tmp_path: Path, data: bytes) -> None:
    for cut in _cuts(data):
        (tmp_path / "a.jpg").write_bytes(data[:cut])
        with pytest.raises(BadInput, match="truncated"):
            frames(tmp_path / "a.jpg")


@JPEGS
def test_an_end_marker_in_trailing_bytes_does_not_complete_a_jpeg(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data + b"SEFT, which a phone writes" + bytes(9))
    writer = copy(tmp_path / "a.jpg", tmp_path / "out.jpg")
    assert not any("end mark" in warning for warning in writer.warnings)


SEGMENTS = [
    (0xE0, b"JFIF\0"),
    (0xE0, b"JFIF\0\x01"),
    (0xE0, b"JFXX\0\x10"),
    (0xE1, b"Exif\0\0"),
    (0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x"),
    (0xE2, b"ICC_PROFILE\0"),
    (0xE2, b"ICC_PROFILE\0\1"),
    (0xE2, b"MPF\0"),
    (0xED, b"Photoshop 3.0\x008BIM\4\4"),
    (0xEE, b"Adobe"),
    (0xFE, b""),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("marker", "body"), SEGMENTS)
def test_damaged_segments_that_are_not_needed_do_not_prevent_reading_a_jpeg(
    tmp_path: Path, marker: int, body: bytes
) -> None:
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
    (tmp_path / "a.jpg").write_bytes(BASELINE[:2] + segment + BASELINE[2:])
    (tmp_path / "whole.jpg").write_bytes(BASELINE)
    assert np.array_equal(_pixels(tmp_path / "a.jpg"), _pixels(tmp_path / "whole.jpg"))
    copy(tmp_path / "a.jpg", tmp_path / "out.jpg")


# GIF and WebP


def test_a_gif_without_its_end_marker_is_read_with_a_warning(tmp_path: Path) -> None:
    still = encoded(image("P"), "GIF")
    moving = encoded(image("P"), "GIF", save_all=True, append_images=[image("P", 1)])
    for data, count in ((still, 1), (moving, 2)):
        (tmp_path / "a.gif").write_bytes(data[:-1])
        assert len(frames(tmp_path / "a.gif")[1]) == count
        writer = copy(tmp_path / "a.gif", tmp_path / "out.gif", overwrite=True)
        assert any("no end mark" in warning for warning in writer.warnings)
        assert (tmp_path / "out.gif").read_bytes().endswith(b";")


TURNED = Image.Exif()
TURNED[0x0112] = 3
WEBP = encoded(Image.fromarray(PICTURE), "WEBP", lossless=True, exif=TURNED.tobytes())
WEBPS = [
    (WEBP, 3, "whole"),
    (WEBP[:-5], 1, "its EXIF is cut off"),
    (WEBP[: WEBP.index(b"EXIF") + 8], 1, "nothing of its EXIF is there"),
    (WEBP[:4] + struct.pack("<I", len(WEBP) + 90) + WEBP[8:], 3, "a length beyond the file"),
    (WEBP[:4] + struct.pack("<I", 60) + WEBP[8:], 3, "a length within the file"),
    (WEBP.replace(b"EXIF", b"EXIF\xff\xff\xff\x0f"), 1, "a length of EXIF beyond the file"),
]


@pytest.mark.parametrize(("data", "orientation", "reason"), WEBPS, ids=[row[2] for row in WEBPS])
def test_truncated_metadata_does_not_prevent_reading_a_webp(
    tmp_path: Path, data: bytes, orientation: int, reason: str
) -> None:
    (tmp_path / "a.webp").write_bytes(data)
    info, (frame,) = frames(tmp_path / "a.webp")
    assert np.array_equal(frame.planes[0].pixels, PICTURE), reason
    assert info.coding.orientation == orientation
    copy(tmp_path / "a.webp", tmp_path / "out.webp")


def test_a_webp_with_truncated_samples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(WEBP[: WEBP.index(b"EXIF") - 9])
    with pytest.raises(BadInput, match="truncated"):
        frames(tmp_path / "a.webp")


# What is said


def _sof(kind: int, bits: int = 8) -> bytes:
    """A JPEG whose start of frame is of another kind."""
    at = BASELINE.index(b"\xff\xc0")
    data = bytearray(BASELINE)
    data[at + 1], data[at + 4] = kind, bits
    return bytes(data)


def _tiff(tag: int, value: int) -> bytes:
    data = bytearray(encoded(Image.fromarray(PICTURE), "TIFF"))
    at = next(at for at in range(8, len(data)) if data.startswith(struct.pack("<HHI", tag, 3, 1), at))
    struct.pack_into("<H", data, at + 8, value)
    return bytes(data)


SAID = [
    (_sof(0xC3), r"JPEG is not supported \(lossless\)"),
    (_sof(0xC1, 12), r"JPEG is not supported \(12 bits per sample\)"),
    (_sof(0xF7), r"JPEG is not supported \(JPEG-LS\)"),
    (_tiff(259, 34712), r"TIFF is not supported \(compression 34712\)"),
    (_tiff(262, 10), r"TIFF is not supported \(photometric interpretation 10"),
    (encoded(Image.fromarray(PICTURE), "TIFF")[:-400], "damaged or truncated"),
    (encoded(Image.fromarray(PICTURE), "WEBP")[:-40], "damaged or truncated"),
    (_png()[:70], "damaged or truncated"),
    (BASELINE[:150], "damaged or truncated"),
]


@pytest.mark.filterwarnings("ignore")  # Pillow warns before it fails
@pytest.mark.parametrize(("data", "says"), SAID)
def test_only_damage_is_called_damage(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(BadInput, match=says) as caught:
        frames(tmp_path / "a")
    message = str(caught.value)
    assert ("copy the file again" in message) == ("damaged" in says)
    assert not [word for word in (" object", "0x", "Plugin", "NoneType", "OpenCV", "<_io", "buffer") if word in message]


@pytest.mark.filterwarnings("ignore")
def test_messages_mention_no_python_internals(tmp_path: Path) -> None:
    """Whatever is damaged: errors of an index, a type or an unpacking are nothing for those who read it."""
    rng = np.random.default_rng(0)
    files = [encoded(Image.fromarray(PICTURE), kind) for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000")]
    for data in [*files, encoded(image("P"), "GIF")]:
        for _ in range(60):
            harmed = bytearray(data)
            for place in rng.integers(4, min(len(data), 200), 3):
                harmed[place] = rng.integers(256)
            (tmp_path / "a").write_bytes(harmed)
            message = _said_of(tmp_path / "a")
            for word in (" object", "0x", "Plugin", "NoneType", "OpenCV", "<_io", "buffer", "subscript"):
                assert word not in message


def _said_of(path: Path) -> str:
    try:
        with media.open_source(path, Limits(pixels=10**6)) as reader:
            list(reader.frames())
    except VelumError as error:
        return str(error)
    return ""


def test_libraries_print_nothing(tmp_path: Path) -> None:
    """In a process of its own: under pytest, warnings are another thing."""
    bad_exif = b"\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\xff\xff"
    odd_jfif = BASELINE.replace(b"JFIF\0\x01", b"JFIF\0\x78", 1)
    files = [data for data in (make() for make, _ in TEXTS) if len(data) < 10**6] + [data for data, _ in SAID]
    files += [BASELINE[:2] + bad_exif + BASELINE[2:], odd_jfif, BASELINE[:-2]]
    for number, data in enumerate(files):
        (tmp_path / str(number)).write_bytes(data)
    code = """if True:
        import sys, pathlib
        from velum import media
        from velum.errors import VelumError
        from velum.limits import Limits
        for path in pathlib.Path(sys.argv[1]).iterdir():
            try:
                with media.open_source(path, Limits()) as reader:
                    list(reader.frames())
            except VelumError:
                pass
        """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_hash_is_that_of_the_original_file(tmp_path: Path) -> None:
    """A report names the file that was given, not the one that decoders were given."""
    source = tmp_path / "a.png"
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "text")
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG", pnginfo=info)
    source.write_bytes(file.getvalue())
    with media.open_source(source, Limits()) as reader:
        assert reader.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "private")
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "behind", "expected"),
    [
        ("JPEG", _zip(), ["the file also holds a ZIP archive, which was left out"]),
        ("PNG", _zip(), ["the file also holds a ZIP archive, which was left out"]),
        ("JPEG", b"Rar!\x1a\x07\x01\0" + bytes(90), ["the file also holds a RAR archive, which was left out"]),
        ("JPEG", b"7z\xbc\xaf\x27\x1c\0\4" + bytes(90), ["the file also holds a 7z archive, which was left out"]),
        ("JPEG", b"PK\3\4" + bytes(90), []),
    ],
)
def test_an_archive_behind_an_image_is_left_out_with_a_warning(
    format: str, behind: bytes, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(PICTURE), format) + behind)
    warnings = copy(tmp_path / "a", tmp_path / f"b.{format.lower()}").warnings
    assert [warning for warning in warnings if "archive" in warning] == expected
    assert behind not in (tmp_path / f"b.{format.lower()}").read_bytes()


ANOTHER = "the file also holds another JPEG behind the first one, which was left out"


@pytest.mark.parametrize(
    ("more", "warnings"),
    [(0, []), (1, [ANOTHER]), (5, None)],
    ids=["a photograph", "with a preview behind it", "a stream of pictures"],
)
def test_jpegs_behind_a_jpeg_are_reported_and_a_stream_of_them_is_refused(
    more: int, warnings: list[str] | None, tmp_path: Path
) -> None:
    small = Image.fromarray(PICTURE).resize((16, 16))
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encoded(small, "JPEG")  # a thumbnail is no further picture
    picture = encoded(Image.fromarray(PICTURE), "JPEG")
    data = picture[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + picture[2:]
    (tmp_path / "a.mjpeg").write_bytes(data + picture * more)
    if warnings is None:
        with pytest.raises(BadInput, match="it is a stream of JPEG pictures; put it into a container"):
            copy(tmp_path / "a.mjpeg", tmp_path / "b.jpg")
        assert not (tmp_path / "b.jpg").exists()
    else:
        assert [text for text in copy(tmp_path / "a.mjpeg", tmp_path / "b.jpg").warnings if "JPEG" in text] == warnings
