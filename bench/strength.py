"""How often attackers tell whose face was hidden, for each technique and degree: `python -m bench.strength`.

Faces of the labelled photographs, at least 32 pixels tall, each person once.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from bench.accuracy import read_rgb
from velum.engine.part_cache import PartCache
from velum.evaluation.reidentification.attack import HEADING, TECHNIQUES, AttackTrial, describe_chance, result_row
from velum.evaluation.reidentification.samples import sample
from velum.frame import Rgb
from velum.plugins import RuntimeConfig
from velum.region import Box
from velum.spec import PartSpec

MIN_HEIGHT = 32


def samples(media: Path) -> Iterator[Rgb]:
    truth = json.loads((media / "ground_truth.json").read_text(encoding="utf-8"))
    for name, entry in sorted(truth.items()):
        # Those in "odd" are the same photographs again.
        if name.split("/")[0] not in {"faces", "street"}:
            continue
        faces = [one for one in entry.get("objects", []) if one["label"] == "face"]
        boxes = [Box.around(*one["bbox"]) for one in faces if not one.get("ignore") and not one.get("region")]
        if boxes := [box for box in boxes if box.height >= MIN_HEIGHT]:
            rgb = read_rgb(media / name)
            yield from (sample(rgb, box) for box in boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder with ground_truth.json")
    trial = AttackTrial(list(samples(parser.parse_args().media)))
    parts = PartCache(RuntimeConfig())
    for text in ("nothing", *TECHNIQUES):
        technique = None if text == "nothing" else parts.technique(PartSpec.parse(text))
        results = list(trial.results(text, technique))
        if technique is None:
            print(f"\n{describe_chance(results[0])}\n\n| {' | '.join(HEADING)} |\n{'|---' * len(HEADING)}|")
        for result in results:
            print(f"| {' | '.join(result_row(result))} |", flush=True)


if __name__ == "__main__":
    main()
