"""Mutated inputs for every parser: `python -m bench.fuzz --inputs 100000 --seed 1`. Ends with 1 when any fails."""

import argparse
import sys
import time
from collections import Counter

from bench.fuzz.apart import BAD, outcomes
from bench.fuzz.targets import TARGETS


def main() -> None:
    """Print outcomes by target, and every input that ended as none may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(TARGETS), help="one target alone")
    given = parser.parse_args()
    chosen = [TARGETS[given.only]] if given.only else list(TARGETS.values())
    whole = sum(target.weight for target in chosen)
    total: Counter[str] = Counter()
    faults: dict[str, tuple[str, int, int]] = {}
    print("| target | inputs | values | errors of velum | faults | crashes | hangs | seconds |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for target in chosen:
        start, count = time.perf_counter(), Counter[str]()
        for one in outcomes(target.name, -(-given.inputs * target.weight // whole), given.seed):
            count[one.kind] += 1
            if one.kind in BAD:
                key = f"{target.name}: {one.kind}: {one.fault}"
                name, index, times = faults.get(key, (target.name, one.index, 0))
                faults[key] = name, index, times + 1
        _row(target.name, count, f"{time.perf_counter() - start:.0f}")
        total += count
    _row("all", total, "")
    for key, (_, index, times) in faults.items():
        print(f"- {key} ({times} times; first is input {index})")
    sys.exit(1 if faults else 0)


def _row(name: str, count: Counter[str], seconds: str) -> None:
    errors = sum(times for kind, times in count.items() if kind not in {*BAD, "value"})
    cells = [sum(count.values()), count["value"], errors, count["fault"], count["crash"], count["hang"]]
    print(f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
