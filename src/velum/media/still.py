"""Stills: one page of an image, a frame near the start of a video, or the levels of a sound, as a JPEG for browsers."""

import io
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from velum.errors import BadInput
from velum.frame import Frame, Role
from velum.limits import Limits
from velum.media import archive, kind_of, open_source, sound_format_of
from velum.media.image.info import ImageInfo, ImagePage
from velum.media.image_sequence import SequenceInfo
from velum.media.sequence_file import is_sequence

LARGEST_SIDE = 12_000
"""Longest side of a still, in pixels; larger pictures are scaled down to it."""

DARK = 16
SOUGHT_FRAMES = 25
"""Of a video, the first frame that is brighter than this on average (0 to 255) is shown, if it is one of these many."""

_QUALITY = 90
_PAGE_DPI = 200
"""Pixels an inch of pages of PDFs; stills of them are made smaller."""

_PAGE = re.compile(r"page \d+")


@dataclass(frozen=True, slots=True)
class Still:
    """A JPEG file, the number of pages of the image that it shows, or 1, and the length of a video or a sound."""

    jpeg: bytes
    pages: int
    seconds: float | None = None


def render_still(
    source: Path, limits: Limits, page: int, side: int, member: str = "", folder: Path | None = None
) -> Still:
    """Return one page of an image, counted from 0, a frame of a video, or a picture of how loud a sound file is.

    The picture is upright, and scaled down to `side` pixels on its longer side; 0: as large as it is. Samples of more
    than 8 bits lose their lowest bits, transparency is ignored. Of an archive or a document, it is that of a `member`,
    by its name in the report; of the first picture or video where that is empty. Members are unpacked into `folder`.
    Raises `BadInput` where there is no such page or member, and as `open_source` does.
    """
    source = unpack_shown(source, limits, member, folder)
    if sound_format_of(source):
        from velum.media.sound.preview import draw_levels  # noqa: PLC0415  # images do without PyAV

        jpeg, length = draw_levels(source, limits, side)
        return Still(jpeg, 1, length)
    with open_source(source, limits) as reader:
        if not isinstance(reader.info, ImageInfo):
            frames = list(islice(reader.frames(), 1))
            for frame in islice(reader.frames(), SOUGHT_FRAMES):
                if frame.grey(32, 32).mean() > DARK:
                    frames = [frame]
                    break
            if not frames:
                raise BadInput(f"{source} has no picture to show")
            info = reader.info
            seconds = float(info.frames / info.fps) if isinstance(info, SequenceInfo) else info.duration_seconds
            return Still(_jpeg_of(frames[0], side), 1, seconds)
        chosen = next(islice(reader.frames(), page, None), None) if 0 <= page < reader.info.frames else None
        if chosen is None:
            raise BadInput(f"the image has {reader.info.frames} pages; page {page} is not one of them")
        return Still(_jpeg_of(chosen, side), reader.info.frames)


def unpack_shown(source: Path, limits: Limits, member: str, folder: Path | None) -> Path:
    """Return the file of a member of an archive or a document, unpacked into `folder`; any other file as it is.

    The member is named as in the report; without a name, it is the first picture or video. Raises `BadInput` where
    there is none.
    """
    if (container := archive.container_of(source)) is None:
        return source
    if folder is None:
        raise archive.refuse_alone(source, container)
    found = _unpack(source, container, archive.Budget(limits), member, folder)
    if found is None:
        raise BadInput(f"{source} has no picture {member!r}; the report lists its members")
    return found


def _unpack(
    source: Path, format: str, budget: archive.Budget, wanted: str, folder: Path, depth: int = 1
) -> Path | None:  # fmt: skip
    """Unpack the picture, video or sound `wanted`, or the first picture or video, also out of containers inside.

    None where there is none.
    """
    budget.check_depth(depth, source.name)
    file = folder / f"{depth}.member"
    is_page = _PAGE.fullmatch(wanted) is not None  # of a PDF whose pages were rendered
    with archive.open_container(
        source, format, budget, source.name, render_dpi=_PAGE_DPI if is_page else None
    ) as container:
        for member in container.members():
            inside = wanted.startswith(f"{member.name}/")
            if member.is_folder or member.fault or (wanted and not inside and wanted != member.name):
                continue
            archive.unpack_member(container, member, file)
            kind = archive.container_of(file)
            if kind is None and not inside and _is_shown(file, sound=wanted != ""):
                return file
            if kind is not None and (inside or not wanted):
                rest = wanted.removeprefix(f"{member.name}/")
                if found := _unpack(file, kind, budget, rest, folder, depth + 1):
                    return found
    return None


def _is_shown(file: Path, *, sound: bool) -> bool:
    """Tell whether a member is a picture, a video, the images of a topic, or, where that is asked for, a sound."""
    return kind_of(file) is not None or is_sequence(file) or (sound and sound_format_of(file) is not None)


def _jpeg_of(frame: Frame, side: int) -> bytes:
    longest = max(frame.width, frame.height)
    scale = min(1.0, (side or LARGEST_SIDE) / longest, LARGEST_SIDE / longest)
    picture = Image.fromarray(frame.rgb(max(1, round(frame.width * scale)), max(1, round(frame.height * scale))))
    page, role = frame.page, frame.planes[0].role
    profile = page.icc if isinstance(page, ImagePage) and role in {Role.RGB, Role.RGBA} else None
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, icc_profile=profile)
    return buffer.getvalue()
