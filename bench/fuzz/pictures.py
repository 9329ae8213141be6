"""Pictures and short videos, hidden as anybody's: what fails leaves no file behind."""

import contextlib
import functools
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pikepdf
from PIL import Image, ImageOps, ImageSequence

from velum.engine.engine import Engine
from velum.errors import VelumError
from velum.limits import Limits
from velum.media.archive import container_of
from velum.media.formats import video_format_of
from velum.media.image.decode_cost import MOST_SCANS, is_light, scans_of
from velum.plan import Plan

_PLAN = Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken")
_STILLS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 80}, "PNG": {}, "GIF": {}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"},
    "BMP": {}, "AVIF": {}, "JPEG2000": {},
}  # fmt: skip


_CLIPS = ((".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mpeg4"), (".webm", "libvpx-vp9"))
_ALPHA_CLIPS = (
    (".webm", "libvpx-vp9", "yuva420p"), (".mkv", "libvpx", "yuva420p"), (".mov", "prores_ks", "yuva444p10le"),
    (".mov", "qtrle", "argb"), (".avi", "ffvhuff", "yuva420p"), (".mkv", "ffv1", "ya8"),
)  # fmt: skip
_LAYOUT_CLIPS = (
    (".avi", "rawvideo", "bgr24"), (".mov", "rawvideo", "uyvy422"), (".mov", "rawvideo", "rgb565le"),
    (".avi", "huffyuv", "yuv422p"), (".mov", "prores_ks", "yuv422p10le"), (".mov", "png", "rgb48be"),
    (".mkv", "ffv1", "yuv411p"), (".mkv", "libx264", "yuv444p10le"), (".mkv", "libx264rgb", "bgr0"),
)  # fmt: skip


_CODING_ERROR = 40
"""Most that a sample of a black zone may have in a lossy video, beside the noise around it."""


@functools.cache
def _engine() -> Engine:
    return Engine(limits=Limits(bytes=1 << 20, pixels=1_000_000, frames=50, video_frames=200, seconds=60))


def _pixels(shape: tuple[int, ...]) -> "np.typing.NDArray[np.uint8]":
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


