"""What is left where all should be of one colour: to the last bit where nothing is lost, else to the coder's error."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from velum.engine.apply import paint
from velum.engine.masks import Area, outline
from velum.engine.prepare import PreparedPlan
from velum.frame import Frame, Plane, Role, Samples
from velum.locate.labels import covers
from velum.media.image.palette import SIZE as PALETTE_SIZE
from velum.media.image.palette import Indexed
from velum.region import Mask, Region

Plane32 = npt.NDArray[np.float32]

BLOCK = 16
"""Pixels of a side of the blocks that coders make of a picture. Those that a region shares with its surroundings are
not judged: what lies beside the region spoils them, as far as `BLEED` pixels into the next ones."""

BLEED = 4

FAR_FROM_BLACK = 8.0
"""Levels by which one single colour may miss black. Only a palette without a free place may have nothing nearer."""

MOST_NOISE = 2.5
"""Levels (root mean square) that coding leaves in a region of one colour, at most."""

LEAST_NOISE = 0.05
"""Levels below which nothing can be made out."""

ALIKE = 0.5
"""Correlation with the source from which on what is left shows it. Noise of coding has none."""

LEAST_SAMPLES = 256
"""Samples by which a correlation is worth anything."""


@dataclass(frozen=True, slots=True)
class SampleCoding:
    """How the samples of a finished file were coded: without loss, in blocks that are apart (JPEG), or otherwise."""

    exact: bool
    apart: bool = False


def residues(
    after: Frame, before: Frame | None, regions: Sequence[Region], work: PreparedPlan, coded: SampleCoding
) -> Iterator[tuple[Region, str]]:
    """Yield the regions which should show nothing of the source and do, each with what is wrong.

    They are those whose technique destroys: hiding them once more in the finished picture tells what they should be.
    """
    flat = [region for region in regions if _is_destroyed(work, region)]
    if not flat:
        return
    wanted = [[region for region in flat if covers(rule.label, region.label)] for rule in work.plan.rules]
    painted = replace(after, planes=tuple(replace(plane, pixels=plane.pixels.copy()) for plane in after.planes))
    paint(painted, wanted, work)
    source = before or after
    kept = [Area(one.box, one.mask) for part in work.exclusions for one in part.locate([source])[0]]
    for region in flat:
        where = _mask(after, _areas(region, work, after, kept))
        why = _why_left(after, painted, before, where if coded.exact else _inside(where), coded)
        if why is not None:
            yield region, why


def _is_destroyed(work: PreparedPlan, region: Region) -> bool:
    techniques = work.techniques_for(region)
    return bool(techniques) and all(technique.destroys for technique in techniques)


def _areas(region: Region, work: PreparedPlan, frame: Frame, kept: Sequence[Area]) -> Iterator[Area]:
    """Yield what the rules hide for a region, in the upright picture, less what is never hidden."""
    for rule in work.plan.rules:
        if covers(rule.label, region.label):
            area = outline(region, rule, frame.width, frame.height)
            left = None if area is None else area.without(kept)
            if left is not None:
                yield left


def _mask(frame: Frame, areas: Iterable[Area]) -> Mask:
    """Return the pixels of areas in the picture as it is stored."""
    upright: Mask = np.zeros((frame.height, frame.width), bool)
    for area in areas:
        upright[area.box.slices] |= True if area.mask is None else area.mask
    return np.ascontiguousarray(frame.orientation.stored_mask(upright))


def _why_left(after: Frame, painted: Frame, before: Frame | None, where: Mask, coded: SampleCoding) -> str | None:
    if not where.any():
        return None
    for number, (plane, black) in enumerate(zip(after.planes, painted.planes, strict=True)):
        mask = _of_plane(where, plane)
        if coded.exact:
            why = _why_not_one(plane, black, mask)
        else:
            reference = None if before is None else _reference(before, after, plane, number)
            why = _why_seen(plane, black, mask, reference, coded)
        if why is not None:
            return why
    return None


def _inside(mask: Mask) -> Mask:
    """Return the pixels in blocks that lie wholly in the mask, as far from others as those bleed."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = padded.shape
    whole = padded.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).all(axis=(1, 3))
    pixels = np.repeat(np.repeat(whole, BLOCK, 0), BLOCK, 1)[:height, :width].astype(np.uint8)
    kernel = np.ones((2 * BLEED + 1, 2 * BLEED + 1), np.uint8)
    inner: Mask = cv2.erode(pixels, kernel, borderType=cv2.BORDER_REPLICATE).astype(bool)
    return inner


