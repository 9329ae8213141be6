"""Files under keys: whole or not at all."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from velum.errors import BadInput, LimitExceeded, OutputFailed
from velum.jobs import FolderStore

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_put_and_open(store: FolderStore, tmp_path: Path) -> None:
    stored = store.put([CONTENT[:10], b"", CONTENT[10:]], sha256=SHA256.upper(), most=len(CONTENT))
    assert (stored.size, stored.sha256) == (len(CONTENT), SHA256)
    assert store.size(stored.key) == len(CONTENT)
    assert store.fetch(stored.key, tmp_path).read_bytes() == CONTENT
    (kept,) = store.list()
    assert (kept.key, kept.size) == (stored.key, stored.size)
    assert 0 <= kept.age_seconds < 60
    store.delete(stored.key)
    store.delete(stored.key)
    assert store.size(stored.key) is None
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (5, 5), (7, 3), (1 << 20, (1 << 20) + 9), (4_000_000, None), (0, 10**9), (10**9, None)],
)
def test_ranges(store: FolderStore, start: int, stop: int | None) -> None:
    key = store.put([CONTENT]).key
    assert b"".join(store.open(key, start, stop)) == CONTENT[start:stop]


def broken() -> Iterator[bytes]:
    yield CONTENT
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("chunks", "more", "error"),
    [
        ([CONTENT], {"sha256": "0" * 64}, BadInput),
        ([CONTENT, b"x"], {"most": len(CONTENT)}, LimitExceeded),
        (broken(), {}, ZeroDivisionError),  # whoever sends it breaks off
    ],
)
def test_nothing_half_is_kept(
    store: FolderStore, tmp_path: Path, chunks: list[bytes], more: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.put(chunks, **more)  # type: ignore[arg-type]
    assert files(tmp_path) == []


def test_take_moves(store: FolderStore, tmp_path: Path) -> None:
    file = tmp_path / "made"
    file.write_bytes(CONTENT)
    os.utime(file, (0, 0))
    stored = store.take(file, sha256=SHA256)
    assert not file.exists()
    assert next(store.list()).age_seconds < 60  # counts from now
    assert b"".join(store.open(stored.key)) == CONTENT
    with pytest.raises(OutputFailed):
        store.take(file)


@pytest.mark.parametrize("key", ["", "..", "../x", "/etc/passwd", "0" * 31, "0" * 33, "F" * 32, "\0" * 32])
def test_keys_lead_nowhere_else(store: FolderStore, tmp_path: Path, key: str) -> None:
    assert store.size(key) is None
    for use in (lambda: store.open(key), lambda: store.fetch(key, tmp_path), lambda: store.delete(key)):
        with pytest.raises(BadInput, match="not in the store"):
            use()


def test_leftovers_are_swept(store: FolderStore, tmp_path: Path) -> None:
    old, young = (tmp_path / "store" / "parts" / name for name in ("old", "young"))
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 100,) * 2)
    assert store.sweep(50) == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_a_store_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="cannot write to the store"):
        FolderStore(tmp_path / "file")
