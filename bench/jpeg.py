"""JPEG to JPEG: only the touched blocks coded anew, next to the whole picture, in the same run.

The first starts from the file and the hidden picture, the second decodes the file and encodes the hidden picture; both
end with a file in memory. Runs alternate, the first of each is not counted,
figures are medians. The second table counts coefficients that changed outside of what regions touch.
"""

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from velum import VelumError
from velum.frame import Plane, Role, Touched
from velum.media.image import headers, jpeg_blocks, reader, turbojpeg
from velum.media.image.info import Jpeg
from velum.media.image.probe import open_header
from velum.region import Box

SIZES = ((832, 624), (1664, 1248), (3264, 2448))
COUNTS = (3, 20)
ROUNDS = 11


def main(photo: Path, media: Path | None) -> None:
    """Print both tables."""
    if not turbojpeg.available():
        print("- no TurboJPEG library here: JPEGs are coded anew as a whole")
        return
    print("\n| picture | regions | edit, ms | decode, ms | encode, ms | (decode + encode) / edit | encode / edit |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    with Image.open(photo) as image:
        whole = image.convert("RGB")
    for width, height in SIZES:
        memory = io.BytesIO()
        whole.resize((width, height), Image.Resampling.LANCZOS).save(memory, "JPEG", quality=90, subsampling="4:2:0")
        for count in COUNTS:
            edit, decode, encode = _time_ways(memory.getvalue(), _draw_regions(width, height, count))
            ratios = f"{(decode + encode) / edit:.2f} | {encode / edit:.2f}"
            print(f"| {width} x {height} | {count} | {edit:.1f} | {decode:.1f} | {encode:.1f} | {ratios} |")
    if media is not None:
        _print_exactness(media)


def _draw_regions(width: int, height: int, count: int) -> Touched:
    """Return boxes of a twelfth of the picture's width, where chance puts them."""
    rng, side = np.random.default_rng(count), width // 12
    corners = [(int(rng.integers(0, width - side)), int(rng.integers(0, height - side))) for _ in range(count)]
    return tuple((Box(x, y, x + side, y + side), None) for x, y in corners)


def _time_ways(data: bytes, touched: Touched) -> tuple[float, float, float]:
    source, plane, options = _decode(data)
    for box, _ in touched:
        plane.cut(box)[:] = 0
    spent: tuple[list[float], ...] = ([], [], [])
    image = open_header("JPEG", data)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jpeg_blocks.edit_blocks(source, plane, touched, options)
        middle = time.perf_counter()
        reader.decode_8_bits(image, data, "RGB")
        later = time.perf_counter()
        Image.fromarray(plane.pixels).save(io.BytesIO(), "JPEG", **options)
        for times, seconds in zip(spent, (middle - start, later - middle, time.perf_counter() - later), strict=True):
            times.append(seconds)
    edit, decode, encode = (statistics.median(times[1:]) * 1000 for times in spent)
    return edit, decode, encode


def _decode(data: bytes) -> tuple[Jpeg, Plane, dict[str, object]]:
    with Image.open(io.BytesIO(data)) as image:
        source = headers.jpeg(image, data)  # type: ignore[arg-type]
        plane = Plane(np.array(image), Role.GREY if image.mode == "L" else Role.RGB)
        progressive = bool(image.info.get("progressive"))
    options = {"qtables": [list(table) for table in source.tables], "progressive": progressive}
    if plane.role == Role.RGB:
        options |= {"subsampling": source.subsampling, "keep_rgb": source.rgb}
    return source, plane, options


def _print_exactness(media: Path) -> None:
    files = coefficients = changed = 0
    refused: list[str] = []
    for path in sorted(path for path in media.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"}):
        data = path.read_bytes()
        if not data.startswith(b"\xff\xd8"):
            continue
        try:
            source, plane, options = _decode(data)
            touched = _draw_regions(plane.pixels.shape[1], plane.pixels.shape[0], 3)
            for box, _ in touched:
                plane.cut(box)[:] = 0
            made = jpeg_blocks.edit_blocks(source, plane, touched, options)
        except (jpeg_blocks.Inexact, OSError, ValueError, VelumError, Image.DecompressionBombWarning) as error:
            refused.append(f"{path.name}: {error}")
            continue
        count, wrong = _count_changes(data, made, touched, plane.pixels.shape[0])
        files, coefficients, changed = files + 1, coefficients + count, changed + wrong
    print(f"\n{files} JPEGs: {changed} of {coefficients:,} coefficients outside of touched units changed")
    for one in refused:
        print(f"- coded anew or refused: {one}")


def _count_changes(before: bytes, after: bytes, touched: Touched, height: int) -> tuple[int, int]:
    """Return how many coefficients no region touches, and how many of these differ."""
    rows: tuple[dict[tuple[int, int], turbojpeg.Blocks], ...] = ({}, {})
    for data, found in zip((before, after), rows, strict=True):
        _read_coefficients(data, found)
    count = wrong = 0
    for (component, row), blocks in rows[0].items():
        tall = 1 + max(other for one, other in rows[0] if one == component)
        high = max(1, round(-(-height // 8) / tall)) * 8
        wide = 8 * max(1, round(len(rows[0][0, 0]) / len(blocks)))
        # Whatever the sampling: units are at most 16 pixels, and borders are left out on both sides.
        kept = np.ones(len(blocks), bool)
        for box, _ in touched:
            if box.y0 // 16 * 16 < (row + 1) * high and row * high < -(-box.y1 // 16) * 16:
                kept[box.x0 // 16 * 16 // wide : -(-(-(-box.x1 // 16) * 16) // wide)] = False
        count += int(kept.sum()) * 64
        wrong += int((blocks[kept] != rows[1][component, row][kept]).sum())
    return count, wrong


def _read_coefficients(data: bytes, found: dict[tuple[int, int], turbojpeg.Blocks]) -> None:
    turbojpeg.coefficients(data, lambda component, row, blocks: found.update({(component, row): blocks.copy()}))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    MEDIA = Path(__file__).parents[2] / "shared" / "media"
    main(MEDIA / "faces" / "group_19_large.jpg", MEDIA)
