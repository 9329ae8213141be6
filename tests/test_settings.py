"""What the operator decides is read from the environment and velum.toml, and mistakes are named."""

from dataclasses import fields
from operator import attrgetter
from pathlib import Path

import pytest

from velum.errors import BadPlan
from velum.limits import Limits
from velum.net import NetworkPolicy
from velum.plugins import RuntimeConfig
from velum.settings import Settings, variables
from velum.settings.schema import BmwSettings, JobsSettings, ServiceSettings


def test_without_settings_the_defaults_apply(tmp_path: Path) -> None:
    settings = Settings.load({}, tmp_path)
    assert settings == Settings()
    assert settings.host() == RuntimeConfig()
    assert settings.limits() == Limits()


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert Settings.load({"VELUM_CACHE": "", "VELUM_THREADS": "", "PIP_INDEX_URL": ""}, tmp_path) == Settings()


VARIABLES = [
    ("VELUM_CACHE", "/var/cache/velum", "cache", Path("/var/cache/velum")),
    ("VELUM_CACHE", "~/weights", "cache", Path.home() / "weights"),
    ("VELUM_COMPILED_CACHE", "no", "compiled_cache", False),
    ("VELUM_OFFLINE", "1", "offline", True),
    ("VELUM_OFFLINE", "Yes", "offline", True),
    ("VELUM_OFFLINE", "off", "offline", False),
    ("VELUM_PRECISION", "f32", "precision", "f32"),
    ("VELUM_THREADS", "4", "threads", 4),
    ("VELUM_DEVICE", "cuda", "device", "cuda"),
    ("VELUM_RUNTIME", "onnxruntime", "runtime", "onnxruntime"),
    ("VELUM_WEIGHTS_CENTERFACE", "/w/c.onnx", "weights", {"centerface": Path("/w/c.onnx")}),
    ("PIP_INDEX_URL", "https://a.example/simple", "index_urls", ("https://a.example/simple",)),
    ("UV_INDEX_URL", "https://a.example/s", "index_urls", ("https://a.example/s",)),
    ("UV_DEFAULT_INDEX", "own=https://a.example/s?x=1", "index_urls", ("https://a.example/s?x=1",)),
    (
        "PIP_EXTRA_INDEX_URL",
        "https://a.example/s https://b.example/s",
        "index_urls",
        ("https://a.example/s", "https://b.example/s"),
    ),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), VARIABLES)
def test_variables_reach_the_runtime_configuration(
    tmp_path: Path, variable: str, text: str, field: str, value: object
) -> None:
    host = Settings.load({variable: text}, tmp_path).host()
    assert getattr(host, field) == value


SECTIONS = [
    ("VELUM_SERVICE_LISTEN_HOST", "0.0.0.0", "service", "listen_host", "0.0.0.0"),
    ("VELUM_SERVICE_LISTEN_PORT", "8070", "service", "listen_port", 8070),
    ("VELUM_SERVICE_PARALLEL", "3", "service", "parallel", 3),
    ("VELUM_SERVICE_GRACE_SECONDS", "2.5", "service", "grace_seconds", 2.5),
    ("VELUM_SERVICE_LOG_NAMES", "true", "service", "log_names", True),
    ("VELUM_SERVICE_PLANS", "/p", "service", "plans", Path("/p")),
    ("VELUM_SERVICE_PEOPLE", "true", "service", "people", True),
    ("VELUM_JOBS_DATABASE", "postgresql://db/velum", "jobs", "database", "postgresql://db/velum"),
    ("VELUM_JOBS_ORIGINALS_SECONDS", "0", "jobs", "originals_seconds", 0),
    ("VELUM_JOBS_IN_PROCESS", "no", "jobs", "in_process", False),
    ("VELUM_JOBS_STORE", "/srv/store", "jobs", "store", Path("/srv/store")),
    ("VELUM_JOBS_STORE", "s3://faces/velum", "jobs", "store", "s3://faces/velum"),
    ("VELUM_JOBS_SPAN_SECONDS", "2.5", "jobs", "span_seconds", 2.5),
    ("VELUM_BMW_STRICT", "1", "bmw", "strict", True),
    ("VELUM_BMW_VIDEOS", "/v", "bmw", "videos", Path("/v")),
    ("VELUM_REMOTE_ALLOW", "inference, 10.0.0.0/8,", "remote", "allow", ("inference", "10.0.0.0/8")),
    ("VELUM_REMOTE_PRIVATE", "yes", "remote", "private", True),
    ("VELUM_REMOTE_READ_SECONDS", "7", "remote", "read_seconds", 7.0),
    ("VELUM_CLIENT_SERVER", "https://velum.example", "client", "server", "https://velum.example"),
]


