"""Boxes, masks and regions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from velum.errors import BadInput
from velum.region import Box, Region, mask_from_runs, run_lengths
from velum.spec import PartSpec

edges = st.floats(-1e6, 1e6)
sizes = st.floats(0.01, 1e4)


@given(edges, edges, sizes, sizes)
def test_box_around_never_loses_a_part_of_a_pixel(x: float, y: float, width: float, height: float) -> None:
    box = Box.around(x, y, x + width, y + height)
    assert box.x0 <= x
    assert box.y0 <= y
    assert box.x1 >= x + width
    assert box.y1 >= y + height
    assert box.width <= width + 2


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        (Box(-5, -5, 3, 4), Box(0, 0, 3, 4)),  # over the low edges
        (Box(8, 7, 50, 50), Box(8, 7, 10, 9)),  # over the high edges, to the last row and column
        (Box(2, 2, 4, 4), Box(2, 2, 4, 4)),  # inside
        (Box(10, 0, 12, 4), None),  # beside: x0 == width is outside
    ],
)
def test_a_box_is_clipped_to_the_frame(box: Box, clipped: Box | None) -> None:
    assert box.clip(10, 9) == clipped


@pytest.mark.parametrize("xyxy", [(3, 3, 3, 5), (3, 3, 5, 3), (5, 0, 3, 5)])
def test_an_empty_or_inverted_box_is_refused(xyxy: tuple[int, int, int, int]) -> None:
    with pytest.raises(BadInput, match="empty"):
        Box(*xyxy)


@pytest.mark.parametrize("edge", [float("nan"), float("inf"), -float("inf")])
def test_edges_must_be_finite(edge: float) -> None:
    with pytest.raises(BadInput, match="finite"):
        Box.around(0, 0, edge, 5)


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_round_trip(mask: "np.typing.NDArray[np.bool_]") -> None:
    runs = run_lengths(mask)
    assert sum(runs) == mask.size
    assert np.array_equal(mask_from_runs(runs, *mask.shape), mask)


def test_region_json_round_trip() -> None:
    region = Region(
        Box(1, 2, 4, 4), "face", 0.5, np.array([[True, False, True], [False, True, True]]), 7, "interpolated"
    )
    again = Region.from_json(region.to_json())
    assert again.mask is not None
    assert region.mask is not None
    assert np.array_equal(again.mask, region.mask)
    assert (again.box, again.label, again.score, again.track, again.origin) == (
        region.box,
        region.label,
        region.score,
        region.track,
        region.origin,
    )


def test_points_are_kept_to_a_hundredth_of_a_pixel() -> None:
    entry = Region(Box(1, 2, 40, 40), "face", points=((10.128, 11), (-3.5, 12.25))).to_json()
    assert entry["points"] == [[10.13, 11], [-3.5, 12.25]]
    assert Region.from_json(entry).points == ((10.13, 11.0), (-3.5, 12.25))
    assert "points" not in Region(Box(1, 2, 40, 40), "face").to_json()


@pytest.mark.parametrize(
    "points", [[], [[1]], [[1, 2, 3]], [[1, "2"]], [[1, True]], "eyes", [[1, float("inf")]], [[0, 0]] * 201, {"x": 1}]
)
def test_wrong_points_are_refused(points: object) -> None:
    with pytest.raises(BadInput, match="region points"):
        Region.from_json({"label": "face", "xyxy": [0, 0, 9, 9], "points": points})


@pytest.mark.parametrize("technique", ["blur", "pixelate(degree=0.5)", {"name": "blur", "options": {"degree": 0.5}}])
def test_a_region_can_have_its_own_technique_and_be_ignored(technique: object) -> None:
    entry: dict[str, object] = {"label": "face", "xyxy": [0, 0, 9, 4], "technique": technique, "off": True}
    region = Region.from_json(entry)
    assert (region.technique, region.ignored) == (PartSpec.from_json(technique), True)
    told = region.to_json()
    assert (told["technique"], told["off"]) == (str(region.technique), True)
    assert Region.from_json(told).technique == region.technique
    assert Region(Box(0, 0, 9, 4), "face").to_json().keys() == {"label", "xyxy", "score", "found"}


def test_a_technique_nested_too_deep_is_bad_input() -> None:
    nested: list[object] = []
    for _ in range(3000):
        nested = [nested]
    with pytest.raises(BadInput, match="nested too deep|recursion"):
        Region.from_json({"label": "face", "xyxy": [0, 0, 1, 1], "technique": {"name": "a", "options": {"b": nested}}})


def test_a_region_written_by_hand_needs_only_label_and_box() -> None:
    region = Region.from_json({"label": "face", "xyxy": [0.2, 0, 9.1, 4]})
    assert region.box == Box(0, 0, 10, 4)
    assert region.origin == "manual"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("face", "not an object"),
        ({"xyxy": [0, 0, 1, 1]}, "label"),
        ({"label": "", "xyxy": [0, 0, 1, 1]}, "label"),
        ({"label": "face", "xyxy": [0, 0, 1]}, "four numbers"),
        ({"label": "face", "xyxy": [0, 0, 1, "1"]}, "four numbers"),
        ({"label": "face", "xyxy": [0, 0, 1, float("nan")]}, "four numbers"),
        ({"label": "face", "xyxy": [5, 0, 1, 1]}, "empty"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "score": 2}, "score"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "found": "guessed"}, "detected"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "track": 1.5}, "track"),
        ({"label": "face", "xyxy": [0, 0, 2, 2], "mask_runs": [3]}, "adds up"),
        ({"label": "face", "xyxy": [0, 0, 2, 2], "mask_runs": [5, -1]}, "adds up"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "colour": "red"}, "unknown fields"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "off": 1}, "true or false"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "technique": "blur("}, "region technique: cannot read 'blur\\('"),
        ({"label": "face", "xyxy": [0, 0, 1, 1], "technique": 3}, "region technique"),
    ],
)
def test_a_wrong_region_says_what_is_wrong(entry: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Region.from_json(entry)  # type: ignore[arg-type]


def test_a_mask_must_fit_its_box() -> None:
    with pytest.raises(BadInput, match="does not fit"):
        Region(Box(0, 0, 2, 2), "face", mask=np.ones((3, 2), dtype=bool))


def test_an_edge_too_large_for_a_float_is_bad_input() -> None:
    with pytest.raises(BadInput, match="xyxy"):
        Region.from_json({"label": "face", "xyxy": [0, 0, 10**400, 1]})


def test_fields_are_read_by_their_former_names_with_a_warning() -> None:
    region = Region(Box(0, 0, 4, 4), "face", origin="manual", ignored=True)
    with pytest.warns(DeprecationWarning, match=r"Region\.found is now called Region\.origin"):
        assert region.found == "manual"  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match=r"Region\.off is now called Region\.ignored"):
        assert region.off  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        region.colour  # type: ignore[attr-defined]  # noqa: B018
