"""Writer of images: it publishes a complete file, or nothing. Errors of Pillow and pillow-heif are translated here."""

import io
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base

from velum.atomic import AtomicWriter, ensure_free, keep_original, publish
from velum.errors import BadPlan, OutputFailed, Unavailable, VelumError
from velum.file_hash import sha256_of_stream
from velum.frame import Frame, Plane, Role
from velum.media.formats import format_for
from velum.media.image import bmp_masks, encode_options, jpeg_blocks, sixteen_bit
from velum.media.image.info import ImageInfo, ImagePage
from velum.plan import Plan

_FAILURES = (OSError, RuntimeError, struct.error, TypeError, ValueError, SyntaxError, MemoryError, OverflowError)
_CODESTREAMS = {".j2c", ".j2k"}


class ImageWriter(AtomicWriter):
    """Writer of one image file. Use it in a `with` block: leaving that without an error publishes the file.

    `sha256`, `encoding` and `warnings` are final once the file is published. A frame of an animation that equals the
    one before may be stored as a longer display time of that one; pages are never merged.
    """

    def __init__(self, target: Path, info: ImageInfo, plan: Plan, *, overwrite: bool) -> None:
        self._target, self._info, self._plan, self._overwrite = target, info, plan, overwrite
        self._format = format_for(target)
        keep_original(target, info.source)
        ensure_free(target, overwrite=overwrite)
        encode_options.refuse(target, self._format, info, info.coding.first)
        self._options = encode_options.choose_options(self._format, info, plan)
        super().__init__()
        self._count = 0
        self._approximate = 0
        self._durations_ms: list[float] = []
        self.sha256: str | None = None

    @property
    def encoding(self) -> str:
        """How the samples were encoded, for the report."""
        return self._options.encoding

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the report."""
        return tuple(self._options.warnings)

    def _begin(self, stack: ExitStack) -> None:
        part = stack.enter_context(publish(self._target, overwrite=self._overwrite))
        self._file: IO[bytes] = stack.enter_context(io.BufferedRandom(_FileWithoutDescriptor(part, "r+")))
        if self._info.frames > 1 and self._format == "TIFF":
            self._pages = _Pages(self._file, new=True)
        elif self._info.frames > 1:
            with _translate_errors(self._target):
                self._spool = _Spool.beside(self._target)
            stack.callback(self._spool.close)

    def write(self, frame: Frame) -> None:
        """Write the next frame.

        Raises `BadPlan` when the format cannot hold it and `OutputFailed` when it cannot be written.
        """
        if frame.index != self._count or self._count >= self._info.frames:
            raise OutputFailed(
                f"cannot write {self._target}: got frame {frame.index} instead of frame {self._count} of "
                f"{self._info.frames}; nothing was published"
            )
        if len(frame.planes) != 1 or frame.planes[0].pixels.shape[0] == 0:
            raise BadPlan(f"cannot write {self._target}: an image has one plane, this frame has {len(frame.planes)}")
        page = frame.page if isinstance(frame.page, ImagePage) else self._info.coding.first
        encode_options.refuse(self._target, self._format, self._info, page)
        with _translate_errors(self._target):
            if not self._write_edited_jpeg(frame, page):
                self._write_plane(frame.planes[0], page)
        self._durations_ms.append(page.duration_ms)
        self._count += 1

    def _write_edited_jpeg(self, frame: Frame, page: ImagePage) -> bool:
        """Write the source's JPEG with only the touched blocks encoded again; return False where that is impossible."""
        source = self._info.coding.jpeg
        if self._format != "JPEG" or source is None or self._plan.quality is not None or frame.touched is None:
            return False
        try:
            options = encode_options.page_options(self._options, page, self._plan)
            self._file.write(jpeg_blocks.edit_blocks(source, frame.planes[0], frame.touched, options))
        except jpeg_blocks.Inexact as reason:
            self._options.encoding += f" (not exact: {reason})"
            if str(reason) == jpeg_blocks.NO_LIBRARY:
                self._options.warnings.append(
                    "the whole JPEG is encoded anew, because the TurboJPEG library is not on this system; install it "
                    "(Debian, Ubuntu: libturbojpeg0; Fedora: turbojpeg; macOS: jpeg-turbo)"
                )
            return False
        self._options.encoding = "exact: jpeg, only the blocks that a region touches are coded anew"
        return True

    def _write_plane(self, plane: Plane, page: ImagePage) -> None:
        if encode_options.reduces(page, self._format):
            plane, page = encode_options.of_8_bits(plane), replace(page, bits=8)
        if self._format == "BMP" and plane.role == Role.RGBA:
            bmp_masks.write_bgra(self._file, plane.pixels.astype(np.uint8, copy=False), page.dpi)
            return
        if plane.bits == 16 and plane.role != Role.GREY:
            self._write_16_bit(plane, page)
            return
        image, exact = encode_options.picture(plane, page, self._format)
        self._approximate += not exact
        if self._info.frames == 1:
            options = encode_options.page_options(self._options, page, self._plan) | self._name_options()
            _save(image, self._file, self._format, options)
        elif self._format == "TIFF":
            image.save(self._pages, "TIFF", **encode_options.page_options(self._options, page, self._plan))
            self._pages.newFrame()
        else:
            self._spool.add(image)

    def _write_16_bit(self, plane: Plane, page: ImagePage) -> None:
        pixels = plane.pixels.astype(np.uint16, copy=False)
        if self._format == "PNG":
            chunks = sixteen_bit.png_metadata_chunks(self._info.coding, page, self._options.exif, self._options.xmp)
            sixteen_bit.write_png(self._file, pixels, plane.role, chunks)
            return
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in (self._options.exif or Image.Exif()).items():
            tags[tag] = value
        if self._options.xmp:
            tags[Base.XMLPacket] = self._options.xmp
        if encode_options.tiff_compression(page) == "raw":
            tags[Base.Compression] = 1
        if page.icc:
            tags[Base.InterColorProfile] = page.icc
        if page.dpi:
            tags[Base.XResolution], tags[Base.YResolution] = page.dpi
            tags[Base.ResolutionUnit] = 2
        if self._info.frames == 1:
            sixteen_bit.write_tiff(self._file, pixels, plane.role, tags)
            return
        page_file = io.BytesIO()
        sixteen_bit.write_tiff(page_file, pixels, plane.role, tags)
        self._pages.write(page_file.getvalue())
        self._pages.newFrame()

    def _name_options(self) -> dict[str, Any]:
        """Return the options that depend on the target's suffix."""
        return {"no_jp2": self._target.suffix.lower() in _CODESTREAMS} if self._format == "JPEG2000" else {}

    def _finish(self) -> None:
        if self._count != self._info.frames:
            raise OutputFailed(
                f"cannot write {self._target}: got only {self._count} of {self._info.frames} frames; "
                f"nothing was published"
            )
        with _translate_errors(self._target):
            if self._info.frames > 1 and self._format == "TIFF":
                self._pages.close()
            elif self._info.frames > 1:
                self._write_animation()
            self._file.flush()
            self._file.seek(0)
            self.sha256 = sha256_of_stream(self._file)
            self._file.close()
        if self._approximate:
            self._options.encoding = "re-encoded: gif"
            self._options.warnings.append(f"colours approximated in {self._approximate} frames: a GIF has 256 in each")

    def _write_animation(self) -> None:
        coding, durations = self._info.coding, self._durations_ms
        options = encode_options.page_options(self._options, coding.first, self._plan)
        if self._format == "GIF":
            clear = any(entry.transparency is not None for entry in self._spool.entries)
            # A pixel that is transparent now may have been opaque in the frame before: then clear between frames.
            options["disposal"] = 2 if clear else 1
        if self._format in {"AVIF", "WEBP"}:
            durations = [round(duration) for duration in durations]
        if coding.default_image and self._format == "PNG":
            rest = self._spool.images(1)
            image = self._spool.frame(0)
            image.save(self._file, "PNG", save_all=True, append_images=[rest], duration=durations[1:], **options)
        else:
            self._spool.images().save(self._file, self._format, save_all=True, duration=durations, **options)


