"""Regions of a job are shown, corrected, and rendered without locating again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request
from tests.engine.test_follow_object import film, place
from tests.media.image.bombs import crash
from tests.service.factories import client, on_the_wire, picture, pixels, settings
from tests.service.v1.test_jobs import Named, ended, handed_in, worked

from velum.annotations import Annotations
from velum.region import Box, Region
from velum.service.auth.principal import AccessDenied, Principal
from velum.spec import PartSpec

pytestmark = pytest.mark.slow

CORNER = Annotations(64, 48, {0: (Region(Box(0, 0, 20, 20), "zone", 0.01),)})


def stored(path: Path) -> int:
    return len(list((path / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*")))


def test_regions_are_corrected_and_rendered(tmp_path: Path) -> None:
    chosen, source = settings(tmp_path), picture()
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = handed_in(api, source, name="a.png")
        early = api.get(f"{place}/regions")
        assert (early.status_code, early.json()["code"]) == (409, "Conflict")
        assert api.post(f"{place}/render").status_code == 409
        with worked(chosen):
            assert ended(api, place)["regions"]
            found = api.get(f"{place}/regions")
            assert found.headers["content-type"] == "application/json"
            assert [region.box.xyxy for region in Annotations.from_json(found.json()).frames[0]] == [(0, 0, 64, 48)]
            assert api.get(f"{place}/source").content == source
            assert api.head(f"{place}/source").headers["content-length"] == str(len(source))

            put = api.put(f"{place}/regions", json=CORNER.to_json(), headers={"if-match": found.headers["etag"]})
            assert put.status_code == 200, put.text
            again = api.get(f"{place}/regions")
            assert (again.headers["etag"], again.json()["frames"]) == (put.headers["etag"], CORNER.to_json()["frames"])
            assert not pixels(api.get(f"{place}/result").content).any(), "what is there stays until it is rendered"

            rendered = api.post(f"{place}/render")
            assert (rendered.status_code, rendered.json()["result"]) == (202, False)
            assert ended(api, place)["state"] == "done"
        after = pixels(api.get(f"{place}/result").content)
        assert not after[:20, :20].any()
        assert (after[30:] == pixels(source)[30:]).all()
        assert api.get(f"{place}/regions").json()["frames"] == CORNER.to_json()["frames"]
        assert len(api.get(f"{place}/report").json()["hidden"]) == 1
        assert stored(tmp_path) == 4, "source, regions that were given, result, regions that it hides"
        assert api.delete(place).status_code == 204
    assert stored(tmp_path) == 0


def test_a_correction_based_on_old_regions_is_refused(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = handed_in(api, picture())
        with worked(chosen):
            ended(api, place)
        seen = {"if-match": api.get(f"{place}/regions").headers["etag"]}
        assert api.put(f"{place}/regions", json=CORNER.to_json(), headers=seen).status_code == 200
        again = api.put(f"{place}/regions", json=CORNER.to_json(), headers=seen)
        assert again.status_code == 200, "it is there already: only the answer was lost"
        late = api.put(f"{place}/regions", json=Annotations(64, 48, {0: ()}).to_json(), headers=seen)
        assert (late.status_code, late.json()["code"]) == (412, "Overtaken")
        assert api.put(f"{place}/regions", json=CORNER.to_json()).status_code == 200
        assert stored(tmp_path) == 4, "a draft that is replaced is deleted"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, str, Path]]:
    """A service, a job that it has done, and where they are kept."""
    folder = tmp_path_factory.mktemp("finished")
    chosen = settings(folder)
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = handed_in(api, picture())
        with worked(chosen):
            ended(api, place)
        yield api, place, folder


def told(technique: str) -> bytes:
    region = Region(Box(0, 0, 9, 9), "zone", technique=PartSpec.parse(technique), ignored=True)
    return json.dumps(Annotations(64, 48, {0: (region,)}).to_json()).encode()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "no annotation file"),
        (json.dumps(Annotations(63, 48, {}).to_json()).encode(), "63 x 48"),
        (json.dumps(Annotations(64, 48, {1: ()}).to_json()).encode(), "frame 1"),
        (json.dumps(Annotations(64, 48, {}, "0" * 64).to_json()).encode(), "another file"),
        (told("smear"), "smear"),
        (told("blur(degree=2)"), "degree of blur is 2"),
        (told("blur(path='/etc/passwd')"), "path"),
    ],
    ids=[
        "no JSON", "too deep", "another thing", "another size", "a frame that is none", "of another picture",
        "no technique", "no degree", "an option for operators",
    ],
)  # fmt: skip
def test_regions_that_do_not_fit_the_source_are_refused(
    finished: tuple[httpx2.Client, str, Path], body: bytes, why: str
) -> None:
    api, place, folder = finished
    before = api.get(f"{place}/regions").content
    answer = api.put(f"{place}/regions", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "BadPlan" if b"technique" in body else "BadInput")
    assert why in answer.json()["detail"]
    assert api.get(f"{place}/regions").content == before
    assert stored(folder) == 3


def test_an_object_is_followed_through_the_video(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    ask = {"frame": 40, "xyxy": list(place(40).xyxy), "label": "face"}
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api:
        job = handed_in(api, film(tmp_path / "a.mp4").read_bytes(), name="a.mp4")
        answer = api.post(f"{job}/follow", json=ask)
        assert answer.status_code == 200, answer.text
        found = Annotations.from_json(answer.json())
        assert {0, 39, 40, 41, 70} <= set(found.frames)
        assert found.frames[40][0].box == place(40)
        for wrong, status, why in (
            ({"frame": 80}, 422, "no frame 80"),
            ({"frame": -1}, 422, "greater than or equal to 0"),
            ({"xyxy": [1, 2, 3]}, 422, "at least 4"),
            ({"xyxy": [5, 5, 5, 9]}, 422, "empty"),
            ({"more": 1}, 422, "more"),
        ):
            bad = api.post(f"{job}/follow", json=ask | wrong)
            assert (bad.status_code, why in bad.text) == (status, True), bad.text
            assert str(tmp_path) not in bad.text
        photo = api.post(f"{handed_in(api)}/follow", json=ask)
        assert (photo.status_code, photo.json()["code"]) == (422, "BadInput")


def test_following_in_a_source_that_crashes_the_decoder_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = {"frame": 40, "xyxy": list(place(40).xyxy), "label": "face"}
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        job = handed_in(api, film(tmp_path / "a.mp4").read_bytes(), name="a.mp4")
        with monkeypatch.context() as patch:
            patch.setattr("velum.engine.engine.track_one_object", crash)
            answer = api.post(f"{job}/follow", json=ask)
        assert (answer.status_code, answer.json()["code"]) == (422, "BadInput")
        assert (
            answer.json()["detail"]
            == "cannot read a.mp4: its decoder crashed (SIGSEGV); convert it with another program"
        )
        assert api.post(f"{job}/follow", json=ask).status_code == 200


def test_review_requires_the_scope_and_ownership_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.service.state.access_of", lambda _: Scoped())
    with client(settings(tmp_path)) as api:
        place = handed_in(api)
        thing = {"frame": 0, "xyxy": [0, 0, 9, 9], "label": "face"}
        calls: list[tuple[str, str, Any]] = [
            ("GET", "source", None), ("PUT", "regions", CORNER.to_json()), ("POST", "render", None),
            ("POST", "follow", thing),
        ]  # fmt: skip
        for method, what, body in calls:
            for name, status in (("a anonymize", 403), ("b anonymize review", 404)):
                answer = api.request(method, f"{place}/{what}", headers={"x-name": name}, json=body)
                assert answer.status_code == status, (method, what, name, answer.text)
        assert api.get(f"{place}/regions", headers={"x-name": "b anonymize review"}).status_code == 404


class Scoped(Named):
    """As `Named`, and asks for the scope."""

    def require(self, *scopes: Any) -> Any:
        named = super().require(*scopes)

        def caller(request: Request) -> Principal:
            principal: Principal = named(request)
            if principal.scopes.isdisjoint(scopes):
                raise AccessDenied(f"this takes one of the scopes {scopes}")
            return principal

        return caller
