"""Recognize a line of text with RapidOCR and the network in its wheel."""

import threading
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.plugins import RuntimeConfig

NETWORK = "PP-OCRv6_rec_small.onnx"
"""The network in RapidOCR's wheel, for Latin and Chinese script. RapidOCR would download any other one."""

LINE_HEIGHT = 48
"""Height in pixels of the image of a line that the network was trained with."""

LONGEST = 3200
"""Largest width in pixels that the network was trained with; images of longer lines are squeezed."""


@dataclass(frozen=True, slots=True)
class RecognizedText:
    """The text of a line. For each character, its middle as a share of the line's length, and its certainty, 0 to 1.

    A space has the certainty of its neighbours.
    """

    text: str
    middles: tuple[float, ...]
    sure: tuple[float, ...]

    @property
    def score(self) -> float:
        """Mean certainty of the characters, from 0 to 1; 0 without text."""
        return sum(self.sure) / len(self.sure) if self.sure else 0.0


class TextRecognizer(Protocol):
    """Reads one line of text. Called from several threads at once."""

    def read(self, line: Rgb) -> RecognizedText:
        """Recognize the text of one level line, an image of any size. Raises `PluginFault`."""
        ...

    @property
    def description(self) -> dict[str, str]:
        """Facts for the report."""
        ...


class RapidRecognizer:
    """RapidOCR's recognition, on OpenVINO, in the precision that OpenVINO takes for itself. It fetches nothing."""

    def __init__(self, host: RuntimeConfig) -> None:
        """Load the network. Raises `Unavailable` when RapidOCR, or the network in it, is not installed."""
        try:
            import rapidocr  # noqa: PLC0415 - loaded only when a plan reads text
        except ImportError as error:
            raise Unavailable(
                f"reading text needs a library that is not installed ({error}); pip install 'velum-anonymizer[text]'"
            ) from error
        network = Path(str(files("rapidocr").joinpath("models", NETWORK)))
        if not network.is_file():
            raise Unavailable(
                f"the installed rapidocr has no {NETWORK}; it must be of version 3.10: "
                "pip install 'velum-anonymizer[text]'"
            )
        self._version = version("rapidocr")
        # Untyped: the type of its result depends on its arguments.
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.use_det": False,
                "Global.use_cls": False,
                "Global.use_preprocess_img": False,
                "Global.return_word_box": True,
                "Global.log_level": "critical",
                "Rec.engine_type": rapidocr.EngineType.OPENVINO,
                "Rec.model_path": str(network),
                "EngineConfig.openvino.inference_num_threads": host.threads or -1,
            }
        )
        # RapidOCR keeps one request, whose output the next call overwrites.
        self._one_at_a_time = threading.Lock()
        self.read(np.zeros((LINE_HEIGHT, LINE_HEIGHT, 3), np.uint8))

    @property
    def description(self) -> dict[str, str]:
        """Facts for the report."""
        return {"reader": f"rapidocr {self._version}, {NETWORK}"}

    def read(self, line: Rgb) -> RecognizedText:
        """Recognize the text of one level line. Raises `PluginFault`."""
        with self._one_at_a_time:
            try:
                answer = self._engine(np.ascontiguousarray(line[..., ::-1]))
            except (RuntimeError, ValueError, TypeError) as error:
                raise PluginFault(f"rapidocr failed on a line of {line.shape}: {error}") from error
        if not answer.txts or not answer.txts[0] or not answer.word_results:
            return RecognizedText("", (), ())
        return _reading(answer.txts[0], answer.word_results[0])


def _reading(text: str, info: Any) -> RecognizedText:
    """Convert RapidOCR's result, which has the columns of all characters but spaces, and the confidences of all."""
    columns = iter([column for word in info.word_cols for column in word])
    positions = [None if sign.isspace() else (next(columns) + 0.5) / info.line_txt_len for sign in text]
    places = np.array([place if place is not None else np.nan for place in positions])
    gaps = np.isnan(places)
    if gaps.all():
        return RecognizedText("", (), ())
    order = np.arange(len(places))
    places[gaps] = np.interp(order[gaps], order[~gaps], places[~gaps])
    return RecognizedText(text, tuple(np.clip(places, 0, 1).tolist()), tuple(map(float, info.confs)))
