"""Makes the pictures of the README: `make pictures`. What they show is drawn, and velum hides it."""

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from docs.pictures.street import HEIGHT, PEOPLE, PLATE, WIDTH, Canvas, draw, plate, scaled
from PIL import Image, ImageDraw, ImageFont

from velum import Annotations, Engine, PartSpec, Plan, Region

FOLDER = Path(__file__).parent
BRAND, PAPER = "#1a6b5f", "#ffffff"
STILL, CLIP = 1.0, 0.875
"""Pixels for each unit of the street."""

SECONDS, FPS = 6, 12
GAP, CORNER = 16, 12

PLAN = Plan.of(
    "face: centerface -> pixelate(degree=0.1) with shape=ellipse, grow=0",
    "license_plate: lpd-yunet -> blur with grow=0.05",
)  # fmt: skip
"""Says what is done with each label. Where things are is known here: no model looks for them."""

OWN = {"ida": "blacken", "jon": "blur"}
"""Techniques of single people, in place of the plan's."""


def regions(turn: float, scale: float) -> tuple[Region, ...]:
    """Return the plate and every face, in pixels."""
    found = [(edges, "license_plate", "") for edges in plate(turn)]
    found += [(person.face(turn), "face", person.name) for person in PEOPLE]
    return tuple(
        Region(box, label, technique=PartSpec.parse(OWN[name]) if name in OWN else None)
        for edges, label, name in found
        if (box := scaled(edges, scale)) is not None
    )


def hidden_still(engine: Engine, before: Image.Image) -> Image.Image:
    """Return the picture as velum leaves it."""
    findings = Annotations(before.width, before.height, {0: regions(0, STILL)})
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "street.png"), Path(folder, "street.hidden.png")
        before.save(source)
        engine.hide(source, target, PLAN, regions=findings)
        with Image.open(target) as image:
            return image.convert("RGB")


def hidden_clip(engine: Engine, frames: list[Image.Image]) -> list[Image.Image]:
    """Return the frames of a clip as velum leaves them, in a format that loses nothing."""
    width, height = frames[0].size
    findings = Annotations(width, height, {n: regions(n / len(frames), CLIP) for n in range(len(frames))})
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "street.mkv"), Path(folder, "street.hidden.mkv")
        with av.open(str(source), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(FPS))
            stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), "rgb24")))
            container.mux(stream.encode())
        engine.hide(source, target, PLAN, regions=findings)
        with av.open(str(target)) as container:
            return [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def label(image: Image.Image, x: float, y: float, text: str, size: float, fill: str = BRAND, ink: str = PAPER) -> None:
    """Write on a plaque around (x, y), in pixels."""
    half = round(ImageFont.load_default(size).getlength(text) / 2 + 0.75 * size)
    patch = Image.new("RGBA", (8 * half, round(8 * size)))
    canvas = Canvas(patch, 4)
    canvas.rectangle((0, 0.05 * size, 2 * half, 1.95 * size), fill, 0.95 * size)
    canvas.text(half, 1.04 * size, text, size, ink, 0.25)
    smooth = patch.reduce(4)
    image.paste(smooth, (round(x - half), round(y - size)), smooth)


def rounded(image: Image.Image) -> Image.Image:
    """Return the picture with round corners, smooth at their edges."""
    mask = Image.new("L", (image.width * 4, image.height * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), CORNER * 4, fill=255)
    image.putalpha(mask.reduce(4))
    return image


def before_after(engine: Engine) -> Image.Image:
    """Return both pictures next to each other, with what was done written below each place."""
    before = draw(0, STILL)
    after = hidden_still(engine, before)
    for person in PEOPLE:
        x, y = person.at(0)
        label(after, x, y + 1.22 * person.head, OWN.get(person.name, "pixelate"), 15, PAPER, "#22313a")
    label(after, (PLATE[0] + PLATE[2]) / 2, PLATE[3] + 38, "blur", 15, PAPER, "#22313a")
    for image, text in ((before, "before"), (after, "after velum")):
        label(image, image.width / 2, 32, text, 21)
    whole = Image.new("RGBA", (2 * WIDTH + GAP, HEIGHT))
    whole.paste(rounded(before), (0, 0))
    whole.paste(rounded(after), (WIDTH + GAP, 0))
    return whole


def clip(engine: Engine) -> list[Image.Image]:
    """Return frames that are as they were left of a line, and as velum leaves them right of it."""
    count = SECONDS * FPS
    before = [draw(n / count, CLIP) for n in range(count)]
    after = hidden_clip(engine, before)
    for old, new in zip(before, after, strict=True):
        middle = old.width // 2
        old.paste(new.crop((middle, 0, new.width, new.height)), (middle, 0))
        Canvas(old, 1).rectangle((middle - 2, 0, middle + 1, old.height), PAPER)
        label(old, middle / 2, 30, "before", 19)
        label(old, middle * 3 / 2, 30, "after velum", 19)
    return before


def main() -> None:
    """Write the pictures next to this file."""
    with Engine() as engine:
        before_after(engine).save(FOLDER / "before-after.png", optimize=True)
        first, *rest = clip(engine)
    first.save(
        FOLDER / "clip.webp", save_all=True, append_images=rest, duration=round(1000 / FPS), loop=0,
        quality=70, method=6, minimize_size=True, kmin=0, kmax=10**6,
    )  # fmt: skip


if __name__ == "__main__":
    main()
