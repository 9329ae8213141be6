"""Jobs with files in a bucket behave as with files in a folder, even when workers or the bucket fail."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.service.factories import picture
from tests.storage.fake_s3 import S3

from velum import Limits, Plan, RuntimeConfig
from velum.jobs import EngineProcessor, Retention, RetentionSweeper, State, Submission, Uploads

from .conftest import Office
from .fake_processor import PACE

pytestmark = pytest.mark.slow


@pytest.fixture
def far_office(lite: str, tmp_path: Path, bucket: S3) -> Iterator[Office]:
    """An office whose store is a bucket."""
    office = Office(lite, tmp_path, "s3://faces/velum")
    yield office
    office.database.close()


def test_a_job_with_files_in_a_bucket_is_done(far_office: Office, bucket: S3) -> None:
    job = far_office.submit("holiday", pieces=3)
    with far_office.working():
        (done,) = far_office.ended(job)
    assert (done.state, done.attempts, len(far_office.content(done))) == (State.DONE, 1, 3 * 3200)
    assert {kept.key for kept in far_office.store.list()} == far_office.files(done)
    assert len(bucket.objects) == 6, "the store's mark, too"
    assert list((far_office.path / "work").glob("worker-*")) == []


@pytest.mark.exhaustive
def test_a_killed_worker_loses_no_more_than_the_piece_in_work(far_office: Office, until: Callable[..., None]) -> None:
    calm = far_office.submit("calm", pieces=4, seconds=0.15)
    with far_office.working():
        (calm,) = far_office.ended(calm)
    killed = far_office.submit("killed", pieces=4, seconds=0.15)
    with far_office.process() as first:
        until(lambda: "killed 2" in far_office.made(), "the third piece to begin")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with far_office.working():
        (done,) = far_office.ended(killed)
    renderings = Counter(line for line in far_office.made() if line.startswith("killed"))
    assert [renderings[f"killed {n}"] for n in range(4)] == [1, 1, 2, 1]
    assert far_office.content(done) == far_office.content(calm)


def test_a_short_outage_of_the_bucket_delays_jobs_only(
    far_office: Office, bucket: S3, until: Callable[..., None]
) -> None:
    job = far_office.submit(pieces=3, seconds=0.2)
    with far_office.working(timing=replace(PACE, tries=100)):
        until(far_office.made, "the first piece to begin")
        bucket.wrong = 3
        (done,) = far_office.ended(job)
    assert (done.state, len(far_office.content(done))) == (State.DONE, 3 * 3200)


def test_an_image_is_uploaded_hidden_and_fetched_through_a_bucket(far_office: Office, tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", far_office.store, most=1 << 20)
    begun = uploads.begin()
    uploads.append(begun.id, 0, [picture()])
    source = uploads.complete(begun.id)
    assert uploads.get(begun.id) is None
    assert [*(tmp_path / "uploads").iterdir()] == []
    job = far_office.desk.submit(Submission(source.key, "p.png", Plan.of("zone: fixed -> blacken")))
    with far_office.working(partial(EngineProcessor, RuntimeConfig, Limits())):
        (done,) = far_office.ended(job, seconds=60)
    assert done.state == State.DONE
    assert far_office.content(done).startswith(b"\x89PNG")


def test_files_that_no_job_claims_are_deleted(far_office: Office, bucket: S3) -> None:
    kept = far_office.submit()
    far_office.store.put([b"left by a crash"])
    swept = RetentionSweeper(far_office.database, far_office.store, Retention(unclaimed_seconds=0)).sweep()
    assert swept.unclaimed == 1
    assert [stored.key for stored in far_office.store.list()] == [kept.submission.source]
