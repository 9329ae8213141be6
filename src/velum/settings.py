"""What the operator decides, from the environment and `velum.toml`: the only reader of either.

    environment            velum.toml             meaning
    VELUM_CACHE            cache                  folder for fetched weights and compiled models
    VELUM_MODELS           models                 folder of the models that were added with 'velum models add'
    VELUM_OFFLINE          offline                true forbids fetching
    VELUM_PRECISION        precision              auto, f32, bf16 or f16
    VELUM_THREADS          threads                threads of local inference; 0: one per core
    VELUM_DEVICE           device                 cpu or cuda (an NVIDIA GPU)
    VELUM_RUNTIME          runtime                openvino or onnxruntime, on the CPU
    VELUM_LIMIT_<NAME>     [limits] <name>        a field of Limits: bytes, pixels, frames, regions,
                                                  video_frames, seconds
    VELUM_WEIGHTS_<MODEL>  [weights] <model>      file to use for a model of the catalogue
    PIP_INDEX_URL and its like                    package indexes to ask for weights when the interpreter has no pip

The environment wins over the file; an empty variable counts as not set.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar, get_args

from velum.errors import BadPlan
from velum.limits import Limits
from velum.locate.models import catalog
from velum.plugins import Device, Host, Mode, Precision, Progress, Runtime

FILE = "velum.toml"

INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
"""Variables in which other tools keep the addresses of package indexes, separated by blanks."""

_OURS = ("VELUM_LIMIT_", "VELUM_WEIGHTS_")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator decided; every field has a default that suits most."""

    cache: Path | None = None
    models: Path | None = None
    offline: bool = False
    precision: Precision = "auto"
    threads: int = 0
    device: Device = "cpu"
    runtime: Runtime = "openvino"
    index_urls: tuple[str, ...] = ()
    weights: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    limit: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Fields of `Limits` that differ from the default."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Self:
        """Return the settings of the environment and of `velum.toml` in `folder`, the working directory by default.

        Raises `BadPlan` that names the variable or key, its value and what is allowed.
        """
        environ = os.environ if environ is None else environ
        folder = Path.cwd() if folder is None else folder
        given = _from_file(folder / FILE) | _from_environment(environ, folder)
        simple = {key: reader(given[key]) for key, reader in _READERS.items() if key in given}
        return cls(
            **simple,
            index_urls=_index_urls(environ),
            weights=_table("weights", given, _Given.path),
            limit=_table("limits", given, partial(_Given.number, least=1)),
        )

    def host(self, progress: Progress | None = None, mode: Mode = "latency") -> Host:
        """Return what parts need to know; `progress` is called while something is fetched."""
        return Host(
            cache=self.cache,
            models=self.models,
            precision=self.precision,
            threads=self.threads,
            device=self.device,
            runtime=self.runtime,
            mode=mode,
            offline=self.offline,
            index_urls=self.index_urls,
            weights=self.weights,
            progress=progress,
        )

    def limits(self) -> Limits:
        """Return how much is accepted."""
        return Limits(**self.limit)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was written, where, and the folder that a relative path starts from."""

    value: object
    where: str
    folder: Path

    def wrong(self, must: str) -> BadPlan:
        return BadPlan(f"{self.where} is {self.value!r}; it must be {must}")

    def path(self) -> Path:
        if not isinstance(self.value, str) or not self.value or "\0" in self.value:
            raise self.wrong("a path")
        try:
            return self.folder / Path(self.value).expanduser()
        except RuntimeError as error:
            raise self.wrong("a path whose '~' can be resolved") from error

    def yes(self) -> bool:
        text = str(self.value).lower()
        if text not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
            raise self.wrong("true or false")
        return text in {"1", "true", "yes", "on"}

    def one_of(self, allowed: tuple[str, ...]) -> str:
        if not isinstance(self.value, str) or self.value not in allowed:
            raise self.wrong(f"one of {', '.join(allowed)}")
        return self.value

    def number(self, *, least: int = 0) -> int:
        text = str(self.value)
        if not re.fullmatch(r"\d+(_\d+)*", text, flags=re.ASCII) or len(text) > 18 or int(text) < least:
            raise self.wrong(f"a whole number of at least {least}")
        return int(text)


_READERS: Mapping[str, Callable[[_Given], Any]] = MappingProxyType(
    {
        "cache": _Given.path,
        "models": _Given.path,
        "offline": _Given.yes,
        "precision": partial(_Given.one_of, allowed=get_args(Precision)),
        "threads": _Given.number,
        "device": partial(_Given.one_of, allowed=get_args(Device)),
        "runtime": partial(_Given.one_of, allowed=get_args(Runtime)),
    }
)


def variables() -> Mapping[str, str]:
    """Return the environment variables that are read, each with its key in `velum.toml`."""
    keys = [*_READERS, *(f"limits.{one.name}" for one in fields(Limits)), *(f"weights.{name}" for name in catalog())]
    return {_variable(key): key for key in keys}


def _variable(key: str) -> str:
    return "VELUM_" + re.sub(r"[^A-Z0-9]", "_", key.replace("limits.", "limit.").upper())


def _from_environment(environ: Mapping[str, str], folder: Path) -> dict[str, _Given]:
    known = variables()
    for name in environ.keys() - known.keys():
        # Other VELUM_ variables are none of ours: Kubernetes sets some for a service of that name.
        meant = name.startswith(_OURS) or (name.startswith("VELUM_") and get_close_matches(name, known, cutoff=0.85))
        if meant:
            raise BadPlan(f"variable {name} is unknown; known are {', '.join(sorted(known))}")
    return {key: _Given(environ[name], name, folder) for name, key in known.items() if environ.get(name)}


def _from_file(file: Path) -> dict[str, _Given]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPlan(f"settings file {file} cannot be read: {error}") from error
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {key: value}
    known = variables().values()
    if unknown := sorted(flat.keys() - known):
        raise BadPlan(f"{file} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return {key: _Given(value, f"{key} in {file}", file.parent) for key, value in flat.items()}


def _table(name: str, given: Mapping[str, _Given], reader: Callable[[_Given], T]) -> Mapping[str, T]:
    start = f"{name}."
    return MappingProxyType(
        {key.removeprefix(start): reader(one) for key, one in given.items() if key.startswith(start)}
    )


def _index_urls(environ: Mapping[str, str]) -> tuple[str, ...]:
    words = [word for name in INDEX_VARIABLES for word in environ.get(name, "").split()]
    # uv lets an index have a name: name=https://...
    return tuple(dict.fromkeys(re.sub(r"^[\w-]+=(?=\w+:)", "", word) for word in words))
