"""Describes every setting: its value, its origin and its meaning."""

import ast
import inspect
import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velum.settings import FILE, Settings, raw_values, variables
from velum.settings.schema import SECTIONS

_SECRET = frozenset({"client.token"})


def offline_environment() -> dict[str, str]:
    """Return the environment for a process that downloads nothing unless a setting (`offline`) allows it."""
    stated = "offline" in raw_values(os.environ, Path.cwd())
    return dict(os.environ) if stated else os.environ | {"VELUM_OFFLINE": "true"}


@dataclass(frozen=True, slots=True)
class SettingDescription:
    """One setting: its key in `velum.toml`, its variable, its value (passwords left out) and its origin."""

    key: str
    variable: str
    value: Any
    origin: str
    about: str = ""
    """The meaning; empty for settings whose name says it."""

    @property
    def text(self) -> str:
        """The value as it is written on one line."""
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, list):
            return ", ".join(self.value) or "(none)"
        return "(not set)" if self.value in {None, ""} else str(self.value)


def describe_settings(
    environ: Mapping[str, str] | None = None, folder: Path | None = None, file: Path | None = None
) -> tuple[SettingDescription, ...]:
    """Return all settings as `Settings.load` reads them. Raises `BadPlan` as it does."""
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    settings, raw = Settings.load(environ, folder, file), raw_values(environ, folder, file)
    meanings = _meanings(settings)

    def origin(key: str) -> str:
        if key not in raw:
            return "default"
        where = raw[key].where  # an old name of the setting, where that was given
        return f"variable {where}" if where in environ else f"file {file or FILE}"

    def value(key: str) -> Any:
        plain = _plain(_value(settings, key))
        return "***" if key in _SECRET and plain else plain

    return tuple(
        SettingDescription(key, variable, value(key), origin(key), meanings.get(key, ""))
        for variable, key in sorted(variables().items(), key=lambda item: ("." in item[1], item[1]))
    )


def _meanings(settings: Settings) -> dict[str, str]:
    """Return the meaning of each setting, by key: the docstring under its field in the source of its class."""
    classes: dict[str, type] = {"": Settings, "limits": type(settings.limits())}
    classes |= {name: type(getattr(settings, name)) for name in SECTIONS}
    meanings = {}
    for section, kind in classes.items():
        body = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body[0]
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for line, after in itertools.pairwise(lines):
            text = after.value if isinstance(after, ast.Expr) else None
            is_text = isinstance(text, ast.Constant) and isinstance(text.value, str)
            if is_text and isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                key = f"{section}.{line.target.id}" if section else line.target.id
                meanings[key] = " ".join(str(text.value).split())  # type: ignore[union-attr]  # a docstring is a constant expression
    return meanings


def _value(settings: Settings, key: str) -> object:
    section, _, name = key.rpartition(".")
    if section == "weights":
        return settings.weights.get(name)
    return getattr({"": settings, "limits": settings.limits()}.get(section) or getattr(settings, section), name)


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_mask_passwords(str(item)) for item in value]
    return _mask_passwords(str(value)) if isinstance(value, str | Path) else value


def _mask_passwords(text: str) -> str:
    """Return a text without the passwords of the addresses in it."""
    text = re.sub(r"(://[^\s/?#@:]*):[^\s/?#]*@", r"\1:***@", text)
    return re.sub(
        r"([?&](?:password|passwd|token|secret|key|sslpassword)=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE
    )
