"""Containers: archives and documents whose pictures and videos are hidden, and whose other members stay as they are.

A container is opened, its members are gone through in order, and each is copied, replaced or left out.
"""

import io
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from PIL import Image

from velum.errors import BadInput, BadPlan, Unavailable
from velum.limits import Limits
from velum.media.archive.contents import DOCUMENTS, LOGS, SUFFIXES, Content, container_of, content_of
from velum.media.archive.member import Budget, Member
from velum.media.image_sequence import SEQUENCE

__all__ = [
    "DOCUMENTS",
    "LOGS",
    "SUFFIXES",
    "Budget",
    "ContainerWriter",
    "Content",
    "MediaContainer",
    "Member",
    "black_image",
    "container_of",
    "content_of",
    "empty_member",
    "has_container_suffix",
    "list_topics",
    "open_container",
    "refuse_alone",
    "refuse_target",
    "remove_text",
    "suffix_of_container",
    "unpack_member",
    "usual_suffix",
]  # fmt: skip

_COVERED = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats of images for which a black one can take the place of one that cannot be read."""

_EMPTY_EMF = (
    struct.pack(
        "<II8i4sIIIHHIIIiiii", 1, 108, 0, 0, 0, 0, 0, 0, 1, 1, b" EMF", 0x10000, 128, 2, 1, 0, 0, 0, 0, 1, 1, 1, 1
    )
    + bytes(20)
    + struct.pack("<IIIII", 14, 20, 0, 0, 20)
)
"""An EMF without any drawing ([MS-EMF] 2.3.4.2: the header; 2.3.4.1: the end of the file)."""

_EMPTY_WMF = struct.pack("<HHHIHIHIH", 1, 9, 0x300, 12, 0, 3, 0, 3, 0)
"""A WMF without any drawing ([MS-WMF] 2.3.2.2: the header; 2.3.2.1: the end of the file)."""


class ContainerWriter(Protocol):
    """Writes a container like the one that is read, in a `with` block; a member that it is not given is left out."""

    def copy(self, member: Member, file: Path) -> None:
        """Write a member as it is; `file` is where it was unpacked, if it had to be."""
        ...

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:
        """Write a member with the bytes of `file`, which may be moved.

        `hidden` tells whether something that it shows was hidden.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class MediaContainer(Protocol):
    """A container that is read, in a `with` block."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members, where they are known before they are read."""
        ...

    @property
    def has_text(self) -> bool:
        """Whether a document has text of its own."""
        ...

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Descriptions of bytes that belong to no member; a result does not have them."""
        ...

    def members(self) -> Iterator[Member]:
        """Yield all members in order. Raises `BadInput` for a damaged container."""
        ...

    def unpack(self, member: Member, target: Path) -> None:
        """Write the bytes of the last member yielded. Raises `BadInput` for damaged ones, and `LimitExceeded`."""
        ...

    def writer(self, target: Path, metadata: frozenset[str]) -> ContainerWriter:
        """Return a writer of the result; `metadata` are the kinds that are kept."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def unpack_member(container: MediaContainer, member: Member, file: Path) -> None:
    """Write the bytes of a member to `file`. Raises `BadInput` for a member that velum refuses in every container."""
    if member.fault or (member.is_folder and member.size):
        raise BadInput(member.fault or "it is a folder with bytes of its own")
    container.unpack(member, file)


def open_container(
    path: Path, format: str, budget: Budget, name: str, metadata: frozenset[str] = frozenset(), *,
    recover: bool = False, render_dpi: int | None = None,
) -> MediaContainer:  # fmt: skip
    """Open a container of a format that `container_of` has found; messages call it `name`.

    `metadata` are the kinds that are kept. With `recover`, a log that is cut off is read up to there. With
    `render_dpi`, the members of a PDF are pictures of its pages, with so many pixels an inch.

    Raises `BadInput` for a damaged one, `LimitExceeded` for one that is too large, `Unavailable` without its extra.
    """
    budget.limits.check("bytes", path.stat().st_size, name)
    if format == "PDF":
        return _open_pdf(path, budget, name, metadata, render_dpi)
    if format in LOGS:
        return _open_log(path, format, budget, name, recover=recover)
    if format in {"TAR", "TGZ"}:
        from velum.media.archive.tar_file import TarContainer  # noqa: PLC0415 - loaded when it is used

        return TarContainer(path, budget, name, packed=format == "TGZ")
    from velum.media.archive.zip_file import ZipContainer  # noqa: PLC0415 - loaded when it is used

    return ZipContainer(path, budget, name)


