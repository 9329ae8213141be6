"""The service and its workers as processes of their own, which are killed while a client hands jobs in and fetches.

Kept apart from the test: `bench.kill` does the same for longer.
"""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
import sqlalchemy as sql
from PIL import Image

from velum import Plan
from velum.client import Client, Conflict, NotFound
from velum.client.models import Job
from velum.errors import OutputFailed, Unavailable
from velum.jobs import Database, JobQueue, Retention, RetentionSweeper, open_store
from velum.jobs.schema import PIECES

from .postgres import Server

ZONE = Plan.of("zone: fixed(box=[8, 8, 60, 60]) -> pixelate")

SETTINGS = """
[service]
listen_port = {port}
grace_seconds = 2

[jobs]
data = "data"
database = "{database}"
in_process = {in_process}
concurrency = 2
span_seconds = {span_seconds}

[bmw]
local = false
"""


@dataclass
class Plant:
    """A folder with settings, a web process, and workers: none of them where the web process does the jobs itself."""

    folder: Path
    database: str
    workers: int = 1
    span_seconds: float = 1.0
    weights: Mapping[str, Path] = field(default_factory=dict)
    server: Server | None = None
    """That of the database, where it can be stopped."""
    filled: int = field(default=0, init=False)
    """Files that were written to where the store was."""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        text = SETTINGS.format(
            port=self.port, database=self.database, in_process=str(not self.workers).lower(),
            span_seconds=self.span_seconds,
        )  # fmt: skip
        text += "".join(f'\n[weights]\n{name} = "{path}"\n' for name, path in self.weights.items())
        (self.folder / "velum.toml").write_text(text, encoding="utf-8")

    @property
    def parts(self) -> list[str]:
        """What runs, by name."""
        return ["web", *(f"worker {n}" for n in range(self.workers))]

    @contextmanager
    def runs(self) -> Iterator[Client]:
        """Have everything run, and give a client that comes back."""
        try:
            for part in self.parts:
                self.start(part)
            with Client(f"http://127.0.0.1:{self.port}", timeout_seconds=20, patience_seconds=60) as client:
                yield client
        finally:
            for process in self.running.values():
                process.terminate()
            for process in self.running.values():
                process.wait(30)

    def start(self, part: str) -> None:
        command = ["serve"] if part == "web" else ["worker"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VELUM_")}
        with (self.folder / f"{part}.log").open("ab") as log:
            self.running[part] = subprocess.Popen(
                [sys.executable, "-m", "velum", *command], cwd=self.folder, env=environ, stdout=log, stderr=log
            )

    def stop(self, part: str, seconds: float, over: threading.Event) -> None:
        """Have a process stand still for a while."""
        process = self.running[part]
        process.send_signal(signal.SIGSTOP)
        over.wait(seconds)
        process.send_signal(signal.SIGCONT)

    def unmount(self, seconds: float, over: threading.Event) -> None:
        """Have an empty folder in the place of the store for a while, and count what is put there."""
        store = self.folder / "data" / "store"
        aside = store.with_name("aside")
        store.rename(aside)
        store.mkdir()
        over.wait(seconds)
        self.filled += sum(1 for _ in store.rglob("*"))
        shutil.rmtree(store)
        aside.rename(store)

    def kill(self, part: str) -> None:
        """End a process as a power cut would, and start it anew."""
        process = self.running[part]
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.start(part)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all jobs. `digests` are those of the results that were fetched, by the source's name."""

    digests: Mapping[str, str]
    kills: Mapping[str, int]
    lost: int
    duplicated: int
    faults: Mapping[str, int]
    """What else was done to it, by kind."""
    filled: int
    attempts: int
    leftover: int
    """Files of the store that belong to nothing once it has been swept."""
    seconds: float

    def differing(self, calm: "Outcome") -> int:
        """Return how many results are not what they are when nothing happens."""
        return sum(self.digests.get(name) != digest for name, digest in calm.digests.items())


def disturbed(
    plant: Plant, sources: Sequence[Path], plan: Plan, *, kills: int, every: float, seed: int,
    faults: Sequence[str] = ("kill",), seconds: float = 3.0,
) -> Outcome:  # fmt: skip
    """Hand the sources in and fetch their results while something happens, `kills` times in all.

    `faults`, in turn: `kill` ends a process; `stop` has a worker stand still, `store` the store away and `database` the
    database, for `seconds` each.
    """
    done, counts, began = threading.Event(), dict.fromkeys(plant.parts, 0), time.monotonic()
    chance, others = random.Random(seed), Counter[str]()

    def harm() -> None:
        for kind in islice(cycle(faults), kills):
            if done.wait(chance.uniform(0.5, 1.5) * every):
                return
            victim = chance.choice(plant.parts)
            if kind == "kill":
                plant.kill(victim)
                counts[victim] += 1
                continue
            others[kind] += 1
            if kind == "stop":
                plant.stop(chance.choice(plant.parts[1:] or plant.parts), seconds, done)
            elif kind == "store":
                plant.unmount(seconds, done)
            else:
                assert plant.server is not None
                plant.server.stop()
                done.wait(seconds)
                plant.server.start()

    harming = threading.Thread(target=harm)
    with plant.runs() as client:
        _answers(client)
        harming.start()
        try:
            jobs = {source.name: _handed_in(client, source, plan) for source in sources}
            digests = {name: _fetched(client, job, plant.folder / "fetched") for name, job in jobs.items()}
        finally:
            done.set()
            harming.join()
        spent = time.monotonic() - began
        _answers(client)
        listed = list(client.jobs())
        assert {job.id for job in listed} >= set(jobs.values())
    good = {name: digest for name, digest in digests.items() if digest is not None}
    twice, leftover = _looked_into(plant, good)
    return Outcome(
        digests=good, kills=counts, faults=others, filled=plant.filled, lost=len(sources) - len(good),
        duplicated=len(listed) - len(sources) + twice, attempts=sum(job.attempts for job in listed),
        leftover=leftover, seconds=spent,
    )  # fmt: skip


def _answers(client: Client) -> None:
    """Wait until the service answers."""
    end = time.monotonic() + 60
    while True:
        try:
            client.techniques()
        except Unavailable:
            assert time.monotonic() < end, "the service does not come back"
            time.sleep(0.1)
        else:
            return


def _handed_in(client: Client, source: Path, plan: Plan) -> str:
    """Hand a source in, and after a broken connection look whether it was taken: the name tells."""
    while True:
        try:
            return client.submit(source, plan).id
        except (Unavailable, NotFound, Conflict, OutputFailed):
            _answers(client)
        try:
            for job in client.jobs():
                if job.name == source.name:
                    return job.id
        except Unavailable:
            continue


def _fetched(client: Client, job: str, folder: Path) -> str | None:
    """Return the SHA-256 of a job's result, None when it has none. The service may be away at any time."""
    folder.mkdir(exist_ok=True)
    end = time.monotonic() + 240
    while True:
        try:
            ended: Job = client.wait(job)
            if not ended.result:
                return None
            client.result(job, folder / job, overwrite=True)
            return hashlib.sha256((folder / job).read_bytes()).hexdigest()
        except Unavailable:
            assert time.monotonic() < end, f"job {job} does not end"
            _answers(client)


def _looked_into(plant: Plant, fetched: Mapping[str, str]) -> tuple[int, int]:
    """Return how many results are now others than were fetched, and how many files belong to nothing after a sweep."""
    url = plant.database
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{plant.folder / url.removeprefix('sqlite:///')}"
    database, store = Database(url), open_store(plant.folder / "data" / "store")
    try:
        RetentionSweeper(database, store, Retention(unclaimed_seconds=0)).orphans()
        jobs = JobQueue(database, store).list(limit=1000).jobs
        now = {
            job.submission.name: hashlib.sha256(b"".join(store.open(job.result))).hexdigest()
            for job in jobs
            if job.result is not None
        }
        used = {key for job in jobs for key in (job.submission.source, job.result, job.regions) if key}
        with database.reading() as connection:
            for column in (PIECES.c.key, PIECES.c.told):
                used.update(connection.scalars(sql.select(column)))
        left = sum(kept.key not in used for kept in store.list())
    finally:
        database.close()
    return sum(now.get(name) != digest for name, digest in fetched.items()), left


def photographs(folder: Path, number: int, size: tuple[int, int] = (640, 480)) -> list[Path]:
    """Write pictures of noise, each its own."""
    paths = [folder / f"photo-{n}.jpg" for n in range(number)]
    for n, path in enumerate(paths):
        noise = np.random.default_rng(n).integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size).save(path, quality=90)
    return paths


def clips(folder: Path, number: int, seconds: int, grounds: Sequence[np.ndarray]) -> list[Path]:
    """Write clips of 25 frames a second in which a picture moves by, with a key frame in every second."""
    paths = [folder / f"clip-{n}.mp4" for n in range(number)]
    for n, path in enumerate(paths):
        ground = grounds[n % len(grounds)]
        with av.open(str(path), "w") as container:
            options = {"preset": "ultrafast", "g": "25", "sc_threshold": "0"}
            stream = container.add_stream("libx264", 25, options=options)
            stream.height, stream.width, stream.pix_fmt = *ground.shape[:2], "yuv420p"
            for index in range(25 * seconds):
                frame = av.VideoFrame.from_ndarray(np.roll(ground, 2 * index + n, 1), "rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return paths
