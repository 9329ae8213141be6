"""What a batch costs beyond `velum hide`, and whether two runners at once are as fast as one.

    python -m bench.runners FOLDER [ROUNDS] [EFFORT]

First, photographs a second and a core with one runner, and with two at once, each on a core of its own. Each is a
command with one process, as on a node of its own: `velum batch --shard N --shards M`. Then the processor time of a
photograph in `velum batch` and in `velum hide`, in the same precision and on the same core. The same photographs are
hidden each time, by turns; starting a process and loading its model counts for none. Times on the wall mean something
on a quiet machine only.
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

FEW, COPIES = 2, 5
"""Photographs of the command whose processor time is that of starting, and copies of each in the other one."""


def begin(cores: set[int], *arguments: str) -> "subprocess.Popen[bytes]":
    """Start velum on some cores."""
    program = (
        f"import os; os.sched_setaffinity(0, {cores}); import velum.batch.listing as listing; "
        f"listing.SHARD_ITEMS = {SHARD_ITEMS}; from velum.cli.main import run; run()"
    )
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)


def measure(photographs: Path, target: Path, cores: list[int], effort: str) -> tuple[float, float]:
    """Return the photographs a second and a core, and processor seconds of a photograph, with a runner on each core."""
    call = ["batch", str(photographs), "-o", str(target), "--effort", effort, "--workers", "1", "--no-progress"]
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


def spend(command: str, photographs: Path, effort: str, core: int) -> float:
    """Return the processor seconds of a whole command and its processes, on one core."""
    with tempfile.TemporaryDirectory() as folder:
        call = [command, str(photographs), "-o", f"{folder}/out", "--effort", effort, "--workers", "1", "--quiet"]
        process = begin({core}, *call)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"velum {command} failed; see above")
    return usage.ru_utime + usage.ru_stime


def compare_runners(photographs: Path, rounds: int, effort: str, cores: list[int]) -> None:
    """Print what a photograph takes with one runner and with two."""
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for count, measured in found.items():
                target = Path(folder) / "out"
                rate, spent = measure(photographs, target, cores[:count], effort)
                measured.append((rate, spent))
                shutil.rmtree(target)
                print(f"{count} runner(s): {rate:.2f} photographs/s/core, {spent:.3f} processor s a photograph")
    for name, place in (("photographs/s/core", 0), ("processor s", 1)):
        once, twice = (median(values[place] for values in found[count]) for count in (1, 2))
        print(f"{name}: {once:.3f} with one, {twice:.3f} with two: {100 * (twice / once - 1):+.1f} %")


def compare_commands(photographs: Path, rounds: int, effort: str, core: int) -> None:
    """Print what a photograph takes in `velum batch` and in `velum hide`."""
    files = sorted(photographs.iterdir())
    spent: dict[str, list[float]] = {"hide": [], "batch": []}
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        few.mkdir()
        for file in files[:FEW]:
            shutil.copy(file, few)
        for number in range(COPIES):
            shutil.copytree(photographs, many / str(number))
        for _ in range(rounds):
            for command, seconds in spent.items():
                start = spend(command, few, effort, core)
                seconds.append((spend(command, many, effort, core) - start) / (COPIES * len(files) - FEW))
            print(", ".join(f"{command}: {seconds[-1]:.4f} processor s" for command, seconds in spent.items()))
    pairs = [batch / hide - 1 for hide, batch in zip(spent["hide"], spent["batch"], strict=True)]
    added = 1000 * (median(spent["batch"]) - median(spent["hide"]))
    print(f"batch adds {100 * median(pairs):+.1f} % ({added:+.1f} ms) to hide; {rounds} pairs, median")


def main() -> None:
    photographs, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    effort = sys.argv[3] if len(sys.argv) > 3 else "fast"
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.environ["VELUM_PRECISION"] = "f32"  # that of a batch
    compare_runners(photographs, rounds, effort, cores)
    compare_commands(photographs, rounds, effort, cores[0])


if __name__ == "__main__":
    main()
