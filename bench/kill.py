"""Kill the service and its workers until all jobs are done: `python -m bench.kill`.

The whole way: handed in over HTTP, done by the engine, fetched over HTTP; SIGKILL for one of the processes, chosen by
chance, every few seconds. PostgreSQL is started where it is installed, as for the tests.
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
from tests.jobs.cluster import binaries, cluster, database
from tests.jobs.plant import ZONE, Outcome, Plant, clips, disturbed, photographs

from velum import Plan

SHARED = Path(__file__).parents[2] / "shared"
FACES = Plan.of("face: yunet -> pixelate")
SIZE = (480, 360)
NUMBERS = count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12, help="in each test")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between kills, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="velum-bench-")))
        sources, plan, weights = material(folder)
        servers: list[tuple[str, str | None]] = [("SQLite", None)]
        if (programs := binaries()) is None:
            print("- no PostgreSQL here: initdb is not installed")
        else:
            servers.append(("PostgreSQL", stack.enter_context(cluster(programs))))

        def run(server: str | None, workers: int, kills: int) -> Outcome:
            with place(server) as (url, here):
                plant = Plant(here, url, workers, span_seconds=2, weights=weights)
                return disturbed(plant, sources, plan, kills=kills, every=given.every, seed=given.seed)

        calm = run(None, 1, 0)
        print(f"{len(sources)} jobs, undisturbed with one worker in {calm.seconds:.0f} s, {calm.lost} lost")
        print("| database | workers | kills: service, workers | lost | duplicated | differing | taken up | left | s |")
        print("|---|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
        for name, server in servers:
            for workers in (1, 3, 0):
                print(f"| {name} | {workers or 'in the service'} | {row(run(server, workers, given.kills), calm)} |")
                sys.stdout.flush()


def row(got: Outcome, calm: Outcome) -> str:
    web = got.kills["web"]
    kills = f"{web}, {sum(got.kills.values()) - web}"
    numbers = (got.lost, got.duplicated, got.differing(calm), got.attempts, got.leftover)
    return f"{kills} | {' | '.join(map(str, numbers))} | {got.seconds:.0f}"


def material(folder: Path) -> tuple[list[Path], Plan, dict[str, Path]]:
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
def place(server: str | None) -> Iterator[tuple[str, Path]]:
    """Give the URL of an empty database, and a folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="velum-bench-")))
        if server is None:
            yield f"sqlite:///{folder}/jobs.sqlite", folder
        else:
            yield stack.enter_context(database(server, f"kill_{next(NUMBERS)}")), folder


if __name__ == "__main__":
    main()
