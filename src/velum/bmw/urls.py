"""The list of inference APIs in a file that clients change: read whole, replaced atomically."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from velum.atomic import publish
from velum.bmw import wire
from velum.bmw.schema import RequestRefused, read_json
from velum.errors import LimitExceeded, OutputFailed

LOCK_SECONDS = 10
"""How long to wait for another process that is changing the list."""

MOST = 256
"""Most addresses in the list: each is queried for its models."""


class Urls:
    """The list in `folder`. Safe to share between threads and processes.

    A missing file is an empty list, and with `strict` an error. Methods raise `RequestRefused` for a file that cannot
    be read, `OutputFailed` for one that cannot be written.
    """

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        self._file = folder / wire.FILE
        self._strict = strict

    def content(self) -> Any:
        """Return the JSON value of the file."""
        try:
            return read_json(self._file.read_bytes())
        except FileNotFoundError as error:
            if self._strict:
                raise RequestRefused(wire.NO_FILE) from error
            return {wire.ADDRESSES: []}
        except (RequestRefused, OSError, RecursionError) as error:
            raise RequestRefused(wire.CORRUPT) from error

    def all(self) -> tuple[str, ...]:
        """Return the addresses, in the order of the file, each once."""
        return tuple(dict.fromkeys(_addresses(self.content())))

    def add(self, url: str) -> bool:
        """Append an address; return False when the list has it already. Raises `LimitExceeded`."""
        with self._changing():
            content = self.content()
            urls = _addresses(content)
            if url in urls:
                return False
            if len(urls) >= MOST:
                raise LimitExceeded("addresses", len(urls) + 1, MOST, "the list of inference APIs")
            self._write({**content, wire.ADDRESSES: [*urls, url]})
            return True

    def remove(self, url: str) -> None:
        """Remove an address. Raises `RequestRefused` when the list does not have it."""
        with self._changing():
            content = self.content()
            urls = _addresses(content)
            if url not in urls:
                raise RequestRefused(wire.UNKNOWN_ADDRESS)
            self._write({**content, wire.ADDRESSES: [address for address in urls if address != url]})

    def clear(self) -> None:
        """Remove all addresses, even when the file cannot be read."""
        with self._changing():
            self._write({wire.ADDRESSES: []})

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._file.with_name(f".{self._file.name}.lock"), timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise OutputFailed(
                f"another process has been changing {self._file} for {LOCK_SECONDS} s; try again later"
            ) from error
        except OSError as error:
            if isinstance(error, OutputFailed):
                raise
            raise OutputFailed(
                f"cannot write {self._file}: {error.strerror or error}; make its folder writable"
            ) from error

    def _write(self, content: Mapping[str, Any]) -> None:
        with publish(self._file, overwrite=True) as part:
            part.write_text(json.dumps(content), encoding="utf-8")


def _addresses(content: Any) -> list[str]:
    urls = content.get(wire.ADDRESSES, []) if isinstance(content, dict) else None
    if not isinstance(urls, list) or not all(isinstance(address, str) for address in urls):
        raise RequestRefused(wire.CORRUPT)
    return urls
