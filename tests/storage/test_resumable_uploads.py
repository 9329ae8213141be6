"""Uploads in parts."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from velum.errors import BadInput, LimitExceeded
from velum.jobs import FolderStore, Uploads

CONTENT = b"0123456789" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def uploads(tmp_path: Path, store: FolderStore) -> Uploads:
    return Uploads(tmp_path / "uploads", store, most=5000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=4))
def test_joins_the_parts_of_an_upload(uploads: Uploads, store: FolderStore, cuts: list[int]) -> None:
    upload = uploads.begin(size=len(CONTENT), sha256=SHA256, owner="key")
    edges = [0, *sorted(cuts), len(CONTENT)]
    for start, stop in pairwise(edges):
        upload = uploads.append(upload.id, start, [CONTENT[start:stop]])
        assert upload == uploads.get(upload.id)
    assert (upload.offset, upload.owner) == (len(CONTENT), "key")
    stored = uploads.complete(upload.id)
    assert b"".join(store.open(stored.key)) == CONTENT
    assert uploads.get(upload.id) is None


def test_continues_an_interrupted_upload(uploads: Uploads, store: FolderStore, tmp_path: Path) -> None:
    def breaks() -> Iterator[bytes]:
        yield CONTENT[:300]
        raise ZeroDivisionError

    upload = uploads.begin(sha256=SHA256)
    with pytest.raises(ZeroDivisionError):
        uploads.append(upload.id, 0, breaks())
    anew = Uploads(tmp_path / "uploads", store, most=5000)  # as after a crash of the process
    at = anew.get(upload.id)
    assert at is not None
    assert at.offset == 300
    anew.append(upload.id, 300, [CONTENT[300:]])
    assert b"".join(store.open(anew.complete(upload.id).key)) == CONTENT


@pytest.mark.parametrize("offset", [0, 299, 301, -1])
def test_a_wrong_offset_changes_nothing(uploads: Uploads, offset: int) -> None:
    upload = uploads.begin()
    uploads.append(upload.id, 0, [CONTENT[:300]])
    with pytest.raises(BadInput, match=f"at byte 300, not {offset}"):
        uploads.append(upload.id, offset, [b"x"])
    assert uploads.append(upload.id, 300, []).offset == 300


def test_discards_an_upload_with_a_wrong_hash(uploads: Uploads, store: FolderStore) -> None:
    upload = uploads.begin(sha256="0" * 64)
    uploads.append(upload.id, 0, [CONTENT])
    with pytest.raises(BadInput, match="have sha256"):
        uploads.complete(upload.id)
    assert uploads.get(upload.id) is None
    assert list(store.list()) == []


def test_checks_announced_sizes_and_hashes(uploads: Uploads) -> None:
    with pytest.raises(LimitExceeded):
        uploads.begin(size=5001)
    with pytest.raises(BadInput, match="at least 0"):
        uploads.begin(size=-1)
    with pytest.raises(BadInput, match="64 hexadecimal"):
        uploads.begin(sha256="abc")
    announced, open_end = uploads.begin(size=10), uploads.begin()
    with pytest.raises(BadInput, match="at byte 0 of 10"):
        uploads.complete(announced.id)
    with pytest.raises(BadInput, match="more than the 10"):
        uploads.append(announced.id, 0, [b"x" * 11])
    with pytest.raises(LimitExceeded):
        uploads.append(open_end.id, 0, [b"x" * 5000, b"x"])


def test_only_one_request_writes_an_upload_at_a_time(uploads: Uploads) -> None:
    upload, begun, go_on = uploads.begin(), threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"a"
        begun.set()
        go_on.wait(10)
        yield b"b"

    thread = threading.Thread(target=lambda: uploads.append(upload.id, 0, slow()))
    thread.start()
    begun.wait(10)
    for use in (lambda: uploads.append(upload.id, 0, [b"x"]), lambda: uploads.complete(upload.id)):
        with pytest.raises(BadInput, match="another request is using upload"):
            use()
    go_on.set()
    thread.join()
    assert uploads.append(upload.id, 2, []).offset == 2


@pytest.mark.parametrize("upload", ["", "..", "../store", "0" * 32])
def test_reports_unknown_uploads(uploads: Uploads, upload: str) -> None:
    assert uploads.get(upload) is None
    for use in (lambda: uploads.append(upload, 0, [b"x"]), lambda: uploads.complete(upload)):
        with pytest.raises(BadInput, match="does not exist"):
            use()
    uploads.discard(upload)


def test_deletes_old_uploads(uploads: Uploads, tmp_path: Path) -> None:
    old, young = uploads.begin(), uploads.begin()
    for path in (tmp_path / "uploads" / old.id / "data", tmp_path / "uploads" / old.id):
        os.utime(path, (time.time() - 100,) * 2)
    assert uploads.sweep(50) == 1
    assert (uploads.get(old.id), uploads.get(young.id)) == (None, young)
    uploads.discard(young.id)
    assert uploads.get(young.id) is None
