"""Class maps of any resolution become regions along their outlines, wherever tiles cut the image."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from velum.errors import BadPlan
from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.class_maps import Mapper
from velum.locate.output_formats import Input, Tensors
from velum.locate.output_formats.semantic import FAMILY
from velum.locate.segmenter import Outliner, Segmenter
from velum.plugins import RuntimeConfig
from velum.region import Box, Mask, Region


@dataclass(frozen=True)
class Painted:
    """A network that reads its answer from the picture: red and green are the probabilities of two classes."""

    shrink: int = 1
    precision: str = "f32"
    runtime: str = "fake"

    def infer(self, rgb: Rgb) -> Tensors:
        height, width = rgb.shape[:2]
        size = max(1, width // self.shrink), max(1, height // self.shrink)
        return {"out": cv2.resize(rgb[..., :2], size, interpolation=cv2.INTER_AREA) / np.float32(255)}

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        return map(self.infer, pictures)


def outliner(
    shrink: int = 1, scale: float | None = 1.0, threshold: float = 0.3, specks: int = 0, form: Input | None = None,
    area: int = 256 * 256, cells: int = 1 << 20,
) -> Outliner:  # fmt: skip
    mapper = Mapper(Painted(shrink), FAMILY, form or replace(FAMILY.input, stride=1), 2, (0, 1), scale, area, cells)
    return Outliner(mapper, ("person", "car"), threshold, specks)


def frame(paint: Callable[[Rgb], object], width: int = 120, height: int = 90) -> Frame:
    rgb = np.zeros((height, width, 3), np.uint8)
    paint(rgb)
    return Frame.of(Plane(rgb, Role.RGB))


def whole(regions: list[Region], label: str, shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    for region in regions:
        if region.label == label:
            mask[region.box.slices] |= True if region.mask is None else region.mask
    return mask


def disc(rgb: Rgb) -> None:
    cv2.circle(rgb, (60, 40), 25, (255, 0, 0), cv2.FILLED)


def test_the_mask_of_a_region_is_that_of_the_map() -> None:
    picture = frame(disc)
    found = outliner().find(picture)
    assert [region.label for region in found] == ["person"]
    assert found[0].score == pytest.approx(1)
    assert found[0].box == Box(35, 15, 86, 66)
    assert found[0].mask is not None
    assert (whole(found, "person", (90, 120)) == (picture.planes[0].pixels[..., 0] > 0)).all()


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_coarse_map_gives_a_smooth_outline(shrink: int) -> None:
    picture = frame(disc)
    mask = whole(outliner(shrink, threshold=0.5, scale=None).find(picture), "person", (90, 120))
    truth = picture.planes[0].pixels[..., 0] > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 1 - 0.02 * shrink


def test_both_of_two_likely_classes_are_hidden() -> None:
    def both(rgb: Rgb) -> None:
        rgb[20:40, 20:50] = 90, 160, 0

    found = outliner(threshold=0.3).find(frame(both))
    assert [(region.label, region.box.xyxy) for region in found] == [
        ("car", (20, 20, 50, 40)), ("person", (20, 20, 50, 40))
    ]  # fmt: skip
    assert [region.score for region in found] == pytest.approx([160 / 255, 90 / 255])
    assert [region.label for region in outliner(threshold=0.5).find(frame(both))] == ["car"]


@pytest.mark.parametrize(
    ("points", "specks", "boxes"),
    [
        ([(5, 5)], 0, [(5, 5, 6, 6)]),  # a single pixel is a piece
        ([(0, 0), (119, 89)], 0, [(0, 0, 1, 1), (119, 89, 120, 90)]),  # also in a corner
        ([(5, 5), (6, 6)], 0, [(5, 5, 7, 7)]),  # touching at a corner is connected
        ([(5, 5), (7, 7)], 0, [(5, 5, 6, 6), (7, 7, 8, 8)]),
        ([(5, 5)], 2, []),  # unless asked to leave them out
        ([(5, 5), (6, 5)], 2, [(5, 5, 7, 6)]),  # long enough one way
    ],
)
def test_pieces_below_the_smallest_size_are_dropped(
    points: list[tuple[int, int]], specks: int, boxes: list[tuple[int, ...]]
) -> None:
    def dots(rgb: Rgb) -> None:
        for x, y in points:
            rgb[y, x, 0] = 255

    # Only the first look sees single pixels; in coarser ones they are too faint.
    found = outliner(specks=specks).find(frame(dots))
    assert sorted(region.box.xyxy for region in found) == boxes


@pytest.mark.parametrize("shrink", [3, 8])
def test_a_faint_single_cell_of_a_coarse_map_is_not_lost(shrink: int) -> None:
    cell = Box(5 * shrink, 5 * shrink, 6 * shrink, 6 * shrink)

    def dot(rgb: Rgb) -> None:
        rgb[cell.slices] = 78, 0, 0  # just above the threshold of 0.3

    found = outliner(shrink, scale=None).find(frame(dot, 96, 96))
    assert len(found) == 1
    assert found[0].box.overlaps(cell)


def test_a_piece_inside_the_box_of_another_keeps_its_own_mask() -> None:
    def ring(rgb: Rgb) -> None:
        cv2.circle(rgb, (60, 45), 40, (255, 0, 0), 4)
        cv2.circle(rgb, (60, 45), 10, (255, 0, 0), cv2.FILLED)

    found = outliner().find(frame(ring))
    inner, outer = sorted(found, key=lambda region: region.box.width)
    assert outer.mask is not None
    assert not outer.mask[inner.box.move(-outer.box.x0, -outer.box.y0).slices].any()


@pytest.mark.parametrize("size_wh", [None, (128, 128)])
def test_tiles_leave_no_seams_in_masks(size_wh: tuple[int, int] | None) -> None:
    def bars(rgb: Rgb) -> None:
        rgb[..., 1] = cv2.line(np.zeros(rgb.shape[:2], np.uint8), (30, 20), (850, 580), (255,), 20)
        rgb[100:140, 10:880, 0] = 255

    picture = frame(bars, 900, 600)
    found = outliner(form=replace(FAMILY.input, stride=1, size_wh=size_wh)).find(picture)
    assert sorted(region.label for region in found) == ["car", "person"]
    for index, label in enumerate(("person", "car")):
        mask, truth = whole(found, label, (600, 900)), picture.planes[0].pixels[..., index] > 0
        assert (truth & ~mask).sum() < 0.01 * truth.sum()
        assert (mask & ~truth).sum() < 0.2 * truth.sum()


def test_a_map_with_few_cells_is_coarser_and_finds_the_same() -> None:
    def square(rgb: Rgb) -> None:
        rgb[200:400, 300:700, 0] = 255

    picture = frame(square, 900, 600)
    for cells in (1 << 20, 1 << 16, 1 << 13):
        finder = outliner(cells=cells)
        assert finder.mapper.maps(picture)[0].size <= 1.05 * cells
        found = finder.find(picture)
        assert len(found) == 1
        assert np.abs(np.array(found[0].box.xyxy) - (300, 200, 700, 400)).max() <= 12


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3000, 8), (8, 3000), (129, 127)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_images_of_odd_shapes_are_segmented(width: int, height: int, fit: str) -> None:
    form = Input(fit=fit, size_wh=(128, 128))  # type: ignore[arg-type] # a parameter, not a literal
    for scale in (None, 0.5):
        found = outliner(form=form, scale=scale).find(frame(lambda rgb: rgb.fill(255), width, height))
        assert whole(found, "person", (height, width)).all()
        assert {region.box for region in found} == {Box(0, 0, width, height)}


def test_a_model_that_finds_boxes_is_refused() -> None:
    with pytest.raises(BadPlan, match="finds boxes"):
        Segmenter("centerface", RuntimeConfig())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_side": 3}, "min_side of pp-humanseg is 3"),
        ({"threshold": 0.0}, "threshold"),
        ({"specks": -1}, "specks"),
        ({"only": ("horse",)}, "no label horse; it has person"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(BadPlan, match=says):
        Segmenter("pp-humanseg", RuntimeConfig(offline=True), **options)  # type: ignore[arg-type] # wrong on purpose
