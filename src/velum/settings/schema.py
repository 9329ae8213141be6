"""The settings of the service, section by section."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from platformdirs import user_data_path

from velum.settings.raw_value import RawValue

FORMER_DATA = Path("velum-data")
"""Where data was kept by default before: in the working folder. It is used on where it is."""


def default_data() -> Path:
    """Return the folder in which this platform keeps data of the service, the same for every command."""
    if FORMER_DATA.is_dir():
        return FORMER_DATA.absolute()
    return user_data_path("velum", appauthor=False) / "service"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the service listens, and how much it takes on at a time."""

    listen_host: str = "127.0.0.1"
    listen_port: int = 4343
    parallel: int = 0
    """Pictures in work at a time, where they need the processor; 0: one per core."""
    queue: int = 32
    """Pictures that may wait for that, for each inference API (and for velum's own models); more are refused."""
    videos: int = 1
    """Videos in work at a time; more are refused."""
    requests: int = 256
    """Requests of all kinds at a time; more are refused."""
    caller_requests: int = 0
    """Requests of one caller (of one address, where nobody is asked for a key) at a time; 0: half of all."""
    head_seconds: float = 15.0
    """How long a client may take to send the head of a request."""
    idle_seconds: float = 60.0
    """How long nothing of a body may come, and nothing of an answer be read."""
    body_bytes: int = 2 << 30
    """Largest upload."""
    picture_bytes: int = 128 << 20
    """Largest picture: other than a video it is held in memory."""
    free_bytes: int = 64 << 20
    """How much room the disks need that the service writes to; with less it is not ready."""
    grace_seconds: float = 20.0
    """How long requests in work may take to finish when the service is told to end."""
    log_names: bool = False
    """Whether logs name the files of uploads and what is to be hidden in them."""
    page: bool = True
    """Whether the page for people is served, at `/`."""
    plans: Path | None = None
    """Folder of the plans that requests may name, one TOML or JSON file each."""
    blur_plan: str = ""
    """Name of the plan for `/blur/`; empty: faces, and licence plates where models for them are here, are blurred."""


@dataclass(frozen=True, slots=True)
class BmwSettings:
    """What is particular to the BMW Anonymization API."""

    strict: bool = False
    """Whether the differences that a client of the original could notice are turned off."""
    folder: Path = Path("jsonFiles")
    """Where `url_configuration.json`, the list of inference APIs, is kept."""
    videos: Path = Path("anonymized_video")
    """Where finished videos are put."""
    local: bool = True
    """Whether velum's own models are listed next to those of inference APIs."""


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """Where jobs are kept, who does them, and for how long what they leave behind stays."""

    data: Path = field(default_factory=default_data)
    """Folder of everything that is given no place of its own below. Default: where this platform keeps data."""
    database: str = ""
    """`sqlite:///folder/jobs.sqlite` or `postgresql://user@host/name`; empty: SQLite in `data`."""
    store: Path | str | None = None
    """Folder, or URL of a bucket (`s3://`, `gs://`, `az://`), of sources and results, which all workers see; None: in
    `data`."""
    scratch_dir: Path | None = None
    """Folder of work in progress, which may be in memory; None: in `data`."""
    in_process: bool = True
    """Whether `velum serve` does jobs, too; else `velum worker` does them."""
    concurrency: int = 1
    """Jobs that one worker has in work at a time."""
    max_running: int = 0
    """Jobs that all workers together have in work at a time; 0: as many as they can."""
    span_seconds: float = 60.0
    """About how long the spans are that videos are cut into: what is in work is what a crash may cost."""
    originals_seconds: int = 3600
    """For how long a source is kept after the end of its last job."""
    results_seconds: int = 7 * 86400
    records_seconds: int = 30 * 86400
    """For how long it is known that there was a job, with its report."""
    unclaimed_seconds: int = 86400
    """For how long uploads are kept that nobody goes on with."""
    urls: bool = False
    """Whether jobs may name an address that their source is fetched from."""
    webhooks: bool = False
    """Whether jobs may name an address that is told their end."""


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How results are approved."""

    required_approvals: int = 1
    """How many people must approve a result before it leaves the queue of reviews."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may use the service."""

    required: bool | None = None
    """Whether callers must say who they are. Not set: where there is a key or an issuer; on addresses other than this
    machine's own, the service does not start without."""
    keys: Path | None = None
    """File of the keys that `velum keys add` makes; None: `keys.json` in the folder of jobs, `data`."""
    issuer: str = ""
    """OpenID Connect issuer whose tokens are taken, as its tokens write it."""
    audience: str = ""
    """What the issuer's tokens for this service name as their audience."""
    issuer_keys: str = ""
    """Address of the issuer's public keys, where discovery does not give it or it is on another host."""
    claim: str = "scope"
    """Claim with the scopes; dots lead into objects: `realm_access.roles`."""
    claim_scopes: tuple[str, ...] = ()
    """What values of the claim mean: `value=scope`. Empty: they are called as the scopes are."""
    requests_per_minute: int = 0
    """Requests of one caller whose key has no number of its own; 0: as many as there are."""
    bytes_per_day: int = 0
    """Uploads of one caller whose key has no number of its own; 0: as many as there are."""
    hosts: tuple[str, ...] = ()
    """Names by which the service is called where nobody is asked for a key: `name` or `name:port`, `*` for all.
    Addresses, this machine's name and names without a dot are known."""
    origins: tuple[str, ...] = ()
    """Pages of other sites that may call it: `https://tools.example.org`, `*` for all."""


@dataclass(frozen=True, slots=True)
class ObservabilitySettings:
    """What those who run the service see of it."""

    metrics: bool = True
    """Whether `/metrics` is served."""
    metrics_open: bool = False
    """Whether it is served to everyone, where other things need a key."""
    worker_metrics: str = ""
    """`HOST:PORT` where `velum worker` serves its own, to everyone who gets there; empty: nowhere."""
    traces: bool = False
    """Whether OpenTelemetry traces are sent, to where the OTEL_* variables of the environment say."""
    audit: Path | None = None
    """File of the audit log; `-` is the standard output."""
    audit_key: Path | None = None
    """File of the key that its lines are sealed with, made where there is none; None: `audit.key` in `jobs.data`."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The service that the commands `submit` and `jobs` talk to."""

    server: str = "http://127.0.0.1:4343"
    token: str = field(default="", repr=False)
    """A key of the service, or a token of its issuer; empty: none is sent."""


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
        "results_seconds": RawValue.number,
        "records_seconds": RawValue.number,
        "unclaimed_seconds": RawValue.number,
        "urls": RawValue.yes,
        "webhooks": RawValue.yes,
    }
)
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
"""Keys of earlier versions, each with what it is called now. They are read on, with a warning."""
