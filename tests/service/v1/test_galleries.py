"""The faces of jobs by person: only where the operator allows it, of their current regions, and gone with them."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.engine.scripted_people import (
    EMBEDDING,
    HEIGHT,
    WIDTH,
    ColourEmbedder,
    find_faces,
    picture,
    save_photo,
)
from tests.engine.test_gallery import LEFT, RIGHT, Film
from tests.service.factories import on_the_wire, settings
from tests.service.v1.test_jobs import ended, handed_in, worked
from tests.service.v1.test_previews import waited
from tests.service.v1.test_uploads import begun

from velum.annotations import Annotations
from velum.frame import Frame, Plane, Role
from velum.service.v1 import galleries

pytestmark = pytest.mark.slow


def offered(api: Any, data: bytes) -> str:
    place = begun(api)
    api.put(place, content=data)
    return place.rpartition("/")[2]


@contextmanager
def finished_job(folder: Path, *, people: bool) -> Iterator[tuple[httpx2.Client, str, Annotations]]:
    """A service with a job that has hidden a film of three tracks: Anna, Ben and Anna again."""
    film = Film.of(folder / "film.mkv", ({"anna": LEFT, "ben": RIGHT}, 3), ({"anna": RIGHT}, 2))
    chosen = settings(folder, people=people)
    with (
        on_the_wire(chosen, embeddings={EMBEDDING.name: ColourEmbedder}) as url,
        httpx2.Client(base_url=url, timeout=60) as api,
    ):
        regions = offered(api, json.dumps(film.annotations.to_json()).encode())
        plan = {"rules": ["face: centerface -> blacken"]}
        place = handed_in(api, film.path.read_bytes(), name="film.mkv", regions=regions, plan=plan)
        with worked(chosen):
            assert ended(api, place)["state"] == "done"
        yield api, place, film.annotations


def persons(api: Any, place: str) -> list[list[tuple[int, int, int]]]:
    answer = api.get(f"{place}/people")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found = [person["tracks"] for person in answer.json()["persons"]]
    assert all(base64.b64decode(track["picture"]).startswith(b"\xff\xd8") for tracks in found for track in tracks)
    return [[(track["first_frame"], track["last_frame"], track["frames"]) for track in tracks] for tracks in found]


def test_faces_are_grouped_on_request_and_anew_for_corrected_regions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "EMBEDDING", EMBEDDING)
    with finished_job(tmp_path, people=True) as (api, place, annotations):
        assert api.get("/v1/plans").json()["people"] is True
        early = api.get(f"{place}/people")
        assert (early.status_code, early.json()["code"]) == (409, "Conflict")
        assert waited(lambda: api.post(f"{place}/people")) == {"state": "ready", "share": 1.0, "error": None}
        assert persons(api, place) == [[(0, 2, 3), (3, 4, 2)], [(0, 2, 3)]]

        fewer = Annotations(annotations.width, annotations.height, {3: annotations.frames[3]})
        assert api.put(f"{place}/regions", json=fewer.to_json()).status_code == 200
        assert api.get(f"{place}/people").status_code == 409
        waited(lambda: api.post(f"{place}/people"))
        assert persons(api, place) == [[(3, 3, 1)]]

        assert api.delete(place).status_code == 204
        assert api.get(f"{place}/people").status_code == api.post(f"{place}/people").status_code == 404


def test_faces_of_several_jobs_are_grouped_together_until_one_of_them_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "EMBEDDING", EMBEDDING)
    with finished_job(tmp_path, people=True) as (api, place, _):
        photo = save_photo(tmp_path / "photo.png", {"ben": LEFT, "cora": RIGHT})
        frames = {0: tuple(find_faces(Frame.of(Plane(picture({"ben": LEFT, "cora": RIGHT}), Role.RGB))))}
        regions = offered(api, json.dumps(Annotations(WIDTH, HEIGHT, frames).to_json()).encode())
        plan = {"rules": ["face: centerface -> blacken"]}
        other = handed_in(api, Path(photo).read_bytes(), name="photo.png", regions=regions, plan=plan)
        with worked(settings(tmp_path, people=True)):
            assert ended(api, other)["state"] == "done"
        film, still = (address.rpartition("/")[2] for address in (place, other))

        asked = {"jobs": [film, still, film]}
        ready = waited(lambda: api.post("/v1/people", json=asked))
        found = [
            [(track["job"], track["first_frame"], track["frames"]) for track in person["tracks"]]
            for person in ready["persons"]
        ]
        assert found == [[(film, 0, 3), (film, 3, 2)], [(film, 0, 3), (still, 0, 1)], [(still, 0, 1)]]

        assert api.post("/v1/people", json={"jobs": [film, "0" * 32]}).status_code == 404
        assert api.post("/v1/people", json={"jobs": []}).status_code == 422
        assert api.delete(other).status_code == 204
        assert api.post("/v1/people", json=asked).status_code == 404


def test_faces_are_not_compared_where_the_operator_does_not_allow_it(tmp_path: Path) -> None:
    with finished_job(tmp_path, people=False) as (api, place, _):
        assert api.get("/v1/plans").json()["people"] is False
        together = api.post("/v1/people", json={"jobs": [place.rpartition("/")[2]]})
        for refused in (api.post(f"{place}/people"), api.get(f"{place}/people"), together):
            assert (refused.status_code, refused.json()["code"]) == (403, "Denied")
            assert "service.people" in refused.json()["detail"]
