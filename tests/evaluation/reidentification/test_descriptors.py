"""Features of faces do not depend on the light, and are zero for flat images."""

import numpy as np
import pytest

from velum.evaluation.reidentification.descriptors import descriptor, pixel_kinds, unit
from velum.evaluation.reidentification.samples import HEIGHT, WIDTH, Pictures


def pictures(count: int = 3) -> Pictures:
    coarse = np.random.default_rng(1).integers(60, 180, (count, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))


def test_pixel_kinds_ignore_light_and_some_ignore_shade() -> None:
    plain = pictures().astype(np.float32)
    shade = np.linspace(-20, 20, WIDTH)[:, None]
    for kind, vectors in pixel_kinds(plain).items():
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
        assert (vectors * pixel_kinds(plain * 0.8 + 25)[kind]).sum(axis=1) == pytest.approx(1, abs=1e-4)
        shaded = (vectors * pixel_kinds(plain + shade)[kind]).sum(axis=1)
        assert shaded == pytest.approx(1, abs=1e-4) if "shade" in kind else (shaded < 0.999).all()


def test_face_kinds_ignore_the_corners() -> None:
    other = pictures()
    other[:, :10, :10] = 0
    before, after = pixel_kinds(pictures()), pixel_kinds(other)
    for kind in before:
        assert (before[kind] == after[kind]).all() == kind.startswith("face")


def test_a_descriptor_matches_its_image_in_other_light() -> None:
    likeness = descriptor(pictures()) @ descriptor(pictures() * 0.5 + 30).T
    assert (likeness.argmax(axis=1) == np.arange(3)).all()


def test_flat_images_have_zero_vectors() -> None:
    flat = np.full((2, HEIGHT, WIDTH, 3), 90, np.uint8)
    assert not any(vectors.any() for vectors in pixel_kinds(flat).values())
    one, two = descriptor(flat)
    assert (one == two).all()
    assert not unit(np.full((1, 5), 1e-4)).any()
