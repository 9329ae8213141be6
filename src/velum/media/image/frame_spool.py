"""A spool of an animation's frames on disk: they arrive one by one, but Pillow's writers want to iterate over them."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

from PIL import Image


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    size: tuple[int, int]
    palette: bytes
    transparency: int | None
    at: int
    length: int


@dataclass(slots=True)
class Spool:
    """Uncompressed frames in a temporary file, so that memory does not grow with their number."""

    file: IO[bytes]
    entries: list[_Entry] = field(default_factory=list)

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
        self.entries.append(_Entry(image.mode, image.size, palette, image.info.get("transparency"), at, len(data)))

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
        return _Sequence(self, start)

    def close(self) -> None:
        """Delete the temporary file."""
        self.file.close()


class _Sequence(Image.Image):
    is_animated = True

    def __init__(self, spool: Spool, start: int) -> None:
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
