"""Photos of people in requests: who is kept or alone hidden, bad photos refused, nothing left behind."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from PIL import Image
from tests.engine.scripted_people import EMBEDDING, ColourEmbedder, Places, picture, save_film, scripted, shown
from tests.rows import exhaustive
from tests.service.factories import on_the_wire, settings
from tests.service.v1.test_jobs import EngineHere, ended, worked
from tests.service.v1.test_uploads import begun

from velum.frame import Rgb
from velum.jobs import Retention, RetentionSweeper
from velum.limits import Limits
from velum.plugins import RuntimeConfig
from velum.service.job_backend import JobBackend
from velum.service.v1 import photos
from velum.settings import Settings

pytestmark = pytest.mark.slow

LEFT, MIDDLE, RIGHT = (10, 30), (180, 30), (350, 30)
BOTH: Places = {"anna": LEFT, "ben": RIGHT}
PARTS: dict[str, Any] = {"embeddings": {EMBEDDING.name: ColourEmbedder}, "localizers": {"centerface": scripted}}
PLAN = {"rules": ["face: centerface -> blacken with grow=0"], "video": {"codec": "ffv1"}}


@contextmanager
def service(folder: Path, *, people: bool = True) -> Iterator[tuple[httpx2.Client, Settings]]:
    chosen = settings(folder, people=people)
    with (
        pytest.MonkeyPatch.context() as patch,
        on_the_wire(chosen, lambda frame: scripted().locate([frame])[0], embeddings=PARTS["embeddings"]) as url,
        httpx2.Client(base_url=url, timeout=60) as api,
    ):
        patch.setattr(photos, "EMBEDDING", EMBEDDING)
        yield api, chosen


class ScriptedEngine(EngineHere):
    """The engine in this process, with people made here."""

    def __init__(self, host: Callable[[], RuntimeConfig], limits: Limits) -> None:
        super().__init__(partial(_scripted_host, host), limits)


def _scripted_host(host: Callable[[], RuntimeConfig]) -> RuntimeConfig:
    return replace(host(), **PARTS)


def image(places: Places, change: Callable[[Rgb], Rgb] = lambda rgb: rgb) -> bytes:
    out = BytesIO()
    Image.fromarray(change(picture(places))).save(out, "PNG")
    return out.getvalue()


def upload(api: Any, data: bytes) -> str:
    place = begun(api)
    api.put(place, content=data)
    return str(place.rpartition("/")[2])


def submit(api: Any, data: bytes, **wanted: Any) -> Any:
    return api.post("/v1/jobs", json={"upload": upload(api, data), "name": "a.png", "plan": PLAN, **wanted})


def result_of(api: Any, chosen: Settings, answer: Any) -> bytes:
    assert answer.status_code == 201, answer.text
    with worked(chosen, ScriptedEngine):
        assert ended(api, answer.headers["location"])["state"] == "done"
    return bytes(api.get(f"{answer.headers['location']}/result").content)


def first_frame(data: bytes) -> Rgb:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def stored_files(chosen: Settings) -> int:
    with closing(JobBackend(chosen)) as backend:
        return sum(1 for _ in backend.open().store.list())


@pytest.mark.parametrize(("mode", "anna_shows"), [("keep_person", True), *exhaustive([("only_person", False)])])
def test_a_person_whose_photo_a_request_sends_is_kept_or_alone_hidden(
    tmp_path: Path, mode: str, *, anna_shows: bool
) -> None:
    with service(tmp_path) as (api, chosen):
        photo = upload(api, image({"anna": MIDDLE}))
        answer = submit(api, image(BOTH), **{mode: {"Anna": [photo]}})
        after = first_frame(result_of(api, chosen, answer))
        assert shown(after, BOTH) == {"anna": anna_shows, "ben": not anna_shows}
        report = api.get(f"{answer.headers['location']}/report").json()["people"]
        assert report["mode"] == mode.partition("_")[0]
        assert report["persons"][0]["name"] == "Anna"
        assert len(report["persons"][0]["photos"][0]) == 64
        assert photo not in str(report), "photos appear by their hashes only"
        # The upload stays for the next job; it goes with its own deletion.
        assert submit(api, image(BOTH), **{mode: {"Anna": [photo]}}).status_code == 201
        assert api.delete(f"/v1/uploads/{photo}").status_code == 204


@pytest.mark.exhaustive
def test_a_film_keeps_who_is_in_one_of_two_photos(tmp_path: Path) -> None:
    film = save_film(tmp_path / "film.mkv", [BOTH] * 4).read_bytes()
    with service(tmp_path) as (api, chosen):
        photos = [upload(api, image({"anna": place})) for place in (LEFT, RIGHT)]
        answer = submit(api, film, name="film.mkv", keep_person={"Anna": photos})
        result_of(api, chosen, answer)
        decisions = api.get(f"{answer.headers['location']}/report").json()["people"]["decisions"]
        assert sorted((decision["result"], decision["person"]) for decision in decisions) == [
            ("hidden", None),
            ("shown", "Anna"),
        ]


def pixelate(rgb: Rgb) -> Rgb:
    return np.kron(rgb[::16, ::16], np.ones((16, 16, 1), np.uint8)).astype(np.uint8)


def blur(rgb: Rgb) -> Rgb:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 6), np.uint8)


def pages(*images: bytes) -> bytes:
    """Return a TIFF with the images as its pages."""
    first, *more = (Image.open(io.BytesIO(data)) for data in images)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=more)
    return file.getvalue()


@pytest.mark.parametrize(
    ("photos", "reason"),
    [
        ([image({})], "no face is found in photo 1 of 'Anna'"),
        ([image(BOTH)], "photo 1 of 'Anna' shows 2 faces; cut it to the one of the person"),
        *exhaustive(
            [
                ([image({"anna": MIDDLE}, blur)], "the face in photo 1 of 'Anna' is blurred"),
                ([image({"anna": MIDDLE}, pixelate)], "the face in photo 1 of 'Anna' is hidden already"),
                ([image({"anna": LEFT}), image({"ben": LEFT})], "seem to show different persons"),
                ([b"no picture"], "photo 1 of 'Anna' is"),
                ([pages(image({"anna": MIDDLE}), image(BOTH))], "photo 1 of 'Anna' has 2 pages; give an image of one"),
            ]
        ),
    ],
)  # fmt: skip
def test_a_bad_photo_is_refused_with_what_to_do(tmp_path: Path, photos: list[bytes], reason: str) -> None:
    with service(tmp_path) as (api, chosen):
        answer = submit(api, image(BOTH), keep_person={"Anna": [upload(api, photo) for photo in photos]})
        assert (answer.status_code, answer.json()["code"]) == (422, "BadInput")
        assert reason in answer.json()["detail"]
        assert str(tmp_path) not in answer.json()["detail"]
        assert stored_files(chosen) == 0
        assert api.get("/v1/jobs").json()["jobs"] == []


def test_photos_are_refused_where_they_decide_nothing(tmp_path: Path) -> None:
    with service(tmp_path) as (api, _):
        photo = upload(api, image({"anna": MIDDLE}))
        both = submit(api, image(BOTH), keep_person={"Anna": [photo]}, only_person={"Ben": [photo]})
        assert (both.status_code, "either keep_person or only_person" in both.json()["detail"]) == (422, True)
        assert submit(api, image(BOTH), keep_person={"Anna": ["0" * 32]}).status_code == 404


def test_photos_are_refused_where_the_operator_does_not_allow_it(tmp_path: Path) -> None:
    with service(tmp_path, people=False) as (api, _):
        answer = submit(api, image(BOTH), keep_person={"Anna": [upload(api, image({"anna": MIDDLE}))]})
        assert (answer.status_code, "service.people" in answer.json()["detail"]) == (422, True)
        at_once = send_image(api, {"only_person": {"Anna": [upload(api, image({"anna": MIDDLE}))]}})
        assert (at_once.status_code, "service.people" in at_once.json()["detail"]) == (422, True)


def send_image(api: Any, fields: dict[str, Any], path: str = "/v1/images") -> Any:
    """Send an image to be hidden within the request; fields that are no text are sent as JSON."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    data = image(BOTH)
    return api.post(path, files={"image": ("a.png", data)}, data={"plan": json.dumps(PLAN), **texts})


