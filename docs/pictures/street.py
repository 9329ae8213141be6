"""A street with people and a car, drawn from nothing: it shows nobody, and looks the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from velum.region import Box

WIDTH, HEIGHT = 720, 440
"""Size of the street in its own units, which are pixels at scale 1."""

SMOOTHING = 3
"""Shapes are drawn this many times larger and then reduced, which smooths their edges."""

INK = "#22313a"

Color = str | tuple[int, int, int]


class Canvas:
    """Draws shapes at street coordinates, enlarged by `scale`."""

    def __init__(self, image: Image.Image, scale: float) -> None:
        self.image, self.scale = image, scale
        self._draw = ImageDraw.Draw(image)

    def _scaled(self, numbers: Sequence[float]) -> list[float]:
        return [number * self.scale for number in numbers]

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Color) -> None:
        """Fill an ellipse around (x, y)."""
        self._draw.ellipse(self._scaled((x - rx, y - ry, x + rx, y + ry)), fill=fill)

    def slice(self, box: Sequence[float], start: float, end: float, fill: Color) -> None:
        """Fill what an ellipse in `box` has between two angles, in degrees clockwise from three o'clock."""
        self._draw.chord(self._scaled(box), start, end, fill=fill)

    def arc(self, box: Sequence[float], start: float, end: float, fill: Color, width: float) -> None:
        """Draw a part of an ellipse's line."""
        self._draw.arc(self._scaled(box), start, end, fill=fill, width=max(1, round(width * self.scale)))

    def rectangle(self, box: Sequence[float], fill: Color, radius: float = 0) -> None:
        """Fill a rectangle with round corners."""
        self._draw.rounded_rectangle(self._scaled(box), radius * self.scale, fill=fill)

    def polygon(self, points: Sequence[float], fill: Color) -> None:
        """Fill a polygon whose corners are x0, y0, x1, y1 and so on."""
        self._draw.polygon(self._scaled(points), fill=fill)

    def line(self, points: Sequence[float], fill: Color, width: float) -> None:
        """Draw a line with round joints."""
        self._draw.line(self._scaled(points), fill=fill, width=max(1, round(width * self.scale)), joint="curve")

    def text(self, x: float, y: float, text: str, size: float, fill: Color, bold: float = 0.6) -> None:
        """Write around the middle (x, y), in the font that Pillow brings along."""
        font = ImageFont.load_default(size * self.scale)
        stroke = round(bold * self.scale)
        self._draw.text((x * self.scale, y * self.scale), text, fill, font, "mm", stroke_width=stroke)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who walks: where the middle of the head is at first, its height, colours, and the way they go."""

    name: str
    x: float
    y: float
    head: float
    skin: str
    shade: str
    hair: str
    coat: str
    accent: str
    style: str
    facing: int

    def at(self, turn: float) -> tuple[float, float]:
        """Return the middle of the head when `turn` of 1 has passed: they cross the street once, and come again."""
        way = WIDTH + 4 * self.head
        x = (self.x + 2 * self.head + self.facing * turn * way) % way - 2 * self.head
        return x, self.y - abs(np.sin(turn * np.pi * 10)) * self.head * 0.06

    def face(self, turn: float) -> tuple[float, float, float, float]:
        """Return the box of the face, (x0, y0, x1, y1)."""
        x, y = self.at(turn)
        return x - 0.4 * self.head, y - 0.5 * self.head, x + 0.4 * self.head, y + 0.54 * self.head


PEOPLE = (
    Person("ida", 352, 214, 92, "#8d5a3b", "#774a2f", "#2a1b17", "#e8a33d", "#f6d38f", "curls", -1),
    Person("jon", 222, 190, 96, "#e9b48f", "#d29a74", "#4a2f22", "#2f6f8f", "#dfe9ee", "beard", 1),
    Person("mia", 92, 226, 100, "#f3c9a9", "#e0ae8b", "#b5532a", "#2f7d66", "#f2efe6", "long", 1),
)

PLATE = (531, 322, 627, 346)
"""Box of the car's plate."""


def _sky(size: tuple[int, int]) -> Image.Image:
    top, bottom = np.array([143, 196, 226]), np.array([233, 243, 244])
    share = np.linspace(0, 1, size[1])[:, None, None] ** 0.8
    rows = np.rint(top * (1 - share) + bottom * share).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).copy())