def write(target: Path, info: ImageInfo, plan: Plan, *, overwrite: bool = False) -> ImageWriter:
    """Return a writer of a file like the source `info`, in the format of the target's suffix.

    Raises `BadPlan` for an unknown suffix and for a format that cannot hold the source's samples; `OutputFailed` when
    the target exists (without `overwrite`), when it is the source itself, and when its folder cannot be written to.
    """
    return ImageWriter(target, info, plan, overwrite=overwrite)


def _save(image: Image.Image, file: IO[bytes], format: str, options: dict[str, Any]) -> None:
    if format == "JPEG2000":
        # Pillow 13's encoder never ends when the file it writes to fails, as on a full disk.
        memory = io.BytesIO()
        image.save(memory, format, **options)
        file.write(memory.getbuffer())
        return
    if format != "HEIF":
        image.save(file, format, **options)
        return
    try:
        import pillow_heif  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise Unavailable(
            f"HEIF needs a library that is not installed ({error}); pip install 'velum-anonymizer[heif]'"
        ) from error
    pillow_heif.from_pillow(image).save(file, **options)


class _Pages(TiffImagePlugin.AppendingTiffWriter):
    """Pages of a TIFF. From Python 3.13 on, garbage collection closes it again, after its file was closed."""

    def close(self) -> None:
        if not self.f.closed:
            super().close()


