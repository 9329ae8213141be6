"""The settings, section by section: fields with their meaning and default, and how each is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from platformdirs import user_data_path

from velum.settings.raw_value import RawValue

FORMER_DATA = Path("velum-data")
"""Default data folder of earlier versions, in the working folder. It is still used where it exists."""


def default_data() -> Path:
    """Return the default data folder: where this platform keeps data, the same for every command."""
    if FORMER_DATA.is_dir():
        return FORMER_DATA.absolute()
    return user_data_path("velum", appauthor=False) / "service"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the service listens, and how much it accepts at the same time."""

    listen_host: str = "127.0.0.1"
    """Address to listen on."""
    listen_port: int = 4343
    """Port to listen on."""
    parallel: int = 0
    """Number of images that are processed at the same time; 0: one per core."""
    queue: int = 32
    """Number of images that may wait, for each inference API and for velum's own models; more are refused."""
    videos: int = 1
    """Number of videos that are processed at the same time; more are refused."""
    requests: int = 256
    """Number of requests at the same time; more are refused."""
    caller_requests: int = 0
    """Number of requests of one caller at the same time (without keys: of one address); 0: half of all."""
    head_seconds: float = 15.0
    """Seconds within which a client must send the head of a request."""
    idle_seconds: float = 60.0
    """Seconds after which a connection is closed on which no data moves."""
    body_bytes: int = 2 << 30
    """Largest upload, in bytes."""
    picture_bytes: int = 128 << 20
    """Largest image, in bytes. Images are held in memory, videos are not."""
    free_bytes: int = 64 << 20
    """Free bytes that each disk of the service needs; with less, the service reports that it is not ready."""
    grace_seconds: float = 20.0
    """Seconds that running requests have to finish when the service is stopped."""
    log_names: bool = False
    """Whether logs contain the names of uploaded files and the labels to hide."""
    page: bool = True
    """Whether the web page is served, at `/`."""
    plans: Path | None = None
    """Folder of the plans that requests may name, one TOML or JSON file each."""
    people: bool = False
    """Whether plans in that folder may recognise people by their faces, and reviewers may have faces grouped by person:
    biometric data, GDPR article 9."""
    blur_plan: str = ""
    """Name of the plan for `/blur/`. Empty: blur faces and licence plates."""


@dataclass(frozen=True, slots=True)
class BmwSettings:
    """The BMW Anonymization API."""

    strict: bool = False
    """Whether answers are exactly those of the original; see docs/bmw.md."""
    folder: Path = Path("jsonFiles")
    """Folder of `url_configuration.json`, the list of inference APIs."""
    videos: Path = Path("anonymized_video")
    """Folder to which finished videos are written."""
    local: bool = True
    """Whether velum's own models are listed beside those of inference APIs."""


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """Where jobs are stored, which processes run them, and how long their files are kept."""

    data: Path = field(default_factory=default_data)
    """Data folder. It holds everything for which no other place is set below."""
    database: str = ""
    """`sqlite:///folder/jobs.sqlite` or `postgresql://user@host/name`. Empty: SQLite in the data folder."""
    store: Path | str | None = None
    """Folder or bucket (`s3://`, `gs://`, `az://`) of sources and results; every worker must reach it. Not set: in the
    data folder."""
    scratch_dir: Path | None = None
    """Folder for temporary files of running jobs; it may be a RAM disk. Not set: in the data folder."""
    in_process: bool = True
    """Whether `velum serve` runs jobs itself; if not, `velum worker` processes run them."""
    concurrency: int = 1
    """Number of jobs that one worker runs at the same time."""
    max_running: int = 0
    """Number of jobs that all workers together run at the same time; 0: no limit."""
    span_seconds: float = 60.0
    """Length of the segments into which videos are cut, in seconds. After a crash, only unfinished segments are made
    again."""
    originals_seconds: int = 86400
    """Seconds for which a source is kept after its last job has ended, unless its result is approved before."""
    originals_most_seconds: int = 7 * 86400
    """Most seconds after the end of its job for which people may have a source kept longer."""
    results_seconds: int = 7 * 86400
    """Seconds for which a result is kept."""
    records_seconds: int = 30 * 86400
    """Seconds for which the record of a job and its report are kept."""
    unclaimed_seconds: int = 86400
    """Seconds for which an upload is kept that no job uses."""
    urls: bool = False
    """Whether a job may name the URL of its source, from which the service downloads it."""
    webhooks: bool = False
    """Whether a job may name a URL that the service calls when the job ends."""


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """Approval of results by people."""

    required_approvals: int = 1
    """Number of people who must approve a result before it leaves the review queue."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Training of models in the service, by callers with the scope operate."""

    folders: tuple[Path, ...] = ()
    """Folders of labels and pictures that trainings may read, subfolders included. The results that people have
    approved can be trained with in any case."""
    most_seconds: float = 7200.0
    """Longest time budget of a training, in seconds. It keeps a worker busy for that long."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may use the service, and how much."""

    required: bool | None = None
    """Whether callers need a key or a token. Not set: they do when there is a key or an issuer. Without either, the
    service starts only on addresses of this machine."""
    keys: Path | None = None
    """File of the keys that `velum keys add` creates. Not set: `keys.json` in the data folder."""
    issuer: str = ""
    """OpenID Connect issuer whose tokens are accepted, written as in its tokens."""
    audience: str = ""
    """Audience that tokens for this service must name."""
    issuer_keys: str = ""
    """URL of the issuer's public keys, when discovery does not find them or they are on another host."""
    claim: str = "scope"
    """Claim of a token that holds the scopes; dots lead into objects: `realm_access.roles`."""
    claim_scopes: tuple[str, ...] = ()
    """Scope for each value of the claim: `value=scope`. Empty: the values are the scopes."""
    requests_per_minute: int = 0
    """Requests that one caller may send in a minute, when the key sets no limit of its own; 0: no limit."""
    bytes_per_day: int = 0
    """Bytes that one caller may upload in a day, when the key sets no limit of its own; 0: no limit."""
    hosts: tuple[str, ...] = ()
    """Host names under which a service without keys may be called: `name` or `name:port`, `*` for all. IP addresses,
    the name of this machine and names without a dot are always allowed."""
    origins: tuple[str, ...] = ()
    """Other websites whose pages may call the service: `https://tools.example.org`, `*` for all."""


