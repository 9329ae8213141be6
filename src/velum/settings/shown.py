"""Every setting, what it is, and who said so."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velum.settings import Settings, given, variables

_SECRET = frozenset({"client.token"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting: its key in `velum.toml`, its variable, its value (passwords left out), and where that is from."""

    key: str
    variable: str
    value: Any
    origin: str

    @property
    def text(self) -> str:
        """The value as it is written on one line."""
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, list):
            return ", ".join(self.value) or "(none)"
        return "(not set)" if self.value in {None, ""} else str(self.value)


def shown(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> tuple[Shown, ...]:
    """Return all settings as `Settings.load` reads them. Raises `BadPlan` as it does."""
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    settings, said = Settings.load(environ, folder), given(environ, folder)

    def origin(variable: str, key: str) -> str:
        if key not in said:
            return "default"
        return f"variable {variable}" if environ.get(variable) else "file velum.toml"

    def value(key: str) -> Any:
        plain = _plain(_value(settings, key))
        return "***" if key in _SECRET and plain else plain

    return tuple(
        Shown(key, variable, value(key), origin(variable, key))
        for variable, key in sorted(variables().items(), key=lambda one: ("." in one[1], one[1]))
    )


def _value(settings: Settings, key: str) -> object:
    section, _, name = key.rpartition(".")
    if section == "weights":
        return settings.weights.get(name)
    return getattr({"": settings, "limits": settings.limits()}.get(section) or getattr(settings, section), name)


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_masked(str(one)) for one in value]
    return _masked(str(value)) if isinstance(value, str | Path) else value


def _masked(text: str) -> str:
    """Return a text without the passwords of the addresses in it."""
    text = re.sub(r"(://[^\s/?#@:]*):[^\s/?#]*@", r"\1:***@", text)
    return re.sub(
        r"([?&](?:password|passwd|token|secret|key|sslpassword)=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE
    )