class _FileWithoutDescriptor(io.FileIO):
    """A file whose descriptor Pillow cannot see.

    Pillow's encoders would write to the descriptor in C, where they miss a partial write to a full disk; Python
    reports it.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


@dataclass(frozen=True, slots=True)
class _SpooledFrame:
    mode: str
    size: tuple[int, int]
    palette: bytes
    transparency: int | None
    at: int
    length: int


@dataclass(slots=True)
class _Spool:
    """Uncompressed frames in a temporary file, so that memory does not grow with their number."""

    file: IO[bytes]
    entries: list[_SpooledFrame] = field(default_factory=list)

    @classmethod
    def beside(cls, target: Path) -> Self:
        """Return an empty spool in the target's folder. Its file has no name and vanishes with the process."""
        return cls(TemporaryFile(dir=target.parent))  # closed by close()

    def add(self, image: Image.Image) -> None:
        """Append a frame. Raises `OSError` when the disk is full."""
        data = image.tobytes()
        palette = bytes(image.getpalette("RGB") or ()) if image.mode == "P" else b""
        at = self.file.tell()
        self.file.write(data)
        self.entries.append(
            _SpooledFrame(image.mode, image.size, palette, image.info.get("transparency"), at, len(data))
        )

    def frame(self, index: int) -> Image.Image:
        """Return a frame as it was added."""
        entry = self.entries[index]
        self.file.seek(entry.at)
        image = Image.frombytes(entry.mode, entry.size, self.file.read(entry.length))
        if entry.palette:
            image.putpalette(entry.palette)
        if entry.transparency is not None:
            image.info["transparency"] = entry.transparency
        return image

    def images(self, start: int = 0) -> Image.Image:
        """Return the frames from `start` on as one multi-frame image for Pillow's writers."""
        return _FrameSequence(self, start)

    def close(self) -> None:
        """Delete the temporary file."""
        self.file.close()


class _FrameSequence(Image.Image):
    is_animated = True

    def __init__(self, spool: _Spool, start: int) -> None:
        super().__init__()
        self._spool, self._start, self._at = spool, start, -1
        self.n_frames = len(spool.entries) - start
        self.seek(0)

    def seek(self, frame: int) -> None:
        if not 0 <= frame < self.n_frames:
            raise EOFError("no more frames")
        if frame == self._at:
            return
        image = self._spool.frame(self._start + frame)
        self.im: Any = image.im
        self.palette, self.info = image.palette, image.info
        self._mode, self._size, self._at = image.mode, image.size, frame

    def tell(self) -> int:
        return self._at


@contextmanager
def _translate_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except VelumError:
        raise
    except _FAILURES as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OutputFailed(f"cannot write {target}: {reason}; nothing was published") from error
