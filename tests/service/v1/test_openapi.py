"""The OpenAPI document of velum's own API: every endpoint, with its failures, and examples of bodies."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from velum.service.problem_details import KIND, uses_problem_details

ENDPOINTS = {
    ("GET", "/v1/reviews"),
    ("GET", "/v1/reviews/activity"), ("POST", "/v1/reviews"), ("POST", "/v1/reviews/views"),
    ("GET", "/v1/jobs/{job}/draft"), ("PUT", "/v1/jobs/{job}/draft"), ("DELETE", "/v1/jobs/{job}/draft"),
    ("GET", "/v1/jobs/{job}/comments"), ("POST", "/v1/jobs/{job}/comments"), ("PUT", "/v1/jobs/{job}/assignee"),
    ("POST", "/v1/jobs/{job}/keep"), ("GET", "/v1/jobs/{job}/still"),
    ("POST", "/v1/images"), ("POST", "/v1/locate"),
    ("POST", "/v1/uploads"), ("GET", "/v1/uploads/{upload}"), ("HEAD", "/v1/uploads/{upload}"),
    ("PUT", "/v1/uploads/{upload}"), ("PATCH", "/v1/uploads/{upload}"), ("DELETE", "/v1/uploads/{upload}"),
    ("GET", "/v1/uploads/{upload}/topics"),
    ("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/v1/jobs/{job}"), ("DELETE", "/v1/jobs/{job}"),
    ("GET", "/v1/jobs/{job}/events"), ("POST", "/v1/jobs/{job}/cancel"), ("POST", "/v1/jobs/{job}/retry"),
    ("GET", "/v1/jobs/{job}/result"), ("HEAD", "/v1/jobs/{job}/result"), ("GET", "/v1/jobs/{job}/report"),
    ("GET", "/v1/jobs/{job}/source"), ("HEAD", "/v1/jobs/{job}/source"), ("GET", "/v1/jobs/{job}/regions"),
    ("PUT", "/v1/jobs/{job}/regions"), ("POST", "/v1/jobs/{job}/render"),
    ("POST", "/v1/jobs/{job}/follow"),
    ("GET", "/v1/techniques"), ("GET", "/v1/models"), ("GET", "/v1/labels"), ("GET", "/v1/plans"),
    ("GET", "/v1/file-types"),
    ("POST", "/v1/jobs/{job}/people"), ("GET", "/v1/jobs/{job}/people"), ("POST", "/v1/people"),
    ("POST", "/v1/jobs/{job}/preview"), ("GET", "/v1/jobs/{job}/preview"), ("HEAD", "/v1/jobs/{job}/preview"),
    ("POST", "/v1/session"), ("DELETE", "/v1/session"),
    ("GET", "/v1/keys"), ("POST", "/v1/keys"), ("DELETE", "/v1/keys/{key}"),
    ("GET", "/v1/trainings"), ("POST", "/v1/trainings"), ("GET", "/v1/trainings/{job}"),
    ("DELETE", "/v1/trainings/{job}"), ("POST", "/v1/trainings/{job}/cancel"), ("POST", "/v1/trainings/{job}/retry"),
    ("POST", "/v1/trainings/{job}/switch"), ("GET", "/v1/trainings/{job}/result"),
    ("POST", "/v1/models/{name}/switch-back"),
    ("POST", "/blur/"),
}  # fmt: skip


@pytest.fixture(scope="module")
def document(usual_service: TestClient) -> dict[str, Any]:
    return dict(usual_service.get("/openapi.json").json())


def test_every_endpoint_is_described_with_its_failures(document: dict[str, Any]) -> None:
    paths = {path: methods for path, methods in document["paths"].items() if uses_problem_details(path)}
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == ENDPOINTS
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            failures = {status: response for status, response in operation["responses"].items() if status >= "400"}
            assert {"413", "422", "429", "500", "503"} <= failures.keys()
            for status, failure in failures.items():
                assert failure["content"][KIND]["example"]["status"] == int(status), (method, path)
            if "{" in path:
                assert "404" in failures


def test_bodies_and_answers_have_examples(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["JobRequest"]["examples"]
    for name in ("techniques", "models", "labels", "plans"):
        assert document["paths"][f"/v1/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["example"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "NotFound"),
        ("PATCH", "/v1/jobs", 405, "NotAllowed"),
        ("POST", "/v1", 404, "NotFound"),
        ("GET", "/blur/", 405, "NotAllowed"),
    ],
)
def test_an_unknown_path_is_answered_with_problem_details(
    usual_service: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = usual_service.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, KIND)
    assert (answer.json()["code"], answer.json()["instance"]) == (code, path)
