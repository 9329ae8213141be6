"""What was found in one source, to be kept, reviewed, corrected and rendered later."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeGuard

from velum.errors import BadInput
from velum.region import Region
from velum.spec import PartSpec

FORMAT = "velum-regions/1"


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Regions by frame index, in pixels of the upright picture of `width` x `height`.

    `sha256` is that of the source they were found in. Rendering them on another file is refused, since its people
    would show; a person who knows better removes the field.
    """

    width: int
    height: int
    frames: Mapping[int, tuple[Region, ...]]
    sha256: str | None = None
    models: tuple[Mapping[str, str], ...] = field(default=())

    @property
    def techniques(self) -> frozenset[tuple[PartSpec, str, bool]]:
        """The techniques that regions bring along, each with a label that it is to hide, and whether that is off."""
        every = (region for regions in self.frames.values() for region in regions)
        return frozenset((one.technique, one.label, one.ignored) for one in every if one.technique is not None)

    def check(self, *, width: int, height: int, frames: int | None, sha256: str | None) -> None:
        """Raise `BadInput` when a source of that size, number of frames and hash cannot be the one they came from."""
        if (width, height) != (self.width, self.height):
            raise BadInput(
                f"the regions are for a picture of {self.width} x {self.height}, this one has {width} x {height}; "
                "locate again"
            )
        if beyond := [index for index in self.frames if index < 0 or (frames is not None and index >= frames)]:
            raise BadInput(f"the regions name frame {beyond[0]}, the source has {frames} frames; locate again")
        if self.sha256 and sha256 and self.sha256 != sha256:
            raise BadInput(
                f"the regions were found in another file (sha256 {self.sha256[:12]}, this one is {sha256[:12]}); "
                "locate again, or remove the field sha256 to use them all the same"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "format": FORMAT,
            "width": self.width,
            "height": self.height,
            "sha256": self.sha256,
            "models": [dict(model) for model in self.models],
            "frames": [
                {"index": index, "regions": [region.to_json() for region in regions]}
                for index, regions in sorted(self.frames.items())
            ],
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the findings that `to_json` wrote or a person edited. Raises `BadInput` saying where it is wrong."""
        if not isinstance(value, Mapping) or value.get("format") != FORMAT:
            raise BadInput(f"this is no regions file; it must be an object whose format is {FORMAT!r}")
        if unknown := sorted(map(str, value.keys() - {"format", "width", "height", "sha256", "models", "frames"})):
            raise BadInput(f"the regions file has unknown fields {', '.join(unknown)}")
        width, height, sha256 = (value.get(name) for name in ("width", "height", "sha256"))
        if not _positive(width) or not _positive(height):
            raise BadInput(
                f"the regions file gives a size of {width!r} x {height!r}; both must be whole numbers above 0"
            )
        if sha256 is not None and not isinstance(sha256, str):
            raise BadInput(f"sha256 in the regions file is {sha256!r}; it must be a string, or left out")
        entries = value.get("frames")
        if not isinstance(entries, list):
            raise BadInput("the regions file has no list of frames")
        frames: dict[int, tuple[Region, ...]] = {}
        for entry in entries:
            index, regions = _frame_of(entry)
            if index in frames:
                raise BadInput(f"the regions file has frame {index} twice")
            frames[index] = regions
        return cls(width, height, frames, sha256, _models(value.get("models", [])))


def line_of(index: int, regions: Iterable[Region]) -> str:
    """Return one frame of a regions file as JSON in one line."""
    return json.dumps({"index": index, "regions": [region.to_json() for region in regions]}, ensure_ascii=False)


def text_of(findings: Annotations, lines: Iterable[str]) -> Iterator[str]:
    """Yield the text of a regions file piece by piece: the head of `findings`, and frames that `line_of` gave."""
    yield json.dumps(findings.to_json() | {"frames": 0}, ensure_ascii=False).removesuffix("0}") + "["
    comma = "\n"
    for line in lines:
        yield comma + line
        comma = ",\n"
    yield "\n]}\n"


def _frame_of(entry: Any) -> tuple[int, tuple[Region, ...]]:
    if not isinstance(entry, Mapping) or entry.keys() != {"index", "regions"}:
        raise BadInput(f"frame {entry!r} in the regions file must be an object with index and regions")
    index, regions = entry["index"], entry["regions"]
    if not isinstance(index, int) or isinstance(index, bool) or not isinstance(regions, list):
        raise BadInput(f"frame {index!r} in the regions file must have a whole number as index and a list of regions")
    try:
        return index, tuple(map(Region.from_json, regions))
    except BadInput as error:
        raise BadInput(f"frame {index} in the regions file: {error}") from error


def _models(value: Any) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list) or not all(isinstance(model, Mapping) for model in value):
        raise BadInput(f"models in the regions file are {value!r}; they must be a list of objects")
    return tuple({str(key): str(fact) for key, fact in model.items()} for model in value)


def _positive(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
