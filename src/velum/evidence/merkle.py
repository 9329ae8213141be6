"""Merkle trees over records: one hash stands for thousands of them, in their order."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from velum.evidence.jcs import canonical


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
