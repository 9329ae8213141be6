"""What durability costs: a clip as a job of `velum worker` next to the plain command on it, in turns.

Both are processes of their own, from their start to their end; the job's file is put into the store, too. Processor
seconds are those of the processes and their children, and hardly differ when others use the machine.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import av
import numpy as np

from velum import Plan
from velum.frame import Rgb
from velum.jobs import Database, FolderStore, JobQueue, State, Submission

SHARED = Path(__file__).parents[2] / "shared"
SIZE = (1920, 1080)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--segments", type=float, nargs="+", default=[60.0, 20.0], help="seconds of a segment")
    given = parser.parse_args()
    model = SHARED / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"
    rule = "face: yunet -> pixelate" if model.is_file() else "zone: fixed(box=[40, 40, 200, 200]) -> pixelate"
    with tempfile.TemporaryDirectory(prefix="velum-bench-") as name:
        folder = Path(name)
        write_clip(clip := folder / "clip.mp4", given.seconds)
        ways: dict[str, list[tuple[float, float]]] = {
            way: [] for way in ("plain", *(f"{one:g} s" for one in given.segments))
        }
        for _ in range(given.rounds):
            ways["plain"].append(time_command(clip, rule, model))
            for span in given.segments:
                ways[f"{span:g} s"].append(time_job(clip, rule, model, span))
            print({way: figures[-1] for way, figures in ways.items()}, file=sys.stderr, flush=True)
        print(f"1080p clip of {given.seconds} s, {rule}, medians of {given.rounds}")
        print("| | wall, s | processor, s | more wall, % | more processor, % |\n|---|--:|--:|--:|--:|")
        base = [statistics.median(values) for values in zip(*ways["plain"], strict=True)]
        for way, figures in ways.items():
            both = [statistics.median(values) for values in zip(*figures, strict=True)]
            more = [100 * (one / of - 1) for one, of in zip(both, base, strict=True)]
            told = "`velum hide`" if way == "plain" else f"job, segments of {way}"
            print(f"| {told} | {both[0]:.1f} | {both[1]:.1f} | {more[0]:+.1f} | {more[1]:+.1f} |")


def time_command(clip: Path, rule: str, model: Path) -> tuple[float, float]:
    """Return the wall and processor seconds of the command."""
    target = clip.with_name("plain.mp4")
    command = [sys.executable, "-m", "velum", "hide", str(clip), "-o", str(target), "-r", rule, "--overwrite"]
    before, began = children_cpu_seconds(), time.monotonic()
    subprocess.run(command, check=True, cwd=clip.parent, env=environment(model), capture_output=True)
    return time.monotonic() - began, children_cpu_seconds() - before


def time_job(clip: Path, rule: str, model: Path, span: float) -> tuple[float, float]:
    """Return the same of a worker that does it as a job; wall seconds up to the published result."""
    with tempfile.TemporaryDirectory(dir=clip.parent) as name:
        folder = Path(name)
        url, store = f"sqlite:///{folder}/jobs.sqlite", FolderStore(folder / "store")
        database = Database(url)
        desk, env = JobQueue(database, store), environment(model, folder, span)
        before, began = children_cpu_seconds(), time.monotonic()
        with clip.open("rb") as file:
            key = store.put(iter(lambda: file.read(1 << 20), b"")).key
        handed = desk.submit(Submission(key, clip.name, Plan.of(rule)))
        with subprocess.Popen([sys.executable, "-m", "velum", "worker"], cwd=folder, env=env, stderr=-3) as worker:
            while (now := desk.get(handed.id)) is not None and not now.state.is_final:
                time.sleep(0.1)
            spent = time.monotonic() - began
            worker.send_signal(signal.SIGTERM)
        database.close()
        assert now is not None
        assert now.state is State.DONE, now.message
        return spent, children_cpu_seconds() - before


def environment(model: Path, folder: Path | None = None, span: float = 60.0) -> dict[str, str]:
    """Return the environment, with the settings in it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("VELUM_")}
    if model.is_file():
        env["VELUM_WEIGHTS_YUNET"] = str(model)
    if folder is not None:
        env |= {"VELUM_JOBS_DATA": str(folder), "VELUM_JOBS_SPAN_SECONDS": str(span)}
    return env


def children_cpu_seconds() -> float:
    """Return the processor seconds of all children that have ended."""
    spent = getrusage(RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def write_clip(clip: Path, seconds: int) -> None:
    """Write a clip with a key frame in every second: a street at night with many people, over and over."""
    with av.open(str(clip), "w") as container:
        options = {"preset": "veryfast", "g": "25", "sc_threshold": "0"}
        stream = container.add_stream("libx264", 25, options=options)
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for index, pixels in enumerate(islice(draw_frames(), 25 * seconds)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(*SIZE, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def draw_frames() -> Iterator[Rgb]:
    source = SHARED / "media" / "video" / "crowd_night.mp4"
    if not source.is_file():
        ground = np.random.default_rng(0).integers(0, 255, (108, 192, 3), dtype=np.uint8)
        yield from (np.roll(ground, index, 1) for index in range(1 << 20))
        return
    with av.open(str(source)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    yield from cycle([*frames, *reversed(frames)])


if __name__ == "__main__":
    main()
