"""`velum submit` and `velum jobs`, as a user types them, with a running service."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.client.fake_service import answering, working
from tests.rows import exhaustive
from tests.service.factories import on_the_wire, picture, settings
from typer.testing import CliRunner, Result

from velum.cli.jobs import result_name
from velum.cli.main import app
from velum.client import Job
from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable, VelumError
from velum.plan import Plan
from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.middleware import keys_file

pytestmark = pytest.mark.slow

Velum = Callable[..., Result]


@contextmanager
def service(folder: Path) -> Iterator[str]:
    (folder / "plans").mkdir()
    (folder / "plans" / "street.toml").write_text('rules = ["face: centerface -> blur"]\n')
    chosen = settings(folder, plans=folder / "plans")
    with on_the_wire(chosen) as url, working(chosen):
        yield url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a user, with a photograph."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    Path("photo.png").write_bytes(picture())


@pytest.fixture
def velum(tmp_path: Path, folder: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Velum]:
    """The command line, and a service that has no jobs yet."""
    with service(tmp_path) as url:
        monkeypatch.setenv("VELUM_CLIENT_SERVER", url)
        yield lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service(tmp_path_factory.mktemp("service")) as url:
        yield url


@pytest.fixture
def shared_velum(busy: str, folder: None, monkeypatch: pytest.MonkeyPatch) -> Velum:
    """The command line, and a service that several tests share."""
    monkeypatch.setenv("VELUM_CLIENT_SERVER", busy)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_waits_and_writes_the_result_beside_the_source(shared_velum: Velum) -> None:
    done = shared_velum("submit", "photo.png", "--wait")
    assert (done.exit_code, done.stdout) == (0, "photo.hidden.png: 1 face hidden\n"), done.output
    assert "warning: photo.png: look twice" in done.stderr
    assert Path("photo.hidden.png").read_bytes() == Path("photo.png").read_bytes()
    again = shared_velum("submit", "photo.png", "--wait")
    assert isinstance(again.exception, OutputFailed)
    assert shared_velum("submit", "photo.png", "--wait", "--overwrite").exit_code == 0


def test_continues_after_a_file_that_fails(shared_velum: Velum) -> None:
    Path("bad.png").write_bytes(picture())
    done = shared_velum("submit", "photo.png", "bad.png", "missing.png", "-o", "out", "--json")
    assert done.exit_code == 1
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["source"], first["state"], first["target"]) == ("photo.png", "done", "out/photo.hidden.png")
    assert (second["state"], second["target"], second["error"]["code"]) == ("failed", None, "BadInput")
    assert "cannot read missing.png" in done.stderr
    assert [one.name for one in Path("out").iterdir()] == ["photo.hidden.png"]


PLANS = [
    (("--plan", "street"), Plan.of("face: centerface -> blur")),
    (("--hide", "face", "--with", "pixelate"), Plan.of("face: centerface -> pixelate")),
    (("-r", "face: yunet -> blur", "--audio", "drop"), None),
    (("--plan", "own.json"), Plan.of("face: centerface -> blacken", quality=7)),
    ((), Plan()),
]


@pytest.mark.parametrize(("options", "plan"), [*PLANS[::2], *exhaustive(PLANS[1::2])])
def test_submits_the_plan_that_the_options_make(
    shared_velum: Velum, options: tuple[str, ...], plan: Plan | None
) -> None:
    Path("own.json").write_text(json.dumps({"rules": ["face: centerface -> blacken"], "quality": 7}))
    (job,) = lines(shared_velum("submit", "photo.png", "--json", *options))
    assert plan is None or job["plan"] == plan.digest


WRONG = [
    (("--plan", "nonsense"), BadPlan, "unknown; known are street"),
    (("--plan", "street", "--quality", "5"), BadPlan, "goes without options"),
    (("--plan", "own.json", "--hide", "face"), BadPlan, "cannot be combined with --rule"),
    (("--hide", "soul"), BadPlan, "cannot detect 'soul'"),
    (("--with", "blur"), BadPlan, "--with is the technique of --hide"),
    (("--keep-person", "Anna=photo.png"), BadPlan, "service.people"),
    (("--keep-person", "Anna=photo.png", "--only-person", "Ben=photo.png"), BadPlan, "cannot be combined"),
    (("--only-person", "Anna=nowhere.jpg"), BadInput, "cannot read nowhere.jpg"),
    (("-o", "nowhere/out.png"), OutputFailed, "no folder nowhere"),
    (("-o", "photo.png"), OutputFailed, "exists"),
    (("--token-file", "nowhere"), BadPlan, "token in nowhere"),
    (("--server", "http://127.0.0.1:9"), Unavailable, "accepted no connection"),
]


@pytest.mark.parametrize(("options", "kind", "why"), [*WRONG[::2], *exhaustive(WRONG[1::2])])
def test_names_the_mistake_in_an_option(
    shared_velum: Velum, options: tuple[str, ...], kind: type[VelumError], why: str
) -> None:
    Path("own.json").write_text("{}")
    done = shared_velum("submit", "photo.png", *options)
    assert isinstance(done.exception, kind), done.output
    assert why in str(done.exception)


def test_lists_watches_downloads_and_deletes_jobs(velum: Velum) -> None:
    Path("slow.png").write_bytes(picture())
    Path("bad[red].png").write_bytes(picture())
    ids = {name: velum("submit", name).stdout.split()[0] for name in ("photo.png", "bad[red].png", "slow.png")}
    assert velum("jobs", "watch", ids["photo.png"]).exit_code == 0
    watched = velum("jobs", "watch", ids["bad[red].png"])
    assert isinstance(watched.exception, BadInput)
    assert "the source is bad" in watched.stdout
    listed = velum("jobs", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["ID", *list(ids.values())[::-1]]
    assert "bad[red].png" in listed
    assert [one["name"] for one in lines(velum("jobs", "list", "--json", "--state", "failed"))] == ["bad[red].png"]
    assert len(lines(velum("jobs", "list", "--json", "--limit", "2"))) == 2
    assert isinstance(velum("jobs", "list", "--state", "odd").exception, BadPlan)

    assert velum("jobs", "cancel", ids["slow.png"]).exit_code == 0
    cancelled = velum("jobs", "watch", ids["slow.png"])
    assert "was cancelled" in str(cancelled.exception)
    (again,) = lines(velum("jobs", "retry", "--json", ids["slow.png"]))
    assert again["state"] in {"waiting", "running"}

    assert velum("jobs", "download", ids["photo.png"]).stdout == "photo.hidden.png\n"
    assert velum("jobs", "download", ids["photo.png"], "-o", "other.png").exit_code == 0
    assert Path("other.png").read_bytes() == Path("photo.hidden.png").read_bytes()
    assert lines(velum("jobs", "show", "--report", ids["photo.png"]))[0]["warnings"] == ["look twice"]
    assert velum("jobs", "regions", ids["photo.png"], "-o", "found.json").exit_code == 0
    assert json.loads(Path("found.json").read_text())["frames"] == [{"index": 0, "regions": []}]
    (anew,) = lines(velum("jobs", "render", "--json", "--regions", "found.json", ids["photo.png"]))
    assert (anew["state"], anew["result_name"]) == ("waiting", None)
    gone = velum("jobs", "delete", *ids.values())
    assert gone.stdout.count("deleted") == 3
    assert velum("jobs", "list").stdout.count("\n") == 1
    assert "404" not in str(velum("jobs", "show", ids["photo.png"]).exception)


def test_submits_given_regions_instead_of_detecting(shared_velum: Velum) -> None:
    Path("regions.json").write_text(json.dumps({"format": "velum-regions/1", "width": 64, "height": 48, "frames": []}))
    assert shared_velum("submit", "photo.png", "--regions", "regions.json").exit_code == 0


def test_sends_the_token_only_to_the_server_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = settings(tmp_path)
    _, secret = ApiKeys(keys_file(chosen)).add("anna", ["anonymize"])
    Path("key").write_text(f"{secret}\n")
    with on_the_wire(chosen) as url:
        asked = ["jobs", "list", "--json", "--server", url]
        assert isinstance(CliRunner().invoke(app, asked).exception, Unavailable)
        assert CliRunner().invoke(app, [*asked, "--token-file", "key"]).exit_code == 0
        Path("velum.toml").write_text(f'[client]\nserver = "{url}/"\ntoken = "{secret}"\n')
        assert CliRunner().invoke(app, asked).exit_code == 0
        shown = CliRunner().invoke(app, ["config", "show"]).output
        assert secret not in shown
        assert "client.token" in shown
    got: list[bytes] = []

    def none(request: bytes) -> bytes:
        got.append(request)
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    with answering(none) as other:
        assert isinstance(CliRunner().invoke(app, [*asked[:3], "--server", other]).exception, Unavailable)
    assert got
    assert secret.encode() not in got[0], "the token is that of another server"


NAMES = [
    ("street.hidden.mp4", "street.hidden.mp4"),
    ("/etc/passwd", "passwd"),
    ("..\\..\\evil", "evil"),
    ("..", "0" * 32),
    (None, "0" * 32),
]


@pytest.mark.parametrize(("told", "name"), NAMES)
def test_a_result_name_cannot_leave_the_target_folder(told: str | None, name: str) -> None:
    job = Job(
        "0" * 32, "done", "x", "", 0, 0.0, None, None, 1, 1, 1, 1, 1, None, None, None, result=True,
        result_name=told, source_kept=True,
    )  # fmt: skip
    assert result_name(job) == name
