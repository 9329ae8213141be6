"""How well faces are hidden in videos, frame by frame, by effort and without tracking, next to deface's detector.

    python -m bench.exposure --media ../shared/media

Every labelled frame of every clip counts. Both tools look at full size and hide as they do by default. A face counts as
hidden to 50 (90) percent when that share of its box is; a frame is exposed when any of its faces is hidden less than
half. Flicker counts, over all frames, how often a cell of a 32 by 32 grid that is hidden shows for at most three frames
and is hidden again.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from bench.accuracy import boxes_of, hidden_share, hide_ellipse
from velum import Engine, Plan
from velum.engine.apply import outline
from velum.frame import Rgb
from velum.plan import Video
from velum.region import Mask

SHORT_GAP = 3
PLANS = {
    "velum, default": Plan(), "velum, fast": Plan(effort="fast"), "velum, thorough": Plan(effort="thorough"),
    "velum, every frame": Plan(video=Video(every=1)),
    "velum, every frame, before": Plan.of(
        "face: centerface(threshold=0.2, min_side=16) -> blacken", video=Video(every=1)
    ), "velum, not tracked": Plan(video=Video(track=False)),
}  # fmt: skip


@dataclass
class Tally:
    shares: list[float] = field(default_factory=list)
    exposed: int = 0
    frames: int = 0
    flickers: int = 0
    area: list[float] = field(default_factory=list)

    def row(self) -> str:
        values = np.array(self.shares)
        half, most = (f"{(values >= level).mean():.3f}" for level in (0.5, 0.9))
        return f"{half} | {most} | {self.exposed} of {self.frames} | {self.flickers} | {np.mean(self.area):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--tools", nargs="*", default=[*PLANS, "deface"])
    chosen = parser.parse_args()
    truth = json.loads((chosen.media / "ground_truth.json").read_text(encoding="utf-8"))
    tallies = {name: Tally() for name in chosen.tools}
    for name, entry in sorted(truth.items()):
        faces = {
            int(index): boxes_of([one["bbox"] for one in objects if one["label"] == "face" and not one.get("ignore")])
            for index, objects in entry.get("objects_by_frame", {}).items()
        }
        if not any(len(boxes) for boxes in faces.values()):
            continue
        for tool, masks in hidden_by(chosen.media / name, chosen.tools).items():
            add_clip(tallies[tool], masks, faces)
    print("| tool | hidden to 50 % | hidden to 90 % | exposed frames | flickers | hidden area |\n" + "|---" * 6 + "|")
    for tool, tally in tallies.items():
        print(f"| {tool} | {tally.row()} |")


def hidden_by(clip: Path, tools: Sequence[str]) -> dict[str, list[Mask]]:
    """Return, for each tool, what it hides in each frame."""
    found: dict[str, list[Mask]] = {}
    with Engine() as engine:
        for tool, plan in ((tool, PLANS[tool]) for tool in tools if tool in PLANS):
            findings = engine.locate(clip, plan)
            found[tool] = []
            for index in range(max(findings.frames) + 1):
                mask = np.zeros((findings.height, findings.width), bool)
                for region in findings.frames.get(index, ()):
                    area = outline(region, plan.rules[0], findings.width, findings.height)
                    if area is not None:
                        mask[area.box.slices] = True
                found[tool].append(mask)
    if "deface" not in tools:
        return found
    from deface.centerface import CenterFace  # noqa: PLC0415 - optional, and slow to import

    model = CenterFace(backend="onnxrt")
    found["deface"] = []
    for rgb in decode_clip(clip):
        mask = np.zeros(rgb.shape[:2], bool)
        for xyxy in model(rgb, threshold=0.2)[0][:, :4].astype(int):
            hide_ellipse(mask, xyxy)
        found["deface"].append(mask)
    return found


def decode_clip(clip: Path) -> Iterator[Rgb]:
    """Decode a clip to upright pictures."""
    if clip.suffix == ".gif":
        with Image.open(clip) as image:
            for index in range(image.n_frames):  # type: ignore[attr-defined]  # of the classes for each format
                image.seek(index)
                yield np.asarray(image.convert("RGB"))
        return
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def add_clip(tally: Tally, masks: list[Mask], faces: dict[int, Any]) -> None:
    """Add one clip."""
    for index, boxes in faces.items():
        shares = [hidden_share(masks[index], xyxy) for xyxy in boxes]
        tally.shares += shares
        tally.frames += bool(shares)
        tally.exposed += any(one < 0.5 for one in shares)
    tally.flickers += count_flickers(masks)
    tally.area += [float(mask.mean()) for mask in masks]


def count_flickers(masks: Iterable[Mask]) -> int:
    """Count cells of a 32 by 32 grid that show for at most three frames between frames in which they are hidden."""
    grids = np.array([Image.fromarray(mask).resize((32, 32), Image.Resampling.NEAREST) for mask in masks])
    total = 0
    for cell in grids.reshape(len(grids), -1).T:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], cell.astype(int), [0]))))
        starts, ends = edges[::2], edges[1::2]
        total += int(np.count_nonzero(starts[1:] - ends[:-1] <= SHORT_GAP))
    return total


if __name__ == "__main__":
    main()
