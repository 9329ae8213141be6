"""Processor time of whole commands: one photograph, and a folder of photographs, beside deface on the same files.

    python -m bench.command_line PHOTO [--folder FOLDER] [--deface COMMAND] [--rounds N]

Commands take turns, the first round is not counted, figures are medians: processor time of the process and its
children, and the time from start to end. `like deface` is CenterFace at full size with deface's threshold, blurred.
Compiled networks and Python's own cache are as the second and later runs find them.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

EFFORTS: Mapping[str, Sequence[str]] = {
    "fast": ["--effort", "fast"],
    "balanced": [],
    "like deface": ["--rule", "face: centerface(min_side=16, threshold=0.2) -> blur"],
}


def run(command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return the seconds of processor time that it took, and those from its start to its end."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # Python's cache of compiled modules is part of any installation.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, time.perf_counter() - start


def compare(source: Path, deface: str, rounds: int) -> None:
    """Print a row for each effort and for deface, on a photograph or on those of a folder."""
    velum = [sys.executable, "-m", "velum", "hide", str(source), "--quiet", "-o"]
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in (*EFFORTS, *(["deface"] if deface else []))}
    for count in range(rounds + 1):
        for name, times in took.items():
            with TemporaryDirectory() as folder:
                if name != "deface":
                    command = [*velum, str(Path(folder, "out" if source.is_dir() else "out.jpg")), *EFFORTS[name]]
                else:  # it writes beside its sources
                    copy = Path(folder, "in")
                    copy.mkdir()
                    for file in sorted(source.iterdir()) if source.is_dir() else [source]:
                        shutil.copy(file, copy)
                    command = [deface, *map(str, sorted(copy.iterdir())), "--backend", "onnxrt"]
                result = run(command)
            if count:
                times.append(result)
    for name, times in took.items():
        cpu, wall = map(statistics.median, zip(*times, strict=True))
        print(f"| {source.name} | {name} | {cpu:.2f} | {wall:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--deface", default="", metavar="COMMAND")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print("| source | command | CPU s | wall s |\n|---|---|--:|--:|")
    for source in filter(None, (given.photo, given.folder)):
        compare(source, given.deface, given.rounds)


if __name__ == "__main__":
    main()