@pytest.mark.parametrize(("variable", "text", "section", "field", "value"), SECTIONS)
def test_variables_reach_the_settings_of_the_service(
    tmp_path: Path, variable: str, text: str, section: str, field: str, value: object
) -> None:
    assert getattr(getattr(Settings.load({variable: text}, tmp_path), section), field) == value


def test_sections_are_read_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "velum.toml").write_text('[service]\nqueue = 0\n[bmw]\nfolder = "j"\n[remote]\ndeny = ["*", "a"]')
    settings = Settings.load({}, tmp_path)
    assert (settings.service.queue, settings.bmw.folder, settings.remote.deny) == (0, tmp_path / "j", ("*", "a"))


def test_every_field_of_the_service_can_be_set() -> None:
    for section, kind in (
        ("service", ServiceSettings),
        ("jobs", JobsSettings),
        ("bmw", BmwSettings),
        ("remote", NetworkPolicy),
    ):
        for one in fields(kind):
            assert f"{section}.{one.name}" in variables().values()


def test_an_index_named_in_two_variables_is_used_once(tmp_path: Path) -> None:
    url = "https://a.example/simple"
    assert Settings.load({"PIP_INDEX_URL": url, "UV_INDEX_URL": url}, tmp_path).index_urls == (url,)


def test_every_limit_can_be_set(tmp_path: Path) -> None:
    names = {
        "VELUM_LIMIT_BYTES": "1",
        "VELUM_LIMIT_PIXELS": "2_000",
        "VELUM_LIMIT_FRAMES": "3",
        "VELUM_LIMIT_REGIONS": "4",
    }
    assert Settings.load(names, tmp_path).limits() == Limits(bytes=1, pixels=2000, frames=3, regions=4)
    assert names.keys() <= variables().keys()


FILE = """
cache = "weights"
offline = true
precision = "bf16"
threads = 2
[limits]
pixels = 1000
[weights]
yunet = "/w/y.onnx"
"""


def test_paths_in_the_file_are_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "velum.toml").write_text(FILE)
    settings = Settings.load({}, tmp_path)
    assert settings.host() == RuntimeConfig(
        tmp_path / "weights", "bf16", threads=2, offline=True, weights={"yunet": Path("/w/y.onnx")}
    )
    assert settings.limits() == Limits(pixels=1000)


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "velum.toml").write_text(FILE)
    settings = Settings.load({"VELUM_OFFLINE": "0", "VELUM_LIMIT_PIXELS": "5", "VELUM_LIMIT_FRAMES": "6"}, tmp_path)
    assert (settings.offline, settings.threads, settings.limits()) == (False, 2, Limits(pixels=5, frames=6))


FORMER = [
    ("VELUM_JOBS_EYES", "[jobs]\neyes = 3", "review.required_approvals", 3),
    ("VELUM_JOBS_OVERALL", "[jobs]\noverall = 3", "jobs.max_running", 3),
    ("VELUM_JOBS_WORK", "[jobs]\nwork = '3'", "jobs.scratch_dir", "3"),
    ("VELUM_WATCH_AUDIT", "[watch]\naudit = '3'", "observability.audit", "3"),
]


@pytest.mark.parametrize(("variable", "text", "key", "value"), FORMER)
def test_an_old_name_is_still_read_with_a_warning_that_names_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, variable: str, text: str, key: str, value: object
) -> None:
    new, wanted = f"VELUM_{key.replace('.', '_').upper()}", tmp_path / value if isinstance(value, str) else value
    assert attrgetter(key)(Settings.load({variable: "3"}, tmp_path)) == wanted
    assert f"{variable} is an old name; the setting is now called {new}" in caplog.text
    (tmp_path / "velum.toml").write_text(text)
    assert attrgetter(key)(Settings.load({}, tmp_path)) == wanted
    assert f"the setting is now called {key}" in caplog.text


def test_an_old_name_next_to_the_new_one_is_refused(tmp_path: Path) -> None:
    both = {"VELUM_JOBS_EYES": "2", "VELUM_REVIEW_REQUIRED_APPROVALS": "3"}
    with pytest.raises(BadPlan, match="VELUM_JOBS_EYES and VELUM_REVIEW_REQUIRED_APPROVALS set the same"):
        Settings.load(both, tmp_path)