def _house(canvas: Canvas, box: Sequence[float], wall: str, trim: str, columns: int) -> None:
    x0, y0, x1, y1 = box
    canvas.rectangle(box, wall)
    canvas.rectangle((x0 - 4, y0 - 8, x1 + 4, y0 + 4), trim, 2)
    step = (x1 - x0) / columns
    for column in range(columns):
        for row in range(int((y1 - y0 - 70) // 62) + 1):
            x, y = x0 + (column + 0.5) * step, y0 + 22 + row * 62
            canvas.rectangle((x - 15, y - 3, x + 15, y + 41), trim, 2)
            canvas.rectangle((x - 12, y, x + 12, y + 38), "#5b8196")
            canvas.polygon((x - 12, y + 20, x + 4, y, x + 12, y, x + 12, y + 6, x - 12, y + 36), "#7fa5b7")
            canvas.line((x, y, x, y + 38), trim, 2)


def _shop(canvas: Canvas, x0: float, x1: float, name: str, color: str) -> None:
    canvas.rectangle((x0, 236, x1, 334), "#f4ead8")
    canvas.rectangle((x0 + 8, 272, x1 - 46, 326), "#4f7384")
    canvas.polygon((x0 + 8, 306, x0 + 50, 272, x0 + 78, 272, x0 + 24, 326, x0 + 8, 326), "#6d94a5")
    canvas.rectangle((x1 - 38, 266, x1 - 8, 334), "#7b4a34", 2)
    canvas.rectangle((x1 - 33, 272, x1 - 13, 302), "#6d94a5")
    canvas.rectangle((x0, 222, x1, 240), INK)
    canvas.text((x0 + x1) / 2, 231, name, 12, "#ffffff", 0.3)
    width = (x1 - x0 + 12) / 10
    for index in range(10):
        left = x0 - 6 + index * width
        fill = color if index % 2 == 0 else "#fffaf0"
        canvas.polygon((left + 3, 240, left + width + 3 - 6 * (index == 9), 240, left + width, 262, left, 262), fill)
        canvas.slice((left, 255, left + width, 269), 0, 180, fill)


def _tree(canvas: Canvas, x: float, y: float, size: float) -> None:
    canvas.rectangle((x - 0.07 * size, y - size, x + 0.07 * size, y), "#7a5a43", 2)
    for dx, dy, r, fill in (
        (-0.34, -1.15, 0.42, "#4f8a57"), (0.34, -1.18, 0.44, "#4f8a57"), (0, -1.5, 0.52, "#5b9a62"),
        (-0.16, -1.58, 0.26, "#74b078"), (0.22, -1.24, 0.2, "#69a66e"),
    ):  # fmt: skip
        canvas.ellipse(x + dx * size, y + dy * size, r * size, r * size, fill)


def _car(canvas: Canvas) -> None:
    x0, y0, x1, y1 = PLATE
    x = (x0 + x1) / 2
    canvas.ellipse(x, 378, 122, 11, "#5f696d")
    for side in (-1, 1):
        canvas.rectangle((x + side * 84 - 17, 326, x + side * 84 + 17, 380), "#23282b", 7)
        canvas.ellipse(x + side * 106, 276, 10, 8, "#9c2f2c")
    canvas.polygon((x - 76, 226, x + 76, 226, x + 98, 282, x - 98, 282), "#b93b37")
    canvas.rectangle((x - 80, 218, x + 80, 236), "#b93b37", 9)
    canvas.polygon((x - 66, 231, x + 66, 231, x + 83, 272, x - 83, 272), "#34505e")
    canvas.polygon((x - 40, 231, x - 4, 231, x - 50, 272, x - 83, 272, x - 80, 264), "#486878")
    canvas.rectangle((x - 108, 270, x + 108, 362), "#c9443f", 16)
    canvas.rectangle((x - 108, 312, x + 108, 318), "#b93b37")
    for side in (-1, 1):
        canvas.rectangle((x + side * 86 - 18, 284, x + side * 86 + 18, 306), "#7d1f1f", 5)
        canvas.rectangle((x + side * 86 - 14, 288, x + side * 86 + 14, 296), "#ff8b6b", 3)
    canvas.rectangle((x - 112, 350, x + 112, 368), "#2d3438", 8)
    canvas.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), "#2d3438", 4)
    canvas.rectangle(PLATE, "#fbfbf7", 3)
    canvas.rectangle((x0, y0, x0 + 11, y1), "#2457a6", 3)
    canvas.text(x + 6, y0 + 12.5, "VLM 4217", 16.5, "#15181a", 0.5)


