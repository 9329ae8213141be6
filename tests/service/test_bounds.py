"""A small request cannot hold the processor for long."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.media.image.bombs import encoded, gif, scanned
from tests.rows import exhaustive
from tests.service.factories import client, configuration, entry, settings

from velum.engine.engine import DEFAULT_PLAN


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(settings(tmp_path_factory.mktemp("bounds"), limit={"work_seconds": 2})) as api:
        yield api


def rules(number: int, localizer: str = "centerface", **more: Any) -> str:
    return json.dumps({"rules": [f"face: {localizer} -> blur(degree={0.5 + n / 1e5})" for n in range(number)], **more})


MANY = json.dumps({"rules": [f"face: centerface(threshold={n / 100}) -> blur" for n in range(1, 51)]})
KEPT_OUT = rules(1, keep_out=[f"fixed(box=[0, 0, {n}, 9])" for n in range(1, 17)])


@pytest.mark.parametrize(
    ("plan", "limit", "value"),
    [
        (rules(9000), "rules", 9000),
        (rules(1001), "rules", 1001),
        (MANY, "localizers", 50),
        (KEPT_OUT, "localizers", 17),
    ],
)
@pytest.mark.parametrize("path", ["/v1/images", "/v1/locate"])
def test_a_plan_with_too_many_rules_or_localizers_is_refused(
    api: TestClient, path: str, plan: str, limit: str, value: int
) -> None:
    answer = api.post(path, files={"image": encoded("PNG"), "plan": (None, plan)})
    assert answer.status_code == 413, answer.text
    assert (answer.json()["limit"], answer.json()["value"]) == (limit, value)
    upload = api.post("/v1/uploads").json()["id"]
    api.put(f"/v1/uploads/{upload}", content=encoded("PNG"))
    answer = api.post("/v1/jobs", json={"upload": upload, "plan": json.loads(plan)})
    assert (answer.status_code, answer.json()["limit"]) == (413, limit)


def test_a_configuration_of_the_bmw_api_with_too_many_rules_is_refused(api: TestClient) -> None:
    entries = [entry(anonymization_degree=0.5 + n / 1e5) for n in range(4000)]
    answer = api.post("/anonymize/", files={"image": encoded("PNG"), "configuration": configuration(*entries)})
    assert answer.status_code == 413, answer.text
    assert "entries" in answer.json()["error"]


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        pytest.param(scanned(2000), "scans", id="scans"),
        pytest.param(gif(8000, 8000, 9999), "image_pixels", id="frames"),
        *exhaustive([pytest.param(gif(3000, 3000, 1000), "work_seconds", id="work")]),
    ],
)
def test_an_image_that_takes_too_much_work_is_refused(api: TestClient, data: bytes, limit: str) -> None:
    fields = {"configuration": configuration()}
    answers = [api.post("/v1/locate", files={"image": data})]
    if limit != "work_seconds":  # the interface of old takes only the first picture
        answers += [
            api.post("/v1/images", files={"image": data}),
            api.post("/anonymize/", files={"image": data, **fields}),
        ]
    for answer in answers:
        assert answer.status_code == 413, answer.text
        assert limit in answer.text
    # The service goes on.
    assert api.post("/v1/images", files={"image": encoded("GIF")}).headers["x-velum-hidden"] == "1"


def test_ordinary_plans_and_images_pass_the_bounds(api: TestClient, tmp_path: Path) -> None:
    assert len(DEFAULT_PLAN.rules) == 1
    for data in (scanned(40), encoded("JPEG", progressive=True), gif(64, 48, 5), encoded("TIFF")):
        answer = api.post("/v1/images", files={"image": data, "plan": (None, rules(200))})
        assert answer.status_code == 200, answer.text
