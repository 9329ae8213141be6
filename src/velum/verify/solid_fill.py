"""Checks regions that should have one colour: exactly in lossless files, otherwise within coding errors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from velum.engine.apply import Area, outline, paint
from velum.engine.prepare import PreparedPlan
from velum.frame import Frame, Plane, Role, Samples
from velum.locate.labels import covers
from velum.media import ImageInfo, SequenceInfo
from velum.media.image.palette import SIZE as PALETTE_SIZE
from velum.media.image.palette import Indexed
from velum.media.video.info import VideoInfo
from velum.plugins import Drawing
from velum.region import Mask, Region

Plane32 = npt.NDArray[np.float32]

BLOCK = 16
"""Side of a coding block, in pixels. Blocks that a region shares with its surroundings are not judged: errors of the
surroundings reach into them, and `BLEED` pixels into the next ones."""

BLEED = 4

FAR_FROM_BLACK = 8.0
"""Levels by which a single colour may differ from black. Only a full palette may lack a nearer colour."""

MOST_NOISE = 2.5
"""Largest noise, in levels (root mean square), that coding leaves in a region of one colour."""

LEAST_NOISE = 0.05
"""Noise in levels below which nothing is visible."""

ALIKE = 0.5
"""Correlation from which remains count as detail of the source. Noise of coding does not correlate."""

LEAST_SAMPLES = 256
"""Least number of samples for a correlation."""

SampleCoding = Literal["exact", "blocks", "lossy"]
"""How samples are coded: without loss, in independent blocks (JPEG), or so that blocks depend on each other."""

_EXACT = frozenset({
    "ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo", "v210", "v308", "v408", "v410",
    "r210",
})  # fmt: skip
"""Lossless video codecs."""


def sample_coding_of(info: ImageInfo | SequenceInfo | VideoInfo) -> SampleCoding:
    """Return how the samples of an image, a sequence of images or a video are coded."""
    if isinstance(info, SequenceInfo):
        return info.coding
    if isinstance(info, ImageInfo):
        exact = info.coding.lossless and info.format not in {"AVIF", "HEIF"}
        return "exact" if exact else "blocks" if info.format == "JPEG" else "lossy"
    return "exact" if info.coding.codec in _EXACT else "lossy"


def find_residues(
    after: Frame, before: Frame | None, regions: Sequence[Region], work: PreparedPlan, coded: SampleCoding
) -> Iterator[tuple[Region, str]]:
    """Yield each region that should show nothing of the source but does, with the reason.

    Only regions whose techniques leave one colour are judged: hiding them once more gives what they should be.
    """
    flat = [region for region in regions if _is_destroyed(work, region)]
    if not flat:
        return
    regions_by_rule = [[region for region in flat if covers(rule.label, region.label)] for rule in work.plan.rules]
    painted = replace(after, planes=tuple(replace(plane, pixels=plane.pixels.copy()) for plane in after.planes))
    paint(painted, regions_by_rule, work)
    excluded = excluded_areas(before or after, work)
    for region in flat:
        upright = mask_of((after.height, after.width), hidden_areas(region, work, after, excluded))
        mask = np.ascontiguousarray(after.orientation.stored_mask(upright))
        reason = _why_left(after, painted, before, mask if coded == "exact" else _inside(mask), coded)
        if reason is not None:
            yield region, reason


def _is_destroyed(work: PreparedPlan, region: Region) -> bool:
    techniques = work.techniques_for(region)
    return bool(techniques) and all(part.destroys and not isinstance(part, Drawing) for part in techniques)


def excluded_areas(frame: Frame, work: PreparedPlan) -> list[Area]:
    """Return the areas of a frame that the plan never hides."""
    return [Area(region.box, region.mask) for part in work.exclusions for region in part.locate([frame])[0]]


def hidden_areas(region: Region, work: PreparedPlan, frame: Frame, excluded: Sequence[Area]) -> Iterator[Area]:
    """Yield the areas that the rules hide for a region, in the upright frame, without excluded areas."""
    for rule in work.plan.rules:
        if covers(rule.label, region.label):
            area = outline(region, rule, frame.width, frame.height)
            remaining = None if area is None else area.without(excluded)
            if remaining is not None:
                yield remaining


def mask_of(shape: tuple[int, int], areas: Iterable[Area]) -> Mask:
    """Return the pixels of areas in an image of that shape (rows, columns)."""
    pixels: Mask = np.zeros(shape, bool)
    for area in areas:
        pixels[area.box.slices] |= True if area.mask is None else area.mask
    return pixels


def _why_left(after: Frame, painted: Frame, before: Frame | None, area: Mask, coded: SampleCoding) -> str | None:
    if not area.any():
        return None
    for number, (plane, black) in enumerate(zip(after.planes, painted.planes, strict=True)):
        mask = _of_plane(area, plane)
        if coded == "exact":
            reason = _why_not_uniform(plane, black, mask)
        else:
            reference = None if before is None else _reference(before, after, plane, number)
            reason = _why_seen(plane, black, mask, reference, coded)
        if reason is not None:
            return reason
    return None


def _inside(mask: Mask) -> Mask:
    """Return the pixels of blocks that lie wholly in the mask, `BLEED` pixels away from other blocks."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = padded.shape
    whole = padded.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).all(axis=(1, 3))
    pixels = np.repeat(np.repeat(whole, BLOCK, 0), BLOCK, 1)[:height, :width].astype(np.uint8)
    kernel = np.ones((2 * BLEED + 1, 2 * BLEED + 1), np.uint8)
    inner: Mask = cv2.erode(pixels, kernel, borderType=cv2.BORDER_REPLICATE).astype(bool)
    return inner


