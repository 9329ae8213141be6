"""API keys, kept as hashes in one file that the service reads and `velum keys` writes.

A key is 256 random bits. Nobody guesses those, however fast the hash, so plain SHA-256 keeps them as safe as a slow
hash would (which is for passwords, of which there are few), and costs a request nothing.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from velum.errors import BadPlan, OutputFailed, Unavailable
from velum.service.auth.principal import SCOPES, Principal, Quota, Scope, Unauthenticated

PREFIX = "velum_"
"""What every key begins with, so that scanners for secrets find keys that were published by mistake."""

NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)

_FORM = re.compile(PREFIX + r"([0-9a-f]{12})_([\w-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: not the key. Times are epoch seconds; `expires` None is never, `revoked` None is not."""

    id: str
    name: str
    scopes: frozenset[Scope]
    sha256: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    requests_per_minute: int | None = None
    """Of the key's own; None: what the settings say."""
    bytes_per_day: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id, "name": self.name, "scopes": sorted(self.scopes), "sha256": self.sha256,
            "created": self.created, "expires": self.expires, "revoked": self.revoked,
            "requests_per_minute": self.requests_per_minute, "bytes_per_day": self.bytes_per_day,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the key that `to_json` described. Raises `KeyError`, `TypeError` or `ValueError` for another thing."""
        scopes = frozenset(one for one in SCOPES if one in values["scopes"])
        if len(scopes) != len(values["scopes"]) or not re.fullmatch("[0-9a-f]{64}", values["sha256"]):
            raise ValueError(f"key {values['id']!r} has a scope or hash that is none")
        expires, revoked = (None if values[name] is None else float(values[name]) for name in ("expires", "revoked"))
        requests, volume = (
            None if values[name] is None else int(values[name]) for name in ("requests_per_minute", "bytes_per_day")
        )
        return cls(
            str(values["id"]), str(values["name"]), scopes, values["sha256"], float(values["created"]),
            expires, revoked, requests, volume,
        )  # fmt: skip

    def state(self, now: float) -> str:
        """Return `valid`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class ApiKeys:
    """The keys of a file, which is read again when it has changed. Called from several threads at once."""

    def __init__(self, file: Path, usual: Quota | None = None) -> None:
        """Prepare; `usual` is for keys without an allowance of their own."""
        self.file, self._usual = file, usual or Quota()
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._known: Mapping[str, ApiKey] = {}

    def all(self) -> tuple[ApiKey, ...]:
        """Return all keys, oldest first. Raises `Unavailable` for a file that cannot be read."""
        return tuple(self._current().values())

    def caller(self, secret: str) -> Principal:
        """Return whose key this is. Raises `Unauthenticated`, and `Unavailable` for a file that cannot be read."""
        found = _FORM.fullmatch(secret)
        key = self._current().get(found[1]) if found else None
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        # Compared also where there is no such key, so that the time taken does not tell ids.
        same = hmac.compare_digest(given, key.sha256 if key else "0" * 64)
        if key is None or not same:
            raise Unauthenticated("the key is not known; check that it is complete, or ask the operator for one")
        if (state := key.state(time.time())) != "valid":
            raise Unauthenticated(f"the key {key.id} is {state}; ask the operator for another")
        requests, volume = key.requests_per_minute, key.bytes_per_day
        allowance = Quota(
            self._usual.requests_per_minute if requests is None else requests,
            self._usual.bytes_per_day if volume is None else volume,
        )
        return Principal(key.name, key.scopes, allowance)

    def add(
        self, name: str, scopes: Iterable[Scope], *, expires: float | None = None,
        requests_per_minute: int | None = None, bytes_per_day: int | None = None,
    ) -> tuple[ApiKey, str]:  # fmt: skip
        """Make a key, and return it with its secret, which is kept nowhere.

        Raises `BadPlan` for a name or scopes that cannot be, or a name that a valid key has; `OutputFailed`.
        """
        if not NAME.fullmatch(name):
            raise BadPlan(f"name {name[:80]!r} is not allowed; it has 1 to 64 letters, digits or the signs . _ @ -")
        if not (wanted := frozenset(scopes)) or not wanted <= set(SCOPES):
            raise BadPlan(f"scopes are {sorted(wanted)}; there must be one or more of {', '.join(SCOPES)}")
        id_, now = secrets.token_hex(6), time.time()
        secret = f"{PREFIX}{id_}_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(secret.encode()).hexdigest()
        key = ApiKey(id_, name, wanted, digest, now, expires, None, requests_per_minute, bytes_per_day)
        with self._writing():
            known = self._current()
            if any(one.name == name and one.state(now) == "valid" for one in known.values()):
                raise BadPlan(f"there is a key of the name {name!r}; revoke it first, or use another name")
            self._write([*known.values(), key])
        return key, secret

    def revoke(self, which: str) -> ApiKey:
        """Take back the key of that id, or the valid one of that name. Raises `BadPlan` when there is none."""
        with self._writing():
            known, now = self._current(), time.time()
            for key in known.values():
                if key.id == which or (key.name == which and key.state(now) == "valid"):
                    revoked = key if key.revoked is not None else replace(key, revoked=now)
                    self._write([revoked if one is key else one for one in known.values()])
                    return revoked
        raise BadPlan(f"there is no key {which[:80]!r}; 'velum keys list' shows which there are")

    def _current(self) -> Mapping[str, ApiKey]:
        with self._lock:
            try:
                stat = self.file.stat()
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if stamp != self._stamp:
                    self._known, self._stamp = _read(self.file), stamp
            except FileNotFoundError:
                self._known, self._stamp = {}, None
            except OSError as error:
                raise Unavailable(
                    f"the file of keys {self.file} cannot be read: {error.strerror or error}; let the service read it"
                ) from error
            return self._known

    def _writing(self) -> FileLock:
        """Return what keeps others from writing meanwhile."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(f"cannot make {self.file.parent}: {error.strerror or error}") from error
        return FileLock(f"{self.file}.lock", mode=0o600)

    def _write(self, keys: list[ApiKey]) -> None:
        text = json.dumps({"keys": [key.to_json() for key in keys]}, indent=1)
        try:
            number, name = tempfile.mkstemp(dir=self.file.parent, prefix=".keys-")  # for its owner alone
            try:
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    file.write(text + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.file)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputFailed(
                f"cannot write {self.file}: {error.strerror or error}; make its folder writable"
            ) from error


def _read(file: Path) -> Mapping[str, ApiKey]:
    try:
        keys = [ApiKey.from_json(one) for one in json.loads(file.read_bytes())["keys"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Unavailable(
            f"the file of keys {file} is damaged ({type(error).__name__}: {error}); restore it from a copy"
        ) from error
    return {key.id: key for key in keys}
