"""velum's BMW API beside the BMW Anonymization API 2.0 itself, with its own versions of its libraries, in the same run.

    python -m bench.original PHOTO --source FOLDER --python PYTHON

FOLDER is a checkout of the original, PYTHON an interpreter with what its `docker/requirements.txt` pins (Python 3.7).
Both services get the same uploads, in turn, and ask the same inference server, which answers at once. The pause of five
seconds that the original makes when it lists models is taken out; no other line of it is changed. Figures are medians
of the time from request to response, and processor time of each service, which other programs disturb less.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from bench.service import SIZES, Client, Picture, _free_port, _wait, servers

ROUNDS = 5
CASES = (("3 boxes", "blurring"), ("mask", "blurring"))


@contextmanager
def original(source: Path, python: Path, stub: int) -> Iterator[tuple[int, int]]:
    """Run the original, with the inference server at the port `stub` in its list; yield its port and its process."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(source / "src", folder / "src")
        (folder / "src" / "jsonFiles").mkdir()
        url = f"http://127.0.0.1:{stub}/"
        (folder / "src" / "jsonFiles" / "url_configuration.json").write_text(json.dumps({"urls": [url]}))
        client = folder / "src" / "main" / "APIClient.py"
        code, pause = client.read_text(), "time.sleep(5)"
        if pause not in code:
            raise SystemExit(f"{client.name} of the original has no '{pause}' to take out: its times would not compare")
        client.write_text(code.replace(pause, "pass"))
        port = _free_port()
        command = [python, "-m", "uvicorn", "start:app", "--port", str(port), "--log-level", "warning"]
        # Its modules lie beside each other, and would be hidden by this project's.
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        process = subprocess.Popen(list(map(str, command)), cwd=folder / "src" / "main", env=env)
        try:
            _wait(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(30)


@dataclass(frozen=True, slots=True)
class Measured:
    """Median milliseconds of a request, and of the processor time that the service spends on it."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.0f} ({self.cpu:.0f})"


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far; Linux derives the clock from the number of the process."""
    return time.clock_gettime((~pid << 3) | 2)


def row(ours: tuple[Client, int], theirs: tuple[Client, int], picture: Picture, technique: str, rounds: int) -> str:
    """Return the row of one picture; clients come with the processes that they ask."""
    took: dict[str, list[tuple[float, float]]] = {"original": [], "PNG": [], "JPEG": []}
    for count in range(rounds + 1):
        for how in ("PNG", "original", "JPEG"):
            client, pid = theirs if how == "original" else ours
            client.reconnect()
            start, spent = time.perf_counter(), cpu_seconds(pid)
            answer = client.anonymize(picture, technique, jpeg=how == "JPEG")
            if count:
                took[how].append((1e3 * (time.perf_counter() - start), 1e3 * (cpu_seconds(pid) - spent)))
            with Image.open(io.BytesIO(answer)) as image:
                assert image.size == picture.size
    other, *own = (Measured(*map(statistics.median, zip(*times, strict=True))) for times in took.values())
    cells = [str(other), *(f"{one} | {other.wall / one.wall:.0f} ({other.cpu / one.cpu:.0f})" for one in own)]
    return f"| {picture.size[0]} x {picture.size[1]} | {picture.objects} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with Image.open(given.photo) as image:
        photo = image.convert("RGB")
    print("| picture | hidden | original, ms | PNG, ms | original / PNG | JPEG, ms | original / JPEG |")
    print("|---|---|--:|--:|--:|--:|--:|")
    with (
        servers() as (port, stub, pid),
        original(given.source, given.python.absolute(), stub) as (other_port, other_pid),
    ):
        ours, theirs = Client(port, stub), Client(other_port, stub)
        ours.prepare()
        for size in SIZES:
            for objects, technique in CASES:
                picture = Picture.of(photo, 5, size, objects)
                print(row((ours, pid), (theirs, other_pid), picture, technique, given.rounds), flush=True)


if __name__ == "__main__":
    main()
