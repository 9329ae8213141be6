"""SHA-256 of files, by which reports and evidence name them."""

import hashlib
from pathlib import Path

from velum.errors import BadInput


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises `BadInput` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
