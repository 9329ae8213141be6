"""Read darknet's two files without darknet: the network as text (.cfg) and its numbers (.weights).

The layouts are those of AlexeyAB/darknet: `parser.c` (cfg, order of the numbers of a layer) and `blas.c` (batch
normalisation). Networks of convolutions, shortcuts, routes, upsampling, pooling and YOLO heads are read: YOLOv3,
YOLOv4, their tiny and their scaled variants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from velum.errors import BadInput
from velum.locate.import_model import read_text

Floats = npt.NDArray[np.float32]

KINDS = frozenset({"convolutional", "shortcut", "route", "upsample", "maxpool", "yolo", "dropout"})
"""Layer types that velum can convert."""

ACTIVATIONS = frozenset({"linear", "leaky", "mish", "relu", "logistic", "swish"})

EPSILON = 1e-5
"""Darknet adds this to the variance in batch normalisation."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a .cfg file. `where` names the section in errors."""

    kind: str
    values: Mapping[str, str]
    where: str

    def number(self, key: str, default: int | None = None) -> int:
        """Return a whole number. Raises `BadInput` for other text, and for a missing key without default."""
        return int(self._parse(key, int, default))

    def decimal(self, key: str, default: float) -> float:
        """Return a decimal number. Raises `BadInput` for text that is no number."""
        return float(self._parse(key, float, default))

    def numbers(self, key: str) -> list[float]:
        """Return a list of numbers separated by commas. Raises `BadInput` for a missing key and for other text."""
        return list(self._parse(key, lambda text: [float(item) for item in text.split(",") if item.strip()], None))

    def activation(self) -> str:
        """Return the name of the activation. Raises `BadInput` for one that is not known."""
        name = self.values.get("activation", "linear")
        if name not in ACTIVATIONS:
            raise BadInput(f"activation of {self.where} is {name!r}; known are {', '.join(sorted(ACTIVATIONS))}")
        return name

    def _parse(self, key: str, read: Any, default: Any) -> Any:
        if key not in self.values:
            if default is None:
                raise BadInput(f"{self.where} has no {key}")
            return default
        try:
            return read(self.values[key])
        except ValueError as error:
            raise BadInput(f"{key} of {self.where} is {self.values[key]!r}; it must be numeric") from error


def read_cfg(path: Path) -> tuple[Section, ...]:
    """Return the sections of a .cfg file, `net` first. Raises `BadInput` naming the line or section that is wrong."""
    entries: list[tuple[str, dict[str, str], str]] = []
    for number, raw in enumerate(read_text(path).splitlines(), start=1):
        line = raw.partition("#")[0].partition(";")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            entries.append((line[1:-1].strip().lower(), {}, f"[{line[1:-1].strip()}] in line {number} of {path}"))
        elif line:
            key, equals, value = line.partition("=")
            if not equals or not entries:
                raise BadInput(f"line {number} of {path} is {raw!r}; it must be [section] or key=value within one")
            entries[-1][1][key.strip()] = value.strip()
    sections = tuple(Section(*section) for section in entries)
    if not sections or sections[0].kind not in {"net", "network"}:
        raise BadInput(f"{path} does not begin with [net]; it is not the .cfg of a darknet network")
    for section in sections[1:]:
        if section.kind not in KINDS:
            raise BadInput(
                f"{section.where} is of a kind that is not read; read are {', '.join(sorted(KINDS))}. "
                "Convert the network to ONNX with the tools of its trainer, and add that"
            )
    if not any(section.kind == "yolo" for section in sections):
        raise BadInput(f"{path} has no [yolo] section; it is not a detector of YOLOv3 or later")
    return sections


class Weights:
    """Reads the numbers of a .weights file in order, layer by layer."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `BadInput` when it is no darknet weights file."""
        self._path = path
        try:
            with path.open("rb") as stream:
                stream.seek(_header(stream.read(20), path))
                self._numbers = np.fromfile(stream, "<f4")
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
        self._at = 0

    def convolution(self, section: Section, channels: int) -> tuple[Floats, Floats]:
        """Return kernel and bias of the next convolution, of `channels` input channels.

        The kernel is (filters, channels per group, rows, columns), the bias (filters,). Batch normalisation is folded
        into both. Raises `BadInput` when the numbers do not fit.
        """
        filters, size, groups = section.number("filters"), section.number("size"), section.number("groups", 1)
        if min(filters, size, groups) < 1 or channels % groups or filters % groups:
            raise BadInput(f"{section.where}: {channels} channels, {filters} filters and {groups} groups do not match")
        bias = self._take(filters, section)
        normalised = section.number("batch_normalize", 0) != 0
        scale, mean, variance = (self._take(filters, section) for _ in range(3)) if normalised else (None, None, None)
        shape = (filters, channels // groups, size, size)
        kernel = self._take(int(np.prod(shape)), section).reshape(shape)
        if scale is None or mean is None or variance is None:
            return kernel, bias
        if not (variance >= 0).all():
            raise BadInput(f"{self._path} holds variances below 0, within {section.where}; copy it again")
        factor = scale / np.sqrt(variance + np.float32(EPSILON))
        return kernel * factor[:, None, None, None], bias - mean * factor

    def finish(self) -> None:
        """Raise `BadInput` when numbers are left over: the two files do not belong together."""
        if surplus := len(self._numbers) - self._at:
            raise BadInput(
                f"{self._path} has {surplus:,} numbers more than its .cfg describes; they are not of one network"
            )

    def _take(self, count: int, section: Section) -> Floats:
        numbers = self._numbers[self._at : self._at + count]
        if len(numbers) < count:
            raise BadInput(
                f"{self._path} ends within {section.where}: it is cut off, or not of the same network as the .cfg"
            )
        if not np.isfinite(numbers).all():
            raise BadInput(f"{self._path} holds values that are no numbers, within {section.where}; copy it again")
        self._at += count
        return numbers.astype(np.float32)


def _header(start: bytes, path: Path) -> int:
    """Return the length of the header in bytes, given the first 20 bytes of a weights file."""
    if start.startswith(b"version http"):
        raise BadInput(f"{path} is a Git LFS pointer, not the file itself; run 'git lfs pull' at its origin")
    major, minor = np.frombuffer(start, "<i4")[:2] if len(start) == 20 else (-1, -1)
    if not 0 <= major < 1000 or not 0 <= minor < 1000:
        raise BadInput(f"{path} is not a darknet weights file; it must begin with a version such as 0.2.5")
    # From version 0.2 on the number of images seen, which comes last, has eight bytes.
    return 20 if major * 10 + minor >= 2 else 16