def _of_plane(mask: Mask, plane: Plane) -> Mask:
    """Return the samples of a plane of which all pixels lie in the mask."""
    rows, columns = plane.pixels.shape[:2]
    if (rows, columns) == mask.shape:
        return mask
    down, across = plane.scale_y, plane.scale_x
    padded = np.pad(mask, ((0, rows * down - mask.shape[0]), (0, columns * across - mask.shape[1])), mode="edge")
    reduced = padded.reshape(rows, down, columns, across).all(axis=(1, 3))
    return np.asarray(reduced, bool)


def _why_not_one(plane: Plane, black: Plane, mask: Mask) -> str | None:
    """Say why samples that were coded without loss are not all of one colour, nearly black."""
    found = plane.pixels[mask].reshape(int(mask.sum()), -1)
    if not len(found):
        return None
    differ = int((found != found[0]).any(axis=1).sum())
    if differ:
        return f"{differ} of its {len(found)} samples differ from the others, where all should have one colour"
    if isinstance(plane, Indexed) and plane.indices is not None and len(np.unique(plane.indices[mask])) > 1:
        return "its samples have several numbers of the palette for one colour"
    target = black.pixels[mask].reshape(len(found), -1)[0]
    if isinstance(plane, Indexed) and _has_no_place(plane) and _is_nearest(plane, found[0], target):
        return None
    missed = np.abs(found[0].astype(np.int32) - target).max()
    levels = float(missed) / (1 << (plane.bits - 8))
    return f"its colour misses black by {levels:.0f} levels" if levels > FAR_FROM_BLACK else None


def _has_no_place(plane: Indexed) -> bool:
    """Tell whether every number of a palette is in use, so that none is left for black."""
    return plane.indices is not None and len(np.unique(plane.indices)) == PALETTE_SIZE


def _is_nearest(plane: Plane, colour: Samples, target: Samples) -> bool:
    """Tell whether no other colour of a plane (rows, columns, channels) is nearer to `target` than `colour`."""
    colours = np.unique(plane.pixels.reshape(-1, colour.size), axis=0).astype(np.int64)
    distances = ((colours - target.astype(np.int64)) ** 2).sum(axis=1)
    return bool(((colour.astype(np.int64) - target) ** 2).sum() <= distances.min())


def _why_seen(plane: Plane, black: Plane, mask: Mask, reference: Plane32 | None, coded: SampleCoding) -> str | None:
    """Say what samples that were coded with a loss show, beside black and the noise of coding."""
    if mask.sum() < LEAST_SAMPLES:
        return None
    scale = 1 << (plane.bits - 8)
    left = ((plane.pixels[mask].astype(np.float32) - black.pixels[mask]) / scale).astype(np.float32)
    left = left.reshape(len(left), -1)
    if plane.role in {Role.RGBA, Role.GREY_ALPHA}:
        left = left[:, :-1]
    noise = float(left.std(axis=0).max())
    if noise > MOST_NOISE or (coded.apart and noise > LEAST_NOISE and np.ptp(left, axis=0).max() > 1):
        return f"{noise:.1f} levels of something are left in it, where all should be black"
    if reference is None or noise <= LEAST_NOISE:
        return None
    source = reference[mask].reshape(len(left), -1)
    likeness = _likeness(left, np.column_stack([source, source.mean(axis=1)]))
    return f"what is left in it is like its source (correlation {likeness:.2f})" if likeness > ALIKE else None


def _likeness(left: Plane32, source: Plane32) -> float:
    """Return the largest correlation of any channel that is left with any of the source; 0 where one has no detail."""
    best = 0.0
    for one in left.T:
        for other in source.T:
            if one.std() > LEAST_NOISE and other.std() > 1:
                best = max(best, abs(float(np.corrcoef(one, other)[0, 1])))
    return best


def _reference(before: Frame, after: Frame, plane: Plane, number: int) -> Plane32:
    """Return what the source shows at each sample of a plane of the finished picture: (rows, columns, channels)."""
    picture = before.rgb(after.width, after.height)
    if plane.role == Role.CHROMA:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., 3 - number : 4 - number]  # type: ignore[assignment]
    elif plane.role in {Role.LUMA, Role.GREY, Role.GREY_ALPHA}:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]  # type: ignore[assignment]
    turned = after.orientation
    flipped = picture[:: -1 if turned.flip_y else 1, :: -1 if turned.flip_x else 1]
    stored = np.ascontiguousarray(flipped.swapaxes(0, 1) if turned.transposed else flipped)
    rows, columns = plane.pixels.shape[:2]
    scaled = cv2.resize(stored, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    return scaled.reshape(rows, columns, -1)
