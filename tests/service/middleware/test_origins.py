"""Pages of other sites can do nothing with a service that requires no key."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from tests.service.factories import client, configuration, picture, post, settings

from velum.errors import BadPlan
from velum.service.auth.api_keys import ApiKeys
from velum.service.middleware.origins import Sites
from velum.settings import Settings
from velum.settings.schema import AccessSettings

OUR_PAGE = "http://127.0.0.1:4343"
EVIL = "https://evil.example"


def fault(host: str | None, sites: Sites | None = None, *, method: str = "POST", path: str = "/x", **more: str) -> int:
    given = {key.replace("_", "-"): value for key, value in more.items()}
    if host is not None:
        given["host"] = host
    found = (sites or Sites()).fault(method, path, Headers(given))
    return 0 if found is None else found[0]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4343", "localhost", "LOCALHOST:4343", "[::1]:4343", "10.1.2.3:8070", "velum:4343", "testserver",
        "velum.default.svc.cluster.local", "velum.default.svc", "host.docker.internal:8070", "a.localhost", None,
    ],
)  # fmt: skip
def test_local_addresses_and_host_names_are_accepted(host: str | None) -> None:
    assert fault(host) == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:4343", "127.0.0.1.nip.io", "localhost.evil.example", "", ":80", "[", "a.local"],
)
def test_a_public_host_name_is_refused_against_dns_rebinding(host: str) -> None:
    assert fault(host) == 421
    assert fault(host, method="GET") == 421


def test_hosts_that_the_operator_names_are_accepted() -> None:
    sites = Sites(("velum.city.example", "other.example:8443"))
    assert fault("Velum.City.Example", sites) == fault("velum.city.example:8070", sites) == 0
    assert fault("other.example:8443", sites) == 0
    assert fault("other.example", sites) == 421
    assert fault("anything.example", Sites(("*",))) == 0


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:4343", OUR_PAGE, 0),
        ("localhost:4343", "http://localhost:4343", 0),
        ("localhost", "http://localhost:80", 403),
        ("localhost:80", "http://localhost", 0),
        ("localhost:4343", "http://localhost:3000", 403),
        ("127.0.0.1:4343", EVIL, 403),
        ("127.0.0.1:4343", "null", 403),
        ("127.0.0.1:4343", "", 403),
        ("127.0.0.1:4343", "http://127.0.0.1:4343.evil.example", 403),
        ("127.0.0.1:4343", "http://[", 403),
    ],
)
def test_only_pages_of_the_service_itself_may_call_it(host: str, origin: str, status: int) -> None:
    assert fault(host, origin=origin) == fault(host, method="GET", origin=origin) == status


def test_pages_that_the_operator_names_may_call_the_service() -> None:
    sites = Sites(origins=("https://tools.example.org",))
    assert fault("127.0.0.1:4343", sites, origin="https://tools.example.org", sec_fetch_site="cross-site") == 0
    assert fault("127.0.0.1:4343", sites, origin="https://example.org") == 403
    assert fault("127.0.0.1:4343", Sites(origins=("*",)), origin="null", sec_fetch_site="cross-site") == 0
    # Behind a proxy that does not pass the name on.
    assert fault("velum:4343", Sites(("velum.city.example",)), origin="https://velum.city.example") == 0
    with pytest.raises(BadPlan, match=r"access\.origins has 'tools.example.org'"):
        Sites(origins=("tools.example.org",))


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/v1/jobs", {"sec_fetch_site": "cross-site"}, 403),
        ("GET", "/v1/jobs", {"sec_fetch_site": "same-site"}, 403),
        ("GET", "/v1/jobs", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 403),
        ("GET", "/", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 0),
        ("POST", "/", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 403),
        ("GET", "/v1/jobs", {"sec_fetch_site": "same-origin"}, 0),
        ("GET", "/v1/jobs", {"sec_fetch_site": "none"}, 0),
        ("GET", "/v1/jobs", {}, 0),
    ],
)
def test_the_header_sec_fetch_site_decides_where_the_browser_sends_it(
    method: str, path: str, more: dict[str, str], status: int
) -> None:
    assert fault("localhost:4343", None, method=method, path=path, **more) == status


@pytest.fixture(scope="module", params=[False, True], ids=["usual", "strict"])
def open_service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service without keys, of either kind."""
    with client(settings(tmp_path_factory.mktemp("open"), strict=request.param)) as api:
        yield api


@pytest.mark.parametrize(
    "headers", [{"origin": EVIL}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}, {"origin": "null"}]
)
def test_pages_of_other_sites_can_call_no_endpoint(open_service: TestClient, headers: dict[str, str]) -> None:
    api = open_service
    answers = [
        post(api, picture(), configuration(), headers=headers),
        api.post("/set_url", data={"url": "http://10.0.0.1/"}, headers=headers),
        api.post("/remove_all_urls", headers=headers),
        api.get("/list_urls", headers=headers),
    ]
    if api.get("/v1/labels").status_code != 404:  # strictly, there is only the original's interface
        answers += [api.post("/v1/images", content=picture(), headers=headers), api.get("/v1/jobs", headers=headers)]
    for answer in answers:
        assert answer.status_code in {403, 421}
        assert answer.headers["connection"] == "close"
        assert "operator" in answer.text or "other sites" in answer.text
    assert api.get("/health/live", headers=headers).status_code == 200
    # Programs that are no browsers send none of these.
    assert post(api, picture(), configuration()).status_code == 200


def with_access(folder: Path, **access: object) -> Settings:
    return replace(settings(folder), access=AccessSettings(**access))  # type: ignore[arg-type]


def test_a_service_open_to_all_still_checks_origins_and_named_pages_can_read_responses(tmp_path: Path) -> None:
    page = "https://tools.example.org"
    with client(with_access(tmp_path, required=False, hosts=("velum.city.example",), origins=(page,))) as api:
        assert api.get("/v1/jobs", headers={"origin": EVIL}).status_code == 403
        assert api.get("/v1/jobs", headers={"host": "velum.city.example"}).status_code == 200
        answer = api.get("/v1/jobs", headers={"origin": page, "sec-fetch-site": "cross-site"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == page
        asked = {"origin": page, "access-control-request-method": "POST"}
        assert api.options("/v1/images", headers=asked).headers["access-control-allow-origin"] == page


def test_where_keys_are_required_origins_are_not_checked(tmp_path: Path) -> None:
    _, secret = ApiKeys(tmp_path / "keys.json").add("ada", ["anonymize"])
    with client(with_access(tmp_path, required=True, keys=tmp_path / "keys.json")) as api:
        headers = {"host": "velum.city.example", "origin": EVIL}
        assert api.get("/v1/jobs", headers={**headers, "x-api-key": secret}).status_code == 200
        assert api.get("/v1/jobs", headers=headers).status_code == 401
