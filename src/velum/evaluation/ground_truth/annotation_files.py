"""velum's own annotation files as ground truth: what people have corrected on the page, or in the file itself.

The source of `NAME.regions.json` is the image or video NAME in the folder of the media, with any suffix. Every label
that occurs in one of the files counts as labelled completely in all of them. Regions that people have switched off are
no objects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.annotations import Annotations
from velum.errors import BadInput
from velum.evaluation.ground_truth.masks import outlines_of
from velum.evaluation.ground_truth.values import GroundTruthBox, LabelledFile, exists
from velum.file_hash import sha256_of
from velum.locate.labels import canonical, plain
from velum.media import SUFFIXES
from velum.region import Region

ENDING = ".regions"
"""What `velum locate` and the page add to the stem of the source."""


def labelled_files(values: Mapping[Path, Mapping[str, Any]], media: Path) -> tuple[LabelledFile, ...]:
    """Return the labelled files that annotation files, JSON by path, are about.

    `media` is the folder of the sources, or the source itself. Raises `BadInput` for a file that is no annotation file,
    and where its source is missing or is another file than the one that was annotated.
    """
    read = {path: _annotations(path, value) for path, value in values.items()}
    regions = (region for annotations in read.values() for frame in annotations.frames.values() for region in frame)
    complete = frozenset(_label(region) for region in regions)
    return tuple(_labelled_file(path, annotations, media, complete) for path, annotations in read.items())


def _annotations(path: Path, value: Mapping[str, Any]) -> Annotations:
    try:
        return Annotations.from_json(value)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _labelled_file(path: Path, annotations: Annotations, media: Path, complete: frozenset[str]) -> LabelledFile:
    source = media if media.is_file() else _source(path, media)
    if annotations.sha256 and exists(source) and (sha256 := sha256_of(source)) != annotations.sha256:
        raise BadInput(
            f"{path} is about a file of sha256 {annotations.sha256[:12]}, and {source} has {sha256[:12]}; give the "
            "folder of the file that was annotated with --media, or remove the field sha256 to use it all the same"
        )
    frames = {
        index: tuple(_box(region) for region in regions if not region.ignored)
        for index, regions in annotations.frames.items()
    }
    return LabelledFile(source, source.name, frames, complete, (annotations.width, annotations.height))


def _source(path: Path, media: Path) -> Path:
    stem = path.stem.removesuffix(ENDING)
    if Path(stem).suffix.lower() in SUFFIXES and exists(media / stem):
        return media / stem
    candidates = [place for place in sorted(media.glob("*")) if place.stem == stem and place.suffix.lower() in SUFFIXES]
    if len(candidates) > 1:
        raise BadInput(
            f"{path} can be about {' or '.join(place.name for place in candidates)}; name it for one of them"
        )
    return candidates[0] if candidates else media / stem


def _label(region: Region) -> str:
    return canonical(plain(region.label))


def _box(region: Region) -> GroundTruthBox:
    x0, y0, x1, y1 = map(float, region.box.xyxy)
    track = None if region.track is None else str(region.track)
    return GroundTruthBox(_label(region), (x0, y0, x1, y1), outline=_outlines(region), track=track)


def _outlines(region: Region) -> tuple[tuple[float, ...], ...]:
    """Return the polygons around the mask of a region; none where it has no mask."""
    return () if region.mask is None else outlines_of(region.mask, region.box.x0, region.box.y0)
