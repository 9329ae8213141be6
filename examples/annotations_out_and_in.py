"""Look first, correct, then hide: annotations go out as JSON and come back in.

Between the two, a person or a program adds what a model missed, and takes out what it mistook. On the command line that
is `velum locate photo.png -o photo.regions.json` and `velum hide photo.png --regions photo.regions.json`.
"""

import json
from pathlib import Path
from tempfile import mkdtemp

from PIL import Image

from velum import Annotations, Engine, Plan, Report

PLAN = Plan.of("zone: fixed(box=[10, 10, 50, 50]) -> blacken")


def main(folder: Path) -> Report:
    """Return the report of a picture in which one region was found and another was added."""
    photo, written = folder / "photo.png", folder / "photo.regions.json"
    Image.new("RGB", (160, 120), (220, 220, 220)).save(photo)
    with Engine() as engine:
        written.write_text(json.dumps(engine.locate(photo, PLAN).to_json(), indent=2))

        document = json.loads(written.read_text())
        document["frames"][0]["regions"].append({"label": "zone", "xyxy": [100, 60, 140, 110]})
        written.write_text(json.dumps(document))

        corrected = Annotations.from_json(json.loads(written.read_text()))
        return engine.hide(photo, folder / "photo.hidden.png", PLAN, regions=corrected)


if __name__ == "__main__":
    folder = Path(mkdtemp())
    print(main(folder).labels, folder / "photo.hidden.png")
