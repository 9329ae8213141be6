"""Evidence of a batch: a Merkle root for each shard of outcomes, in one document that is signed.

One hash stands for thousands of records, in their order.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evidence.jcs import canonical
from velum.evidence.signing import PublicKey
from velum.evidence.statement import read_json, software
from velum.evidence.verify import Verdict, check_signature

BATCH_FORMAT = "velum-batch-evidence/1"

Shards = Iterable[tuple[str, Iterable[Mapping[str, Any]]]]
"""Name of each finished shard, and its records, which hold no fractions."""


def hash_record(record: Mapping[str, Any]) -> bytes:
    """Return the hash of a leaf: SHA-256 of a zero byte and the canonical JSON (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\0" + canonical(record)).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the hash of a tree of leaf hashes; that of no bytes for none (RFC 6962, 2.1)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two below their number
    return hashlib.sha256(b"\1" + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()


def compose_batch(run: Mapping[str, Any], shards: Shards) -> dict[str, Any]:
    """Return unsigned evidence of a batch: the `run`'s configuration, and the root of each shard's records."""
    return {
        "format": BATCH_FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": dict(run),
        "software": software(),
        "shards": list(_roots(shards)),
    }


def load_batch(path: Path) -> dict[str, Any]:
    """Return the evidence in a file. Raises `BadInput` when it cannot be read or has another format."""
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != BATCH_FORMAT or not isinstance(value.get("shards"), list):
        raise BadInput(f"{path} is not evidence of a batch: its format must be {BATCH_FORMAT!r}")
    return value


def verify_batch(document: Mapping[str, Any], shards: Shards, key: PublicKey | None = None) -> list[Verdict]:
    """Return the result for the signature, and for the outcomes as they are in the store now."""
    signed = [entry for entry in document["shards"] if isinstance(entry, Mapping)]
    roots = {str(entry.get("shard")): entry for entry in signed}
    entry_by_shard = {str(entry["shard"]): entry for entry in _roots(shards)}
    wrong = sorted(name for name, entry in roots.items() if entry_by_shard.get(name) != entry)
    new = len(entry_by_shard.keys() - roots.keys())
    verdicts = [check_signature(document, key)]
    if wrong:
        names = ", ".join(wrong[:5])
        verdicts.append((False, f"the outcomes of {len(wrong)} shards are missing or were changed: {names}"))
    else:
        verdicts.append((True, f"the outcomes of all {len(roots)} shards are those of the evidence"))
    if new:
        verdicts.append((False, f"{new} shards are not in the evidence; they were finished later, or added"))
    return verdicts


def _roots(shards: Shards) -> Iterable[dict[str, Any]]:
    for name, records in shards:
        leaves = [hash_record(record) for record in records]
        yield {"shard": name, "files": len(leaves), "root": merkle_root(leaves).hex()}