@cache
def street(scale: float) -> Image.Image:
    """Return the street without people, `scale` times `WIDTH` x `HEIGHT`."""
    factor = scale * SMOOTHING
    canvas = Canvas(_sky((round(WIDTH * factor), round(HEIGHT * factor))), factor)
    for x, y, r in ((96, 44, 20), (120, 36, 26), (148, 46, 18), (508, 30, 16), (530, 24, 21), (554, 33, 15)):
        canvas.ellipse(x, y, r * 1.25, r * 0.8, "#f7fbfc")
    _house(canvas, (-20, 96, 128, 340), "#e0b48a", "#f4e3cd", 3)
    _house(canvas, (128, 60, 300, 340), "#b96f66", "#f1d9cf", 4)
    _house(canvas, (300, 112, 424, 340), "#8fa9b8", "#e4edf1", 3)
    _house(canvas, (424, 72, 596, 340), "#d9c190", "#f6ecd3", 4)
    _house(canvas, (596, 102, 760, 340), "#8fb095", "#e3eee3", 3)
    _shop(canvas, 136, 292, "BAKERY", "#d0584c")
    _shop(canvas, 432, 588, "BOOKS", "#3f8a78")
    canvas.rectangle((0, 332, WIDTH, 366), "#d8d2c6")
    canvas.rectangle((0, 362, WIDTH, 370), "#b9b3a7")
    canvas.rectangle((0, 370, WIDTH, HEIGHT), "#79858a")
    for x in range(-30, WIDTH, 120):
        canvas.rectangle((x, 414, x + 60, 420), "#eef1f1")
    _tree(canvas, 404, 340, 82)
    _tree(canvas, 690, 340, 92)
    _car(canvas)
    return canvas.image


def _hair_behind(canvas: Canvas, person: Person, x: float, y: float) -> None:
    h = person.head
    if person.style == "long":
        canvas.rectangle((x - 0.52 * h, y - 0.3 * h, x + 0.52 * h, y + 0.86 * h), person.hair, 0.36 * h)
        canvas.ellipse(x, y - 0.2 * h, 0.52 * h, 0.46 * h, person.hair)
    elif person.style == "curls":
        for dx, dy, r in ((-0.42, -0.12, 0.26), (0.42, -0.12, 0.26), (-0.32, -0.42, 0.3), (0.32, -0.42, 0.3),
                          (0, -0.54, 0.34), (-0.46, 0.16, 0.2), (0.46, 0.16, 0.2)):  # fmt: skip
            canvas.ellipse(x + dx * h, y + dy * h, r * h, r * h, person.hair)


def _hair_before(canvas: Canvas, person: Person, x: float, y: float) -> None:
    h, side = person.head, person.facing
    if person.style == "long":
        canvas.slice(
            (x - 0.45 * h, y - 0.6 * h, x + 0.45 * h, y + 0.3 * h), 190 + 8 * side, 345 + 8 * side, person.hair
        )
    elif person.style == "curls":
        for dx in (-0.3, -0.1, 0.1, 0.3):
            canvas.ellipse(x + dx * h, y - (0.42 - abs(dx) * 0.25) * h, 0.15 * h, 0.13 * h, person.hair)
    else:
        canvas.slice((x - 0.43 * h, y - 0.6 * h, x + 0.43 * h, y + 0.36 * h), 196, 344, person.hair)
        canvas.ellipse(x + 0.12 * side * h, y - 0.45 * h, 0.3 * h, 0.14 * h, person.hair)


