"""Merkle trees, by the vectors of Certificate Transparency."""

import hashlib

import pytest

from velum.evidence.batch_statement import hash_record, merkle_root

LEAVES = [
    hashlib.sha256(b"\0" + bytes.fromhex(data)).digest()
    for data in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]


@pytest.mark.parametrize(
    ("count", "root"),
    [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ],
)
def test_roots_are_those_of_certificate_transparency(count: int, root: str) -> None:
    assert merkle_root(LEAVES[:count]).hex() == root


def test_the_order_of_fields_does_not_change_the_hash() -> None:
    assert hash_record({"key": "a", "size": 1}) == hash_record({"size": 1, "key": "a"})
    assert hash_record({"key": "a", "size": 1}) != hash_record({"key": "a", "size": 2})
