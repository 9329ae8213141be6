"""Jobs without pictures that are disturbed, and how many there may be: `python -m bench.jobs`.

`bench.kill` disturbs real ones, with the service in front of them; `bench.durability` tells what a long one costs.
PostgreSQL is started where it is installed, as for the tests.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from tests.jobs import fake_processor
from tests.jobs.postgres import binaries, cluster, database

from velum import Limits, Plan, RuntimeConfig
from velum.jobs import Database, EngineProcessor, FolderStore, JobQueue, JobRecord, State, Submission, Worker
from velum.jobs.schema import JOBS, new_id, row_of

ORDER = {"pieces": 5, "seconds": 0.2}
ZONE = Plan.of("zone: fixed(box=[40, 40, 200, 200]) -> pixelate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20, help="jobs in each kill test")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between kills, on average")
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    with ExitStack() as stack:
        servers: list[tuple[str, str | None]] = [("SQLite", None)]
        if (programs := binaries()) is None:
            print("- no PostgreSQL here: initdb is not installed")
        else:
            servers.append(("PostgreSQL", stack.enter_context(cluster(programs))))
        print("| database | workers | jobs | kills | lost | duplicated | differing | pieces made again | s |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for name, server in servers:
            for workers in (1, 3):
                with temporary_database(server) as (url, folder):
                    print(f"| {name} | {workers} | {kill(url, folder, given.jobs, workers, given.every)} |", flush=True)
        for name, server in servers:
            with temporary_database(server) as (url, folder):
                print(f"- {name}: {measure_listing(url, folder)}", flush=True)
            with temporary_database(server) as (url, folder):
                print(f"- {name}: {measure_throughput(url, folder, given.images)}", flush=True)


@contextmanager
def temporary_database(server: str | None) -> Iterator[tuple[str, Path]]:
    """Give the URL of an empty database, and a folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="velum-bench-")))
        if server is None:
            yield f"sqlite:///{folder}/jobs.sqlite", folder
        else:
            yield stack.enter_context(database(server, f"bench_{random.randrange(10**9)}")), folder


def submit(queue: JobQueue, store: FolderStore, jobs: int) -> list[JobRecord]:
    sources = [store.put([json.dumps({**ORDER, "n": n}).encode()]).key for n in range(jobs)]
    return [
        queue.submit(Submission(key, str(n), Plan(), owner=f"owner {n % 3}", priority=n % 2))
        for n, key in enumerate(sources)
    ]


def kill(url: str, folder: Path, number: int, workers: int, every: float) -> str:
    """Kill workers until all jobs are done, and compare with what comes of them when nothing happens."""
    with temporary_database(None) as (calm_url, calm):
        expected = run_undisturbed(calm_url, calm, number)
    db, store = Database(url), FolderStore(folder / "store")
    queue = JobQueue(db, store)
    jobs, results, kills, changed = submit(queue, store, number), dict[str, str](), 0, set[str]()
    processes = [start(url, folder) for _ in range(workers)]
    began, next_kill = time.monotonic(), time.monotonic() + every
    try:
        while not are_final(jobs := reload_jobs(queue, jobs)):
            for job in jobs:
                if job.result is not None and results.setdefault(job.id, job.result) != job.result:
                    changed.add(job.id)
            if time.monotonic() >= next_kill:
                victim = random.randrange(workers)
                os.kill(processes[victim].pid, signal.SIGKILL)
                processes[victim].wait()
                processes[victim] = start(url, folder)
                kills, next_kill = kills + 1, time.monotonic() + random.uniform(0.5, 1.5) * every
            time.sleep(0.05)
        spent = time.monotonic() - began
        time.sleep(1.5)  # long enough for a result that came twice to show
        changed |= {job.id for job in reload_jobs(queue, jobs) if results.get(job.id, job.result) != job.result}
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    lost = ", ".join(f"{n} {state}" for state, n in Counter(job.state.value for job in jobs if not job.result).items())
    differing = sum(
        job.result is not None and result_digest(store, job) != expected[job.submission.name] for job in jobs
    )
    again = sum(Counter((folder / "log").read_text().splitlines()).values()) - number * int(ORDER["pieces"])
    db.close()
    return f"{number} | {kills} | {lost or 0} | {len(changed)} | {differing} | {again} | {spent:.0f}"


