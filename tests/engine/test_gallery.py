"""Faces of a source by person: tracks that are surely of one person together, all others alone."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pytest
from tests.engine.scripted_people import (
    EMBEDDING,
    HEIGHT,
    WIDTH,
    ColourEmbedder,
    Places,
    find_faces,
    host,
    picture,
    save_film,
)

from velum import Annotations, Engine, media
from velum.engine.gallery import GalleryTrack, group_vectors
from velum.frame import Frame, Plane, Rgb, Role

LEFT, MIDDLE, RIGHT = (10, 30), (180, 30), (350, 30)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with closing(media.DecoderPool()) as decoders, Engine(host=host(), decoders=decoders) as engine:
        yield engine


@dataclass(frozen=True)
class Film:
    """A film of scenes, in each of which everybody is a track."""

    path: Path
    annotations: Annotations

    @classmethod
    def of(cls, path: Path, *scenes: tuple[Places, int], change: Callable[[int, Rgb], Rgb] = lambda _, it: it) -> Self:
        frames = [(places, number) for number, (places, count) in enumerate(scenes) for _ in range(count)]
        regions = {
            index: tuple(
                replace(region, track=10 * number + order) for order, region in enumerate(find_faces(_frame(places)))
            )
            for index, (places, number) in enumerate(frames)
        }
        save_film(path, [places for places, _ in frames], change=change)
        return cls(path, Annotations(WIDTH, HEIGHT, regions))


def _frame(places: Places) -> Frame:
    return Frame.of(Plane(picture(places), Role.RGB))


def tracks_of(engine: Engine, film: Film) -> tuple[GalleryTrack, ...]:
    return engine.group_faces(film.path, film.annotations, embedding=EMBEDDING)


def grouped(engine: Engine, film: Film) -> list[set[tuple[int, int]]]:
    """Return for each person the first and last frames of the tracks."""
    persons: dict[int, set[tuple[int, int]]] = {}
    for track in tracks_of(engine, film):
        persons.setdefault(track.person, set()).add((track.first_frame, track.last_frame))
    assert list(persons) == list(range(1, len(persons) + 1))
    return list(persons.values())


def test_tracks_of_one_person_form_one_group_and_the_largest_group_comes_first(engine: Engine, tmp_path: Path) -> None:
    scenes = ({"anna": LEFT}, 4), ({"ben": RIGHT}, 3), ({"anna": RIGHT}, 4), ({"cora": LEFT}, 5)
    assert grouped(engine, Film.of(tmp_path / "film.mkv", *scenes)) == [{(0, 3), (7, 10)}, {(11, 15)}, {(4, 6)}]


def test_faces_without_a_track_fall_into_groups(engine: Engine, tmp_path: Path) -> None:
    film = Film.of(tmp_path / "film.mkv", ({"anna": LEFT, "ben": RIGHT}, 4))
    loose = {
        frame: tuple(replace(region, track=None) if region.box.x0 < 100 else region for region in regions)
        for frame, regions in film.annotations.frames.items()
    }
    film = replace(film, annotations=replace(film.annotations, frames=loose))
    assert grouped(engine, film) == [{(0, 0), (1, 1), (2, 2), (3, 3)}, {(0, 3)}]


def test_two_faces_in_one_frame_are_two_persons(engine: Engine, tmp_path: Path) -> None:
    film = Film.of(tmp_path / "film.mkv", ({"anna": LEFT, "anna's twin": RIGHT}, 4))
    assert grouped(engine, film) == [{(0, 3)}, {(0, 3)}]


def test_a_doubtful_track_stays_alone_with_a_reason(engine: Engine, tmp_path: Path) -> None:
    def blur_right(_: int, pixels: Rgb) -> Rgb:
        blurred = np.asarray(cv2.GaussianBlur(pixels[:, 320:], (0, 0), 12), np.uint8)
        return np.concatenate((pixels[:, :320], blurred), axis=1)

    scenes = ({"anna": LEFT, "ben": RIGHT}, 6), ({"like anna": LEFT}, 4)
    film = Film.of(tmp_path / "film.mkv", *scenes, change=blur_right)
    found = tracks_of(engine, film)
    assert [(track.first_frame, track.box.x0, track.person, track.doubt, track.may_be) for track in found] == [
        (0, 10, 1, "may be another", 2), (6, 10, 2, "may be another", 1), (0, 350, 3, "blurred", None),
    ]  # fmt: skip


def test_a_track_that_shows_two_persons_joins_neither(engine: Engine, tmp_path: Path) -> None:
    film = Film.of(tmp_path / "film.mkv", ({"anna": LEFT}, 4), ({"ben": LEFT}, 4), ({"anna": RIGHT}, 2))
    mixed = {
        frame: tuple(replace(region, track=0) if frame < 8 else region for region in regions)
        for frame, regions in film.annotations.frames.items()
    }
    found = tracks_of(engine, replace(film, annotations=replace(film.annotations, frames=mixed)))
    assert [(track.first_frame, track.person, track.doubt) for track in found] == [(8, 1, None), (0, 2, "several")]


def test_a_track_has_a_picture_of_its_face(engine: Engine, tmp_path: Path) -> None:
    (track,) = tracks_of(engine, Film.of(tmp_path / "film.mkv", ({"ben": MIDDLE}, 3)))
    pixels = picture_of(track)
    assert pixels.shape == (96, 96, 3)
    red, green, blue = pixels[40:56, 40:56].reshape(-1, 3).mean(axis=0)
    assert green > red + 50
    assert green > blue + 50


def picture_of(track: GalleryTrack) -> Rgb:
    decoded = cv2.imdecode(np.frombuffer(track.picture, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)


def test_a_source_without_faces_has_an_empty_gallery(engine: Engine, tmp_path: Path) -> None:
    assert grouped(engine, Film.of(tmp_path / "film.mkv", ({}, 2))) == []


def test_groups_join_by_the_mean_distance_between_them() -> None:
    chain = np.array([[0.0], [0.08], [0.16], [0.24], [0.5]])
    groups, near = group_vectors(chain, (), ColourEmbedder())
    assert sorted(map(sorted, groups)) == [[0, 1], [2, 3], [4]], "a chain does not join ends that are far apart"
    assert near == {}
    groups, near = group_vectors(np.array([[0.0], [0.15]]), (), ColourEmbedder())
    assert (groups, near) == ([[0], [1]], {0: 1, 1: 0})
    groups, _ = group_vectors(np.array([[0.0], [0.02], [0.01]]), [(0, 1)], ColourEmbedder())
    assert sorted(map(sorted, groups)) == [[0, 2], [1]], "who are seen together never join, nor through another"
