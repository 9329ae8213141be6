"""Work in review that is not applied yet is kept with its job, and originals for as long as they are needed."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from tests.service.factories import on_the_wire, picture, settings
from tests.service.v1.test_jobs import ended, handed_in, worked
from tests.service.v1.test_review import CORNER

from velum.jobs import RetentionSweeper
from velum.service.job_backend import JobBackend, retention_of

pytestmark = pytest.mark.slow

DAY = 86400


@pytest.fixture(scope="module")
def reviewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, Path]]:
    """A client of a service whose worker runs, and the service's folder."""
    folder = tmp_path_factory.mktemp("drafts")
    chosen = settings(folder)
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api, worked(chosen):
        yield api, folder


def done(api: httpx2.Client, data: bytes | None = None, name: str = "a.png") -> str:
    place = handed_in(api, picture() if data is None else data, name=name)
    assert ended(api, place)["state"] == "done"
    return place


def draft(version: int, *, edited: bool = True, **body: Any) -> dict[str, Any]:
    return {"version": version, "edited": edited, "body": body}


def test_a_draft_is_kept_until_it_is_applied_and_a_conflict_is_reported(reviewer: tuple[httpx2.Client, Path]) -> None:
    api, _ = reviewer
    place = done(api)
    assert api.get(f"{place}/draft").status_code == 204
    first = api.put(f"{place}/draft", json=draft(0, off=[1])).json()
    assert api.get(f"{place}/draft").json() == first
    assert (first["body"], api.get(place).json()["drafted"]) == ({"off": [1]}, first["at"])
    second = api.put(f"{place}/draft", json=draft(first["version"], edited=False, decided=[1])).json()
    assert api.get(place).json()["drafted"] is None, "decisions alone change nothing in the result"
    late = api.put(f"{place}/draft", json=draft(first["version"], off=[2]))
    assert (late.status_code, late.json()["code"]) == (412, "Overtaken")
    assert (late.json()["who"], late.json()["at"]) == (second["who"], second["at"])
    assert api.get(f"{place}/draft").json()["body"] == {"decided": [1]}
    third = api.put(f"{place}/draft", json=draft(second["version"], off=[2])).json()
    assert api.put(f"{place}/regions", json=CORNER.to_json()).status_code == 200
    assert api.get(f"{place}/draft").status_code == 204, "corrections are applied"
    assert api.get(place).json()["drafted"] is None
    assert api.put(f"{place}/draft", json=draft(third["version"], off=[2])).status_code == 412
    anew = api.put(f"{place}/draft", json=draft(0, off=[3])).json()
    assert anew["version"] > third["version"]
    assert api.delete(f"{place}/draft").status_code == 204
    assert api.get(f"{place}/draft").status_code == 204
    assert api.put(f"{place}/draft", json=draft(0, off=[4])).status_code == 200
    assert api.delete(place).status_code == 204
    assert api.get(f"{place}/draft").status_code == 404


def test_an_original_is_kept_for_a_day_or_until_approval_or_longer_when_somebody_asks(
    reviewer: tuple[httpx2.Client, Path],
) -> None:
    api, folder = reviewer
    job, approved, longer = (api.get(done(api)).json() for _ in range(3))
    assert job["source_until"] == job["ended"] + DAY
    kept = api.post(f"v1/jobs/{longer['id']}/keep", json={"seconds": 3 * DAY}).json()
    assert 3 * DAY <= kept["source_until"] - longer["ended"] < 3 * DAY + 60
    most = api.post(f"v1/jobs/{longer['id']}/keep", json={"seconds": 30 * DAY}).json()
    assert most["source_until"] == longer["ended"] + 7 * DAY
    reviews = {review["job"]["id"]: review for review in api.get("v1/reviews").json()["reviews"]}
    assert reviews[approved["id"]]["undecided"] is None
    assert api.post("v1/reviews/views", json={"job": approved["id"], "undecided": 2}).status_code == 204
    seen = {review["job"]["id"]: review["undecided"] for review in api.get("v1/reviews").json()["reviews"]}
    assert (seen[approved["id"]], seen[job["id"]]) == (2, None)
    chosen = [{"job": id_, "result": reviews[id_]["result"]} for id_ in (approved["id"], longer["id"])]
    assert api.post("v1/reviews", json={"approve": chosen}).status_code == 204
    backend = JobBackend(settings(folder))
    opened = backend.open()
    RetentionSweeper(opened.database, opened.store, retention_of(settings(folder).jobs)).sweep()
    backend.close()
    states = {id_: api.get(f"v1/jobs/{id_}").json()["source_kept"] for id_ in (job["id"], approved["id"], longer["id"])}
    assert states == {job["id"]: True, approved["id"]: False, longer["id"]: True}
    late = api.post(f"v1/jobs/{approved['id']}/keep", json={"seconds": DAY})
    assert (late.status_code, late.json()["code"]) == (409, "Conflict")