@functools.cache
def stills() -> list[bytes]:
    """One small picture of each format, some with Exif, a palette, alpha or several frames."""
    made = []
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "words", 6
    for kind, options in _STILLS.items():
        buffer = io.BytesIO()
        more: dict[str, Any] = {"exif": exif} if kind in {"JPEG", "PNG", "WEBP", "AVIF"} else {}
        Image.fromarray(_pixels((32, 40, 3))).save(buffer, kind, **options, **more)
        made.append(buffer.getvalue())
    grey = Image.fromarray(_pixels((32, 40)))
    for kind, image, options in (
        ("JPEG", grey, {"progressive": True}), ("PNG", grey.convert("P"), {}),
        ("PNG", Image.fromarray(_pixels((32, 40, 4))), {}), ("TIFF", grey.convert("I;16"), {}),
        ("GIF", grey, {"save_all": True, "append_images": [grey.rotate(90)], "duration": 50}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made.append(buffer.getvalue())
    return made


@functools.cache
def heavy() -> list[bytes]:
    """Small files that ask for as much work as is done: scans that repeat, many frames, many segments."""
    still, progressive = stills()[0], stills()[8]
    frame = b"\x21\xf9\x04\0\x0a\0\0\0," + bytes(4) + b"\1\0\1\0\0\2\2\x4c\1\0"
    return [
        _with_repeated_scan(progressive, 40),
        b"GIF89a\x40\0\x30\0\x80\0\0" + bytes(3) + b"\xff" * 3 + frame * 49 + b";",
        b"\xff\xd8" + b"\xff\xfe\0\2" * 3000 + still[2:],
    ]


def weigh(data: bytes, folder: Path) -> None:
    """Tell whether a file is light, as the service does, and hide it; then what asks for more than is done."""
    if is_light(data, "JPEG"):
        assert scans_of(data, MOST_SCANS) <= MOST_SCANS, "a light JPEG has many scans"
    for kind in ("PNG", "BMP", "WEBP"):
        is_light(data, kind)
    scans_of(_with_repeated_scan(data, 1000), 100)
    with contextlib.suppress(VelumError):
        hide(_with_repeated_scan(data, 1000), folder)
    for path in folder.iterdir():
        path.unlink()
    hide(data, folder)


def _with_repeated_scan(data: bytes, times: int) -> bytes:
    """Return a JPEG with its last scan so many times more."""
    return data[:-2] + data[max(0, data.rfind(b"\xff\xda")) : -2][:1000] * times + data[-2:]


@functools.cache
def clips() -> list[bytes]:
    """One short video of each container."""
    return [_clip(suffix, codec) for suffix, codec in _CLIPS]


@functools.cache
def transparent() -> list[bytes]:
    """Pictures and short videos with alpha, in each way to store it."""
    rgba = Image.fromarray(_pixels((32, 40, 4)))
    palette = Image.fromarray(_pixels((32, 40)) // 16, "P")
    palette.putpalette(_pixels((16, 3)).tobytes())
    made = [_clip(*clip) for clip in _ALPHA_CLIPS]
    for kind, image, options in (
        ("PNG", rgba, {}), ("PNG", rgba.convert("LA"), {}), ("PNG", palette, {"transparency": 3}),
        ("WEBP", rgba, {"lossless": True}), ("TIFF", rgba, {"compression": "tiff_lzw"}), ("AVIF", rgba, {}),
        ("GIF", palette, {"transparency": 3, "save_all": True, "append_images": [palette.rotate(90)]}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made.append(buffer.getvalue())
    return made


@functools.cache
def layouts() -> list[bytes]:
    """Short videos whose pixels are stored in unusual layouts."""
    return [_clip(*clip) for clip in _LAYOUT_CLIPS]


def _clip(suffix: str, codec: str, layout: str = "yuv420p") -> bytes:
    with tempfile.TemporaryDirectory(prefix="velum-fuzz-") as folder:
        path = Path(folder) / f"clip{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, 25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 48, layout
            if codec in {"libvpx", "libvpx-vp9"} and layout.startswith("yuva"):
                stream.metadata["alpha_mode"], stream.options = "1", {"auto-alt-ref": "0"}
            for _ in range(5):
                frame = av.VideoFrame.from_ndarray(_pixels((48, 64, 4)), "rgba")
                container.mux(stream.encode(frame.reformat(format=layout)))
            container.mux(stream.encode())
        return path.read_bytes()


@functools.cache
def containers() -> list[bytes]:
    """A small archive or document of each kind, with a picture, and one in another."""
    picture, made = stills()[1], []
    relations = b'<Relationships><Relationship Id="r" Target="docProps/thumbnail.png"/></Relationships>'
    properties = b'<c:coreProperties xmlns:c="c"><c:creator>Jane</c:creator></c:coreProperties>'
    word = {"[Content_Types].xml": b"<Types/>", "_rels/.rels": relations, "docProps/core.xml": properties,
            "word/document.xml": b'<d r:rsidR="1" xmlns:r="r"/>', "word/media/a.png": picture}  # fmt: skip
    text = {"mimetype": b"application/vnd.oasis.opendocument.text", "Pictures/a.png": picture,
            "meta.xml": b"<document-meta><meta><creator>Jane</creator></meta></document-meta>"}  # fmt: skip
    book = {"mimetype": b"application/epub+zip", "a.png": picture, "b.opf": b"<package><metadata/></package>"}
    for members in (word, text, book, {"a.txt": b"text", "b/a.png": picture}):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", method) as archive:
                for name, data in members.items():
                    archive.writestr(zipfile.ZipInfo(name), data, method)
            made.append(buffer.getvalue())
    modes: tuple[Literal["w", "w:gz"], ...] = ("w", "w:gz")
    for mode in modes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as tar:
            for name, data in (("a.png", picture), ("b.zip", made[6])):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        made.append(buffer.getvalue())
    return [*made, _document(picture)]


def _document(picture: bytes) -> bytes:
    """A PDF of one page with a picture in its commands, one among its resources, and a comment."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(100, 100)).obj
        with Image.open(io.BytesIO(picture)) as opened:
            (width, height), samples = opened.size, opened.convert("RGB").tobytes()
        image = pikepdf.Stream(pdf, samples)
        image.Subtype, image.Width, image.Height = pikepdf.Name.Image, width, height
        image.ColorSpace, image.BitsPerComponent = pikepdf.Name.DeviceRGB, 8
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(A=pdf.make_indirect(image)))
        inline = b"BI /W 16 /H 16 /CS /G /BPC 8 ID " + samples[:256] + b" EI"
        page.Contents = pikepdf.Stream(pdf, b"q 50 0 0 50 0 0 cm /A Do Q q 9 0 0 9 60 60 cm " + inline + b" Q")
        note = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Text, Contents="Jane")
        page.Annots = pikepdf.Array([note])
        buffer = io.BytesIO()
        pdf.save(buffer, compress_streams=False)
    return buffer.getvalue()


def hide_members(data: bytes, folder: Path) -> None:
    """Hide in an archive or a document. What fails leaves nothing; what does not is a container that opens again."""
    source, target = folder / "in.zip", folder / "out.zip"  # names do not count
    source.write_bytes(data)
    try:
        _engine().hide(source, target, _PLAN)
    except VelumError:
        left = [path.name for path in folder.iterdir() if path != source]
        assert not left, f"left behind: {left}"
        raise
    assert container_of(target) == container_of(source), "the result is another kind of container"


def hide(data: bytes, folder: Path) -> None:
    """Hide a file's zone. What fails must leave the folder as it was; what does not, a file that opens again."""
    # The name may be wrong, as names are; which one it is depends on the input alone.
    source = folder / f"in{(len(data) % 5 == 0 and '.png') or '.jpg'}"
    source.write_bytes(data)
    target = folder / ("out.mkv" if _is_video(data) else "out.png")
    try:
        _engine().hide(source, target, _PLAN)
    except VelumError:
        left = [path.name for path in folder.iterdir() if path != source]
        assert not left, f"left behind: {left}"
        raise
    assert target.is_file(), "no error, and no file"


def hide_to_black(data: bytes, folder: Path) -> None:
    """Hide a file's zone as `hide` does; where that does not fail, the zone is black in every frame of the result."""
    hide(data, folder)
    brightest = max((int(frame[6:18, 6:18].max(initial=0)) for frame in _frames_of(folder)), default=0)
    assert brightest <= _CODING_ERROR, f"the hidden zone has samples of {brightest}"


def _frames_of(folder: Path) -> "Iterator[np.typing.NDArray[np.uint8]]":
    """Yield the frames of a result as they are shown, in RGB, without transparency."""
    still, clip = folder / "out.png", folder / "out.mkv"
    if still.is_file():
        with Image.open(still) as opened:
            for page in ImageSequence.Iterator(opened):
                yield np.asarray(ImageOps.exif_transpose(page).convert("RGB"))
    else:
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _is_video(data: bytes) -> bool:
    return video_format_of(data[:64]) is not None
