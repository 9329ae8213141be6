"""What a claim of a job costs while many wait, and what else is asked meanwhile: `python -m bench.claims`.

Rows are put into the database in bulk; what is timed goes through the package. PostgreSQL is started where it is
installed, as for the tests. Processor time is that of the worker, and of PostgreSQL's process that serves it (Linux).
"""

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import product
from pathlib import Path

import numpy as np
import sqlalchemy as sql
from tests.jobs.postgres import binaries, cluster

from bench.jobs import ZONE, temporary_database
from velum.jobs import Database, FolderStore, JobQueue, Retention, RetentionSweeper, State, Submission, WorkerTiming
from velum.jobs.claims import WorkerClaims
from velum.jobs.schema import JOBS, new_id, row_of

BATCH = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, nargs="+", default=[1000, 100_000, 400_000])
    parser.add_argument("--ended", type=int, default=0, help="jobs that have ended, beside")
    parser.add_argument("--owners", type=int, nargs="+", default=[50])
    parser.add_argument("--only-claims", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--claims", type=int, default=100, help="claims of each worker")
    given = parser.parse_args()
    with ExitStack() as stack:
        servers: list[tuple[str, str | None]] = [("SQLite", None)]
        if (programs := binaries()) is None:
            print("- no PostgreSQL here: initdb is not installed")
        else:
            servers.append(("PostgreSQL", stack.enter_context(cluster(programs))))
        rows: list[str] = []
        print("| database | waiting | owners | workers | a claim, ms: median | 95 % | processor | claims a second |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        for (name, server), waiting, owners in product(servers, given.waiting, given.owners):
            with temporary_database(server) as (url, folder), closing(Database(url)) as db:
                fill_database(db, waiting, given.ended, owners)
                for workers in given.workers:
                    times, spent, elapsed = claims(url, workers, given.claims)
                    print(
                        f"| {name} | {waiting:,} | {owners:,} | {workers} | {np.median(times):.1f} "
                        f"| {np.percentile(times, 95):.1f} | {np.median(spent):.1f} | {len(times) / elapsed:.0f} |",
                        flush=True,
                    )
                if not given.only_claims:
                    rows += [f"| {name} | {waiting:,} | {row} |" for row in time_other_queries(db, folder)]
        if rows:
            print("\n| database | waiting | what | ms: median | 95 % |", "|---|--:|---|--:|--:|", *rows, sep="\n")


def fill_database(db: Database, waiting: int, ended: int, owners: int) -> None:
    """Put jobs into the database that wait, of two priorities, and others that are done."""
    same = {**row_of(Submission("0" * 32, "photo.jpg", ZONE)), "submitted": 0.0}
    now = time.time()
    for state, number in ((State.WAITING, waiting), (State.DONE, ended)):
        for first in range(0, number, BATCH):
            rows = [
                {
                    **same, "id": new_id(), "owner": f"owner {n % owners}", "priority": n // owners % 2,
                    "state": state.value, "source": new_id(), "ended": None if state == State.WAITING else now,
                }
                for n in range(first, min(first + BATCH, number))
            ]  # fmt: skip
            with db.writing() as connection:
                connection.execute(JOBS.insert(), rows)
    with db.writing() as connection:
        if connection.dialect.name == "postgresql":  # by itself it would a minute later
            connection.execute(sql.text("ANALYZE velum_jobs"))


def claims(url: str, workers: int, number: int) -> tuple[list[float], list[float], float]:
    """Return the elapsed and the processor time of each claim, in ms, and the time of all together, in s.

    What was claimed is ended, untimed.
    """
    times: list[float] = []
    spent: list[float] = []

    def work(name: str) -> None:
        with closing(Database(url)) as db:
            ledger, server = WorkerClaims(db, name, name, WorkerTiming()), postgres_process(db)
            ledger.beat()
            for _ in range(number):
                began, busy = time.perf_counter(), time.thread_time() + processor_seconds(server)
                hold = ledger.take()
                times.append(1e3 * (time.perf_counter() - began))
                spent.append(1e3 * (time.thread_time() + processor_seconds(server) - busy))
                assert hold is not None
                ledger.fail(hold, "BadInput", "")
            ledger.leave()

    threads = [threading.Thread(target=work, args=(f"{workers}-{n}",)) for n in range(workers)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, spent, time.monotonic() - began


def postgres_process(db: Database) -> int | None:
    """Return the id of PostgreSQL's process for the one connection of a worker; None for SQLite, which has none."""
    with db.reading() as connection:
        if connection.dialect.name == "sqlite":
            return None
        return int(connection.scalar(sql.text("SELECT pg_backend_pid()")) or 0)


def processor_seconds(process: int | None) -> float:
    """Return for how many seconds a process of this machine has been on a processor."""
    if process is None:
        return 0.0
    return int(Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def time_other_queries(db: Database, folder: Path) -> Iterator[str]:
    """Time what the service, the command line and workers ask beside claims."""
    store = FolderStore(folder / "store")
    store.establish("0" * 32)
    desk, ledger = JobQueue(db, store), WorkerClaims(db, "other", "other", WorkerTiming())
    ledger.beat()
    key = store.put([b"x"]).key
    job = desk.submit(Submission(key, "photo.jpg", ZONE, owner="owner 1"))
    sweeper = RetentionSweeper(db, store, Retention())
    asked: dict[str, Callable[[], object]] = {
        "submit": lambda: desk.submit(Submission(key, "photo.jpg", ZONE, owner="owner 1", priority=-1)),
        "get": lambda: desk.get(job.id),
        "list 100": desk.list,
        "list 100 of an owner": lambda: desk.list(owner="owner 7"),
        "list 100 that wait": lambda: desk.list(state=State.WAITING),
        "list 100 that are done": lambda: desk.list(state=State.DONE),
        "list 100 of an owner that failed": lambda: desk.list(state=State.FAILED, owner="owner 7"),
        "counts (`/metrics`)": desk.counts,
        "look for the dead": ledger.reap,
        "delete what is due": sweeper.due,
    }
    for what, ask in asked.items():
        times = []
        for _ in range(20):
            began = time.perf_counter()
            ask()
            times.append(1e3 * (time.perf_counter() - began))
        yield f"{what} | {np.median(times):.1f} | {np.percentile(times, 95):.1f}"


if __name__ == "__main__":
    main()
