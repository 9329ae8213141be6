"""The OpenAPI document of each profile: requests made from it get only responses that it states."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient
from tests.bmw.inference_server.factories import client, png
from tests.rows import but_for

from velum.bmw.inference_server.profiles import PROFILES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", but_for(PROFILES, list(PROFILES)[:1]))
def test_every_response_is_one_that_the_document_states(name: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")  # here: every process of a parallel run collects this file

    with client(name) as server:
        schema = schemathesis.openapi.from_asgi("/openapi.json", server.app)
        for result in schema.get_all_operations():
            operation = result.ok()
            _check(operation)


def _check(operation: Any) -> None:
    stated = operation.definition.raw["responses"]

    @settings(
        max_examples=1, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        given_path = case.path_parameters
        for known in (False, True):
            if known and "name" in given_path:
                case.path_parameters = {"name": "fake"}
            answer = case.call()
            assert str(answer.status_code) in stated, f"{operation.label} answers {answer.status_code}"
            kinds = [one.partition(";")[0] for one in answer.headers["content-type"]]
            assert set(kinds) <= stated[str(answer.status_code)]["content"].keys()

    run()


@pytest.mark.parametrize("name", PROFILES)
def test_the_document_and_its_page_describe_each_path(name: str) -> None:
    server: TestClient = client(name)
    document = server.get("/openapi.json").json()
    assert document["info"] == {"title": PROFILES[name].title, "version": "1.0"}
    assert not [path for path in document["paths"] if path.endswith(("batch", "/docs"))]
    page = server.get("/docs").text
    assert all(path in page for path in document["paths"])
    assert "http" not in page


def test_serves_the_undocumented_batch_call() -> None:
    with client("tensorflow") as server:
        assert server.post("/models/fake/predict_batch", files={"input_data": png()}).json()["success"] is True
