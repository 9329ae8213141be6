"""Authentication: keys, tokens of an issuer, scopes and quotas; bodies of unauthenticated requests are not read."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from starlette.types import Message
from tests.service.auth.issuer import AUDIENCE, EC, RSA, STRANGER, Issuer, issuer
from tests.service.factories import client, configuration, picture, post, settings

from velum.annotations import FORMAT
from velum.errors import BadPlan, Unavailable
from velum.service.auth import oidc
from velum.service.auth.api_keys import ApiKey, ApiKeys
from velum.service.auth.middleware import AuthMiddleware, access_of, check_entrance
from velum.service.auth.oidc import Tokens
from velum.service.auth.principal import Principal, Quota, RateLimited, RateLimits, Unauthenticated
from velum.settings import Settings
from velum.settings.schema import AccessSettings, ObservabilitySettings


def guarded(folder: Path, **access: Any) -> Settings:
    return replace(settings(folder), access=AccessSettings(required=True, keys=folder / "keys.json", **access))


def keys(folder: Path) -> ApiKeys:
    return ApiKeys(folder / "keys.json")


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_without_a_key_only_pages_without_secrets_are_served(tmp_path: Path) -> None:
    with client(guarded(tmp_path)) as api:
        for answer in (post(api, picture(), configuration()), api.get("/metrics"), api.get("/nowhere")):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="velum"'
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["connection"] == "close"
            assert answer.json()["code"] == "NotKnown"
        for path in ("/health/live", "/docs", "/docs/docs.mjs", "/openapi.json"):
            assert api.get(path).status_code == 200


def test_the_body_of_an_unauthenticated_request_is_not_read(tmp_path: Path) -> None:
    async def unread() -> Message:
        pytest.fail("the body was read")

    async def told(message: Message) -> None:
        answers.append(message)

    async def unreached(*_: object) -> None:
        pytest.fail("the service was reached")

    answers: list[Message] = []
    scope = {"type": "http", "method": "POST", "path": "/anonymize/", "headers": [(b"content-length", b"9")]}
    asyncio.run(AuthMiddleware(unreached, access_of(guarded(tmp_path)))(scope, unread, told))
    assert answers[0]["status"] == 401


def test_a_key_is_accepted_in_either_header_and_can_be_revoked_while_the_service_runs(tmp_path: Path) -> None:
    _, secret = keys(tmp_path).add("ada", ["anonymize"])
    with client(guarded(tmp_path)) as api:
        for headers in (bearer(secret), {"authorization": f"bearer  {secret}"}, {"x-api-key": secret}):
            assert post(api, picture(), configuration(), headers=headers).headers["x-velum-hidden"] == "1"
        keys(tmp_path).revoke("ada")
        answer = api.get("/list_urls", headers=bearer(secret))
        assert (answer.status_code, "is revoked" in answer.json()["detail"]) == (401, True)


REACH = [
    ("POST", "/anonymize/", {"anonymize"}),
    ("POST", "/v1/images", {"anonymize"}),
    ("POST", "/v1/locate", {"anonymize"}),
    ("POST", "/blur/", {"anonymize"}),
    ("GET", "/available_methods/", {"anonymize", "operate"}),
    ("GET", "/list_urls", {"anonymize", "operate"}),
    ("POST", "/remove_all_urls", {"operate"}),
    ("GET", "/metrics", {"operate"}),
    ("GET", "/v1/keys", {"operate"}),
    ("POST", "/v1/uploads", {"anonymize", "review"}),
    ("GET", "/v1/jobs", {"anonymize", "review", "operate"}),
    ("GET", f"/v1/jobs/{'0' * 32}", {"anonymize", "review", "operate"}),
    ("GET", f"/v1/jobs/{'0' * 32}/result", {"anonymize", "review"}),
    ("GET", f"/v1/jobs/{'0' * 32}/regions", {"anonymize", "review"}),
    ("PUT", f"/v1/jobs/{'0' * 32}/regions", {"review"}),
    ("GET", f"/v1/jobs/{'0' * 32}/source", {"review"}),
    ("POST", f"/v1/jobs/{'0' * 32}/render", {"review"}),
    ("DELETE", f"/v1/jobs/{'0' * 32}", {"anonymize", "review"}),
    ("GET", "/v1/reviews", {"review"}),
    ("GET", "/v1/plans", {"anonymize", "review", "operate"}),
    ("POST", "/v1/session", {"anonymize", "review", "operate"}),
]


def test_a_scope_gives_access_to_its_own_endpoints_only(tmp_path: Path) -> None:
    secrets = {scope: keys(tmp_path).add(scope, [scope])[1] for scope in ("anonymize", "review", "operate")}
    with client(guarded(tmp_path)) as api:
        for method, path, scopes in REACH:
            for owner, secret in secrets.items():
                answer = api.request(method, path, headers=bearer(secret))
                assert (answer.status_code == 403) is (owner not in scopes), (owner, method, path, answer.text)


def test_a_key_for_review_can_render_a_job_with_corrected_regions(tmp_path: Path) -> None:
    _, secret = keys(tmp_path).add("eve", ["review"])
    regions = {"format": FORMAT, "width": 64, "height": 48, "frames": []}
    with client(guarded(tmp_path)) as api:
        uploads = [api.post("/v1/uploads", headers=bearer(secret)).json()["id"] for _ in range(2)]
        for upload, data in zip(uploads, (picture(), json.dumps(regions).encode()), strict=True):
            api.put(f"/v1/uploads/{upload}", content=data, headers=bearer(secret))
        answer = api.post("/v1/jobs", json={"upload": uploads[0]}, headers=bearer(secret))
        assert (answer.status_code, answer.json()["code"]) == (403, "Denied")
        job = {"upload": uploads[0], "regions": uploads[1]}
        assert api.post("/v1/jobs", json=job, headers=bearer(secret)).status_code == 201


WRONG_KEYS: list[tuple[str, Callable[[str], str]]] = [
    ("another secret of a key that is known", lambda key: key[:-1] + ("A" if key[-1] != "A" else "B")),
    ("another id", lambda key: key.replace(key[6:18], "0" * 12)),
    ("cut short", lambda key: key[:-1]),
    ("with something behind it", lambda key: f"{key}\u00e9"),
    ("its hash in its place", lambda key: key[:19] + hashlib.sha256(key.encode()).hexdigest()[:43]),
]


@pytest.mark.parametrize("change", [row[1] for row in WRONG_KEYS], ids=[row[0] for row in WRONG_KEYS])
def test_a_key_with_a_small_change_is_refused(tmp_path: Path, change: Callable[[str], str]) -> None:
    _, secret = keys(tmp_path).add("ada", ["anonymize"])
    with pytest.raises(Unauthenticated, match="is unknown"):
        keys(tmp_path).caller(change(secret))


def test_the_file_of_keys_holds_hashes_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    key, secret = keys(tmp_path).add("ada", ["anonymize", "review"], requests_per_minute=5)
    file = tmp_path / "keys.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret.rpartition("_")[2] not in file.read_text()
    assert keys(tmp_path).all() == (key,)
    usual = ApiKeys(file, Quota(9, 7))
    assert usual.caller(secret) == Principal("ada", frozenset({"anonymize", "review"}), Quota(5, 7))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_key_expires(tmp_path: Path) -> None:
    _, secret = keys(tmp_path).add("ada", ["anonymize"], expires=time.time() - 1)
    with pytest.raises(Unauthenticated, match="is expired"):
        keys(tmp_path).caller(secret)
    keys(tmp_path).add("ada", ["anonymize"])  # the name is free again


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    keys(tmp_path).add("ada", ["anonymize"])
    with pytest.raises(BadPlan, match="a key with the name 'ada' exists"):
        keys(tmp_path).add("ada", ["review"])
    with pytest.raises(BadPlan, match="there is no key 'eve'"):
        keys(tmp_path).revoke("eve")


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, '{"keys": [{"created": 1' + "0" * 400 + "}]}", '{"keys": 3}'])
def test_the_message_names_a_file_of_keys_that_cannot_be_parsed(tmp_path: Path, text: str) -> None:
    key_file = keys(tmp_path)
    key_file.add("ada", ["anonymize"])
    stored = json.loads((tmp_path / "keys.json").read_text())
    stored["keys"][0]["created"] = 10**400
    for written in (text, json.dumps(stored)):
        (tmp_path / "keys.json").write_text(written)
        with pytest.raises(Unavailable, match="damaged"):
            ApiKeys(tmp_path / "keys.json").all()


def test_a_damaged_file_of_keys_gives_nobody_access(tmp_path: Path) -> None:
    _, secret = keys(tmp_path).add("ada", ["anonymize"])
    with client(guarded(tmp_path)) as api:
        (tmp_path / "keys.json").write_text('{"keys": [{}]}')
        answer = api.get("/list_urls", headers=bearer(secret))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert str(tmp_path) not in answer.text


def test_requests_and_bytes_are_limited_for_each_principal(tmp_path: Path) -> None:
    _, few = keys(tmp_path).add("few", ["anonymize"], requests_per_minute=2)
    _, small = keys(tmp_path).add("small", ["anonymize"], bytes_per_day=20_000)
    with client(guarded(tmp_path)) as api:
        assert [api.get("/list_urls", headers=bearer(few)).status_code for _ in range(3)] == [200, 200, 429]
        answer = api.get("/list_urls", headers=bearer(few))
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["code"] == "TooMuch"
        sent = [post(api, picture(), configuration(), headers=bearer(small)) for _ in range(3)]
        assert [answer.status_code for answer in sent] == [200, 200, 429]
        assert 86_000 < int(sent[2].headers["retry-after"]) <= 86_400
        dripped = api.post(
            "/anonymize/", content=iter([b"x" * 9000] * 5),
            headers={"content-type": "multipart/form-data; boundary=x"} | bearer(small),
        )  # fmt: skip
        assert dripped.status_code == 429
        assert api.get("/list_urls", headers=bearer(small)).status_code == 200


def test_refused_requests_do_not_count_against_the_limit() -> None:
    rates, caller = RateLimits(), Principal("ada", frozenset(), Quota(0, 100))
    with pytest.raises(RateLimited, match="100 are left"):
        rates.volume(caller, 101)
    rates.volume(caller, 100)
    with pytest.raises(RateLimited, match="may send 100 bytes a day, 0 are left"):
        rates.volume(caller, 1)


@pytest.mark.parametrize(
    ("host", "access", "fine"),
    [
        ("127.0.0.1", AccessSettings(), True),
        ("::1", AccessSettings(), True),
        ("localhost", AccessSettings(), True),
        ("0.0.0.0", AccessSettings(), False),
        ("::", AccessSettings(), False),
        ("192.168.1.4", AccessSettings(), False),
        ("velum.example.org", AccessSettings(), False),
        ("0.0.0.0", AccessSettings(required=False), True),
        ("0.0.0.0", AccessSettings(required=True), True),
        ("0.0.0.0", AccessSettings(issuer="https://issuer.example", audience="velum"), True),
    ],
)
def test_other_machines_are_served_without_keys_only_where_the_operator_says_so(
    tmp_path: Path, host: str, access: AccessSettings, fine: bool
) -> None:
    chosen = replace(settings(tmp_path), access=replace(access, keys=tmp_path / "keys.json"))
    if fine:
        check_entrance(chosen, host)
        return
    with pytest.raises(BadPlan, match="would serve everyone"):
        check_entrance(chosen, host)
    keys(tmp_path).add("ada", ["anonymize"])
    check_entrance(chosen, host)


def test_the_first_key_restricts_access_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    chosen = replace(settings(tmp_path), access=AccessSettings(keys=tmp_path / "keys.json"))
    assert not access_of(chosen).required
    keys(tmp_path).add("ada", ["anonymize"])
    assert access_of(chosen).required
    assert not access_of(replace(chosen, access=replace(chosen.access, required=False))).required


@pytest.mark.parametrize(
    ("access", "message"),
    [
        (AccessSettings(issuer="http://issuer.example", audience="velum"), "must start with https://"),
        (AccessSettings(issuer="issuer.example", audience="velum"), "must start with https://"),
        (AccessSettings(issuer="https://issuer.example"), "need an audience"),
        (
            AccessSettings(issuer="https://i.example", audience="v", issuer_keys="http://i.example/k"),
            "must start with https://",
        ),
        (AccessSettings(issuer="https://i.example", audience="v", claim_scopes=("admins=all",)), "write value=scope"),
    ],
)
def test_impossible_settings_of_an_issuer_are_refused(tmp_path: Path, access: AccessSettings, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        access_of(replace(settings(tmp_path), access=access))


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as server:
        yield server


@pytest.fixture
def tokens(idp: Issuer) -> Iterator[Tokens]:
    accepted = Tokens(oidc.Issuer(idp.url, AUDIENCE), Quota(3, 4))
    yield accepted
    accepted.close()


def part(values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


def unsigned(idp: Issuer) -> str:
    return f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(idp.claims())}."


def signed_with_the_public_key(idp: Issuer) -> str:
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(idp.claims())}"
    mark = hmac.new(RSA.as_pem(private=False), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


def with_an_unknown_extension(idp: Issuer) -> str:
    text = f"{part({'alg': 'RS256', 'kid': 'rsa', 'crit': ['new'], 'new': 1})}.{part(idp.claims())}"
    mark = RSA.private_key.sign(text.encode(), PKCS1v15(), SHA256())  # type: ignore[union-attr]
    return f"{text}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


def with_a_key_of_its_own(idp: Issuer) -> str:
    return idp.token(STRANGER, {"jwk": STRANGER.as_dict(private=False), "kid": None})


def with_other_claims(idp: Issuer) -> str:
    header, _, mark = idp.token().split(".")
    return f"{header}.{part(idp.claims(sub='eve'))}.{mark}"


ATTACKS: list[tuple[str, Callable[[Issuer], str]]] = [
    ("unsigned", unsigned),
    ("signed with the public key as a password", signed_with_the_public_key),
    ("signed by another under the id of a known key", lambda idp: idp.token(STRANGER)),
    ("brings its own key", with_a_key_of_its_own),
    (
        "says where its key is",
        lambda idp: idp.token(STRANGER, {"jku": "http://127.0.0.1:1/keys", "kid": "new"}),
    ),
    ("a path for an id", lambda idp: idp.token(STRANGER, {"kid": "../../dev/null"})),
    (
        "an object for an id",
        lambda idp: f"{part({'alg': 'RS256', 'kid': {'a': 1}})}.{part(idp.claims())}.AAAA",
    ),
    ("no id where there are several keys", lambda idp: idp.token(RSA, {"kid": None})),
    ("an algorithm that the key is not for", lambda idp: idp.token(RSA, {"alg": "RS384"})),
    ("an extension that must be understood", with_an_unknown_extension),
    ("for another service", lambda idp: idp.token(aud="other")),
    ("for nobody", lambda idp: idp.token(aud=None)),
    ("of another issuer", lambda idp: idp.token(iss="https://issuer.example")),
    ("of no issuer", lambda idp: idp.token(iss=None)),
    ("expired", lambda idp: idp.token(exp=int(time.time()) - 31)),
    ("without an end", lambda idp: idp.token(exp=None)),
    ("with an end that is text", lambda idp: idp.token(exp="never")),
    ("not valid yet", lambda idp: idp.token(nbf=int(time.time()) + 60)),
    ("of nobody", lambda idp: idp.token(sub=None)),
    ("of a name with a line break", lambda idp: idp.token(sub="a\nb")),
    ("changed afterwards", with_other_claims),
    ("endless", lambda idp: idp.token(note="x" * 20_000)),
    ("no token at all", lambda idp: "a.b.c"),
    ("letters of another alphabet", lambda idp: f"\u00e4{idp.token()}"),
]


@pytest.mark.parametrize("forge", [row[1] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_forged_tokens_are_refused(idp: Issuer, tokens: Tokens, forge: Callable[[Issuer], str]) -> None:
    assert tokens.caller(idp.token()).name == "oidc:ada"
    with pytest.raises(Unauthenticated):
        tokens.caller(forge(idp))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "crit"]), inner),
    max_leaves=6,
)


@given(header=JSON, claims=JSON, mark=st.sampled_from(["", "AAAA", "*", "\u00e4"]))
def test_any_text_as_a_token_is_refused_without_an_internal_error(header: object, claims: object, mark: str) -> None:
    tokens = Tokens(oidc.Issuer("http://127.0.0.1:1", AUDIENCE), Quota(), clock=lambda: -oidc.FLOOR_SECONDS)
    tokens._keys = {"rsa": RSA}
    for token in (f"{part(header)}.{part(claims)}.{mark}", f"{part({'alg': 'RS256'})}.{part(claims)}.{mark}"):
        with pytest.raises(Unauthenticated):
            tokens.caller(token)
    tokens.close()


@pytest.mark.parametrize("token", ["", ".", "..", "...", "[[" * 8000, part([]) + "..", f"{'W1tb' * 4000}..A"])
def test_odd_tokens_are_refused(idp: Issuer, tokens: Tokens, token: str) -> None:
    tokens.caller(idp.token())
    with pytest.raises(Unauthenticated):
        tokens.caller(token)


@given(secret=st.text() | st.from_regex(r"velum_[0-9a-f]{12}_[\w-]{43}", fullmatch=True))
def test_any_text_as_a_key_is_refused_without_an_internal_error(secret: str) -> None:
    with pytest.raises(Unauthenticated):
        ApiKeys(Path("/nowhere/keys.json")).caller(secret)


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_tokens_of_the_issuer_are_accepted(idp: Issuer, tokens: Tokens, key: RSAKey | ECKey) -> None:
    caller = tokens.caller(idp.token(key, aud=["other", AUDIENCE], scope="openid review anonymize"))
    assert caller == Principal("oidc:ada", frozenset({"anonymize", "review"}), Quota(3, 4))
    tokens.caller(idp.token(key))
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"], "its keys are kept"


@pytest.mark.parametrize(
    ("claim", "claims", "scopes"),
    [
        ("scope", {"scope": "velum-users other"}, {"anonymize"}),
        ("roles", {"roles": ["velum-users", "velum-admins", 3]}, {"anonymize", "operate"}),
        ("realm_access.roles", {"realm_access": {"roles": ["velum-admins"]}}, {"operate"}),
        ("realm_access.roles", {"realm_access": "velum-admins"}, set()),
        ("scope", {"scope": "operate"}, set()),
    ],
)
def test_claims_are_mapped_to_scopes(idp: Issuer, claim: str, claims: dict[str, Any], scopes: set[str]) -> None:
    mapping = {"velum-users": "anonymize", "velum-admins": "operate"}
    tokens = Tokens(oidc.Issuer(idp.url, AUDIENCE, None, claim, mapping), Quota())  # type: ignore[arg-type]
    assert tokens.caller(idp.token(**claims)).scopes == scopes
    tokens.close()


def test_keys_of_the_issuer_are_fetched_again_for_an_unknown_key_id_but_not_too_often(idp: Issuer) -> None:
    now = [0.0]
    tokens = Tokens(oidc.Issuer(idp.url, AUDIENCE, f"{idp.url}/keys"), Quota(), clock=lambda: now[0])
    tokens.caller(idp.token())
    new = RSAKey.generate_key(2048, {"kid": "new"})
    idp.keys = [new.as_dict(private=False)]
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            tokens.caller(idp.token(new))
    assert idp.asked == ["/keys"], "those who invent ids make no more calls"
    now[0] += oidc.FLOOR_SECONDS
    tokens.caller(idp.token(new))
    with pytest.raises(Unauthenticated):
        tokens.caller(idp.token())  # withdrawn
    assert idp.asked == ["/keys"] * 2
    now[0] += oidc.KEPT_SECONDS
    idp.status = 500
    tokens.caller(idp.token(new))  # the issuer is down; what is known holds
    assert len(idp.asked) == 3
    tokens.close()


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_weak_keys_and_keys_of_other_uses_are_ignored(idp: Issuer) -> None:
    weak = RSAKey.generate_key(1024, {"kid": "weak"})
    idp.keys = [
        weak.as_dict(private=False),
        {**RSA.as_dict(private=False), "use": "enc"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "password"},
        ECKey.generate_key("P-384", {"kid": "large"}).as_dict(private=False),
        {"kty": "RSA", "n": 3},
    ]
    tokens = Tokens(oidc.Issuer(idp.url, AUDIENCE), Quota())
    with pytest.raises(Unavailable, match="lists no key for RS256 or ES256"):
        tokens.caller(idp.token())
    tokens.close()


def test_nobody_gets_access_while_the_issuer_is_down(idp: Issuer, tmp_path: Path) -> None:
    idp.status = 500
    _, secret = keys(tmp_path).add("ada", ["anonymize"])
    with client(guarded(tmp_path, issuer=idp.url, audience=AUDIENCE)) as service:
        answer = service.get("/list_urls", headers=bearer(idp.token()))
        assert (answer.status_code, idp.url in answer.text) == (503, False)
        assert service.get("/list_urls", headers=bearer(secret)).status_code == 200


def test_a_token_gives_access_to_the_service(idp: Issuer, tmp_path: Path) -> None:
    with client(guarded(tmp_path, issuer=idp.url, audience=AUDIENCE)) as service:
        assert service.get("/list_urls", headers=bearer(idp.token())).status_code == 200
        assert service.get("/list_urls", headers=bearer(idp.token(scope="review"))).status_code == 403
        assert service.get("/list_urls", headers=bearer(unsigned(idp))).status_code == 401


def test_the_openapi_document_lists_security_schemes_only_where_credentials_are_required(tmp_path: Path) -> None:
    with client(guarded(tmp_path)) as api:
        paths = api.get("/openapi.json").json()["paths"]
        assert paths["/anonymize/"]["post"]["security"] == [{"HTTPBearer": []}]
    with client(settings(tmp_path)) as api:
        assert "security" not in api.get("/openapi.json").text


def test_metrics_can_be_public_while_the_rest_requires_a_key(tmp_path: Path) -> None:
    chosen = replace(guarded(tmp_path), observability=ObservabilitySettings(metrics_open=True))
    with client(chosen) as api:
        assert api.get("/metrics").status_code == 200
        assert api.get("/list_urls").status_code == 401


def test_a_key_survives_a_json_round_trip() -> None:
    key = ApiKey("0" * 12, "ada", frozenset({"review"}), "0" * 64, 1.0, None, None, None, 4)
    assert ApiKey.from_json(json.loads(json.dumps(key.to_json()))) == key
