"""Fakes and contract checks, for our tests and for those of plugin authors.

>>> from velum.techniques.blacken import Blacken
>>> check_technique(Blacken())
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from velum.engine.apply import paint
from velum.engine.prepare import PreparedPlan, PreparedRule
from velum.frame import Frame, Orientation, Plane, Role, Samples
from velum.plan import Plan, Rule
from velum.plugins import Localizer, Technique
from velum.region import Box, Mask, Region
from velum.spec import PartSpec


@dataclass(frozen=True, slots=True, eq=False)
class FakeLocalizer:
    """A localizer that returns given regions, or for each frame those that the function `regions` returns."""

    regions: Sequence[Region] | Callable[[Frame], Sequence[Region]] = ()
    labels: frozenset[str] = frozenset({"face"})
    description: Mapping[str, str] = field(default_factory=lambda: {"model": "fake"})
    track_threshold: float = 0.0

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions for each frame."""
        return [list(self.regions(frame) if callable(self.regions) else self.regions) for frame in frames]

    def close(self) -> None:
        """Do nothing."""


def frames_of_every_kind(width: int = 61, height: int = 47, seed: int = 0) -> dict[str, Frame]:
    """Return random frames, by name, of every kind that a technique can meet; all of odd size."""
    random = np.random.default_rng(seed)

    def samples(bits: int, *shape: int) -> Samples:
        noise = random.integers(0, 1 << bits, shape)
        return noise.astype(np.uint8) if bits == 8 else noise.astype(np.uint16)

    def yuv(bits: int, scale_x: int, scale_y: int) -> Frame:
        chroma = -(-height // scale_y), -(-width // scale_x)
        luma = Plane(samples(bits, height, width), Role.LUMA, bits=bits, limited=True)
        planes = (Plane(samples(bits, *chroma), Role.CHROMA, scale_x, scale_y, bits, limited=True) for _ in "uv")
        return Frame((luma, *planes), width, height)

    frames = {
        f"{role} {bits} bits": Frame.of(
            Plane(samples(bits, height, width, *([role.channels] if role.channels > 1 else [])), role, bits=bits)
        )
        for role in (Role.GREY, Role.GREY_ALPHA, Role.RGB, Role.RGBA, Role.CMYK)
        for bits in (8, 16)
    }
    frames |= {f"yuv {x}x{y} {bits} bits": yuv(bits, x, y) for bits in (8, 10) for x, y in ((1, 1), (2, 1), (2, 2))}
    clear = yuv(8, 2, 2)
    frames["yuv 2x2 8 bits and alpha"] = replace(
        clear, planes=(*clear.planes, Plane(samples(8, height, width), Role.ALPHA))
    )
    turned = Plane(samples(8, width, height, 3), Role.RGB)
    return frames | {"stored on its side": Frame.of(turned, orientation=Orientation.from_exif(6))}


def check_technique(technique: Technique, label: str = "face") -> None:
    """Raise `AssertionError` when the technique breaks its contract on any kind of frame.

    Through the engine: samples outside the region are unchanged; what it writes depends on nothing random; and if it
    `destroys`, any two contents give the same result.
    """
    assert technique.labels is None or label in technique.labels, f"{technique!r} cannot hide {label!r}"
    for name, frame in frames_of_every_kind().items():
        for region in _regions(frame, label):
            before = _samples(frame)
            once, again = _hide_copy(technique, frame, region), _hide_copy(technique, frame, region)
            assert all(map(np.array_equal, _samples(frame), before)), f"{name}: the source frame was changed"
            assert all(map(np.array_equal, _samples(once), _samples(again))), f"{name}: two runs differ"
            inside = [_touched_samples(frame, plane, region) for plane in frame.planes]
            for plane, old, where in zip(once.planes, before, inside, strict=True):
                assert np.array_equal(plane.pixels[~where], old[~where]), f"{name}: samples outside the region changed"
            if technique.destroys:
                other = _hide_copy(technique, frames_of_every_kind(seed=1)[name], region)
                for plane, changed, where in zip(once.planes, other.planes, inside, strict=True):
                    assert np.array_equal(plane.pixels[where], changed.pixels[where]), (
                        f"{name}: something of it survived"
                    )


def check_localizer(localizer: Localizer) -> None:
    """Raise `AssertionError` when the localizer breaks its contract on frames of several kinds and sizes."""
    assert isinstance(localizer.labels, frozenset), "labels must be a frozenset"
    assert localizer.labels, "a localizer must be able to find something"
    assert localizer.locate([]) == [], "no frames must give no lists"
    frames = [frame for frame in frames_of_every_kind().values() if len(frame.planes) == 1]
    frames.append(Frame.of(Plane(np.zeros((1, 1, 3), np.uint8), Role.RGB)))
    before = [_samples(frame) for frame in frames]
    answers = localizer.locate(frames)
    assert len(answers) == len(frames), f"{len(frames)} frames gave {len(answers)} lists"
    for frame, samples, regions in zip(frames, before, answers, strict=True):
        assert all(map(np.array_equal, _samples(frame), samples)), "locate changed a frame"
        for region in regions:
            assert region.label in localizer.labels, f"{region.label!r} is not among its labels"
            assert region.box.clip(frame.width, frame.height) == region.box, f"{region.box} lies outside the frame"


def _regions(frame: Frame, label: str) -> list[Region]:
    corner = Box(frame.width - 23, frame.height - 17, frame.width, frame.height)
    ring: Mask = np.hypot(*np.ogrid[-10:11, -14:15]) < 12
    inner = Box(9, 7, 9 + ring.shape[1], 7 + ring.shape[0])
    return [
        Region(corner, label),
        Region(inner, label, mask=ring),
        Region(frame.box, label),
        Region(Box(5, 5, 6, 6), label),
    ]


def _hide_copy(technique: Technique, frame: Frame, region: Region) -> Frame:
    planes = tuple(Plane(p.pixels.copy(), p.role, p.scale_x, p.scale_y, p.bits, p.limited) for p in frame.planes)
    copy = Frame(planes, frame.width, frame.height, frame.index, frame.time, frame.orientation)
    rule = Rule(region.label, PartSpec("fake"), PartSpec("technique"), grow=0)
    paint(copy, [[region]], PreparedPlan(Plan((rule,)), (PreparedRule(rule, technique),)))
    return copy


def _touched_samples(frame: Frame, plane: Plane, region: Region) -> Mask:
    """Return which samples of the plane any pixel of the region touches, found without the engine's arithmetic."""
    upright = np.zeros((frame.height, frame.width), dtype=bool)
    upright[region.box.slices] = True if region.mask is None else region.mask
    stored = frame.orientation.stored_mask(upright)
    touched = np.zeros(plane.pixels.shape[:2], dtype=bool)
    rows, columns = np.nonzero(stored)
    touched[rows // plane.scale_y, columns // plane.scale_x] = True
    return touched


def _samples(frame: Frame) -> list[Samples]:
    return [plane.pixels.copy() for plane in frame.planes]