@dataclass(frozen=True, slots=True)
class ObservabilitySettings:
    """Metrics, traces and the audit log of the service."""

    metrics: bool = True
    """Whether `/metrics` is served."""
    metrics_open: bool = False
    """Whether `/metrics` needs no key, even if other requests do."""
    worker_metrics: str = ""
    """`HOST:PORT` where `velum worker` serves its metrics, without a key. Empty: it serves none."""
    traces: bool = False
    """Whether OpenTelemetry traces are sent; the environment variables OTEL_* say where to."""
    audit: Path | None = None
    """File of the audit log; `-` is standard output. Not set: no audit log."""
    audit_key: Path | None = None
    """File of the key that seals the lines of the audit log; it is created if missing. Not set: `audit.key` in the data
    folder."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The service that `velum submit` and `velum jobs` use."""

    server: str = "http://127.0.0.1:4343"
    """Address of the service."""
    token: str = field(default="", repr=False)
    """API key or token that is sent to the service. Empty: none is sent."""


Readers = Mapping[str, Callable[[RawValue], Any]]

_COUNT = partial(RawValue.number, least=1)

SERVICE: Readers = MappingProxyType(
    {
        "listen_host": RawValue.text,
        "listen_port": partial(RawValue.number, most=65535),
        "parallel": RawValue.number,
        "queue": RawValue.number,
        "videos": _COUNT,
        "requests": _COUNT,
        "caller_requests": RawValue.number,
        "head_seconds": RawValue.seconds,
        "idle_seconds": RawValue.seconds,
        "body_bytes": _COUNT,
        "picture_bytes": _COUNT,
        "free_bytes": RawValue.number,
        "grace_seconds": RawValue.seconds,
        "log_names": RawValue.yes,
        "page": RawValue.yes,
        "plans": RawValue.path,
        "people": RawValue.yes,
        "blur_plan": RawValue.text,
    }
)
JOBS: Readers = MappingProxyType(
    {
        "data": RawValue.path,
        "database": RawValue.text,
        "store": RawValue.place,
        "scratch_dir": RawValue.path,
        "in_process": RawValue.yes,
        "concurrency": _COUNT,
        "max_running": RawValue.number,
        "span_seconds": RawValue.seconds,
        "originals_seconds": RawValue.number,
        "originals_most_seconds": RawValue.number,
        "results_seconds": RawValue.number,
        "records_seconds": RawValue.number,
        "unclaimed_seconds": RawValue.number,
        "urls": RawValue.yes,
        "webhooks": RawValue.yes,
    }
)
TRAIN: Readers = MappingProxyType({"folders": RawValue.paths, "most_seconds": RawValue.seconds})
REVIEW: Readers = MappingProxyType({"required_approvals": _COUNT})
BMW: Readers = MappingProxyType(
    {"strict": RawValue.yes, "folder": RawValue.path, "videos": RawValue.path, "local": RawValue.yes}
)
REMOTE: Readers = MappingProxyType(
    {
        "allow": RawValue.texts,
        "deny": RawValue.texts,
        "private": RawValue.yes,
        "connect_seconds": RawValue.seconds,
        "read_seconds": RawValue.seconds,
        "total_seconds": RawValue.seconds,
        "attempts": _COUNT,
        "parallel": _COUNT,
        "answer_bytes": _COUNT,
    }
)
ACCESS: Readers = MappingProxyType(
    {
        "required": RawValue.yes,
        "keys": RawValue.path,
        "issuer": RawValue.text,
        "audience": RawValue.text,
        "issuer_keys": RawValue.text,
        "claim": RawValue.text,
        "claim_scopes": RawValue.texts,
        "requests_per_minute": RawValue.number,
        "bytes_per_day": RawValue.number,
        "hosts": RawValue.texts,
        "origins": RawValue.texts,
    }
)
OBSERVABILITY: Readers = MappingProxyType(
    {
        "metrics": RawValue.yes,
        "metrics_open": RawValue.yes,
        "worker_metrics": RawValue.text,
        "traces": RawValue.yes,
        "audit_key": RawValue.path,
        "audit": lambda given: Path("-") if given.value == "-" else given.path(),
    }
)
CLIENT: Readers = MappingProxyType({"server": RawValue.text, "token": RawValue.text})
SECTIONS: Mapping[str, Readers] = MappingProxyType(
    {
        "service": SERVICE,
        "jobs": JOBS,
        "review": REVIEW,
        "train": TRAIN,
        "bmw": BMW,
        "remote": REMOTE,
        "access": ACCESS,
        "observability": OBSERVABILITY,
        "client": CLIENT,
    }
)
FORMER_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "jobs.eyes": "review.required_approvals",
        "jobs.overall": "jobs.max_running",
        "jobs.work": "jobs.scratch_dir",
        **{f"watch.{name}": f"observability.{name}" for name in OBSERVABILITY},
    }
)
"""Keys of earlier versions, each with its present name. They still work, with a warning."""
