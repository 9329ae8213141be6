"""Unchanged samples of palette images keep their index; changed ones get the best available colour."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from velum import media
from velum.limits import Limits
from velum.media.image import palette
from velum.media.image.palette import Palette
from velum.plan import Plan

from .factories import Array, image, noise, saved


def _palette(*colours: tuple[int, int, int]) -> Palette:
    return Palette(np.array([(*colour, 255) for colour in colours], np.uint8), alpha=False)


def _full() -> Palette:
    return Palette(
        np.concatenate((np.arange(256)[:, None].repeat(3, 1), np.full((256, 1), 255)), 1).astype(np.uint8), alpha=False
    )


def test_indices_stay_even_where_two_have_the_same_colour() -> None:
    colours = _palette((9, 9, 9), (5, 5, 5), (9, 9, 9))
    indices = np.array([[0, 2, 1, 2]], np.uint8)
    pixels = colours.expand(indices)
    pixels[0, 2] = 9
    result, _ = palette.reduce(pixels, colours, indices)
    assert result.tolist() == [[0, 2, 0, 2]]


def test_without_indices_a_colour_gets_its_index_from_the_palette() -> None:
    colours = _palette((1, 1, 1), (2, 2, 2))
    result, same = palette.reduce(np.array([[[2, 2, 2], [1, 1, 1]]], np.uint8), colours)
    assert result.tolist() == [[1, 0]]
    assert same is colours


def test_a_new_colour_gets_a_free_palette_entry() -> None:
    colours = _palette((10, 10, 10), (20, 20, 20))
    indices = np.array([[0, 1, 1]], np.uint8)
    pixels = colours.expand(indices)
    pixels[0, 2] = (0, 0, 0)
    result, grown = palette.reduce(pixels, colours, indices)
    assert np.array_equal(grown.expand(result), pixels)
    assert len(grown.colours) == 3


def test_colours_of_hidden_samples_are_removed_from_the_palette() -> None:
    colours = _palette((10, 10, 10), (200, 150, 120))
    indices = np.array([[0, 1, 1]], np.uint8)
    pixels = colours.expand(indices)
    pixels[0, 1:] = (10, 10, 10)
    result, cleaned = palette.reduce(pixels, colours, indices)
    assert result.tolist() == [[0, 0, 0]]
    assert [200, 150, 120, 255] not in cleaned.colours.tolist()


def test_in_a_full_palette_black_gets_an_entry_and_other_colours_the_nearest() -> None:
    colours = Palette(_full().colours.copy(), alpha=False)
    colours.colours[0] = (1, 1, 1, 255)  # no black, one colour twice
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = colours.expand(indices)
    pixels[0, 0] = (0, 0, 0)
    pixels[0, 2] = (100, 101, 100)
    result, after = palette.reduce(pixels, colours, indices)
    assert after.expand(result)[0, 0].tolist() == [0, 0, 0]
    assert after.expand(result)[0, 2].tolist() in [[100, 101, 100], [100, 100, 100]]
    assert np.array_equal(result.ravel()[3:], indices.ravel()[3:])


@given(
    indices=arrays.arrays(np.uint8, (6, 7), elements=st.integers(0, 19)),
    changed=arrays.arrays(np.bool_, (6, 7)),
    seed=st.integers(0, 50),
)
def test_changes_are_exact_while_the_palette_has_room_and_never_move_other_samples(
    indices: Array, changed: Array, seed: int
) -> None:
    colours = Palette(np.concatenate((noise(20, 3, seed=seed), np.full((20, 1), 255, np.uint8)), 1), alpha=False)
    pixels = colours.expand(indices)
    pixels[changed] = noise(6, 7, 3, seed=seed + 1)[changed]
    result, after = palette.reduce(pixels, colours, indices)
    assert np.array_equal(after.expand(result), pixels)
    same = (pixels == colours.expand(indices)).all(axis=2)
    assert np.array_equal(result[same], indices[same])


@given(pixels=arrays.arrays(np.uint8, (5, 5, 4)))
def test_an_exact_palette_changes_half_transparent_samples_only(pixels: Array) -> None:
    found = palette.exact(pixels)
    assert found is not None
    indices, colours = found
    clear = pixels[..., 3] < 128
    again = Palette(colours.colours, alpha=True).expand(indices)
    assert (again[clear] == 0).all()
    assert np.array_equal(again[~clear][:, :3], pixels[~clear][:, :3])
    assert (again[~clear][:, 3] == 255).all()


def test_more_than_256_colours_have_no_exact_palette() -> None:
    assert palette.exact(noise(40, 40, 3)) is None


@pytest.mark.parametrize(
    ("suffix", "options"), [(".png", {}), (".png", {"transparency": 3}), (".gif", {"transparency": 3}), (".bmp", {})]
)
def test_hiding_in_a_palette_image_changes_no_other_sample(
    tmp_path: Path, suffix: str, options: dict[str, int]
) -> None:
    source, target = saved(tmp_path / f"a{suffix}", image("P"), **options), tmp_path / f"out{suffix}"
    with media.open_source(source, Limits()) as reader, media.open_sink(target, reader, Plan()) as writer:
        for frame in reader.frames():
            (plane,) = frame.planes
            plane.pixels[10:20, 10:30] = plane.black
            writer.write(frame)
    with Image.open(source) as before, Image.open(target) as after:
        assert after.mode == "P"
        old, new = np.array(before), np.array(after)
        assert (np.asarray(after.convert("RGB"))[10:20, 10:30] == 0).all()
        old[10:20, 10:30] = new[10:20, 10:30] = 0
        assert np.array_equal(old, new)


def test_an_animation_with_too_many_colours_has_a_warning(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.gif", image("P"), save_all=True, append_images=[image("P", 1)], duration=50)
    with media.open_source(source, Limits()) as reader, media.open_sink(tmp_path / "b.gif", reader, Plan()) as writer:
        for frame in reader.frames():
            frame.planes[0].pixels[:] = noise(*frame.planes[0].pixels.shape)
            writer.write(frame)
    assert "approximated in 2 frames" in writer.warnings[0]
    assert writer.encoding == "re-encoded: gif"