def test_an_image_within_a_request_keeps_who_is_in_an_uploaded_photo(tmp_path: Path) -> None:
    with service(tmp_path) as (api, _):
        photo = upload(api, image({"anna": MIDDLE}))
        for mode, anna_shows in (("keep_person", True), ("only_person", False)):
            answer = send_image(api, {mode: {"Anna": [photo]}})
            assert answer.status_code == 200, answer.text
            assert shown(first_frame(answer.content), BOTH) == {"anna": anna_shows, "ben": not anna_shows}
        located = send_image(api, {"keep_person": {"Anna": [photo]}}, "/v1/locate").json()
        assert [region.get("off", False) for region in located["frames"][0]["regions"]] == [True, False]
        assert api.get(f"/v1/uploads/{photo}").status_code == 200, "the upload stays"
        assert not [path for path in (tmp_path / "jobs" / "work").rglob("*") if path.is_file() and path.name != ".lock"]


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"keep_person": {"Anna": ["two"]}}, 422, "photo 1 of 'Anna' shows 2 faces; cut it to the one of the person"),
        ({"keep_person": {"Anna": ["anna"]}, "only_person": {"Ben": ["anna"]}}, 422, "either keep_person or only"),
        ({"keep_person": {"Anna": ["0" * 32]}}, 404, "does not exist"),
        ({"keep_person": {"Anna": []}}, 422, "keep_person['Anna']: List should have at least 1 item"),
        ({"keep_person": {}}, 422, "keep_person: Dictionary should have at least 1 item"),
        ({"only_person": "Anna=anna.jpg"}, 422, "send a JSON object with the ids of one to ten uploads"),
    ],
)
def test_photos_beside_an_image_are_refused_as_those_of_jobs_are(
    tmp_path: Path, fields: dict[str, Any], status: int, reason: str
) -> None:
    with service(tmp_path) as (api, _):
        sent = {"anna": upload(api, image({"anna": MIDDLE})), "two": upload(api, image(BOTH))}
        known = {
            mode: {name: [sent.get(photo, photo) for photo in photos] for name, photos in named.items()}
            if isinstance(named, dict)
            else named
            for mode, named in fields.items()
        }
        answer = send_image(api, known)
        assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), answer.json()["detail"]
        assert str(tmp_path) not in answer.json()["detail"]


def test_names_of_people_stay_out_of_addresses(tmp_path: Path) -> None:
    with service(tmp_path) as (api, _):
        answer = api.post("/v1/images", params={"keep_person": "{}"}, content=image(BOTH))
        assert (answer.status_code, "keep_person stands in the address" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("way", ["swept", *exhaustive(["deleted"])])
def test_photos_go_with_the_source(tmp_path: Path, way: str) -> None:
    with service(tmp_path) as (api, chosen):
        answer = submit(api, image(BOTH), keep_person={"Anna": [upload(api, image({"anna": MIDDLE}))]})
        assert stored_files(chosen) == 2
        result_of(api, chosen, answer)
        assert stored_files(chosen) == 4, "source, photo, result and regions"
        if way == "deleted":
            api.delete(answer.headers["location"])
            assert stored_files(chosen) == 0
        else:
            with closing(JobBackend(chosen)) as backend:
                opened = backend.open()
                swept = RetentionSweeper(opened.database, opened.store, Retention(originals_seconds=0)).due()
            assert swept.originals == 1
            assert stored_files(chosen) == 2