def test_a_variable_with_an_old_name_takes_precedence_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "velum.toml").write_text("[jobs]\nmax_running = 5")
    assert Settings.load({"VELUM_JOBS_OVERALL": "7"}, tmp_path).jobs.max_running == 7


def test_the_progress_callback_reaches_the_runtime_configuration(tmp_path: Path) -> None:
    def progress(what: str, done: int, total: int | None) -> None:
        pass

    assert Settings.load({}, tmp_path).host(progress).progress is progress


WRONG_VARIABLES = [
    ("not a truth value", "VELUM_OFFLINE", "maybe", "VELUM_OFFLINE is 'maybe'; it must be true or false"),
    ("not a number", "VELUM_THREADS", "two", "VELUM_THREADS is 'two'; it must be a whole number of at least 0"),
    (
        "elsewhere",
        "VELUM_JOBS_STORE",
        "https://host/bucket",
        "VELUM_JOBS_STORE is 'https://host/bucket'; it must be a path",
    ),
    ("credentials in it", "VELUM_JOBS_STORE", "s3://key:secret@b", r"is 's3://\*\*\*@b'; it must be .* no credentials"),
    ("below nothing", "VELUM_THREADS", "-1", "at least 0"),
    ("a limit of nothing", "VELUM_LIMIT_PIXELS", "0", "VELUM_LIMIT_PIXELS is '0'.*at least 1"),
    ("absurdly many digits", "VELUM_LIMIT_PIXELS", "9" * 5000, "at least 1"),
    ("unknown precision", "VELUM_PRECISION", "int8", "one of auto, f32, bf16, f16"),
    ("a port that does not exist", "VELUM_SERVICE_LISTEN_PORT", "70000", "at least 0 and at most 65535"),
    ("no time", "VELUM_SERVICE_GRACE_SECONDS", "0", "a number of seconds above 0"),
    ("endless time", "VELUM_REMOTE_READ_SECONDS", "inf", "a number of seconds above 0"),
    ("no such setting of the service", "VELUM_SERVICE_PORTS", "1", "VELUM_SERVICE_PORTS is unknown"),
    ("nobody's home", "VELUM_CACHE", "~nobody-of-that-name/x", "'~' can be resolved"),
    ("a slip of the pen", "VELUM_OFLINE", "1", "VELUM_OFLINE is unknown; known are .*VELUM_OFFLINE"),
    ("weights of no model", "VELUM_WEIGHTS_NOPE", "/x", "known are .*VELUM_WEIGHTS_CENTERFACE"),
    ("no such limit", "VELUM_LIMIT_SIZE", "1", "known are .*VELUM_LIMIT_PIXELS"),
]


@pytest.mark.parametrize(
    ("variable", "text", "message"), [row[1:] for row in WRONG_VARIABLES], ids=[row[0] for row in WRONG_VARIABLES]
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, text: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Settings.load({variable: text}, tmp_path)


def test_variables_of_other_programs_are_ignored(tmp_path: Path) -> None:
    others = {"VELUM_SERVICE_HOST": "10.0.0.1", "VELUM_PORT": "tcp://10.0.0.1:80", "VELUM_PORT_80_TCP_PROTO": "tcp"}
    others |= {"VELUM_SERVICE_PORT": "80", "VELUM_SERVICE_PORT_HTTP": "80"}
    assert Settings.load(others, tmp_path) == Settings()


WRONG_FILES = [
    ("not TOML", "cache =", "velum.toml cannot be read"),
    ("not text", "\udcff", "velum.toml cannot be read"),
    ("too deep", "cache = " + "[" * 5000, "velum.toml cannot be read"),
    ("unknown key", "cash = 1", "unknown keys cash; known are .*, cache, .*device, .*limits.bytes"),
    ("unknown limit", "[limits]\nsize = 1", "unknown keys limits.size"),
    ("table where a value belongs", "[cache]\na = 1", "unknown keys cache.a"),
    ("value where a table belongs", "limits = 3", "unknown keys limits"),
    ("path that is a number", "cache = 3", "cache in .*velum.toml is 3; it must be a path"),
    ("number that is a truth value", "threads = true", "threads in .* is True; it must be a whole number"),
    ("number with a fraction", "threads = 1.5", "a whole number of at least 0"),
    ("model that is unknown", "[weights]\nnope = '/x'", "unknown keys weights.nope; known are .*weights.centerface"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in WRONG_FILES], ids=[row[0] for row in WRONG_FILES])
def test_a_wrong_settings_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "velum.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(BadPlan, match=message):
        Settings.load({}, tmp_path)
