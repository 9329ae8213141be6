"""Zones at fixed places need no detection."""

from fractions import Fraction

import numpy as np
import pytest

from velum.errors import BadPlan
from velum.frame import Frame, Plane, Role
from velum.parts import make
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import check_localizer


def frame(seconds: float | None) -> Frame:
    plane = Plane(np.zeros((40, 60), np.uint8), Role.GREY)
    return Frame.of(plane, time=None if seconds is None else Fraction(seconds))


@pytest.mark.parametrize(
    ("text", "seconds", "box"),
    [
        ("fixed(box=[10, 5, 30, 25])", None, Box(10, 5, 30, 25)),
        ("fixed(box=[50, 30, 90, 90])", 3, Box(50, 30, 60, 40)),  # clipped to the picture
        ("fixed(box=[70, 0, 90, 9])", 3, None),
        ("fixed", 3, Box(0, 0, 60, 40)),  # the whole picture
        ("fixed(from=2, to=4)", 1.9, None),
        ("fixed(from=2, to=4)", 2, Box(0, 0, 60, 40)),
        ("fixed(from=2, to=4)", 4, None),
        ("fixed(to=1)", None, Box(0, 0, 60, 40)),  # a still picture is at 0
    ],
)
def test_a_zone_applies_at_its_place_and_time(text: str, seconds: float | None, box: Box | None) -> None:
    part = make("velum.localizers", Rule.parse(f"zone: {text} -> blacken").locate, RuntimeConfig())
    assert [region.box for region in part.locate([frame(seconds)])[0]] == ([box] if box else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixed(box=[1, 2, 3])", "x0, y0, x1, y1"),
        ("fixed(box=[5, 0, 5, 9])", "x0 < x1"),
        ("fixed(box=[0, 0, 5.5, 9])", "a list of a whole number or left out"),
        ("fixed(from=4, to=4)", "not after its start"),
        ("fixed(form=4)", "it has box, from, to, label"),
    ],
)
def test_impossible_options_are_refused(text: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        make("velum.localizers", PartSpec.parse(text), RuntimeConfig())


def test_fixed_keeps_the_contract_of_localizers() -> None:
    check_localizer(make("velum.localizers", PartSpec.parse("fixed(label=sign)"), RuntimeConfig()))
