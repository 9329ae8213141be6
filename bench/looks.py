"""What the default finds in videos and what it costs, next to looks at every frame: recall, exposed faces, CPU time.

    python -m bench.looks --media ../shared/media [--frames 100] [--sizes 1080p 720p]

Clips have truth by a moving camera: `pan` moves over a wall of labelled photographs of crowds, `hand` shakes over two
such walls with a cut between them, both with noise; `one` is a clip of one face, enlarged. A face counts in a frame
where it is at least 12 pixels high and three fifths of it are in view, and is hidden where the default rule covers half
of it. False is the share of the frame that is hidden outside of all faces, enlarged by half; photographs have faces
without labels, so compare only. Time is processor time of the process, after one pass over the clip, so that models are
loaded. Decoding, hiding and encoding are measured by a run with given regions; the rest is finding and tracking.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from bench.accuracy import boxes_of, read_rgb
from bench.video import decode_frames
from velum import Annotations, Engine, Plan, RuntimeConfig
from velum.engine.apply import outline
from velum.plan import Video
from velum.region import Region

Boxes = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]
SIZES = {"1080p": (1920, 1080), "720p": (1280, 720)}
FPS = 25
CELL = (720, 540)
"""Size of each photograph in a wall, in pixels of 1080p."""
COLUMNS, ROWS = 5, 3
LEAST_HEIGHT, LEAST_VISIBLE, HALF = 12, 0.6, 0.5
PLANS = {
    "every frame": Plan(video=Video(every=1)), "balanced (default)": Plan(), "fast": Plan(effort="fast"),
    "thorough": Plan(effort="thorough"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MovingClip:
    """A clip, with the faces of each frame (n, 4) that must be hidden, and all that may be."""

    path: Path
    needed: list[Boxes]
    allowed: list[Boxes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan did to a clip: hidden faces by frame, false area, CPU seconds, and those with given regions."""

    hidden: list[npt.NDArray[np.bool_]]
    false: float
    cpu: float
    rest: float


