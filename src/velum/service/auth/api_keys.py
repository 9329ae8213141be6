"""API keys, kept as hashes in one file that the service reads and `velum keys` writes.

A key has 256 random bits, which cannot be guessed however fast the hash is. Plain SHA-256 is therefore as safe as a
slow password hash, and costs a request next to nothing.
"""

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from velum.atomic import publish
from velum.errors import BadPlan, OutputFailed, Unavailable
from velum.service.auth.principal import SCOPES, Principal, Quota, Scope, Unauthenticated

PREFIX = "velum_"
"""Prefix of every key, so that secret scanners find keys that were published by mistake."""

NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)

_FORM = re.compile(PREFIX + r"([0-9a-f]{12})_([\w-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The stored record of a key, without its secret. Times are epoch seconds; None stands for never."""

    id: str
    name: str
    scopes: frozenset[Scope]
    sha256: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    requests_per_minute: int | None = None
    """The key's own limit; None: the limit of the settings. The same for `bytes_per_day`."""
    bytes_per_day: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "id": self.id, "name": self.name, "scopes": sorted(self.scopes), "sha256": self.sha256,
            "created": self.created, "expires": self.expires, "revoked": self.revoked,
            "requests_per_minute": self.requests_per_minute, "bytes_per_day": self.bytes_per_day,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the record that `to_json` wrote. Raises `KeyError`, `TypeError` or `ValueError` for other values."""
        scopes = frozenset(scope for scope in SCOPES if scope in values["scopes"])
        if len(scopes) != len(values["scopes"]) or not re.fullmatch("[0-9a-f]{64}", values["sha256"]):
            raise ValueError(f"key {values['id']!r} has an unknown scope or a malformed hash")
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
    """The keys of a file, which is read again when it has changed. Safe to share between threads."""

    def __init__(self, file: Path, usual: Quota | None = None) -> None:
        """Take the key file, and the quota of keys without limits of their own (`usual`); without one, no limits."""
        self.file, self._usual = file, usual or Quota()
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._known: Mapping[str, ApiKey] = {}

    def all(self) -> tuple[ApiKey, ...]:
        """Return all keys, oldest first. Raises `Unavailable` for a file that cannot be read."""
        return tuple(self._current().values())

    def caller(self, secret: str) -> Principal:
        """Return the owner of a key. Raises `Unauthenticated`, and `Unavailable` for a file that cannot be read."""
        match = _FORM.fullmatch(secret)
        key = self._current().get(match[1]) if match else None
        sha256 = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        # Compared even without such a key, so that the response time does not reveal ids.
        same = hmac.compare_digest(sha256, key.sha256 if key else "0" * 64)
        if key is None or not same:
            raise Unauthenticated("the API key is unknown; check that it is complete, or ask the operator for a key")
        if (state := key.state(time.time())) != "valid":
            raise Unauthenticated(f"the API key {key.id} is {state}; ask the operator for a new one")
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
        """Create a key and return its record with the secret, which is stored nowhere.

        Raises `BadPlan` for a malformed name, unknown scopes, or the name of a key that is valid now, and
        `OutputFailed` when the file cannot be written.
        """
        if not NAME.fullmatch(name):
            raise BadPlan(f"name {name[:80]!r} is not allowed; write 1 to 64 letters, digits or the characters . _ @ -")
        if not (scope_set := frozenset(scopes)) or not scope_set <= set(SCOPES):
            raise BadPlan(f"scopes are {sorted(scope_set)}; give one or more of {', '.join(SCOPES)}")
        id_, now = secrets.token_hex(6), time.time()
        secret = f"{PREFIX}{id_}_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(secret.encode()).hexdigest()
        key = ApiKey(id_, name, scope_set, digest, now, expires, None, requests_per_minute, bytes_per_day)
        with self._writing():
            keys = self._current()
            if any(other.name == name and other.state(now) == "valid" for other in keys.values()):
                raise BadPlan(f"a key with the name {name!r} exists; revoke it first, or use another name")
            self._write([*keys.values(), key])
        return key, secret

    def revoke(self, id_or_name: str) -> ApiKey:
        """Revoke the key with that id, or the valid key with that name. Raises `BadPlan` for an unknown key."""
        with self._writing():
            keys, now = self._current(), time.time()
            for key in keys.values():
                if key.id == id_or_name or (key.name == id_or_name and key.state(now) == "valid"):
                    revoked = key if key.revoked is not None else replace(key, revoked=now)
                    self._write([revoked if other is key else other for other in keys.values()])
                    return revoked
        raise BadPlan(f"there is no key {id_or_name[:80]!r}; 'velum keys list' shows all keys")

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
                    f"the key file {self.file} cannot be read: {error.strerror or error}; let the service read it"
                ) from error
            return self._known

    def _writing(self) -> FileLock:
        """Return the lock that other writers wait for."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(
                f"cannot create {self.file.parent}: {error.strerror or error}; make its parent folder writable"
            ) from error
        return FileLock(f"{self.file}.lock", mode=0o600)

    def _write(self, keys: list[ApiKey]) -> None:
        text = json.dumps({"keys": [key.to_json() for key in keys]}, indent=1)
        with publish(self.file, overwrite=True, mode=0o600) as part:  # for its owner alone
            part.write_text(text + "\n", encoding="utf-8")


def _read(file: Path) -> Mapping[str, ApiKey]:
    try:
        keys = [ApiKey.from_json(values) for values in json.loads(file.read_bytes())["keys"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Unavailable(
            f"the key file {file} is damaged ({type(error).__name__}: {error}); restore it from a backup"
        ) from error
    return {key.id: key for key in keys}
