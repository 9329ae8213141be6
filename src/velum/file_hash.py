"""SHA-256 of files, by which reports, evidence and stores name them."""

import hashlib
from pathlib import Path
from typing import IO

from velum.errors import BadInput


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises `BadInput` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return sha256_of_stream(file)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error


def sha256_of_stream(file: IO[bytes]) -> str:
    """Return the SHA-256 of an open file from its position on, in hexadecimal. Raises `OSError` on failure."""
    return hash_stream(file, "sha256")


def hash_stream(file: IO[bytes], algorithm: str) -> str:
    """Return a hash of an open file from its position on, in hexadecimal. Raises `OSError` on failure."""
    return hashlib.file_digest(file, algorithm).hexdigest()  # type: ignore[arg-type]  # binary files have `readinto`
