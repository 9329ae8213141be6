"""Inputs run in a process of their own, so that a crash or a hang is an outcome like any other."""

import multiprocessing
import random
import resource
import signal
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bench.fuzz.mutate import mutate
from bench.fuzz.targets import CHECKS, TARGETS, run
from velum.errors import VelumError

BAD = frozenset({"fault", "crash", "hang"})
"""Outcomes that none may have."""

HANG_SECONDS = 10.0
MOST_MEMORY = 12 << 30
"""Address space of the child, in bytes: a claimed size that is believed shows as MemoryError, not as a slow machine."""

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input. `fault` says where, for what should not have happened."""

    target: str
    index: int
    kind: str
    fault: str = ""


def input_of(target: str, index: int, seed: int) -> bytes:
    """Return one input: the same for the same target, index and seed."""
    if target in CHECKS:
        return str(index).encode()
    rng = random.Random(f"{seed}/{target}/{index}")
    seeds = list(TARGETS[target].seeds())
    return mutate(rng.choice(seeds), seeds, rng)


def outcomes(target: str, count: int, seed: int, *, hang_seconds: float = HANG_SECONDS) -> Iterator[Outcome]:
    """Yield the outcome of each of `count` inputs."""
    index = 0
    while index < count:
        for outcome in _life(target, index, count, seed, hang_seconds):
            yield outcome
            index = outcome.index + 1


def _life(target: str, first: int, count: int, seed: int, hang_seconds: float) -> Iterator[Outcome]:
    """Yield outcomes until all are done, or the process dies or hangs, which is the last of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run.__module__])  # the parsers are imported once, not by every child
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, target, first, count, seed), daemon=True)
    process.start()
    theirs.close()
    index = first
    patience = START_SECONDS
    try:
        while index < count:
            if not ours.poll(patience):
                yield Outcome(target, index, "hang", f"no answer for {patience:g} s")
                return
            kind, fault = ours.recv()
            patience = hang_seconds
            if kind == "ready":
                continue
            yield Outcome(target, index, kind, fault)
            index += 1
    except (EOFError, ConnectionResetError):
        process.join(5)
        code = process.exitcode or 0
        yield Outcome(target, index, "crash", signal.Signals(-code).name if code < 0 else f"exit {code}")
    finally:
        process.kill()
        process.join()
        ours.close()


def _work(pipe: "Connection[object, object]", target: str, first: int, count: int, seed: int) -> None:
    warnings.simplefilter("ignore")  # decoders have much to say of such files
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    chosen = {**TARGETS, **CHECKS}[target]
    chosen.seeds()
    pipe.send(("ready", ""))
    for index in range(first, count):
        try:
            run(chosen, input_of(target, index, seed))
        except VelumError as error:
            pipe.send((type(error).__name__, ""))
        except Exception as error:  # noqa: BLE001 - what else comes out is what this looks for
            at = traceback.extract_tb(error.__traceback__)[-1]
            ours = [one for one in traceback.extract_tb(error.__traceback__) if "velum" in one.filename]
            where = ours[-1] if ours else at
            pipe.send(
                ("fault", f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error!s:.120}")
            )
        else:
            pipe.send(("value", ""))