def _open_pdf(
    path: Path, budget: Budget, name: str, metadata: frozenset[str], render_dpi: int | None
) -> MediaContainer:
    try:
        if render_dpi is not None:
            from velum.media.archive.pdf_render import RenderedPdf  # noqa: PLC0415  # an extra

            return RenderedPdf(path, budget, name, render_dpi)
        from velum.media.archive.pdf_file import PdfContainer  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"cannot read {name}: PDFs need the extra 'documents'; pip install 'velum-anonymizer[documents]'"
        ) from error
    return PdfContainer(path, budget, name, metadata)


def remove_text(
    container: MediaContainer, find: Callable[[str], Iterable[tuple[int, int]]], color: tuple[float, float, float]
) -> Mapping[str, int]:
    """Take what `find` finds out of the text of a PDF that is open; return the number of words by place.

    `find` returns places, from and to before, of a text of several lines. Boxes of the colour (red, green and blue from
    0 to 1) take the place of words on pages. Raises `BadInput` for text that cannot be searched.
    """
    from velum.media.archive.pdf_file import PdfContainer  # noqa: PLC0415  # an extra

    return container.remove_text(find, color) if isinstance(container, PdfContainer) else {}


def _open_log(path: Path, format: str, budget: Budget, name: str, *, recover: bool) -> MediaContainer:
    if format == "ROSBAG2":
        from velum.media.archive.rosbag2_file import Rosbag2Container  # noqa: PLC0415 - loaded when it is used

        return Rosbag2Container(path, budget, name, recover=recover)
    try:
        from velum.media.archive.mcap_file import McapContainer  # noqa: PLC0415  # an extra
        from velum.media.archive.rosbag1_file import Rosbag1Container  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"cannot read {name}: sensor logs need the extra 'logs'; pip install 'velum-anonymizer[logs]'"
        ) from error
    kind = McapContainer if format == "MCAP" else Rosbag1Container
    return kind(path, budget, name, recover=recover)


def list_topics(source: Path, limits: Limits) -> list[dict[str, Any]]:
    """Return name, type, number of messages and kind of each topic of a log, and why it is refused, as JSON values.

    Raises `BadInput` for a file that is no sensor log, or a damaged one.
    """
    if (log_format := container_of(source)) not in LOGS:
        raise BadInput(f"{source} is no sensor log, so it has no topics; give an MCAP file, a .db3 or a .bag")
    topics = []
    with open_container(source, log_format, Budget(limits), str(source)) as log:
        for member in log.members():
            if member.is_topic and member.content is not None:
                kind, what = member.content.kind, member.content.what
                images = "images" if what == SEQUENCE else "video"
                topics.append({
                    "name": member.name, **member.details, "kind": images if kind == "media" else "other",
                    "refused": what if kind in {"unknown", "refused"} else None,
                })  # fmt: skip
    return topics


def suffix_of_container(name: str) -> str:
    """Return the suffix of a container's name in lower case, such as `.tar.gz`; empty for any other name."""
    return max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")


def usual_suffix(format: str) -> str:
    """Return the usual suffix of a container's format."""
    return next(suffix for suffix, kind in SUFFIXES.items() if kind == format)


def has_container_suffix(path: Path) -> bool:
    """Tell whether a file is an archive or a document by its name; for choosing files of a folder."""
    return bool(suffix_of_container(path.name)) and not path.name.startswith("._")


def refuse_target(target: Path, source: Path, format: str) -> None:
    """Raise `BadPlan` where the target's suffix stands for another format than that of the source."""
    if target.suffix.lower() == source.suffix.lower():
        return
    if SUFFIXES.get(suffix_of_container(target.name)) != format:
        fitting = ", ".join(suffix for suffix, kind in SUFFIXES.items() if kind == format)
        raise BadPlan(f"cannot write {source} to {target}: its result is a {format}; allowed suffixes are {fitting}")


def black_image(file: Path, format: str, limits: Limits) -> bytes | None:
    """Return a black image of the format and the size of one that cannot be read; None where its size is unknown."""
    if format not in _COVERED:
        return None
    try:
        with Image.open(file, formats=(format,)) as image:
            size = image.size
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error, Image.DecompressionBombError):
        return None
    if size[0] * size[1] > limits.pixels:
        return None
    data = io.BytesIO()
    Image.new("RGB", size).save(data, format)
    return data.getvalue()


def empty_member(name: str) -> bytes:
    """Return what stands for a member that a document names and that is left out: an empty drawing, or nothing."""
    suffix = Path(name).suffix.lower()
    if suffix == ".svg":
        return b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
    return {".emf": _EMPTY_EMF, ".wmf": _EMPTY_WMF}.get(suffix, b"")


def refuse_alone(path: Path, container: str) -> BadInput:
    """Return the error for a container where an image or a video is expected."""
    return BadInput(
        f"{path} is a {container}: only velum hide and velum check go through containers; give an image or a "
        "video of it"
    )