def main() -> None:
    """Print one row for each size, clip and plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--clips", nargs="*", default=["pan", "hand", "one"])
    parser.add_argument("--plans", nargs="*", default=list(PLANS))
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    print("| size | clip | plan | hidden | of every frame's | lost | exposed | false | CPU ms | find and track |")
    print("|---|---|---|" + "--:|" * 7)
    with TemporaryDirectory() as folder:
        for size, name in product(args.sizes, args.clips):
            with Engine(host=RuntimeConfig(mode="throughput")) as engine:  # it compiles for few sizes only
                clip = CLIPS[name](Path(folder) / f"{name}-{size}.mp4", args.media, SIZES[size], args.frames)
                runs: dict[str, list[Outcome]] = {plan: [] for plan in args.plans}
                for _ in range(args.rounds):
                    for plan in args.plans:
                        runs[plan].append(measure(engine, clip, PLANS[plan], Path(folder)))
                for plan, outcomes in runs.items():
                    print(row(size, name, plan, outcomes, runs[args.plans[0]][0], args.frames), flush=True)


def row(size: str, name: str, plan: str, outcomes: Sequence[Outcome], full: Outcome, frames: int) -> str:
    """Return a row of the table; `full` is what looks at every frame find."""
    ours, theirs = (np.concatenate(item.hidden) if item.hidden else np.zeros(0, bool) for item in (outcomes[0], full))
    cpu, rest = (1000 * float(np.median([getattr(o, key) for o in outcomes])) / frames for key in ("cpu", "rest"))
    if not len(ours):
        return f"| {size} | {name} | {plan} | - | - | - | - | {outcomes[0].false:.2%} | {cpu:.0f} | {cpu - rest:.0f} |"
    lost = (theirs & ~ours).sum() / theirs.sum()
    shares = f"{ours.mean():.3f} | {ours.sum() / theirs.sum():.1%} | {lost:.1%} | {(~ours).sum()} of {len(ours)}"
    return f"| {size} | {name} | {plan} | {shares} | {outcomes[0].false:.2%} | {cpu:.0f} | {cpu - rest:.0f} |"


def measure(engine: Engine, clip: MovingClip, plan: Plan, folder: Path) -> Outcome:
    """Hide a clip twice, with and without localizers, and compare with the truth."""
    target, found = folder / "out.mp4", dict[int, tuple[Region, ...]]()
    warm_up(engine, clip, plan, target)
    begun = time.process_time()
    report = engine.hide(clip.path, target, plan, overwrite=True, on_regions=found.__setitem__)
    cpu = time.process_time() - begun
    given = Annotations(report.width, report.height, found)
    begun = time.process_time()
    engine.hide(clip.path, target, plan, overwrite=True, regions=given)
    rest = time.process_time() - begun
    hidden, false = [], []
    for index, (needed, allowed) in enumerate(zip(clip.needed, clip.allowed, strict=True)):
        mask = np.zeros((report.height, report.width), bool)
        for region in found.get(index, ()):
            area = outline(region, plan.rules[0], report.width, report.height)
            if area is not None:
                mask[area.box.slices] = True
        parts = [mask[y0:y1, x0:x1] for x0, y0, x1, y1 in needed.round().astype(int).clip(0).tolist()]
        hidden.append(np.array([bool(part.size and part.mean() >= HALF) for part in parts], bool))
        for x0, y0, x1, y1 in allowed.tolist():
            across, down = (x1 - x0) / 4, (y1 - y0) / 4
            mask[
                max(0, int(y0 - down)) : max(0, int(y1 + down)), max(0, int(x0 - across)) : max(0, int(x1 + across))
            ] = False
        false.append(mask.mean())
    return Outcome(hidden, float(np.mean(false)), cpu, rest)


def warm_up(engine: Engine, clip: MovingClip, plan: Plan, target: Path) -> None:
    """Load and compile the plan's models for frames of the clip's size."""
    engine.hide(clip.path, target, replace(plan, video=replace(plan.video, every=50)), overwrite=True)


def pan(path: Path, media: Path, size: tuple[int, int], frames: int) -> MovingClip:
    """Write a clip that pans and zooms over a wall of photographs."""
    wall, boxes = wall_of(media, 0)

    def view(t: float) -> tuple[float, float, float]:
        return 1300 + 1000 * t, 700 + 200 * np.sin(3 * t), 1.0 + 0.15 * np.sin(5 * t)

    return write(path, size, [(wall, boxes, view(i / frames)) for i in range(frames)])


def hand(path: Path, media: Path, size: tuple[int, int], frames: int) -> MovingClip:
    """Write a clip of a shaking hand, with a cut in its middle."""
    walls = [wall_of(media, 1), wall_of(media, 2)]
    steps = np.cumsum(np.random.default_rng(5).normal(0, 5, (frames, 2)), axis=0)
    return write(
        path, size,
        [(*walls[2 * i // frames], (1700 + steps[i, 0], 800 + steps[i, 1], 1.0)) for i in range(frames)],
    )  # fmt: skip


def one(path: Path, media: Path, size: tuple[int, int], frames: int) -> MovingClip:
    """Write a clip of one face, enlarged and to and fro; without truth."""
    shown = list(decode_frames(media / "video" / "face_gesture.mkv", size))
    encode(path, ((shown + shown[::-1])[i % (2 * len(shown))] for i in range(frames)), size)
    return MovingClip(path, [np.zeros((0, 4))] * frames, [np.zeros((0, 4))] * frames)


CLIPS: dict[str, Callable[[Path, Path, tuple[int, int], int], MovingClip]] = {"pan": pan, "hand": hand, "one": one}


def wall_of(media: Path, part: int) -> tuple[Picture, list[tuple[Boxes, Boxes]]]:
    """Return a wall of labelled photographs of crowds, and by photograph its labelled faces and those to ignore."""
    truth: dict[str, Any] = json.loads((media / "hard" / "ground_truth.json").read_text(encoding="utf-8"))
    names = sorted(name for name in truth if name.startswith("wider/"))[part::3][: COLUMNS * ROWS]
    wall = np.zeros((ROWS * CELL[1], COLUMNS * CELL[0], 3), np.uint8)
    boxes = []
    for number, name in enumerate(names):
        x, y = number % COLUMNS * CELL[0], number // COLUMNS * CELL[1]
        rgb = read_rgb(media / "hard" / name)
        wall[y : y + CELL[1], x : x + CELL[0]] = cv2.resize(rgb, CELL, interpolation=cv2.INTER_CUBIC)
        scale = np.array([CELL[0] / rgb.shape[1], CELL[1] / rgb.shape[0]] * 2)
        objects = [thing for thing in truth[name]["objects"] if thing["label"] == "face"]
        sets = (
            boxes_of([thing["bbox"] for thing in objects if bool(thing.get("ignore")) == flag])
            for flag in (False, True)
        )
        shown, ignored = (one * scale + (x, y, x, y) for one in sets)
        boxes.append((shown, ignored))
    return wall, boxes


def write(
    path: Path, size: tuple[int, int], views: Sequence[tuple[Picture, Any, tuple[float, float, float]]]
) -> MovingClip:
    """Write a clip of views (middle x, middle y, zoom; in pixels of the wall at 1080p), with its truth."""
    needed, allowed = [], []

    def pictures() -> Iterator[Picture]:
        rng = np.random.default_rng(0)
        for wall, boxes, (x, y, zoom) in views:
            scale = zoom * size[1] / 1080
            matrix = np.array([[scale, 0, size[0] / 2 - x * scale], [0, scale, size[1] / 2 - y * scale]])
            view = cv2.warpAffine(wall, matrix, size, flags=cv2.INTER_AREA)
            noise = rng.normal(0, 3, (size[1] // 2, size[0] // 2, 1)).repeat(2, 0).repeat(2, 1)
            sets = [np.concatenate(kind) * scale + np.tile(matrix[:, 2], 2) for kind in zip(*boxes, strict=True)]
            needed.append(visible(sets[0], size))
            allowed.append(np.concatenate(sets))
            yield np.clip(view[..., ::-1] + noise, 0, 255).astype(np.uint8)

    encode(path, pictures(), size)
    return MovingClip(path, needed, allowed)


def visible(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Return the boxes that are large enough and enough in view, clipped to the view."""
    clipped = np.clip(boxes, 0, [*size, *size])
    areas, shown = (np.prod(item[:, 2:] - item[:, :2], axis=1) for item in (boxes, clipped))
    kept: Boxes = clipped[(shown >= LEAST_VISIBLE * areas) & (boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT)]
    return kept


def encode(path: Path, pictures: Iterator[Picture], size: tuple[int, int]) -> None:
    """Write BGR pictures as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
