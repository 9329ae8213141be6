"""Evaluate a plan on pictures that people have labelled: how much does it find.

The plan here knows one zone, and two of three labelled objects lie there. To evaluate a model, name it in the rule:
`face: yunet -> blacken`.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from PIL import Image

PLAN = "zone: fixed(box=[20, 20, 60, 60]) -> blacken"


def main(folder: Path) -> dict[str, Any]:
    """Return what `velum evaluate --json` says."""
    truth = {}
    for name, box in (("one.png", [20, 20, 60, 60]), ("two.png", [22, 22, 60, 62]), ("three.png", [90, 60, 130, 100])):
        Image.new("RGB", (160, 120), (150, 150, 150)).save(folder / name)
        objects = [{"label": "zone", "bbox": box}]
        truth[name] = {"width": 160, "height": 120, "exhaustive": ["zone"], "objects": objects}
    (folder / "truth.json").write_text(json.dumps(truth))
    command = ["evaluate", "--truth", "truth.json", "--media", ".", "--rule", PLAN, "--json"]
    output = subprocess.run(
        [sys.executable, "-m", "velum", *command], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    result: dict[str, Any] = json.loads(output)
    return result


if __name__ == "__main__":
    print(json.dumps(main(Path(mkdtemp())), indent=2))
