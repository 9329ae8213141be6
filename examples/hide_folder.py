"""Hide the same zone in every picture of a folder.

The engine loads models once. A file that cannot be read stops nothing else, and leaves no output. On the command line
that is `velum hide photos/ -o safe/`.
"""

from pathlib import Path
from tempfile import mkdtemp

from PIL import Image

from velum import Engine, Plan, VelumError

# In your own folder: Plan.of("face: centerface -> blacken")
PLAN = Plan.of("zone: fixed(box=[40, 20, 120, 100]) -> blacken")


def main(folder: Path) -> dict[str, str]:
    """Return what became of each file of a folder `photos`, by its name; results are in `safe`."""
    draw(folder / "photos")
    (folder / "safe").mkdir()
    results = {}
    with Engine() as engine:
        for source in sorted((folder / "photos").iterdir()):
            try:
                report = engine.hide(source, folder / "safe" / source.name, PLAN)
            except VelumError as error:
                results[source.name] = f"failed: {error}"
            else:
                results[source.name] = f"hid {sum(report.labels.values())}"
    return results


def draw(photos: Path) -> None:
    """Make two pictures, and a file that is none."""
    photos.mkdir()
    for name, grey in (("one.jpg", 90), ("two.png", 180)):
        Image.new("RGB", (160, 120), (grey, grey, grey)).save(photos / name)
    (photos / "broken.jpg").write_bytes(b"this is no picture")


if __name__ == "__main__":
    folder = Path(mkdtemp())
    for name, result in main(folder).items():
        print(f"{name}: {result}")
    print(f"results are in {folder / 'safe'}")