def run_undisturbed(url: str, folder: Path, number: int) -> dict[str, str]:
    db, store = Database(url), FolderStore(folder / "store")
    queue = JobQueue(db, store)
    jobs = submit(queue, store, number)
    (folder / "log").touch()
    with running_worker(
        Worker(url, store, lambda: fake_processor.Hands(folder / "log"), folder=folder / "work", concurrency=10)
    ):
        while not are_final(jobs := reload_jobs(queue, jobs)):
            time.sleep(0.05)
    db.close()
    return {job.submission.name: result_digest(store, job) for job in jobs}


def reload_jobs(queue: JobQueue, jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the jobs as they are now, in the order of their ids."""
    known = {job.id for job in jobs}
    return [job for job in queue.list(limit=1000).jobs if job.id in known]


def are_final(jobs: Sequence[JobRecord]) -> bool:
    return all(job.state.is_final for job in jobs)


def result_digest(store: FolderStore, job: JobRecord) -> str:
    assert job.result is not None
    return hashlib.sha256(b"".join(store.open(job.result))).hexdigest()


def start(url: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, fake_processor.__file__, url, str(folder / "store"), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@contextmanager
def running_worker(worker: Worker) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def measure_listing(url: str, folder: Path) -> str:
    """Time pages of a list of 1,000 jobs among 5,000."""
    db = Database(url)
    queue = JobQueue(db, FolderStore(folder / "store"))
    same = {**row_of(Submission("0" * 32, "photo.jpg", ZONE)), "state": "done", "submitted": 0.0}
    with db.writing() as connection:
        connection.execute(JOBS.insert(), [{**same, "id": new_id(), "owner": f"owner {n % 50}"} for n in range(5000)])
    queue.list(limit=1)
    times = []
    for limit, owner in ((1000, None), (100, None), (100, "owner 7")):
        began = time.perf_counter()
        page = queue.list(limit=limit, owner=owner)
        times.append(f"{len(page.jobs)} jobs in {1e3 * (time.perf_counter() - began):.0f} ms")
    db.close()
    return "listed of 5,000: " + ", ".join(times[:2]) + f"; of one owner {times[2]}"


def measure_throughput(url: str, folder: Path, number: int) -> str:
    """Time small images through two decoding processes, and look at their memory."""
    db, store = Database(url), FolderStore(folder / "store")
    queue, picture = JobQueue(db, store), BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(picture, "JPEG", quality=90)
    began = time.monotonic()
    jobs = [queue.submit(Submission(store.put([picture.getvalue()]).key, f"{n}.jpg", ZONE)) for n in range(number)]
    submitted = time.monotonic() - began
    memory: list[int] = []
    with running_worker(
        Worker(url, store, lambda: EngineProcessor(RuntimeConfig, Limits()), folder=folder / "work", concurrency=2)
    ):
        began = time.monotonic()
        while (counts := queue.counts())[State.DONE] + counts[State.FAILED] < number:
            if counts[State.DONE] >= number // 4:
                memory.append(resident_bytes())
            time.sleep(0.1)
        spent = time.monotonic() - began
    states = Counter(job.state.value for job in reload_jobs(queue, jobs))
    db.close()
    return (
        f"{number} images of 640x480 submitted in {submitted:.1f} s, done in {spent:.1f} s "
        f"({60 * number / spent:.0f} a minute, {dict(states)}); "
        f"memory of worker and decoders {memory[0] >> 20} MB after a quarter, {memory[-1] >> 20} MB at the end"
    )


def resident_bytes() -> int:
    """Return the bytes of memory that this process and its children hold."""
    tasks = Path("/proc/self/task").iterdir()
    children = [pid for task in tasks for pid in (task / "children").read_text().split()]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in ("self", *children))
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
