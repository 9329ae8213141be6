"""The localizer `text`: finds all text, or only personal data in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from velum.frame import Frame
from velum.locate import pii, registry
from velum.locate.runtime import open_network
from velum.locate.segmenter import Mapper, check_option, map_family, model_facts
from velum.locate.text.detect import TextDetector, TextFilter
from velum.locate.text.recognize import RapidRecognizer
from velum.locate.tiling import locate_with_seam
from velum.locate.weights import fetch
from velum.plugins import RuntimeConfig
from velum.region import Region

MODEL = "ppocr-det"
"""Finds lines of text. PP-OCR's fourth detector was preferred to the sixth: that one takes plain sky, snow and walls
for text, 29 % of the area of 26 photographs of people and streets against 3 %, and finds hardly more."""

SMALLEST_LINE = 15
"""Height, in pixels of the input, of the lowest line that the network finds reliably, with room above and below.

Measured on five street scenes of ICDAR 2015: of 12 legible words 11 are found at a scale of 1, 1.5 and 2 (half of their
area or more; 9, 9 and 10 four fifths), of 34 illegible ones 4, 12 and 13; of a generated page all text, from 8 pixels.
"""

CELLS = 1 << 29
"""Largest number of cells of a map: 512 MiB, for an image of 200 million pixels. Fewer would blur small text away."""

LARGEST_SCALE = 2.0
"""Largest magnification of an image: more adds no detail."""


class Text:
    """Finds lines of text, or reads them and finds the parts that match."""

    def __init__(
        self,
        host: RuntimeConfig,
        *,
        match: str = "",
        regex: str = "",
        name: str = MODEL,
        min_side: int = 10,
        threshold: float | None = None,
        tile: int = 896,
        unsure: float = 0.0,
    ) -> None:
        """Prepare finding text, and reading it when `match` or `regex` is given.

        `match` names what to hide, separated by `|`: email, iban, phone, plate, card, ip, url, date. `regex` is a
        regular expression, which ignores case, for anything else. With neither all text is hidden. Lines read with a
        score below `unsure` are hidden too, whatever they say. `min_side` is the height, in pixels of the picture, of
        the lowest line that must be found; `name` is the model that finds lines; `threshold` and `tile` are as for
        other models. Raises `BadPlan` for an unknown name and for values out of range, `Unavailable` when the weights
        or the reader are missing.
        """
        self.labels = frozenset({"text"})
        kinds, pattern = pii.parse_kinds(match), pii.compile_pattern(regex)
        self._model = registry.find(name, host)
        level = self._model.threshold if threshold is None else threshold
        check_option("min_side", min_side, math.ceil(SMALLEST_LINE / LARGEST_SCALE), 1000, "text")
        check_option("threshold", level, 0.01, 1, "text")
        check_option("tile", tile, 256, 4096, "text")
        check_option("unsure", unsure, 0, 1, "text")
        self._settings = {"threshold": f"{level:g}", "min_side": str(min_side)}
        if kinds or pattern:
            self._settings |= {"match": "|".join(sorted(kinds)), "regex": regex, "unsure": f"{unsure:g}"}
        family = map_family(self._model)
        form = replace(family.input, **self._model.input)
        network = open_network(fetch.ensure_local(self._model, host), form, host, self._model.fingerprint)
        mapper = Mapper(network, family, form, 1, (0,), SMALLEST_LINE / min_side, tile * tile, CELLS)
        wanted = TextFilter(RapidRecognizer(host), kinds, pattern, unsure) if kinds or pattern else None
        self._finder = TextDetector(mapper, level, wanted)

    @property
    def description(self) -> Mapping[str, str]:
        """Model, weights, reader and settings, for the report."""
        reader = self._finder.wanted.reader.description if self._finder.wanted else {}
        return model_facts(self._model, self._finder.mapper.network) | reader | self._settings

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, rectangles of any angle, clipped to the picture. Raises `PluginFault`."""
        return locate_with_seam(frames, lambda views: [self._finder.find(frame) for frame in views])

    def close(self) -> None:
        """Do nothing: the networks are freed with the localizer."""