def test_every_page_of_a_file_is_shown_before_and_after(reviewer: tuple[httpx2.Client, Path]) -> None:
    api, _ = reviewer
    pages = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime")]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    place = done(api, file.getvalue(), "two.tif")
    for page, colour in enumerate(((254, 0, 0), (0, 255, 1))):
        before = api.get(f"{place}/still", params={"of": "source", "page": page})
        assert (before.headers["content-type"], before.headers["x-velum-pages"]) == ("image/jpeg", "2")
        assert np.abs(np.asarray(Image.open(io.BytesIO(before.content))).astype(int)[45, 60] - colour).max() < 4
        after = api.get(f"{place}/still", params={"page": page})
        assert np.asarray(Image.open(io.BytesIO(after.content)))[20, 20].max() < 12, "hidden on every page"
    small = api.get(f"{place}/still", params={"side": 16})
    assert Image.open(io.BytesIO(small.content)).size == (16, 12)
    assert api.get(f"{place}/still", params={"side": 16}).content == small.content
    beyond = api.get(f"{place}/still", params={"page": 2})
    assert (beyond.status_code, beyond.json()["code"]) == (422, "BadInput")
    assert "/" not in beyond.json()["detail"]


def test_reviewers_talk_about_a_job_and_send_its_result_back(reviewer: tuple[httpx2.Client, Path]) -> None:
    api, _ = reviewer
    place = done(api)

    def review() -> dict[str, Any]:
        return next(review for review in api.get("v1/reviews").json()["reviews"] if place.endswith(review["job"]["id"]))

    assert (review()["assignee"], review()["sent_back"]) == (None, None)
    assert api.put(f"{place}/assignee", json={"assignee": "alice"}).status_code == 200
    api.post(f"{place}/comments", json={"text": "Look at the window.", "frame": 0})
    chosen = [{"job": review()["job"]["id"], "result": review()["result"]}]
    assert api.post("v1/reviews", json={"approve": chosen}).status_code == 204
    said = api.post(f"{place}/comments", json={"text": "A face is left.", "send_back": True}).json()["comments"]
    assert [(comment["kind"], comment["text"], comment["frame"]) for comment in said] == [
        ("assigned", "alice", None), ("comment", "Look at the window.", 0), ("approved", "", None),
        ("sent back", "A face is left.", None),
    ]  # fmt: skip
    back = review()
    assert (back["assignee"], back["sent_back"], back["approved"]) == ("alice", "A face is left.", [])
    assert api.get(place).json()["source_until"] > api.get(place).json()["ended"] + DAY - 60, (
        "the original is needed again"
    )
    assert api.put(f"{place}/regions", json=CORNER.to_json()).status_code == 200
    assert api.post(f"{place}/render").status_code == 202
    assert ended(api, place)["state"] == "done"
    assert (review()["assignee"], review()["sent_back"]) == ("alice", None)
    assert len(api.get(f"{place}/comments").json()["comments"]) == 5
    assert api.post(f"{place}/render").status_code == 202
    assert ended(api, place)["state"] == "done"
    steps = [step for step in api.get("v1/reviews/activity").json()["steps"] if place.endswith(step["job"])]
    kinds = ["submitted", "assigned", "comment", "approved", "sent back", "corrected", "done"]
    assert [step["kind"] for step in steps] == kinds[::-1], "corrections in a row are one"
    assert api.get(f"{place}/report").json()["review"][-1]["kind"] == "corrected"


def test_the_activity_is_read_page_by_page(reviewer: tuple[httpx2.Client, Path]) -> None:
    api, _ = reviewer
    for _ in range(2):
        done(api)
    whole = api.get("v1/reviews/activity").json()["steps"]
    paged: list[Any] = []
    before: dict[str, float] = {}
    while True:
        page = api.get("v1/reviews/activity", params={"limit": 1, **before}).json()
        paged += page["steps"]
        if page["before"] is None:
            break
        before = {"before": page["before"]}
    assert [(step["job"], step["kind"]) for step in paged] == [(step["job"], step["kind"]) for step in whole]
    assert api.get("v1/reviews/activity", params={"limit": 0}).status_code == 422
