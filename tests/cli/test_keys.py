"""`velum keys`, `velum config` and `velum audit`: what they print, and what they keep secret."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from velum.cli.main import app
from velum.errors import BadInput, BadPlan
from velum.service.audit import Audit
from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.principal import Principal, Quota
from velum.settings import Settings, variables

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_shows_a_new_key_once(run: Run, tmp_path: Path) -> None:
    made = run(
        "keys", "add", "ada", "--scope", "anonymize", "--scope", "review", "--days", "2",
        "--requests-per-minute", "30", "--bytes-per-day", "1000",
    )  # fmt: skip
    secret = made.stdout.strip()
    keys = ApiKeys(Settings.load().jobs.data / "keys.json")
    assert keys.caller(secret) == Principal("ada", frozenset({"anonymize", "review"}), Quota(30, 1000))
    assert "is not shown again" in made.stderr
    assert secret not in made.stderr + run("keys", "list").stdout + run("keys", "list", "--json").stdout


def test_lists_keys_with_their_state(run: Run) -> None:
    run("keys", "add", "ada")
    run("keys", "add", "eve", "--scope", "operate")
    assert "revoked eve" in run("keys", "revoke", "eve").stdout
    shown = run("keys", "list").stdout.splitlines()
    assert [line.split()[1:4] for line in shown] == [["valid", "ada", "anonymize"], ["revoked", "eve", "operate"]]
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [one["state"] for one in listed] == ["valid", "revoked"]
    assert "sha256" not in listed[0]
    assert run("keys", "revoke", listed[0]["id"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "a b"), "name 'a b' is not allowed"),
        (("add", "ada", "--scope", "all"), "--scope is 'all'; it must be one of anonymize, review, operate"),
        (("add", "ada", "--days", "0"), "--days is 0.0"),
        (("revoke", "eve"), "there is no key 'eve'"),
    ],
)
def test_names_the_mistake_in_an_option(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("keys", *arguments)
    assert isinstance(result.exception, BadPlan)
    assert message in str(result.exception)


def test_config_show_prints_values_and_origins(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "velum.toml").write_text('threads = 3\n[service]\nqueue = 5\n[remote]\nallow = ["a", "b"]\n')
    monkeypatch.setenv("VELUM_SERVICE_QUEUE", "7")
    monkeypatch.setenv("VELUM_JOBS_DATABASE", "postgresql://velum:hunter2@db/velum?sslpassword=hunter3")
    lines = run("config", "show").stdout.splitlines()
    shown = dict(line.split(" = ", maxsplit=1) for line in lines if not line.startswith(" "))
    assert shown["threads"] == "3  (file velum.toml)"
    assert shown["service.queue"] == "7  (variable VELUM_SERVICE_QUEUE)"
    assert shown["remote.allow"] == "a, b  (file velum.toml)"
    assert shown["access.required"] == "(not set)  (default)"
    database = "postgresql://velum:***@db/velum?sslpassword=***"
    assert shown["jobs.database"] == f"{database}  (variable VELUM_JOBS_DATABASE)"
    assert shown.keys() == set(variables().values())
    changed = json.loads(run("config", "show", "--json", "--changed").stdout)
    assert [one["key"] for one in changed] == ["threads", "jobs.database", "remote.allow", "service.queue"]
    assert changed[2]["value"] == ["a", "b"]


def test_verifies_an_audit_log(run: Run, tmp_path: Path) -> None:
    log = Audit(tmp_path / "audit.jsonl")
    for n in range(3):
        log.write({"n": n})
    assert run("audit", "verify", "audit.jsonl").stdout.startswith("3 lines, each follows the one before it")
    last = run("audit", "verify", "audit.jsonl").stdout.split()[-1]
    assert run("audit", "verify", "audit.jsonl", "--last", last).exit_code == 0
    assert isinstance(run("audit", "verify", "audit.jsonl", "--last", "0" * 63 + "1").exception, BadInput)
    (tmp_path / "key").write_text("ab" * 32)
    assert isinstance(run("audit", "verify", "audit.jsonl", "--key", "key").exception, BadInput)
    kept = (tmp_path / "audit.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "audit.jsonl").write_text(kept[0] + kept[2])
    assert isinstance(run("audit", "verify", "audit.jsonl").exception, BadInput)
    assert isinstance(run("audit", "verify", "none.jsonl").exception, BadInput)


def test_refuses_to_serve_other_machines_without_a_key(run: Run) -> None:
    result = run("serve", "--host", "0.0.0.0")
    assert isinstance(result.exception, BadPlan)
    assert "would serve everyone who can reach 0.0.0.0" in str(result.exception)
