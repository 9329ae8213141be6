"""The pixels of labelled pictures. Pictures stay where they are; frames of videos are kept for the length of a run."""

import tempfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from velum import media
from velum.errors import BadInput, OutputFailed
from velum.frame import Frame, Plane, Rgb, Role
from velum.limits import Limits
from velum.train.labels import LabelledPicture

MOST_BYTES = 1 << 30
"""Decoded pictures that are held in memory, in bytes."""


class PictureStore:
    """Gives the pixels of pictures again and again; for a `with` block, which deletes what it keeps on the disk."""

    def __init__(self, limits: Limits, most_bytes: int = MOST_BYTES) -> None:
        """Hold at most `most_bytes` of decoded pictures in memory."""
        self._limits, self._most_bytes, self._bytes = limits, most_bytes, 0
        self._held: OrderedDict[tuple[Path, int], Rgb] = OrderedDict()
        self._folder = tempfile.TemporaryDirectory(prefix="velum-train-")
        self._frames: dict[tuple[Path, int], Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def extract_frames(self, pictures: Iterable[LabelledPicture]) -> None:
        """Write the labelled frames of videos to the disk, in one pass over each. Raises `BadInput`."""
        by_file: dict[Path, set[int]] = {}
        for picture in pictures:
            if picture.is_video:
                by_file.setdefault(picture.file.path, set()).add(picture.index)
        for path, indices in by_file.items():
            with media.open_source(path, self._limits) as reader:
                for frame in reader.frames():
                    if frame.index in indices:
                        self._keep(path, frame)
                    if frame.index >= max(indices):
                        break

    def rgb(self, picture: LabelledPicture) -> Rgb:
        """Return the pixels (height, width, 3) of the upright picture; not to be written to. Raises `BadInput`."""
        key = picture.file.path, picture.index
        if key not in self._held:
            rgb = self._read(key)
            rgb.flags.writeable = False
            self._held[key] = rgb
            self._bytes += rgb.nbytes
            while self._bytes > self._most_bytes and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1].nbytes
        self._held.move_to_end(key)
        return self._held[key]

    def frame(self, picture: LabelledPicture) -> Frame:
        """Return the picture as a frame. Raises `BadInput`."""
        return Frame.of(Plane(self.rgb(picture), Role.RGB))

    def _keep(self, path: Path, frame: Frame) -> None:
        kept = Path(self._folder.name) / f"{len(self._frames)}.png"
        bgr = frame.rgb(frame.width, frame.height)[..., ::-1]
        if not cv2.imwrite(str(kept), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise OutputFailed(f"a frame of {path.name} cannot be written to {kept.parent}; make room on the disk")
        self._frames[path, frame.index] = kept

    def _read(self, key: tuple[Path, int]) -> Rgb:
        path = self._frames.get(key, key[0])
        with media.open_source(path, self._limits) as reader:
            for frame in reader.frames():
                if path != key[0] or frame.index == key[1]:
                    return frame.rgb(frame.width, frame.height).copy()
        raise BadInput(f"{path.name} has no frame {key[1]} any more; it was changed during the training")
