"""Converts static HDR metadata from FFmpeg's structures to encoder options (SMPTE ST 2086, CTA-861.3)."""

import struct
from fractions import Fraction

_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")


def mastering(data: bytes) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]] | None:
    """Return (red x, red y, green x, ..., white y) and (lowest, highest luminance in cd/m2), or None.

    `data` is libavutil's `AVMasteringDisplayMetadata`: three primaries, white point, two luminances, two flags.
    """
    if len(data) != _MASTERING.size:
        return None
    *pairs, has_primaries, has_luminance = _MASTERING.unpack(data)
    ratios = [Fraction(num, den) if den else Fraction(0) for num, den in zip(pairs[::2], pairs[1::2], strict=True)]
    return (tuple(ratios[:8]), tuple(ratios[8:])) if has_primaries and has_luminance else None


def whole_units(data: bytes) -> str | None:
    """Return the mastering display as x264 and x265 take it: in units of 0.00002 (chromaticity) and 0.0001 cd/m2."""
    found = mastering(data)
    if found is None:
        return None
    (rx, ry, gx, gy, bx, by, wx, wy), (low, high) = (
        [round(part * 50_000) for part in found[0]], [round(part * 10_000) for part in found[1]],
    )  # fmt: skip
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"


def decimals(data: bytes) -> str | None:
    """Return the mastering display as SVT-AV1 takes it: decimal numbers, luminance in cd/m2."""
    found = mastering(data)
    if found is None:
        return None
    rx, ry, gx, gy, bx, by, wx, wy = (f"{float(part):.5f}" for part in found[0])
    low, high = (f"{float(part):.4f}" for part in found[1])
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"


def light(data: bytes) -> str | None:
    """Return MaxCLL and MaxFALL (brightest pixel, and mean of the brightest frame, in cd/m2) as `1000,400`."""
    if len(data) != _LIGHT.size:
        return None
    brightest, mean = _LIGHT.unpack(data)
    return f"{brightest},{mean}"
