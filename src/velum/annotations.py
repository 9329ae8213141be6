"""Annotation files: the regions of one source, to be reviewed, corrected and rendered later."""

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
    """Regions by frame index, in pixels of the upright frames of `width` x `height`.

    `sha256` is that of the source they were located in. Hiding them in another file is refused, since its people would
    show; a person who knows better removes the field.
    """

    width: int
    height: int
    frames: Mapping[int, tuple[Region, ...]]
    sha256: str | None = None
    models: tuple[Mapping[str, str], ...] = field(default=())

    @property
    def techniques(self) -> frozenset[tuple[PartSpec, str, bool]]:
        """Techniques that people chose for regions, each with the region's label, and whether it is ignored."""
        all_regions = (region for regions in self.frames.values() for region in regions)
        return frozenset(
            (region.technique, region.label, region.ignored) for region in all_regions if region.technique is not None
        )

    def check(self, *, width: int, height: int, frames: int | None, sha256: str | None) -> None:
        """Raise `BadInput` when they cannot be of a source of that size, number of frames (None: unknown) and hash."""
        if (width, height) != (self.width, self.height):
            raise BadInput(
                f"the regions are for frames of {self.width} x {self.height} pixels, this source has "
                f"{width} x {height}; locate again"
            )
        if beyond := [index for index in self.frames if index < 0 or (frames is not None and index >= frames)]:
            raise BadInput(f"the regions name frame {beyond[0]}, the source has {frames} frames; locate again")
        if self.sha256 and sha256 and self.sha256 != sha256:
            raise BadInput(
                f"the regions were found in another file (sha256 {self.sha256[:12]}, this one is {sha256[:12]}); "
                "locate again, or remove the field sha256 to use them all the same"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the annotation file as JSON values."""
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

    def to_text(self) -> str:
        """Return the text of the annotation file: JSON with one region a line, so that people can read and compare."""
        values = self.to_json()
        frames = values.pop("frames")
        lines = []
        for frame in frames:
            regions = [f"      {json.dumps(region, ensure_ascii=False)}" for region in frame["regions"]]
            inner = "\n" + ",\n".join(regions) + "\n    " if regions else ""
            lines.append(f'    {{"index": {frame["index"]}, "regions": [{inner}]}}')
        head = ",\n".join(
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
        )
        body = ",\n".join(lines)
        return f'{{\n{head},\n  "frames": [\n{body}\n  ]\n}}'

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the annotations of a file that `to_json` wrote or a person edited. Raises `BadInput`."""
        if not isinstance(value, Mapping) or value.get("format") != FORMAT:
            raise BadInput(f"this is no annotation file; it must be a JSON object whose format is {FORMAT!r}")
        if unknown := sorted(map(str, value.keys() - {"format", "width", "height", "sha256", "models", "frames"})):
            raise BadInput(f"the annotation file has unknown fields {', '.join(unknown)}")
        width, height, sha256 = (value.get(name) for name in ("width", "height", "sha256"))
        if not _positive(width) or not _positive(height):
            raise BadInput(
                f"the annotation file gives a size of {width!r} x {height!r}; both must be whole numbers above 0"
            )
        if sha256 is not None and not isinstance(sha256, str):
            raise BadInput(f"sha256 in the annotation file is {sha256!r}; it must be a string, or left out")
        entries = value.get("frames")
        if not isinstance(entries, list):
            raise BadInput("the annotation file has no list of frames; write frames: [{index, regions}, ...]")
        frames: dict[int, tuple[Region, ...]] = {}
        for entry in entries:
            index, regions = _frame_of(entry)
            if index in frames:
                raise BadInput(f"the annotation file has frame {index} twice; join its regions in one list")
            frames[index] = regions
        return cls(width, height, frames, sha256, _models(value.get("models", [])))


def line_of(index: int, regions: Iterable[Region]) -> str:
    """Return one frame of an annotation file as a line of JSON."""
    return json.dumps({"index": index, "regions": [region.to_json() for region in regions]}, ensure_ascii=False)


def text_of(head: Annotations, lines: Iterable[str]) -> Iterator[str]:
    """Yield the text of an annotation file piece by piece: `head` with the `lines` of `line_of` as its frames."""
    yield json.dumps(head.to_json() | {"frames": 0}, ensure_ascii=False).removesuffix("0}") + "["
    comma = "\n"
    for line in lines:
        yield comma + line
        comma = ",\n"
    yield "\n]}\n"


def _frame_of(entry: Any) -> tuple[int, tuple[Region, ...]]:
    if not isinstance(entry, Mapping) or entry.keys() != {"index", "regions"}:
        raise BadInput(f"frame {entry!r} in the annotation file must be an object with index and regions")
    index, regions = entry["index"], entry["regions"]
    if not isinstance(index, int) or isinstance(index, bool) or not isinstance(regions, list):
        raise BadInput(
            f"frame {index!r} in the annotation file must have a whole number as index and a list of regions"
        )
    try:
        return index, tuple(map(Region.from_json, regions))
    except BadInput as error:
        raise BadInput(f"frame {index} in the annotation file: {error}") from error


def _models(value: Any) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list) or not all(isinstance(model, Mapping) for model in value):
        raise BadInput(f"models in the annotation file are {value!r}; they must be a list of objects")
    return tuple({str(key): str(fact) for key, fact in model.items()} for model in value)


def _positive(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
