"""Put a plan together in Python, keep it in a file, and read it back.

A plan that is made of objects is the same as one that is written as text: equal plans have equal digests.
"""

from pathlib import Path
from tempfile import mkdtemp

from PIL import Image

from velum import Engine, PartSpec, Plan, Report, Rule


def main(folder: Path) -> tuple[Plan, Report]:
    """Return the plan, as it was read back from its file, and the report of a picture that was hidden with it."""
    clock = Rule("zone", PartSpec("fixed", {"box": (0, 0, 60, 20)}), PartSpec("blacken"))
    monitor = Rule("zone", PartSpec("fixed", {"box": (80, 40, 160, 120)}), PartSpec("pixelate", {"degree": 0.1}))
    plan = Plan((clock, monitor), metadata=("datetime",), quality=90)
    (folder / "plan.toml").write_text(plan.to_toml())
    kept = Plan.from_toml((folder / "plan.toml").read_text())
    print("the same plan:", kept.digest == plan.digest)

    Image.new("RGB", (160, 120), (120, 160, 200)).save(folder / "office.jpg")
    with Engine() as engine:
        return kept, engine.hide(folder / "office.jpg", folder / "office.hidden.jpg", kept)


if __name__ == "__main__":
    plan, report = main(Path(mkdtemp()))
    print(plan.to_toml())
    print(f"hidden: {dict(report.labels)}")
