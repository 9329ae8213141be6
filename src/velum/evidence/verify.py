"""Verifies evidence: its signature, and that files are the ones that it describes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from velum import media
from velum.errors import BadInput
from velum.evidence.jcs import canonical
from velum.evidence.signing import ALGORITHM, PublicKey, from_base64
from velum.evidence.statement import FORMAT, read_json
from velum.file_hash import sha256_of

_EARLIER = {"file": str, "output_sha256": str}
_FILE = {
    **_EARLIER, "format": str, "width": int, "height": int, "frames": int, "encoding": str, "velum": str,
    "hidden": [{"label": str, "size": str, "count": int}], "warnings": [str],
}  # fmt: skip
_DOCUMENT = {
    "kind": str, "made": str, "standing": str, "because": [str], "declared": dict, "reviewers": [str],
    "plan": {"digest": str, "whole": dict, "rules": [str]}, "models": [dict],
    "thresholds": [{"label": str, "min_score": float, "model": [str]}], "software": dict, "failed": int,
    "files": [_EARLIER],
}  # fmt: skip
"""Shape of evidence: a type, a list of one shape, or an object with at least these keys."""


Verdict = tuple[bool, str]
"""The result of one test: whether it holds, and a message."""


def load(path: Path) -> dict[str, Any]:
    """Return the evidence in a file. Raises `BadInput` when it cannot be read or has another format."""
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadInput(f"{path} is not evidence: its format must be {FORMAT!r}")
    fault = _find_fault(value, _DOCUMENT, "it") or next(
        (
            fault
            for entry in value["files"]
            if not entry.get("earlier") and (fault := _find_fault(entry, _FILE, entry["file"]))
        ),
        None,
    )
    if fault:
        raise BadInput(f"{path} is not evidence: {fault}")
    return value


def verify(document: Mapping[str, Any], files: Sequence[Path] = (), key: PublicKey | None = None) -> list[Verdict]:
    """Return the result for the signature, and for each given file or folder.

    `key` must have signed the evidence. Without it, the key inside the evidence is used, which proves that nothing was
    changed since, but not who signed. Raises `BadInput` for files that cannot be read.
    """
    verdicts = [check_signature(document, key)]
    for path in files:
        verdicts += _check_folder(document, path) if path.is_dir() else [_check_file(document, path)]
    return verdicts


def check_signature(document: Mapping[str, Any], key: PublicKey | None) -> Verdict:
    """Return whether a document has a valid signature, by `key` where it is given."""
    signature = document.get("signature")
    if not isinstance(signature, Mapping):
        return (False, "the evidence is not signed: anybody may have written it")
    named = {name: value for name, value in signature.items() if name != "signature"}
    raw, value = from_base64(signature.get("public_key"), 32), from_base64(signature.get("signature"), 64)
    if signature.get("algorithm") != ALGORITHM or raw is None or value is None:
        return (False, f"the signature is not one of {ALGORITHM} with a key of 32 bytes in base64")
    own = PublicKey(raw)
    if signature.get("key_id") != own.id:
        return (False, f"the signature calls its key {signature.get('key_id')!r}; it is {own.id}")
    if key is not None and key != own:
        return (False, f"the evidence is signed by key {own.id}, not by {key.id}, the one given")
    if not own.verifies(value, canonical({**document, "signature": named})):
        return (False, f"the evidence was changed after key {own.id} signed it")
    by = "the key given" if key else "not a key that you trust: give the public key of the signer"
    return (True, f"signed by key {own.id} ({by}), and unchanged since")


def _check_file(document: Mapping[str, Any], path: Path) -> Verdict:
    digest = sha256_of(path)
    if any(entry["output_sha256"] == digest for entry in document["files"]):
        return (True, f"{path} is a file of the evidence, unchanged")
    return (False, f"{path} was changed, or is not in the evidence: its SHA-256 is {digest}")


def _check_folder(document: Mapping[str, Any], folder: Path) -> Iterator[Verdict]:
    hashes = {entry["file"]: entry["output_sha256"] for entry in document["files"]}
    present = {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower() in media.SUFFIXES
    }
    for name in sorted(hashes.keys() | present.keys()):
        if name not in present:
            yield (False, f"{folder / name} is missing")
        elif name not in hashes:
            yield (False, f"{present[name]} is not in the evidence")
        elif sha256_of(present[name]) != hashes[name]:
            yield (False, f"{present[name]} was changed")
        else:
            yield (True, f"{present[name]} is as the evidence says")


def _find_fault(value: Any, shape: Any, name: str) -> str | None:
    """Return how a value differs from a shape, None when it does not."""
    if isinstance(shape, type):
        kinds = (int, float) if shape is float else shape
        return None if isinstance(value, kinds) else f"{name} must be of type {shape.__name__}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{name} must be a list"
        return next((fault for entry in value if (fault := _find_fault(entry, shape[0], name))), None)
    if not isinstance(value, dict):
        return f"{name} must be an object"
    inner = ((value.get(key), entry, f"{name}.{key}") for key, entry in shape.items())
    return next((fault for entry in inner if (fault := _find_fault(*entry))), None)
