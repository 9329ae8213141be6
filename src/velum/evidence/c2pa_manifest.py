"""Content Credentials (C2PA) in a finished file: what was hidden, for readers without velum.

This is the only module that imports c2pa.

The manifest contains nothing of the source: no thumbnail and no earlier manifest; its ingredient is the finished file
itself. It has counts by label and no positions.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from velum import __version__
from velum.atomic import keep_original, publish
from velum.errors import BadInput, BadPlan, Unavailable
from velum.file_hash import sha256_of
from velum.media.formats import VIDEO_HEAD_BYTES, format_of, video_format_of
from velum.report import Report

try:
    from c2pa import Builder, C2paBuilderIntent, C2paError, C2paSignerInfo, C2paSigningAlg, Context, Reader, Signer
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
except ImportError as error:
    raise Unavailable(
        f"Content Credentials need c2pa-python: {error}; install it with: pip install 'velum-anonymizer[provenance]'"
    ) from error

KINDS: Mapping[str, str] = {
    "AVIF": "image/avif", "GIF": "image/gif", "HEIF": "image/heif", "JPEG": "image/jpeg", "PNG": "image/png",
    "TIFF": "image/tiff", "WEBP": "image/webp", "MOV": "video/quicktime", "MP4": "video/mp4",
}  # fmt: skip
"""Media type of the formats that can hold a manifest, as the library names them."""

_SETTINGS: Mapping[str, Any] = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
"""No thumbnails, no network requests."""


@dataclass(frozen=True, slots=True)
class SigningCredentials:
    """A certificate chain in PEM, the key's certificate first, and the private key (PKCS8 in PEM, not encrypted)."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: Any

    @classmethod
    def read(cls, chain: Path, key: Path, passphrase: Path | None = None) -> Self:
        """Read the files; `passphrase` is a file with the passphrase of the key in its first line.

        Raises `BadPlan` for files that cannot sign. Only signing shows whether the certificates belong to the key.
        """
        secret = None if passphrase is None else (_read_bytes(passphrase).splitlines() or [b""])[0]
        try:
            loaded = serialization.load_pem_private_key(_read_bytes(key), secret or None)
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            raise BadPlan(
                f"{key} is not a private key in PEM, or its passphrase is wrong or missing: {error}"
            ) from error
        plain = loaded.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(_read_bytes(chain), plain, _algorithm(loaded, key))


def embed(
    source: Path, target: Path, report: Report, credentials: SigningCredentials, *, overwrite: bool = False
) -> Report:
    """Write `source`, which `report` describes, to `target` with a signed manifest; return the report of `target`.

    The target appears whole or not at all. Raises `BadInput` when the report describes another file, or the file is
    signed already, `BadPlan` for formats that hold no manifest, and for a key or certificates that cannot sign.
    """
    kind = _format(source)
    if kind not in KINDS:
        raise BadPlan(
            f"{kind} files cannot hold Content Credentials; formats that can are {', '.join(KINDS)}. "
            "Sign a report beside the file instead: velum evidence create"
        )
    if sha256_of(source) != report.output_sha256:
        raise BadInput(f"{source} is not the file that the report describes; give the finished file, unchanged")
    if _has_manifest(source, KINDS[kind]):
        # The old manifest would be copied, with any image in it.
        raise BadInput(f"{source} holds Content Credentials already; give the finished file without them")
    keep_original(target, source)
    info = C2paSignerInfo(
        alg=credentials.algorithm, sign_cert=credentials.chain, private_key=credentials.key, ta_url=None
    )
    with publish(target, overwrite=overwrite) as part:
        try:
            with (
                Context.from_dict(dict(_SETTINGS)) as context, Signer.from_info(info) as signer,
                Builder(_manifest(report, target.name), context) as builder,
                source.open("rb") as before, part.open("w+b") as after,
            ):  # fmt: skip
                builder.set_intent(C2paBuilderIntent.EDIT)
                builder.sign(signer, KINDS[kind], before, after)
        except C2paError as error:
            raise BadPlan(f"{source.name} cannot be signed: {error}; check the certificates and the key") from error
    return replace(report, target=str(target), output_sha256=sha256_of(target))


def _has_manifest(path: Path, kind: str) -> bool:
    try:
        with path.open("rb") as file, Context.from_dict(dict(_SETTINGS)) as context:
            return Reader.try_create(kind, file, context=context) is not None
    except C2paError:
        return True  # a manifest that cannot be read


def _format(path: Path) -> str:
    """Return the format of a finished file; it may differ from that of its source."""
    head = _read_bytes(path, VIDEO_HEAD_BYTES)
    return video_format_of(head) or format_of(head, str(path))


def _manifest(report: Report, name: str) -> dict[str, Any]:
    software = {"name": "velum", "version": report.version or __version__}
    hidden_items = [(item.label, item.technique) for item in report.hidden]
    hidden_items += [(item.label, item.technique) for item in report.tracks]
    hidden = [
        {"label": label, "technique": technique, "count": count}
        for (label, technique), count in sorted(Counter(hidden_items).items())
    ]
    edited = {
        "action": "c2pa.edited", "description": _description(hidden_items), "softwareAgent": software,
        "parameters": {"org.velum.hidden": hidden, "org.velum.plan": report.plan},
    }  # fmt: skip
    return {
        "claim_generator_info": [software], "title": name,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [edited]}}],
    }  # fmt: skip


def _description(hidden_items: list[tuple[str, str]]) -> str:
    counts = Counter(label for label, _ in hidden_items)
    listed = ", ".join(f"{count} of label {label}" for label, count in sorted(counts.items()))
    return f"Hidden to protect people: {listed}." if listed else "Nothing was found to hide."


def _algorithm(key: Any, path: Path) -> Any:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithms = {256: C2paSigningAlg.ES256, 384: C2paSigningAlg.ES384, 521: C2paSigningAlg.ES512}
        if (algorithm := algorithms.get(key.key_size)) is not None:
            return algorithm
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return C2paSigningAlg.PS256
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return C2paSigningAlg.ED25519
    raise BadPlan(f"{path} is not a key for C2PA; use one of EC (P-256, P-384, P-521), RSA from 2048 bits, or Ed25519")


def _read_bytes(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise BadPlan(f"cannot read {path}: {error.strerror or error}") from error
