"""A session cookie lets players and links fetch sources and results, and does nothing else."""

from pathlib import Path

import pytest
from tests.service.auth.test_middleware import bearer, guarded, keys
from tests.service.factories import client, picture, settings
from tests.service.v1.test_jobs import ended, handed_in, worked

from velum.service.auth.middleware import COOKIE

pytestmark = pytest.mark.slow


def test_a_session_cookie_reads_media_only_and_ends_with_its_key(tmp_path: Path) -> None:
    key, secret = keys(tmp_path).add("desk", ["anonymize", "review"])
    chosen = guarded(tmp_path)
    with client(chosen) as api, worked(chosen):
        api.headers.update(bearer(secret))
        job = handed_in(api, picture(), name="a.png")
        ended(api, job)
        set_ = api.post("/v1/session")
        assert set_.status_code == 204
        attributes = {attribute.strip().lower() for attribute in set_.headers["set-cookie"].split(";")[1:]}
        assert attributes == {"httponly", "samesite=strict", "max-age=3600"}
        del api.headers["authorization"]
        for what in ("source", "result"):
            assert api.get(f"{job}/{what}").status_code == 200
            assert api.head(f"{job}/{what}").status_code == 200
            assert api.get(f"{job}/{what}", headers={"range": "bytes=0-9"}).status_code == 206
        for method, path in (
            ("GET", job), ("GET", f"{job}/regions"), ("GET", f"{job}/report"), ("GET", "/v1/jobs"), ("DELETE", job),
            ("POST", f"{job}/render"), ("POST", f"{job}/source"), ("PUT", f"{job}/result"), ("POST", "/v1/session"),
            ("GET", f"{job}/source/"), ("GET", f"/{job}/result"), ("GET", "/v1/keys"),
        ):  # fmt: skip
            assert api.request(method, path).status_code == 401, (method, path)
        keys(tmp_path).revoke(key.id)
        assert api.get(f"{job}/source").status_code == 401


def test_a_session_can_be_ended(tmp_path: Path) -> None:
    _, secret = keys(tmp_path).add("desk", ["anonymize"])
    with client(guarded(tmp_path)) as api:
        api.post("/v1/session", headers=bearer(secret))
        assert api.cookies.get(COOKIE)
        api.delete("/v1/session", headers=bearer(secret))
        assert not api.cookies.get(COOKIE)
        assert api.post("/v1/session").status_code == 401
        api.base_url = "https://testserver"
        assert "; Secure" in api.post("/v1/session", headers=bearer(secret)).headers["set-cookie"]


def test_no_cookie_is_set_where_no_credentials_are_required(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        answer = api.post("/v1/session")
        assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
