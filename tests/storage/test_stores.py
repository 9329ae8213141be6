"""Files under keys, in a folder or in a bucket: whole or not at all."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, Unavailable
from velum.jobs import FolderStore, Store, open_store
from velum.storage.bucket import PART_BYTES, BucketStore

from .fake_s3 import S3

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

pytestmark = pytest.mark.slow


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture(params=["folder", "memory", "local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every kind of store: they must not differ."""
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return open_store("s3://faces/some/where")
    return BucketStore(MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store", mkdir=True))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of a job."""
    (folder := tmp_path / "job").mkdir()
    return folder


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_reads_back_stored_files(store: Store, tmp_path: Path, place: Path) -> None:
    stored = store.put([CONTENT[:10], b"", CONTENT[10:]], sha256=SHA256.upper(), most=len(CONTENT))
    assert (stored.size, stored.sha256) == (len(CONTENT), SHA256)
    assert store.size(stored.key) == len(CONTENT)
    assert store.fetch(stored.key, place).read_bytes() == CONTENT
    (kept,) = store.list()
    assert (kept.key, kept.size) == (stored.key, stored.size)
    assert 0 <= kept.age_seconds < 60
    store.delete(stored.key)
    store.delete(stored.key)
    assert store.size(stored.key) is None
    assert [*store.list(), *files(tmp_path / "store")] == []
    for use in (lambda: store.open(stored.key), lambda: store.fetch(stored.key, tmp_path)):
        with pytest.raises(Unavailable, match="missing from the store"):
            use()


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_stores_files_around_the_size_of_a_part(store: Store, place: Path, size: int) -> None:
    stored = store.put([b"x" * (size // 2), b"y" * (size - size // 2)])
    assert store.size(stored.key) == stored.size == size
    assert hashlib.sha256(store.fetch(stored.key, place).read_bytes()).hexdigest() == stored.sha256


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (5, 5), (7, 3), (1 << 20, (1 << 20) + 9), (4_000_000, None), (0, 10**9), (10**9, None)],
)
def test_reads_byte_ranges(store: Store, start: int, stop: int | None) -> None:
    key = store.put([CONTENT]).key
    assert b"".join(store.open(key, start, stop)) == CONTENT[start:stop]


def broken() -> Iterator[bytes]:
    yield CONTENT * 3
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("chunks", "more", "error"),
    [
        ([CONTENT].__iter__, {"sha256": "0" * 64}, BadInput),
        (([CONTENT] * 3).__iter__, {"sha256": "0" * 64}, BadInput),
        ([CONTENT, b"x"].__iter__, {"most": len(CONTENT)}, LimitExceeded),
        (broken, {}, ZeroDivisionError),  # whoever sends it breaks off
    ],
)
def test_keeps_no_incomplete_file(
    store: Store, tmp_path: Path, chunks: Callable[[], Iterator[bytes]], more: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.put(chunks(), **more)
    assert [*store.list(), *files(tmp_path)] == []


def test_move_in_moves_a_file_into_the_store(store: Store, place: Path) -> None:
    file = place / "made"
    file.write_bytes(CONTENT)
    os.utime(file, (0, 0))
    stored = store.move_in(file, sha256=SHA256)
    assert not file.exists()
    assert next(store.list()).age_seconds < 60  # counts from now
    assert b"".join(store.open(stored.key)) == CONTENT
    assert store.fetch(stored.key, place).read_bytes() == CONTENT
    with pytest.raises(OutputFailed):
        store.move_in(file)


@pytest.mark.parametrize("key", ["", "..", "../x", "/etc/passwd", "0" * 31, "0" * 33, "F" * 32, "\0" * 32])
def test_keys_cannot_leave_the_store(store: Store, tmp_path: Path, key: str) -> None:
    assert store.size(key) is None
    for use in (lambda: store.open(key), lambda: store.fetch(key, tmp_path), lambda: store.delete(key)):
        with pytest.raises(BadInput, match="not in the store"):
            use()


def test_deletes_leftovers_of_crashes(folder_store: FolderStore, tmp_path: Path) -> None:
    folder_store.establish("0" * 32)
    old, young = (tmp_path / "store" / "parts" / name for name in ("old", "young"))
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 100,) * 2)
    assert folder_store.sweep(50) == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_reports_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="cannot write to the store"):
        FolderStore(tmp_path / "file").put([CONTENT])


def test_a_broken_upload_leaves_no_parts_in_the_bucket(bucket: S3) -> None:
    store = open_store("s3://faces")
    with pytest.raises(ZeroDivisionError):
        store.put(broken())
    assert "POST uploads" in bucket.asked
    assert (bucket.objects, bucket.begun) == ({}, {})


def test_does_not_download_a_file_that_it_has_just_stored(bucket: S3, place: Path) -> None:
    store = open_store("s3://faces")
    (file := place / "made").write_bytes(CONTENT)
    stored = store.move_in(file)
    bucket.asked.clear()
    assert store.fetch(stored.key, place).read_bytes() == CONTENT
    assert bucket.asked == ["HEAD"]
    store.fetch(stored.key, place.parent)
    assert "GET" in bucket.asked


def test_downloads_only_the_requested_range(bucket: S3) -> None:
    store = open_store("s3://faces")
    key = store.put([CONTENT * 3]).key
    bucket.asked.clear()
    assert b"".join(store.open(key, 10_000_000, 10_000_009)) == (CONTENT * 3)[10_000_000:10_000_009]
    assert bucket.asked == ["HEAD", "GET"]


def test_retries_when_the_bucket_fails_at_times(bucket: S3) -> None:
    store = open_store("s3://faces")
    bucket.wrong = 2
    key = store.put([CONTENT]).key
    bucket.wrong = 2
    assert b"".join(store.open(key)) == CONTENT


def test_reports_a_bucket_service_that_is_down(bucket: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("velum.storage.bucket._RETRIES", {"max_retries": 0})
    store = open_store("s3://faces")
    key = store.put([CONTENT * 2]).key
    chunks = store.open(key)
    assert next(chunks) == (CONTENT * 2)[: 1 << 20]
    bucket.down = True
    with pytest.raises(Unavailable, match="cannot read from s3://faces"):
        list(chunks)
    with pytest.raises(OutputFailed, match="cannot write to s3://faces"):
        store.put([CONTENT])
    for use in (lambda: store.size(key), lambda: store.fetch(key, tmp_path), lambda: list(store.list())):
        with pytest.raises(Unavailable, match="cannot read from s3://faces"):
            use()
    with pytest.raises(OutputFailed, match="cannot delete a file from"):
        store.delete(key)


def test_reports_a_missing_bucket(bucket: S3) -> None:
    with pytest.raises(OutputFailed, match="check that the bucket exists"):
        open_store("s3://nobody").put([CONTENT])


@pytest.mark.parametrize(
    "url",
    [
        "s3://", "ftp://host/path", "http://host/bucket", "memory://", "s3://key:secret@bucket",
        "s3://bucket?region=x", "s3://[",
    ],
)  # fmt: skip
def test_refuses_urls_that_are_not_buckets(url: str) -> None:
    with pytest.raises(BadPlan, match="is not the URL of a bucket") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_names_the_extra_when_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.storage.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'velum-anonymizer\[cloud\]'"):
        open_store("s3://bucket")


def test_lists_one_slice_of_a_store(store: Store) -> None:
    keys = [store.put([b"x"]).key for _ in range(6)]
    listed = {start: {one.key for one in store.list(start)} for start in {key[:2] for key in keys} | {"zz"}}
    assert listed == {start: {key for key in keys if key.startswith(start)} for start in listed}