def _of_plane(mask: Mask, plane: Plane) -> Mask:
    """Return the samples of a plane whose pixels all lie in the mask."""
    rows, columns = plane.pixels.shape[:2]
    if (rows, columns) == mask.shape:
        return mask
    down, across = plane.scale_y, plane.scale_x
    padded = np.pad(mask, ((0, rows * down - mask.shape[0]), (0, columns * across - mask.shape[1])), mode="edge")
    reduced = padded.reshape(rows, down, columns, across).all(axis=(1, 3))
    return np.asarray(reduced, bool)


def _why_not_uniform(plane: Plane, black: Plane, mask: Mask) -> str | None:
    """Say why losslessly coded samples are not all of one, nearly black colour."""
    samples = plane.pixels[mask].reshape(int(mask.sum()), -1)
    if not len(samples):
        return None
    differ = int((samples != samples[0]).any(axis=1).sum())
    if differ:
        return f"{differ} of its {len(samples)} samples differ, where all should have one colour"
    if isinstance(plane, Indexed) and plane.indices is not None and len(np.unique(plane.indices[mask])) > 1:
        return "its samples have several palette indices for one colour"
    target = black.pixels[mask].reshape(len(samples), -1)[0]
    full = _has_no_place(plane) if isinstance(plane, Indexed) else _is_bilevel(plane)
    if full and _is_nearest(plane, samples[0], target):
        return None
    missed = np.abs(samples[0].astype(np.int32) - target).max()
    levels = float(missed) / (1 << (plane.bits - 8))
    return (
        f"its colour differs from the one of the technique by {levels:.0f} levels" if levels > FAR_FROM_BLACK else None
    )


def _is_bilevel(plane: Plane) -> bool:
    """Tell whether a grey plane is only black and white, as where one bit a pixel is stored: other greys get lost."""
    return plane.role == Role.GREY and bool(np.isin(plane.pixels, (0, (1 << plane.bits) - 1)).all())


def _has_no_place(plane: Indexed) -> bool:
    """Tell whether every palette index is in use, so that none is left for black."""
    return plane.indices is not None and len(np.unique(plane.indices)) == PALETTE_SIZE


def _is_nearest(plane: Plane, colour: Samples, target: Samples) -> bool:
    """Tell whether no other colour of a plane (rows, columns, channels) is nearer to `target` than `colour`."""
    colours = np.unique(plane.pixels.reshape(-1, colour.size), axis=0).astype(np.int64)
    distances = ((colours - target.astype(np.int64)) ** 2).sum(axis=1)
    return bool(((colour.astype(np.int64) - target) ** 2).sum() <= distances.min())


def _why_seen(plane: Plane, black: Plane, mask: Mask, reference: Plane32 | None, coded: SampleCoding) -> str | None:
    """Say what lossily coded samples show besides black and the noise of coding."""
    if mask.sum() < LEAST_SAMPLES:
        return None
    scale = 1 << (plane.bits - 8)
    trace = ((plane.pixels[mask].astype(np.float32) - black.pixels[mask]) / scale).astype(np.float32)
    trace = trace.reshape(len(trace), -1)
    if plane.role in {Role.RGBA, Role.GREY_ALPHA}:
        trace = trace[:, :-1]
    noise = float(trace.std(axis=0).max())
    if noise > MOST_NOISE or (coded == "blocks" and noise > LEAST_NOISE and np.ptp(trace, axis=0).max() > 1):
        return f"{noise:.1f} levels of remains are in it, where all should be black"
    if reference is None or noise <= LEAST_NOISE:
        return None
    source = reference[mask].reshape(len(trace), -1)
    likeness = _likeness(trace, np.column_stack([source, source.mean(axis=1)]))
    return f"its remains resemble the source (correlation {likeness:.2f})" if likeness > ALIKE else None


def _likeness(trace: Plane32, source: Plane32) -> float:
    """Return the largest correlation of a channel of the remains with one of the source; 0 without detail."""
    best = 0.0
    for left_channel in trace.T:
        for source_channel in source.T:
            if left_channel.std() > LEAST_NOISE and source_channel.std() > 1:
                best = max(best, abs(float(np.corrcoef(left_channel, source_channel)[0, 1])))
    return best


def _reference(before: Frame, after: Frame, plane: Plane, number: int) -> Plane32:
    """Return the source at each sample of a plane of the result: (rows, columns, channels)."""
    picture = before.rgb(after.width, after.height)
    if plane.role == Role.CHROMA:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., 3 - number : 4 - number]  # type: ignore[assignment]  # stubs lose the dtype
    elif plane.role in {Role.LUMA, Role.GREY, Role.GREY_ALPHA}:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]  # type: ignore[assignment]  # its stubs lose the dtype
    turned = after.orientation
    flipped = picture[:: -1 if turned.flip_y else 1, :: -1 if turned.flip_x else 1]
    stored = np.ascontiguousarray(flipped.swapaxes(0, 1) if turned.transposed else flipped)
    rows, columns = plane.pixels.shape[:2]
    scaled = cv2.resize(stored, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    return scaled.reshape(rows, columns, -1)
