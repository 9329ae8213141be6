"""Ed25519 keys in PEM files, signing and verification. This is the only module that imports `cryptography`."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from velum.atomic import ensure_free, publish
from velum.errors import BadPlan, Unavailable

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise Unavailable(
        f"signing evidence needs cryptography: {error}; install it with: pip install 'velum-anonymizer[evidence]'"
    ) from error

ALGORITHM = "Ed25519"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: 32 bytes (RFC 8032)."""

    raw: bytes

    @property
    def id(self) -> str:
        """The key's short name: the first 16 hexadecimal digits of its bytes' SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """The key's bytes in base64."""
        return base64.b64encode(self.raw).decode()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the key from a PEM file (SubjectPublicKeyInfo). Raises `BadPlan` when there is none."""
        try:
            key = serialization.load_pem_public_key(_read_bytes(path))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadPlan(
                f"{path} is not a public key in PEM: {error}; give the .pub file of evidence keygen"
            ) from error
        if not isinstance(key, Ed25519PublicKey):
            raise BadPlan(f"{path} is not an {ALGORITHM} key; make one with velum evidence keygen")
        return cls(key.public_bytes_raw())

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether `signature` is a signature of `message` by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):  # ValueError: the bytes are not a point of the curve
            return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """A private key. It is never printed."""

    public: PublicKey
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def read(cls, path: Path, passphrase: Path | None = None) -> Self:
        """Read the key from a PEM file (PKCS8). `passphrase` is a file with the passphrase in its first line.

        Raises `BadPlan` when the file holds none, or the passphrase is wrong or missing.
        """
        try:
            key = serialization.load_pem_private_key(_read_bytes(path), _read_passphrase(passphrase))
        except TypeError as error:  # a passphrase that the key does not need, or a missing one
            need = "is not encrypted; leave out" if passphrase else "is encrypted; give"
            raise BadPlan(f"{path} {need} the file with a passphrase") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadPlan(f"{path} is not a private key in PEM, or the passphrase is wrong: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise BadPlan(f"{path} is not an {ALGORITHM} key; make one with velum evidence keygen")
        return cls(PublicKey(key.public_key().public_bytes_raw()), key)

    def sign(self, message: bytes) -> bytes:
        """Return the signature (64 bytes) of a message."""
        return self._key.sign(message)


def keygen(path: Path, passphrase: Path | None = None) -> PublicKey:
    """Write a new private key to `path` (mode 0600) and its public key to `path`.pub; return the public key.

    Neither file may exist. Raises `OutputFailed` when they cannot be written.
    """
    public_path = path.with_name(path.name + ".pub")
    ensure_free(public_path, overwrite=False)
    key = Ed25519PrivateKey.generate()
    secret = _read_passphrase(passphrase)
    lock = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(path, pem, mode=0o600)
    _write(public_path, public, mode=0o644)
    return PublicKey(key.public_key().public_bytes_raw())


def from_base64(text: Any, length: int) -> bytes | None:
    """Decode base64 text; None when it is anything but the canonical text of `length` bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        return None
    # Base64 has several texts for the same bytes; only one of them is the document that was signed.
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadPlan(f"cannot read {path}: {error.strerror or error}") from error


def _read_passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    secret = _read_bytes(path).partition(b"\n")[0].removesuffix(b"\r")
    if not secret:
        raise BadPlan(f"{path} has no passphrase in its first line; write one there, or leave the option out")
    return secret


def _write(path: Path, data: bytes, *, mode: int) -> None:
    with publish(path, mode=mode) as part:
        part.write_bytes(data)
