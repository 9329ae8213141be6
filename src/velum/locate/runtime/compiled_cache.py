"""A cache of compiled networks on disk, so that the next process need not read and compile them again.

A wrong file could hide no faces at all, so a file is used only when its SHA-256 is right, when it is for exactly this
network and these settings, library and processor, and when no other user could have written it. Any other file counts
as missing, and is replaced. When the folder cannot be used, nothing is cached; that is never an error.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from velum.atomic import publish
from velum.errors import OutputFailed
from velum.plugins import RuntimeConfig

FOLDER = "compiled"

MOST_FILES, MOST_BYTES = 16, 512 << 20
"""Bounds of the folder. The files that were not used for longest are removed."""

_MAGIC = b"velum compiled network 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class CompiledCache:
    """A folder of compiled networks, one file for each key. Several processes may use it at the same time.

    A key is a text that states everything that the compiled network depends on.
    """

    folder: Path

    @classmethod
    def of(cls, host: RuntimeConfig) -> "CompiledCache | None":
        """Return the cache of a host; None where the operator has turned it off."""
        if not host.compiled_cache:
            return None
        return cls((host.cache or user_cache_path("velum", appauthor=False)) / FOLDER)

    def load(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Return facts about the network of a key, as JSON values, and the library's bytes to restore it.

        None when there is none, or none that can be trusted.
        """
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            if not _is_private(self.folder.lstat(), stat.S_ISDIR):
                return None
            with os.fdopen(os.open(self._path(key), flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not _is_private(status, stat.S_ISREG) or status.st_size > MOST_BYTES:
                    return None
                content = file.read()
        except OSError:
            return None
        with suppress(OSError):  # a folder that can only be read
            os.utime(self._path(key))
        return _unpack(key, content)

    def store(self, key: str, facts: Mapping[str, Any], blob: bytes) -> None:
        """Store facts and bytes of a network for the next process, where that is possible."""
        content = _pack(key, facts, blob)
        if len(content) > MOST_BYTES:
            return
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(self.folder.lstat(), stat.S_ISDIR):
                return
            with publish(self._path(key), overwrite=True, mode=0o600) as part:
                part.write_bytes(content)
            self._prune()
        except (OSError, OutputFailed):
            return

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.bin"

    def _prune(self) -> None:
        """Remove the files that were not used for longest, also unfinished ones of killed processes."""
        files = [(path.lstat(), path) for path in self.folder.iterdir()]
        total = 0
        for count, (status, path) in enumerate(sorted(files, key=lambda entry: -entry[0].st_mtime_ns), 1):
            total += status.st_size
            if count > MOST_FILES or total > MOST_BYTES:
                path.unlink(missing_ok=True)


def _is_private(status: os.stat_result, is_kind: Any) -> bool:
    """Tell whether nobody but this user and the administrator can write to a file or folder of that kind."""
    if not is_kind(status.st_mode):
        return False
    if not hasattr(os, "geteuid"):  # Windows, where the user's cache folder is private already
        return True
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _pack(key: str, facts: Mapping[str, Any], blob: bytes) -> bytes:
    head = json.dumps(facts).encode()
    rest = len(head).to_bytes(_LENGTH_BYTES, "big") + head + blob
    return _MAGIC + _digest(key, rest) + rest


def _unpack(key: str, content: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Return the content of a file; None when it is damaged, truncated or that of another key."""
    start = len(_MAGIC) + _DIGEST_BYTES
    rest = memoryview(content)[start:]
    if not content.startswith(_MAGIC) or content[len(_MAGIC) : start] != _digest(key, rest):
        return None
    end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
    return json.loads(bytes(rest[_LENGTH_BYTES:end])), bytes(rest[end:])


def _digest(key: str, rest: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(len(key.encode()).to_bytes(_LENGTH_BYTES, "big") + key.encode())
    digest.update(rest)
    return digest.digest()
