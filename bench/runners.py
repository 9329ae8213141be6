"""Photographs a second and a core with one runner of a batch, and with two at once, each on a core of its own.

    python -m bench.runners FOLDER [ROUNDS]

Each runner is a command with one process, as on a node of its own: `velum batch --shard N --shards M`. The same
photographs are hidden each time, by turns; starting a process and loading its model counts for neither. Times on the
wall mean something on a quiet machine only.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean, median

import pyarrow.parquet as pq

SHARD_ITEMS = 2
"""Photographs of a shard, so that two runners have about as many each."""


def begin(cores: set[int], *arguments: str) -> "subprocess.Popen[bytes]":
    """Start velum on some cores."""
    program = (
        f"import os; os.sched_setaffinity(0, {cores}); import velum.batch.listing as listing; "
        f"listing.SHARD_ITEMS = {SHARD_ITEMS}; from velum.cli.main import run; run()"
    )
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)


def measure(photographs: Path, target: Path, cores: list[int]) -> tuple[float, float]:
    """Return the photographs a second and a core, and processor seconds of a photograph, with a runner on each core."""
    call = ["batch", str(photographs), "-o", str(target), "--effort", "fast", "--workers", "1", "--no-progress"]
    begin(set(cores), *call, "--list").wait()
    runners = [
        begin({core}, *call, "--shard", str(number), "--shards", str(len(cores))) for number, core in enumerate(cores)
    ]
    if any(runner.wait() for runner in runners):
        raise SystemExit("a runner failed; see above")
    finished: dict[str, list[float]] = defaultdict(list)
    spent = []
    for table in target.glob("_velum/*/done/*/*.parquet"):
        for row in pq.read_table(table).to_pylist():
            finished[row["node"]].append((target / row["key"]).stat().st_mtime)
            spent.append(dict(row["seconds"])["cpu"])
    rates = [(len(times) - 1) / (max(times) - min(times)) for times in finished.values()]
    return mean(rates), mean(spent)


def main() -> None:
    photographs, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    cores = sorted(os.sched_getaffinity(0))[:2]
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for count, measured in found.items():
                target = Path(folder) / "out"
                rate, spent = measure(photographs, target, cores[:count])
                measured.append((rate, spent))
                shutil.rmtree(target)
                print(f"{count} runner(s): {rate:.2f} photographs/s/core, {spent:.3f} processor s a photograph")
    for name, place in (("photographs/s/core", 0), ("processor s", 1)):
        once, twice = (median(values[place] for values in found[count]) for count in (1, 2))
        print(f"{name}: {once:.3f} with one, {twice:.3f} with two: {100 * (twice / once - 1):+.1f} %")


if __name__ == "__main__":
    main()
