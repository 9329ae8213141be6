"""Video next to deface 1.5.0: frames and CPU seconds, memory, and how well faces are hidden, in one run, taking turns.

    python -m bench.video --media ../shared/media [--seconds 60] [--rounds 3]

The clips are made from the labelled ones: a wall of four, looped. Each run is a whole process. CPU seconds and memory
are the operating system's own account of it, the loading of models included. `default` and `fast` are what velum does
by itself; the other rows look at frames 640 pixels wide, as deface is told to, but for deface at full size.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
WALL = ("face_gesture.mkv", "face_tshirt_print.mkv", "chaplin_bw_audio.mp4", "makeup_closeup_audio.avi")
SIZES = {"1080p": (1920, 1080), "720p": (1280, 720)}
INPUT_WH = (640, 360)
FPS = 30
HIDDEN_ERROR = 150.0
"""Mean squared error of a block, 26 dB."""

VELUM = "from velum.cli.main import run; run()"
DEFACE = "from deface.deface import main; main()"
PEAK = """
import atexit, sys
def tell():
    status = open("/proc/self/status").read()
    print("peak", status.split("VmHWM:")[1].split()[0], file=sys.stderr)
atexit.register(tell)
"""


@dataclass(frozen=True)
class Run:
    """One finished process."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    chosen = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        print("| clip | tool | fps | times deface | CPU s per frame | peak MB | PSNR, dB |\n" + "|---" * 7 + "|")
        for size in chosen.sizes:
            clip = folder / f"{size}.mp4"
            write_wall(clip, chosen.media / "video", SIZES[size], chosen.seconds)
            compare(clip, SIZES[size], chosen.seconds * FPS, chosen.rounds)


def write_wall(clip: Path, folder: Path, size: tuple[int, int], seconds: int) -> None:
    """Write a wall of four looped clips."""
    half = size[0] // 2, size[1] // 2
    sources = [cycle(list(decode_frames(folder / name, half))) for name in WALL]
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(seconds * FPS):
            a, b, c, d = (next(source) for source in sources)
            picture = np.vstack([np.hstack([a, b]), np.hstack([c, d])])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())


def decode_frames(clip: Path, size: tuple[int, int]) -> Iterator[Picture]:
    """Decode at most two seconds of a clip, scaled."""
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 2 * FPS:
                return
            picture: Picture = cv2.resize(frame.to_ndarray(format="bgr24"), size)  # type: ignore[assignment]
            yield picture


def commands(clip: Path, out: Path, size: tuple[int, int]) -> dict[str, list[str]]:
    """Return the command of each contender."""
    rule = f"face: centerface(min_side={round(16 * size[0] / INPUT_WH[0])}) -> blur with shape=ellipse"
    plain = [sys.executable, "-c", PEAK + VELUM, "hide", str(clip), "-o", str(out), "--overwrite"]
    velum = [*plain, "--rule", rule]
    deface = [sys.executable, "-c", PEAK + DEFACE, str(clip), "-o", str(out), "--backend", "onnxrt"]
    return {
        "deface": [*deface, "--scale", f"{INPUT_WH[0]}x{INPUT_WH[1]}"],
        "deface, full size": deface,
        "velum, deface's encoder settings": [*velum, "--preset", "medium", "--crf", "25"],
        "velum, 640 wide": velum,
        "velum, default": plain,
        "velum, fast": [*plain, "--effort", "fast"],
    }


def compare(clip: Path, size: tuple[int, int], count: int, rounds: int) -> None:
    """Run every contender in turn and print its row."""
    outs = {name: clip.with_name(f"out{i}.mp4") for i, name in enumerate(commands(clip, clip, size))}
    runs: dict[str, list[Run]] = {name: [] for name in outs}
    for _ in range(rounds):
        for name, out in outs.items():
            runs[name].append(run_command(commands(clip, out, size)[name]))
    for name, done in runs.items():
        fps = count / statistics.median(run.wall_seconds for run in done)
        pairs = zip(runs["deface"], done, strict=True)
        ratio = statistics.median(theirs.wall_seconds / ours.wall_seconds for theirs, ours in pairs)
        cpu = statistics.median(run.cpu_seconds for run in done) / count
        peak = max(run.peak_mb for run in done)
        quality = psnr(clip, outs[name])
        print(
            f"| {clip.stem} | {name} | {fps:.1f} | {ratio:.1f} | {cpu:.3f} | {peak:.0f} | {quality:.1f} |", flush=True
        )


def run_command(command: list[str]) -> Run:
    """Run a command to its end."""
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}\n{done.stderr}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    peaks = [int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("peak ")]
    return Run(wall, cpu, max(peaks, default=0) / 1024)


def psnr(source: Path, result: Path, step: int = 15) -> float:
    """Return the PSNR of luma outside what was hidden, over every `step`-th frame.

    Blocks of 16 x 16 samples with an error that compression does not reach, and those around them, count as hidden.
    """
    errors = []
    with av.open(str(source)) as one, av.open(str(result)) as two:
        pairs = zip(one.decode(video=0), two.decode(video=0), strict=False)
        for number, (a, b) in enumerate(pairs):
            if number % step:
                continue
            before, after = (np.asarray(frame.to_ndarray(format="gray"), np.float64) for frame in (a, b))
            rows, columns = before.shape
            if after.shape != before.shape:  # deface's writer enlarges pictures to a multiple of 16
                after = np.asarray(cv2.resize(after, (columns, rows), interpolation=cv2.INTER_AREA))
            squares = ((before - after) ** 2)[: rows // 16 * 16, : columns // 16 * 16]
            blocks = squares.reshape(rows // 16, 16, columns // 16, 16).mean(axis=(1, 3))
            hidden = cv2.dilate((blocks > HIDDEN_ERROR).astype(np.uint8), np.ones((3, 3), np.uint8))
            errors.append(blocks[np.asarray(hidden) == 0].mean())
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9)))


if __name__ == "__main__":
    main()