def _features(canvas: Canvas, person: Person, x: float, y: float) -> None:
    h = person.head
    middle = x + 0.07 * person.facing * h
    if person.style == "beard":
        canvas.slice((x - 0.405 * h, y - 0.45 * h, x + 0.405 * h, y + 0.55 * h), -8, 188, person.hair)
        canvas.ellipse(middle, y - 0.02 * h, 0.35 * h, 0.25 * h, person.skin)
        canvas.ellipse(middle, y + 0.23 * h, 0.16 * h, 0.09 * h, person.skin)
    for side in (-1, 1):
        eye = middle + side * 0.16 * h
        canvas.ellipse(eye, y - 0.03 * h, 0.042 * h, 0.056 * h, INK)
        canvas.ellipse(eye + 0.014 * h, y - 0.05 * h, 0.014 * h, 0.016 * h, "#ffffff")
        canvas.arc((eye - 0.09 * h, y - 0.19 * h, eye + 0.09 * h, y - 0.07 * h), 200, 340, person.hair, 0.034 * h)
        if person.style != "beard":
            canvas.ellipse(middle + side * 0.23 * h, y + 0.14 * h, 0.07 * h, 0.045 * h, person.shade)
    if person.style == "curls":
        for side in (-1, 1):
            eye = middle + side * 0.16 * h
            canvas.arc((eye - 0.13 * h, y - 0.15 * h, eye + 0.13 * h, y + 0.09 * h), 0, 360, "#f4f1ea", 0.026 * h)
        canvas.line((middle - 0.04 * h, y - 0.04 * h, middle + 0.04 * h, y - 0.04 * h), "#f4f1ea", 0.026 * h)
    nose = middle + 0.03 * person.facing * h
    canvas.arc((nose - 0.05 * h, y + 0.01 * h, nose + 0.05 * h, y + 0.13 * h), 20, 160, person.shade, 0.032 * h)
    canvas.slice((middle - 0.12 * h, y + 0.12 * h, middle + 0.12 * h, y + 0.33 * h), 10, 170, "#a63d3d")
    canvas.slice((middle - 0.1 * h, y + 0.17 * h, middle + 0.1 * h, y + 0.28 * h), 10, 170, "#ffffff")


def _person(canvas: Canvas, person: Person, turn: float) -> None:
    x, y = person.at(turn)
    h = person.head
    swing = np.sin(turn * np.pi * 10) * 0.05 * h
    _hair_behind(canvas, person, x, y)
    canvas.rectangle((x - 0.18 * h, y + 0.2 * h, x + 0.18 * h, y + 0.8 * h), person.shade, 0.1 * h)
    canvas.rectangle((x - 0.92 * h, y + 0.66 * h, x + 0.92 * h, HEIGHT + 60), person.coat, 0.42 * h)
    canvas.polygon((x - 0.24 * h, y + 0.66 * h, x + 0.24 * h, y + 0.66 * h, x, y + 1.02 * h), person.accent)
    canvas.slice((x - 0.18 * h, y + 0.48 * h, x + 0.18 * h, y + 0.8 * h), 0, 180, person.shade)
    for side in (-1, 1):
        edge = x + side * 0.58 * h
        canvas.line((edge, y + 1.2 * h, edge + side * swing, HEIGHT + 20), INK, 0.018 * h)
    canvas.line((x, y + 1.02 * h, x, HEIGHT + 20), INK, 0.014 * h)
    for side in () if person.style == "long" else (-1, 1):
        canvas.ellipse(x + side * 0.4 * h - 0.03 * person.facing * h, y + 0.04 * h, 0.08 * h, 0.11 * h, person.shade)
    canvas.ellipse(x, y - 0.06 * h, 0.41 * h, 0.44 * h, person.skin)
    canvas.ellipse(x, y + 0.12 * h, 0.36 * h, 0.4 * h, person.skin)
    _features(canvas, person, x, y)
    _hair_before(canvas, person, x, y)


def draw(turn: float, scale: float) -> Image.Image:
    """Return the street with its people when `turn` of a turn of 1 has passed."""
    image = street(scale).copy()
    canvas = Canvas(image, scale * SMOOTHING)
    for person in PEOPLE:
        _person(canvas, person, turn)
    return image.reduce(SMOOTHING)


def plate(turn: float) -> list[tuple[float, float, float, float]]:
    """Return the boxes of what can be seen of the plate between the people in front of it."""
    x0, y0, x1, y1 = PLATE
    parts: list[tuple[float, float]] = [(x0 - 2, x1 + 2)]
    for person in PEOPLE:
        x, half = person.at(turn)[0], 0.92 * person.head
        cut = [(left, min(right, x - half)) for left, right in parts]
        cut += [(max(left, x + half), right) for left, right in parts]
        parts = [(left, right) for left, right in cut if left < right]
    return [(left, y0 - 2, right, y1 + 2) for left, right in parts]


def scaled(box: Sequence[float], scale: float) -> Box | None:
    """Return a box of the street in pixels, None where all of it lies outside."""
    found = Box.around(*(edge * scale for edge in box))
    return found.clip(round(WIDTH * scale), round(HEIGHT * scale))
