"""The page of the settings, from what `velum config show` says where nothing is set."""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from typing import Any

from docs.site.markdown import code, escape, table

INTRODUCTION = """# Settings

A setting is a key in `velum.toml`, or a variable of the environment; the variable wins, and an empty one counts as not
set. In the environment, the items of a list are separated by commas. `velum config show` prints what holds where you
are, and who said so.

```toml
threads = 4

[service]
listen_port = 8070
```

"""

TITLES = {
    "": "For every command",
    "access": "Who may use the service",
    "bmw": "The BMW Anonymization API",
    "client": "The service that clients ask",
    "jobs": "Jobs",
    "limits": "Limits",
    "remote": "Other machines that velum asks",
    "service": "The service",
    "watch": "Metrics, traces and audit",
    "weights": "Files to use for models of the catalogue",
}


def settings_page() -> str:
    """Return the page: one table for each section of `velum.toml`."""
    sections: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for setting in _defaults():
        sections[setting["key"].rpartition(".")[0]].append(setting)
    text = INTRODUCTION
    for name, settings in sections.items():
        title = TITLES.get(name, name.capitalize())
        text += f"## {title}\n\n" + (f"In the section `[{name}]` of `velum.toml`.\n\n" if name else "")
        text += table(["setting", "default", "meaning"], map(_row, settings))
    return text


def _defaults() -> list[dict[str, Any]]:
    """Return every setting with its default, as the command says it in an empty folder and an empty environment."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    with tempfile.TemporaryDirectory() as empty:
        said = subprocess.run(
            [sys.executable, "-m", "velum", "config", "show", "--json"],
            cwd=empty, env={**kept, "HOME": "/nowhere"}, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    settings: list[dict[str, Any]] = json.loads(said)
    return settings


def _row(setting: dict[str, Any]) -> list[str]:
    name = setting["key"].rpartition(".")[2]
    return [f"`{name}`<br>`{setting['variable']}`", _value(setting["value"]), escape(setting["about"])]


def _value(value: object) -> str:
    """Return a default as `velum.toml` writes it; nothing where nothing is set, or where it depends on the machine."""
    if value in (None, "", []) or str(value).startswith("/nowhere"):
        return ""
    return code(json.dumps(value, ensure_ascii=False).strip('"'))
