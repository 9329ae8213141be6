"""`velum worker` does what the service took, and ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.service.making import picture

from velum import Plan
from velum.jobs import Database, Desk, FolderStore, State, Submission

pytestmark = pytest.mark.slow


def test_a_worker_does_jobs_until_it_is_told_to_end(tmp_path: Path) -> None:
    (tmp_path / "velum.toml").write_text('[jobs]\ndata = "data"\n')
    store = FolderStore(tmp_path / "data" / "store")
    database = Database(f"sqlite:///{tmp_path}/data/jobs.sqlite")
    desk = Desk(database, store)
    plan = Plan.of("zone: fixed -> blacken")
    job = desk.submit(Submission(store.put([picture()]).key, "photo.png", plan))
    env = {name: value for name, value in os.environ.items() if not name.startswith("VELUM_")}
    with subprocess.Popen(
        [sys.executable, "-m", "velum", "worker", "--concurrency", "2"], cwd=tmp_path, env=env, stderr=subprocess.PIPE
    ) as process:
        try:
            until = time.monotonic() + 60
            while (now := desk.get(job.id)) is not None and not now.state.ended and time.monotonic() < until:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert now is not None
    assert (now.state, now.result_name) == (State.DONE, "photo.hidden.png")
    database.close()
