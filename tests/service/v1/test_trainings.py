"""Trainings over HTTP: operators watch them, compare models on the same pictures, switch over and back."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.factories import client, settings
from tests.service.v1.test_jobs import ended, handed_in, worked
from tests.train.training_jobs import NAME, TrainingJobs
from tests.waiting import until

from velum.jobs import State
from velum.service.auth.api_keys import ApiKeys
from velum.service.job_backend import trainings_folder
from velum.settings.schema import TrainSettings
from velum.train import machine
from velum.train.job import read_order
from velum.train.processor import RUNS

pytestmark = pytest.mark.slow

WITH_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="training needs torch")
WITHOUT_TORCH = pytest.mark.skipif(find_spec("torch") is not None, reason="what happens where torch is missing")


@pytest.fixture
def jobs(tmp_path: Path) -> TrainingJobs:
    return TrainingJobs.of(settings(tmp_path), tmp_path / "discs")


@pytest.fixture
def service(jobs: TrainingJobs) -> Iterator[TestClient]:
    with client(jobs.settings) as api:
        yield api


def box_side(service: TestClient, jobs: TrainingJobs) -> int:
    """Return the width of the box that the service finds around a disc."""
    plan = json.dumps({"rules": [{"label": "disc", "locate": NAME, "hide": "blacken", "grow": 0}]})
    image = (jobs.folder / "p1.png").read_bytes()
    answer = service.post("/v1/locate", files={"image": image}, data={"plan": plan})
    assert answer.status_code == 200, answer.text
    region = max(answer.json()["frames"][0]["regions"], key=lambda found: found["score"])
    return int(region["xyxy"][2] - region["xyxy"][0])


@WITHOUT_TORCH
def test_a_training_becomes_a_model_that_operators_compare_and_switch_to(
    jobs: TrainingJobs, service: TestClient
) -> None:
    jobs.add_present()
    before = box_side(service, jobs)
    training = jobs.submit()
    place = f"/v1/trainings/{training.id}"
    early = service.post(f"{place}/switch")
    assert (early.status_code, early.json()["detail"]) == (
        409, f"training {training.id} is waiting; it has a model once it is done",
    )  # fmt: skip
    folder = jobs.leave_state(training)  # of a process that died; without torch, its best state becomes the model
    with jobs.working():
        assert jobs.ended(training).state is State.DONE, jobs.ended(training).message
    assert not folder.path.parent.exists(), "nothing is left to continue from"

    shown = service.get(place).json()
    compared = shown["report"]["compared"]
    present, new = (compared[which]["labels"]["disc"]["found"] for which in ("present", "new"))
    assert (present["total"], new["total"], compared["held_out"], compared["seen"]) == (4, 4, 4, None)
    assert present["hits"] < new["hits"] == 4
    assert 0 < new["interval"][0] < new["interval"][1] == 1
    assert (shown["present"], shown["result"], shown["report"]["looks"][0]["score"]) == (False, True, 0.5)
    assert box_side(service, jobs) == before, "nothing changes before someone switches over"

    files = zipfile.ZipFile(io.BytesIO(service.get(f"{place}/result").content)).namelist()
    assert {"model.onnx", "model.xml", "entry.toml", "card.json", "report.html"} <= set(files)
    versions = service.post(f"{place}/switch").json()
    assert versions["former"] != versions["present"]
    assert service.get(place).json()["present"]
    assert box_side(service, jobs) > 2 * before
    (model,) = (model for model in service.get("/v1/models").json()["models"] if model["name"] == NAME)
    assert model["former"]
    assert service.post(f"/v1/models/{NAME}/switch-back").json() == {
        "name": NAME, "present": versions["former"], "former": versions["present"],
    }  # fmt: skip
    assert box_side(service, jobs) == before


@WITHOUT_TORCH
@pytest.mark.exhaustive
def test_pictures_that_the_present_model_was_trained_with_are_counted(jobs: TrainingJobs, service: TestClient) -> None:
    first, place = jobs.submit(), "/v1/trainings"
    jobs.leave_state(first)
    with jobs.working():
        assert jobs.ended(first).state is State.DONE
    service.post(f"{place}/{first.id}/switch")
    # Another seed holds out other pictures; the card of the present model says which it was trained with.
    second_request = replace(jobs.request, seed=2)
    second = jobs.submit(second_request)
    jobs.leave_state(second, second_request)
    with jobs.working():
        assert jobs.ended(second).state is State.DONE
    assert service.get(f"{place}/{first.id}").json()["report"]["compared"] is None
    compared = service.get(f"{place}/{second.id}").json()["report"]["compared"]
    assert 0 < compared["seen"] <= compared["held_out"] == 4


@WITHOUT_TORCH
def test_without_torch_the_service_says_what_to_install(usual_service: TestClient) -> None:
    listed = usual_service.get("/v1/trainings").json()
    assert "pip install torch 'velum-anonymizer[train]'" in listed["needs"]
    refused = usual_service.post("/v1/trainings", json={"name": NAME})
    assert (refused.status_code, refused.json()["detail"]) == (409, listed["needs"])


def test_trainings_take_the_scope_operate_and_are_no_jobs_of_other_lists(jobs: TrainingJobs, tmp_path: Path) -> None:
    keys = ApiKeys(jobs.settings.jobs.data / "keys.json")
    user, operator = keys.add("u", ["anonymize", "review"])[1], keys.add("o", ["operate"])[1]
    training = jobs.submit()
    with client(jobs.settings) as service:

        def status(method: str, path: str, key: str) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return int(service.request(method, f"/v1/{path}", headers=headers, json={"name": NAME}).status_code)

        place = f"trainings/{training.id}"
        for method, path in (
            ("GET", "trainings"), ("POST", "trainings"), ("GET", place), ("POST", f"{place}/cancel"),
            ("POST", f"{place}/retry"), ("POST", f"{place}/switch"), ("GET", f"{place}/result"), ("DELETE", place),
            ("POST", f"models/{NAME}/switch-back"),
        ):  # fmt: skip
            assert status(method, path, user) == 403, path
        assert status("GET", f"jobs/{training.id}", operator) == 404
        headers = {"authorization": f"Bearer {operator}"}
        assert service.get("/v1/jobs", headers=headers).json()["jobs"] == []
        assert service.post(f"/v1/{place}/cancel", headers=headers).json()["state"] == "cancelled"
        assert service.get(f"/v1/{place}", headers=headers).json()["retryable"]
        assert service.post(f"/v1/{place}/retry", headers=headers).json()["state"] == "waiting"
        left = trainings_folder(jobs.settings) / training.id
        left.mkdir(parents=True)
        assert status("DELETE", place, operator) == 204
        assert not left.exists()
        assert status("GET", place, operator) == 404
        assert status("POST", f"models/{NAME}/switch-back", operator) == 404
        jobs.add_present()
        assert status("POST", f"models/{NAME}/switch-back", operator) == 409


@pytest.fixture(scope="module")
def with_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, TrainingJobs]]:
    """A service whose operator has opened the folder of the discs; nothing here comes to a step, which needs torch."""
    place = tmp_path_factory.mktemp("open")
    chosen = replace(settings(place), train=TrainSettings(folders=(place / "discs",)))
    with pytest.MonkeyPatch.context() as patched, client(chosen) as service:
        patched.setattr(machine, "check_torch", lambda: None)
        yield service, TrainingJobs.of(chosen, place / "discs")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"name": "centerface"}, "velum ships a model named 'centerface'"),
        ({"name": NAME, "seconds": 9000}, "a training may take up to 7200 s here"),
        ({"name": NAME, "truth": "/etc"}, "is in none of the folders"),
        ({"name": NAME, "truth": "../order.zip"}, "is in none of the folders"),
        ({"name": NAME, "truth": "none.json"}, "'none.json' does not exist"),
        ({"name": NAME, "truth": "truth.json", "base": "yunet"}, "base 'yunet' cannot be trained for detect; take"),
        ({"name": NAME}, "no job has an approved result"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_queued(
    with_folder: tuple[TestClient, TrainingJobs], wanted: dict[str, Any], says: str
) -> None:
    service, jobs = with_folder
    refused = service.post("/v1/trainings", json=wanted)
    assert refused.status_code == 422
    assert says in refused.json()["detail"]
    assert jobs.backend.counts()["waiting"] == 0


@WITHOUT_TORCH
@pytest.mark.exhaustive
def test_a_model_is_trained_from_approved_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "discs"
    chosen = replace(settings(tmp_path), train=TrainSettings(folders=(folder,)))
    jobs = TrainingJobs.of(chosen, folder)
    jobs.add_present()
    jobs.add_base()
    plan = {"rules": [{"label": "disc", "locate": NAME, "hide": "blacken"}]}
    with client(chosen) as service:
        with worked(chosen):
            for number in range(8):
                name = f"p{number}.png"
                ended(service, handed_in(service, (folder / name).read_bytes(), name=name, plan=plan))
        reviews = service.get("/v1/reviews").json()["reviews"]
        approved = [{"job": review["job"]["id"], "result": review["result"]} for review in reviews[:6]]
        assert service.post("/v1/reviews", json={"approve": approved}).status_code == 204
        with monkeypatch.context() as patched:
            patched.setattr(machine, "check_torch", lambda: None)
            wanted = {"name": NAME, "base": "tiny", "media": ".", "side": 96, "recall": 0.5}
            started = service.post("/v1/trainings", json=wanted)
        assert started.status_code == 201, started.text
        training = jobs.backend.open().queue.get(started.json()["id"])
        assert training is not None
        order = read_order(jobs.backend.open().store.fetch(training.submission.source, tmp_path), tmp_path)
        names = sorted(review["job"]["name"] for review in reviews[:6])
        assert sorted(order.sources) == names
        assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == [
            f"{name}.regions.json" for name in names
        ]
        request = replace(order.request, truth=str(tmp_path / "labels"), media=str(folder))
        jobs.leave_state(training, request)
        with jobs.working():
            assert jobs.ended(training).state is State.DONE, jobs.ended(training).message
        report = service.get(f"/v1/trainings/{training.id}").json()["report"]
        assert (report["trained_on"] + report["held_out"], report["left_out"]) == (6, 0)


@WITH_TORCH
@pytest.mark.timeout(600)
def test_a_training_that_is_cancelled_goes_on_from_its_last_state(tmp_path: Path) -> None:
    folder = tmp_path / "discs"
    chosen = replace(settings(tmp_path), train=TrainSettings(folders=(folder,)))
    jobs = TrainingJobs.of(chosen, folder)
    jobs.add_base()
    with client(chosen) as service, jobs.working():
        wanted = {"name": NAME, "truth": "truth.json", "base": "tiny", "side": 96, "recall": 0.5, "seconds": 12}
        started = service.post("/v1/trainings", json=wanted)
        assert started.status_code == 201, started.text
        place = f"/v1/trainings/{started.json()['id']}"
        looks = until(lambda: (service.get(place).json()["report"] or {}).get("looks"))
        assert looks[0]["measure"] == "AP50"
        service.post(f"{place}/cancel")
        until(lambda: service.get(place).json()["state"] == "cancelled")
        assert service.post(f"{place}/retry").json()["state"] == "waiting"
        until(lambda: service.get(place).json()["state"] == "done")
        report = service.get(place).json()["report"]
        assert report["looks"][0] == looks[0], "it did not begin anew"
        assert (report["held_out"], report["compared"]) == (4, None)
        assert service.post(f"{place}/switch").status_code == 200
        assert NAME in {model["name"] for model in service.get("/v1/models").json()["models"]}


@WITH_TORCH
def test_after_three_deaths_the_best_state_becomes_the_model(jobs: TrainingJobs) -> None:
    training = jobs.submit()
    folder = jobs.leave_state(training)
    (folder.path.parent / RUNS).write_bytes(b"...")
    with jobs.working():
        assert jobs.ended(training).state is State.DONE, jobs.ended(training).message
    report = jobs.backend.open().queue.report(training.id)
    assert report is not None
    assert [look["step"] for look in report["looks"]] == [3]


@WITHOUT_TORCH
@pytest.mark.exhaustive
def test_a_worker_without_torch_says_so_in_the_training(jobs: TrainingJobs, service: TestClient) -> None:
    training = jobs.submit()
    place = f"/v1/trainings/{training.id}"
    with jobs.working():
        error = until(lambda: service.get(place).json()["error"])
    assert (error["code"], "pip install torch" in error["message"]) == ("Unavailable", True)
    assert service.get(place).json()["state"] == "waiting", "a worker that has it may come"
