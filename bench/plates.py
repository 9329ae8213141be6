"""What finds license plates, how much of them it hides, and what it costs.

    python -m bench.plates --media ../shared/media/hard [--weights lpd-yunet-2022=../shared/models/lpd_yunet/FILE.onnx]

Every picture of the folder is looked at as `velum hide` looks at it. A plate counts as found when a box overlaps it at
IoU 0.3, one box a plate; as covered by the share of its box that the default rule hides. Finds are all boxes, right and
wrong: where one plate a picture is labelled, the others must not count as false. Time is processor time of the whole
process, after one picture that is not counted. Halves are by the first bit of the SHA-256 of a picture's name: what is
chosen on one must hold on the other.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.accuracy import boxes_of, match_boxes
from bench.effort import hidden_shares
from velum import Engine, Plan
from velum.plan import Effort
from velum.plugins import RuntimeConfig
from velum.region import ious

LABEL = "license_plate"
BARRIER = "vehicle-license-plate-detection-barrier-0106"
ROWS: tuple[tuple[str, str, Effort], ...] = (
    ("fast", "lpd-yunet", "fast"),
    ("balanced", "lpd-yunet", "balanced"),
    ("thorough", "lpd-yunet", "thorough"),
    ("threshold 0.3, 16 pixels", "lpd-yunet-2022(threshold=0.3, min_side=16)", "balanced"),
    ("text of a plate's shape", "text(shape='plate')", "balanced"),
    ("all text", "text", "balanced"),
    ("barrier-0106", BARRIER, "balanced"),
)


@dataclass(frozen=True)
class Outcome:
    """What was found in one picture: for each plate whether it was found, and its hidden share; boxes; time."""

    name: str
    found: tuple[bool, ...]
    hidden: tuple[float, ...]
    boxes: int
    cpu_seconds: float

    @property
    def half(self) -> int:
        """The half that the picture belongs to, 0 or 1."""
        return hashlib.sha256(Path(self.name).name.encode()).digest()[0] & 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--folder", default="plates")
    parser.add_argument("--weights", nargs="*", default=[], metavar="MODEL=FILE")
    parser.add_argument("--rows", nargs="*", help="Titles of the rows to measure. Default: all.")
    args = parser.parse_args()
    truth = json.loads((args.media / "ground_truth.json").read_text(encoding="utf-8"))
    names = sorted(name for name in truth if name.startswith(args.folder + "/"))
    weights = {name: Path(file) for name, _, file in (text.partition("=") for text in args.weights)}
    print("| | found | half covered | 90 % covered, of those found | boxes a picture | CPU ms |")
    print("|---|--:|--:|--:|--:|--:|")
    with Engine(host=RuntimeConfig(weights=weights)) as engine:
        for title, locate, effort in ROWS:
            if args.rows and title not in args.rows:
                continue
            label = "text" if locate == "text" else LABEL
            plan = Plan.of(f"{label}: {locate} -> blacken", effort=effort)
            outcomes = list(measure(engine, plan, args.media, truth, names))
            print(row(title, outcomes))
            for half in (0, 1):
                chosen = [outcome for outcome in outcomes if outcome.half == half]
                print(row(f"{title}, half {half + 1}", chosen), flush=True)


def measure(engine: Engine, plan: Plan, media: Path, truth: dict[str, Any], names: Sequence[str]) -> Iterator[Outcome]:
    engine.locate(media / names[0], plan)
    for name in names:
        begun = time.process_time()
        annotations = engine.locate(media / name, plan)
        spent = time.process_time() - begun
        regions = sorted(annotations.frames.get(0, ()), key=lambda region: -region.score)
        plates = boxes_of([thing["bbox"] for thing in truth[name]["objects"] if thing["label"] == LABEL])
        pairs = match_boxes(ious(boxes_of([region.box.xyxy for region in regions]), plates), len(plates))
        hidden = hidden_shares(regions, plates, truth[name]["width"], truth[name]["height"], plan.rules[0].grow)
        found = tuple(j in pairs.values() for j in range(len(plates)))
        yield Outcome(name, found, tuple(hidden), len(regions), spent)


def row(title: str, outcomes: Sequence[Outcome]) -> str:
    found = [hit for outcome in outcomes for hit in outcome.found]
    hidden = [share for outcome in outcomes for share in outcome.hidden]
    of_found = [share for share, hit in zip(hidden, found, strict=True) if hit]
    shares = (
        sum(found) / len(found),
        sum(share >= 0.5 for share in hidden) / len(hidden),
        sum(share >= 0.9 for share in of_found) / max(len(of_found), 1),
    )
    boxes, seconds = (sum(getattr(outcome, key) for outcome in outcomes) for key in ("boxes", "cpu_seconds"))
    cells = [f"{100 * share:.1f}" for share in shares]
    return f"| {title} | {' | '.join(cells)} | {boxes / len(outcomes):.2f} | {1000 * seconds / len(outcomes):.0f} |"


if __name__ == "__main__":
    main()
