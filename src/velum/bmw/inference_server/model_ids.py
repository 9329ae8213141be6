"""The hash by which a model can be called instead of its name: the same after every start."""

import hashlib
import json
import uuid
from collections.abc import Iterable
from pathlib import Path

from velum.atomic import publish
from velum.errors import BadInput, OutputFailed

FILE = "model_hash.json"


def derived(*names: str) -> str:
    """Return a hash that looks like a random one (RFC 9562, version 4) and is always the same for the same names."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def hashes(names: Iterable[str], folder: Path | None) -> dict[str, str]:
    """Return the hash of each model: the one that a file in `folder` has for it, else one derived from its name.

    With a folder, its file has all of them afterwards, next to those of other models. Raises `BadInput` when the file
    is not such a file, `OutputFailed` when it cannot be written.
    """
    known = {} if folder is None else _read(folder / FILE)
    result = {name: known.get(name) or derived(name) for name in names}
    if folder is not None and not result.items() <= known.items():
        _write(folder / FILE, known | result)
    return result


def _read(file: Path) -> dict[str, str]:
    try:
        values = json.loads(file.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"hashes of models cannot be read from {file}: {error}; repair or remove it") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise BadInput(f"{file} does not hold an object of names and hashes; repair or remove it")
    return values


def _write(file: Path, values: dict[str, str]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with publish(file, overwrite=True) as part:
            part.write_text(json.dumps(values, indent=2), encoding="utf-8")
    except OSError as error:
        if isinstance(error, OutputFailed):
            raise
        raise OutputFailed(f"hashes of models cannot be written to {file}: {error.strerror or error}") from error
