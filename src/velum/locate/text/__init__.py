"""The localizer `text`: finds all text, or only personal data in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from velum.errors import BadPlan
from velum.frame import Frame
from velum.locate import pii, registry
from velum.locate.class_maps import Mapper, map_family
from velum.locate.runtime import fingerprint_of, model_facts, open_network
from velum.locate.text.detect import LineShape, TextDetector, TextFilter
from velum.locate.text.recognize import RapidRecognizer
from velum.locate.tiling import locate_with_seam
from velum.locate.weights import fetch
from velum.parts import check_option
from velum.plugins import RuntimeConfig
from velum.region import Region

SMALLEST_LINE = 15
"""Height, in input pixels, of the smallest line that the network finds reliably, with its margin above and below.

Measured on five street scenes of ICDAR 2015: of 12 legible words 11 are found at a scale of 1, 1.5 and 2 (half of their
area or more; 9, 9 and 10 four fifths), of 34 illegible ones 4, 12 and 13; of a generated page all text, from 8 pixels.
"""

CELLS = 1 << 29
"""Largest number of cells of a map: 512 MiB, for an image of 200 million pixels. Fewer would blur small text away."""

LARGEST_SCALE = 2.0
"""Largest magnification of an image: more adds no detail."""


SHAPES = {"plate": LineShape("license_plate", (1.5, 7.0), along=0.2, across=0.1)}
"""Value of the option `shape` -> the lines that have this shape. That of plates was chosen with one half of 110
photographs with plates of Europe, Brazil and the United States; docs/benchmarks.md has the results for both halves."""

SHAPE_TRACK_FACTOR = 4 / 3
"""Factor of the threshold from which a line with a shape starts a track in a video: 0.8 by default. Weaker ones are
hidden in their own frames; all frames are searched, and a real plate scores more in most."""

SHAPE_THRESHOLD = 0.6
"""Default threshold of lines with a shape: every plate in those photographs scores 0.83 or more."""


def _check_options(min_side: int, threshold: float, tile: int, unsure: float) -> None:
    """Raise `BadPlan` for options that are out of range."""
    check_option("min_side", min_side, math.ceil(SMALLEST_LINE / LARGEST_SCALE), 1000, "text")
    check_option("threshold", threshold, 0.01, 1, "text")
    check_option("tile", tile, 256, 4096, "text")
    check_option("unsure", unsure, 0, 1, "text")


class Text:
    """Finds lines of text, or reads them and finds the parts that match."""

    def __init__(  # noqa: PLR0913 - options of a plan are flat
        self,
        host: RuntimeConfig,
        *,
        match: str = "",
        regex: str = "",
        shape: Literal["", "plate"] = "",
        name: str = registry.TEXT_MODEL,
        min_side: int = 10,
        threshold: float | None = None,
        tile: int = 896,
        unsure: float = 0.0,
    ) -> None:
        """Load the model that finds text and, with `match` or `regex`, the one that reads it.

        `match` names what to hide, separated by `|`: email, iban, phone, plate, card, ip, url, date, gps, mac, mrz,
        secret. `regex` is a regular expression, which ignores case, for anything else. With neither, all text is
        hidden. Lines that were read with a score below `unsure` are hidden, too, whatever they say. With
        `shape="plate"`, lines of the shape of a license plate are found, under that label, and nothing is read.
        `min_side` is the height, in image pixels, of the smallest line that must be found; `name` is the model that
        detects lines; `threshold` and `tile` are as for other models. Raises `BadPlan` for an
        unknown name and for values out of range, `Unavailable` when the weights or RapidOCR are missing.
        """
        kinds, pattern = pii.parse_kinds(match), pii.compile_pattern(regex)
        if shape and (kinds or pattern):
            raise BadPlan(f"text takes shape={shape!r} or what to read (match, regex), not both; leave one of them out")
        self.labels = frozenset({SHAPES[shape].label if shape else "text"})
        self.looks_to_track = 2 if shape else 1
        self._model = registry.find(name, host)
        usual = SHAPE_THRESHOLD if shape else self._model.threshold
        level = usual if threshold is None else threshold
        _check_options(min_side, level, tile, unsure)
        self._settings = {"threshold": f"{level:g}", "min_side": str(min_side)}
        if shape:
            self._settings |= {"shape": shape}
        if kinds or pattern:
            self._settings |= {"match": "|".join(sorted(kinds)), "regex": regex, "unsure": f"{unsure:g}"}
        family = map_family(self._model)
        form = replace(family.input, **self._model.input)
        network = open_network(fetch.ensure_local(self._model, host), form, host, self._model.fingerprint)
        mapper = Mapper(network, family, form, 1, (0,), SMALLEST_LINE / min_side, tile * tile, CELLS)
        text_filter = TextFilter(RapidRecognizer(host), kinds, pattern, unsure) if kinds or pattern else None
        self._finder = TextDetector(mapper, level, text_filter, SHAPES[shape] if shape else None)

    def fingerprint(self) -> str:
        """Return a hash of the network's outputs for a fixed image; see `Fingerprinted`. Raises `PluginFault`."""
        return fingerprint_of(self._finder.mapper.network, self._finder.mapper.form)

    @property
    def description(self) -> Mapping[str, str]:
        """Model, weights, reader and settings, for the report."""
        reader = self._finder.wanted.reader.description if self._finder.wanted else {}
        return model_facts(self._model, self._finder.mapper.network) | reader | self._settings

    @property
    def track_threshold(self) -> float:
        """Score from which a line starts a track in a video; 0 for text.

        Of text, every line counts: its score says how clear the line is, or how surely it was read, not whether it is
        text.
        """
        level = self._finder.threshold
        return min(level * SHAPE_TRACK_FACTOR, (level + 1) / 2) if self._finder.shape else 0.0

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame: rectangles of any angle, clipped to the image. Raises `PluginFault`."""
        return locate_with_seam(frames, lambda views: [self._finder.find(frame) for frame in views])

    def close(self) -> None:
        """Do nothing: the networks are freed with the localizer."""
