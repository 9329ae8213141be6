"""Keys are made, listed and revoked by operators of the service, and by nobody else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.auth.test_middleware import bearer, guarded, keys
from tests.service.factories import client, settings

from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.middleware import keys_file
from velum.settings.schema import AccessSettings


def test_keys_are_made_listed_and_deleted_over_http(tmp_path: Path) -> None:
    _, operator = keys(tmp_path).add("op", ["operate", "anonymize"])
    with client(guarded(tmp_path)) as api:
        created = api.post(
            "/v1/keys", json={"name": "desk", "scopes": ["anonymize"], "days": 1}, headers=bearer(operator)
        )
        assert (created.status_code, created.headers["cache-control"]) == (201, "no-store")
        secret, id_ = created.json()["secret"], created.json()["key"]["id"]
        assert api.get("/v1/jobs", headers=bearer(secret)).status_code == 200
        listed = api.get("/v1/keys", headers=bearer(operator)).json()
        assert listed["required"] is True
        assert [(entry["name"], entry["state"]) for entry in listed["keys"]] == [("op", "valid"), ("desk", "valid")]
        assert all("sha256" not in entry for entry in listed["keys"])
        assert secret not in api.get("/v1/keys", headers=bearer(operator)).text
        for method, path, body in (
            ("GET", "", None),
            ("POST", "", {"name": "x", "scopes": ["operate"]}),
            ("DELETE", f"/{id_}", None),
        ):
            answer = api.request(method, f"/v1/keys{path}", json=body, headers=bearer(secret))
            assert (answer.status_code, answer.json()["code"]) == (403, "Denied")
        assert api.delete(f"/v1/keys/{id_}", headers=bearer(operator)).status_code == 204
        assert api.get("/v1/jobs", headers=bearer(secret)).status_code == 401
        assert [entry["state"] for entry in api.get("/v1/keys", headers=bearer(operator)).json()["keys"]] == [
            "valid",
            "revoked",
        ]
        assert api.delete("/v1/keys/0123456789ab", headers=bearer(operator)).status_code == 404


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Path, str]]:
    """A service with the key of an operator, its folder, and that key."""
    folder = tmp_path_factory.mktemp("keyed")
    _, operator = keys(folder).add("op", ["operate", "anonymize"])
    with client(guarded(folder)) as api:
        yield api, folder, operator


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"name": "a b", "scopes": ["review"]}, "name"),
        ({"name": "a\n", "scopes": ["review"]}, "name"),
        ({"name": "op", "scopes": ["review"]}, "a key with the name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes"),
        ({"name": "a", "scopes": ["review"], "days": 0}, "days"),
        ({"name": "a", "scopes": ["review"], "more": 1}, "more"),
    ],
)
def test_impossible_requests_for_keys_are_refused(
    keyed: tuple[TestClient, Path, str], body: dict[str, Any], why: str
) -> None:
    service, folder, operator = keyed
    answer = service.post("/v1/keys", json=body, headers=bearer(operator))
    assert answer.status_code == 422
    assert why in answer.text
    assert len(keys(folder).all()) == 1


def test_without_required_credentials_other_machines_cannot_make_keys(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    key, _ = ApiKeys(keys_file(chosen)).add("op", ["operate"])
    with client(replace(chosen, access=AccessSettings(required=False))) as api:
        assert api.get("/v1/keys").json() == {"keys": [], "required": False}
        for answer in (
            api.post("/v1/keys", json={"name": "stranger", "scopes": ["operate"]}),
            api.delete(f"/v1/keys/{key.id}"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "Conflict")
            assert "velum keys add" in answer.text
    assert [(stored.name, stored.revoked) for stored in ApiKeys(keys_file(chosen)).all()] == [("op", None)]
