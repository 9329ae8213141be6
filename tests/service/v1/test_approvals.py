"""Results are approved by name, and only those that a person has looked at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.service.factories import client, on_the_wire, picture, settings
from tests.service.v1.test_jobs import ended, handed_in, worked
from tests.service.v1.test_review import CORNER, Scoped
from typer.testing import CliRunner, Result

from velum import Limits
from velum.cli.main import app
from velum.evaluation.ground_truth import read
from velum.jobs.approvals import WEIGHTS, doubts, risk

TRACK = {"track": 1, "frames": 50, "best_score": 0.9, "found": {"detected": 50}}


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ({"tracks": [TRACK]}, ()),
        ({}, ("nothing",)),
        ({"frames": 0, "sound": [{"action": "speech-mute", "muted": [[1, 2]]}]}, ()),
        ({"frames": 0, "sound": [{"action": "voice", "changed": [[1, 2]]}]}, ()),
        ({"frames": 0, "sound": [{"action": "silence"}]}, ()),
        ({"frames": 0, "sound": [{"action": "speech-mute", "muted": []}]}, ("nothing",)),
        ({"frames": 9, "sound": [{"action": "silence"}]}, ("nothing",)),
        ({"warnings": ["the file is truncated"], "tracks": [TRACK]}, ("warnings",)),
        ({"hidden": [{"score": 0.4}]}, ("low",)),
        ({"tracks": [TRACK, {**TRACK, "best_score": 0.49}]}, ("low",)),
        ({"tracks": [{**TRACK, "found": {"detected": 30, "interpolated": 12, "back-filled": 8}}]}, ("filled",)),
        ({"tracks": [{**TRACK, "found": {"manual": 50}}]}, ()),
        ({"tracks": [{**TRACK, "frames": 4, "found": {"detected": 4}}]}, ("short",)),
        ({"tracks": [{**TRACK, "track": None, "frames": 1, "found": {"manual": 1}}]}, ()),
    ],
)
def test_reasons_for_doubt_are_derived_from_the_report(report: dict[str, Any], why: tuple[str, ...]) -> None:
    assert doubts({"hidden": [], "tracks": [], "warnings": [], **report}) == why


def test_the_risk_is_from_0_to_1_and_highest_where_nothing_was_found() -> None:
    assert risk(()) == 0
    assert risk(tuple(WEIGHTS)) == 1
    assert max(WEIGHTS, key=lambda name: risk((name,))) == "nothing"


def approved(api: httpx2.Client, *reviews: Any) -> httpx2.Response:
    return api.post("/v1/reviews", json=approval(*reviews))


def approval(*reviews: Any) -> dict[str, Any]:
    return {"approve": [{"job": r["job"]["id"], "result": r["result"]} for r in reviews]}


@pytest.mark.slow
def test_an_approval_ends_when_its_result_is_replaced(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api, worked(chosen):
        place = handed_in(api, picture(), name="a.png")
        ended(api, place)
        assert "reviewers" not in api.get(f"{place}/report").json()
        (review,) = api.get("/v1/reviews").json()["reviews"]
        assert (review["job"]["name"], review["approved"]) == ("a.png", [])
        for _ in range(2):
            assert approved(api, review).status_code == 204
        (seen,) = api.get(f"{place}/report").json()["reviewers"]
        assert seen["who"]
        assert seen["at"] >= review["job"]["ended"]
        assert api.get("/v1/reviews").json()["reviews"][0]["approved"] == [seen]

        api.put(f"{place}/regions", json=CORNER.to_json())
        api.post(f"{place}/render")
        ended(api, place)
        assert "reviewers" not in api.get(f"{place}/report").json(), "nobody has looked at what was rendered anew"
        late = approved(api, review)
        assert (late.status_code, late.json()["code"]) == (409, "Conflict")


@pytest.mark.slow
def test_several_results_are_approved_together_or_not_at_all(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api, worked(chosen):
        for name in ("a.png", "b.png"):
            ended(api, handed_in(api, picture(), name=name))
        reviews = api.get("/v1/reviews").json()["reviews"]
        assert approved(api, reviews[0], {**reviews[1], "result": '"another"'}).status_code == 409
        assert not any(review["approved"] for review in api.get("/v1/reviews").json()["reviews"])
        assert approved(api, {"job": {"id": "0" * 32}, "result": '"a"'}).status_code == 404
        assert approved(api, *reviews).status_code == 204
        assert all(review["approved"] for review in api.get("/v1/reviews").json()["reviews"])
        assert api.delete(f"/v1/jobs/{reviews[0]['job']['id']}").status_code == 204
        assert len(api.get("/v1/reviews").json()["reviews"]) == 1


@pytest.mark.slow
def test_two_different_people_must_approve_where_the_settings_require_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velum.service.state.access_of", lambda _: Scoped())
    chosen = settings(tmp_path)
    chosen = replace(chosen, review=replace(chosen.review, required_approvals=2))
    ada, bob = ({"x-name": f"{name} anonymize review operate"} for name in ("ada", "bob"))
    with client(chosen) as api, worked(chosen):
        api.headers.update(ada)
        ended(api, handed_in(api, picture(), name="a.png"))
        queue = api.get("/v1/reviews", headers=ada).json()
        assert (queue["eyes"], queue["caller"]) == (2, "ada")
        (review,) = queue["reviews"]
        for who in (ada, ada, bob):
            assert api.post("/v1/reviews", json=approval(review), headers=who).status_code == 204
        seen = api.get("/v1/reviews", headers=bob).json()
        assert (seen["caller"], [approval["who"] for approval in seen["reviews"][0]["approved"]]) == (
            "bob",
            ["ada", "bob"],
        )


@pytest.mark.slow
def test_approved_corrections_become_labels_of_the_files_where_they_lie(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(picture())
    labels = tmp_path / "labels"

    def velum(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["jobs", "labels", "-o", str(labels), "--server", url, *arguments])

    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api, worked(chosen):
        places = [handed_in(api, picture(), name=name) for name in ("a.png", "b.png")]
        for place in places:
            ended(api, place)
        assert api.put(f"{places[0]}/regions", json=CORNER.to_json()).status_code == 200
        assert api.post(f"{places[0]}/keep", json={"seconds": 3600}).status_code == 200, (
            "an approval deletes the original otherwise"
        )
        assert "approve results on the page" in str(velum().exception)
        (review,) = [entry for entry in api.get("/v1/reviews").json()["reviews"] if entry["job"]["name"] == "a.png"]
        assert approved(api, review).status_code == 204
        assert velum().exit_code == 1, "what was approved does not show the correction"
        assert api.post(f"{places[0]}/render").status_code == 202
        ended(api, places[0])
        (review,) = [entry for entry in api.get("/v1/reviews").json()["reviews"] if entry["job"]["name"] == "a.png"]
        assert approved(api, review).status_code == 204
        done = velum()
        assert "1 annotation file; 1 left out" in done.stdout, done.output
    (item,) = read(labels, tmp_path / "photos", Limits()).items
    assert item.path == tmp_path / "photos" / "a.png"
    assert [(box.label, box.xyxy) for box in item.frames[0]] == [("zone", (0, 0, 20, 20))]
