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
from velum.engine.face_groups import group_vectors
from velum.engine.gallery import GalleryTrack
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


def test_a_person_of_several_files_is_one_group(engine: Engine, tmp_path: Path) -> None:
    films = (
        Film.of(tmp_path / "first.mkv", ({"anna": LEFT, "ben": RIGHT}, 3)),
        Film.of(tmp_path / "second.mkv", ({"cora": MIDDLE}, 1)),
        Film.of(tmp_path / "third.mkv", ({"ben": LEFT, "anna": RIGHT}, 2), ({"anna": MIDDLE}, 4)),
    )
    found = engine.group_faces_of(
        [engine.faces_of(film.path, film.annotations, embedding=EMBEDDING) for film in films], embedding=EMBEDDING
    )
    assert [(track.person, track.source, track.first_frame, track.last_frame, track.box.x0) for track in found] == [
        (1, 0, 0, 2, 10), (1, 2, 0, 1, 350), (1, 2, 2, 5, 180), (2, 0, 0, 2, 350), (2, 2, 0, 1, 10),
        (3, 1, 0, 0, 180),
    ]  # fmt: skip


def test_two_who_look_alike_in_one_frame_stay_two_persons_among_several_files(engine: Engine, tmp_path: Path) -> None:
    films = (
        Film.of(tmp_path / "alone.mkv", ({"anna": LEFT}, 3)),
        Film.of(tmp_path / "twins.mkv", ({"anna": LEFT, "anna's twin": RIGHT}, 3)),
    )
    found = engine.group_faces_of(
        [engine.faces_of(film.path, film.annotations, embedding=EMBEDDING) for film in films], embedding=EMBEDDING
    )
    persons = {(track.source, track.box.x0): track.person for track in found}
    assert persons[0, 10] == persons[1, 10] != persons[1, 350]


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


def test_a_track_has_a_picture_of_its_face_and_the_time_of_it(engine: Engine, tmp_path: Path) -> None:
    (track,) = tracks_of(engine, Film.of(tmp_path / "film.mkv", ({}, 4), ({"ben": MIDDLE}, 1)))
    assert track.seconds == pytest.approx(0.4)
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


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_plain_average_linkage(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    vectors = numbers.uniform(0, 0.6, (30, 2))
    apart = {(first, first + 3) for first in range(0, 24, 4)}
    groups, _ = group_vectors(vectors, apart, ColourEmbedder())

    def between(first: list[int], second: list[int]) -> float:
        pairs = [(a, b) for a in first for b in second]
        if any((min(pair), max(pair)) in apart for pair in pairs):
            return np.inf
        return float(np.mean([np.linalg.norm(vectors[a] - vectors[b]) for a, b in pairs]))

    plain = [[number] for number in range(len(vectors))]
    while True:
        least, a, b = min((between(plain[a], plain[b]), a, b) for b in range(len(plain)) for a in range(b))
        if least > ColourEmbedder.same:
            break
        plain[a] += plain.pop(b)
    assert sorted(map(sorted, groups)) == sorted(map(sorted, plain))
