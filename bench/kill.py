"""Kill the service and its workers, and take away what they need, until all jobs are done: `python -m bench.kill`.

The whole way: handed in over HTTP, done by the engine, fetched over HTTP; SIGKILL for one of the processes, chosen by
chance, every few seconds. Then: workers that stand still for longer than they are waited for, the store replaced by an
empty folder, and PostgreSQL stopped, in turn. PostgreSQL is started where it is installed, as for the tests.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image
from tests.jobs.postgres import Server, binaries, database, stoppable
from tests.jobs.service_processes import ZONE, Outcome, Plant, clips, disturbed, photographs

from velum import Plan

SHARED = Path(__file__).parents[2] / "shared"
FACES = Plan.of("face: yunet -> pixelate")
SIZE = (480, 360)
NUMBERS = count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12, help="in each test")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between kills, on average")
    parser.add_argument("--away", type=float, default=5.0, help="seconds for which the store or the database is away")
    parser.add_argument("--still", type=float, default=40.0, help="seconds for which a worker stands still")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3, 0], help="numbers; 0: in the service")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="velum-bench-")))
        sources, plan, weights = sources_of_jobs(folder)
        servers: list[tuple[str, Server | None]] = [("SQLite", None)]
        if (programs := binaries()) is None:
            print("- no PostgreSQL here: initdb is not installed")
        else:
            servers.append(("PostgreSQL", stack.enter_context(stoppable(programs))))

        def run(server: Server | None, workers: int, kills: int, *faults: str) -> Outcome:
            with temporary_database(None if server is None else server.url) as (url, here):
                plant = Plant(here, url, workers, span_seconds=2, weights=weights, server=server)
                seconds = given.still if faults == ("stop",) else given.away
                return disturbed(
                    plant, sources, plan, kills=kills, every=given.every, seed=given.seed, faults=faults or ("kill",),
                    seconds=seconds,
                )  # fmt: skip

        calm = run(None, 1, 0)
        print(f"{len(sources)} jobs, undisturbed with one worker in {calm.seconds:.0f} s, {calm.lost} lost")
        print("| database | workers | what happens | lost | twice | differing | filled | taken up | left | s |")
        print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
        for name, server in servers:
            away = ("store",) if server is None else ("store", "database")
            for workers in given.workers:
                for faults in (("kill",), ("stop",), away):
                    number = given.kills if faults == ("kill",) else max(given.kills // 4, 1) * len(faults)
                    got = outcome_row(run(server, workers, number, *faults), calm)
                    print(f"| {name} | {workers or 'in the service'} | {got} |")
                    sys.stdout.flush()


def outcome_row(got: Outcome, calm: Outcome) -> str:
    web = got.kills["web"]
    kills = f"{web} kills of the service, {sum(got.kills.values()) - web} of workers"
    happened = ", ".join(f"{number} x {kind}" for kind, number in got.faults.items()) or kills
    numbers = (got.lost, got.duplicated, got.differing(calm), got.filled, got.attempts, got.leftover)
    return f"{happened} | {' | '.join(map(str, numbers))} | {got.seconds:.0f}"


def sources_of_jobs(folder: Path) -> tuple[list[Path], Plan, dict[str, Path]]:
    """Return 14 pictures and 6 clips of 8 s; with faces in them where there are some to be had."""
    model = SHARED / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"
    faces = sorted((SHARED / "media" / "faces").glob("*.jpg"))
    if not model.is_file() or len(faces) < 14:
        grounds = [np.random.default_rng(n).integers(0, 255, (360, 480, 3), dtype=np.uint8) for n in range(3)]
        return [*clips(folder, 6, 8, grounds), *photographs(folder, 14)], ZONE, {}
    grounds = [np.asarray(Image.open(one).convert("RGB").resize(SIZE)) for one in faces[:6]]
    photos = [folder / one.name for one in faces[:14]]
    for one, target in zip(faces, photos, strict=False):
        target.write_bytes(one.read_bytes())
    return [*clips(folder, 6, 8, grounds), *photos], FACES, {"yunet": model}


@contextmanager
def temporary_database(server: str | None) -> Iterator[tuple[str, Path]]:
    """Give the URL of an empty database, and a folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="velum-bench-")))
        if server is None:
            yield f"sqlite:///{folder}/jobs.sqlite", folder
        else:
            yield stack.enter_context(database(server, f"kill_{next(NUMBERS)}")), folder


if __name__ == "__main__":
    main()
