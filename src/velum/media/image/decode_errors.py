"""Translation of decoder errors into messages for users: the file is damaged, of an unsupported kind, or over a limit.

Libraries raise the same exceptions for all three. Their text is passed on only where it is about the file.
"""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from PIL import Image, TiffImagePlugin

from velum.errors import BadInput, VelumError
from velum.media.image.tiff_directories import Tiff

# Pillow warns of damaged metadata on the standard error. velum drops that metadata, so users need not act.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, Image.DecompressionBombError, LookupError, OSError,
    RuntimeError, struct.error, SyntaxError, TypeError, ValueError, cv2.error, zlib.error,
)  # fmt: skip
"""What decoders raise for damaged files; Pillow's own list (`Image.open`) with what its plugins raise while loading."""

_WITH_MESSAGE = (EOFError, OSError, RuntimeError, SyntaxError, ValueError, zlib.error)
"""Errors whose text is about the file, and not about Python."""

_UNSUPPORTED = re.compile(
    r"unsupported|not supported|not implemented|no codec available|decoder \w+ not available|unknown data organization"
    r"|cannot handle \d+-|unable to determine j2k image mode|unhandled",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"too large for|exceeds (the )?(limit|maximum)|too much memory|security limit", re.IGNORECASE)
_PYTHON_TERMS = re.compile(r" object\b|0x[0-9a-f]{6}|Plugin|MAX_|NoneType|<\w+[ .]|requires a buffer|[Oo]pen[Cc][Vv]")
_FRAMES = {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical and lossless",
           0xCB: "lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical and lossless",
           0xF7: "JPEG-LS"}  # fmt: skip
_COMPRESSION, _PHOTOMETRIC, _BITS, _KIND = 259, 262, 258, 339
_UNKNOWN_MODE = "unknown pixel mode"


@contextmanager
def translate_errors(source: Path, data: bytes, format: str) -> Iterator[None]:
    """Raise `BadInput`, with the reason and what to do, for any error that a decoder raises in the block."""
    try:
        yield
    except VelumError:
        raise
    except MemoryError as error:
        raise BadInput(f"cannot read {source}: not enough memory to decode it") from error
    except _DAMAGE as error:
        raise BadInput(f"cannot read {source}: {_explain_failure(error, data, format)}") from error


def _explain_failure(error: Exception, data: bytes, format: str) -> str:
    words = _message_about_file(error)
    if unsupported := _unsupported_feature(data, format, words) or (words if _UNSUPPORTED.search(words) else ""):
        return f"this kind of {format} is not supported ({unsupported}); convert it to PNG with another program first"
    if isinstance(error, Image.DecompressionBombError) or _LIMIT.search(str(error)):
        return f"it goes beyond a limit of the decoder of {format}{_in_brackets(words)}; convert it to PNG first"
    return f"it is damaged or truncated{_in_brackets(words)}; copy the file again"


def _message_about_file(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return "" if not isinstance(error, _WITH_MESSAGE) or _PYTHON_TERMS.search(text) or len(text) > 200 else text


def _in_brackets(words: str) -> str:
    return f" ({words})" if words else ""


def _unsupported_feature(data: bytes, format: str, words: str) -> str:
    """Return the feature in the file's header that no decoder here supports, "" where there is none."""
    if format == "JPEG":
        return _unsupported_jpeg_coding(data)
    return _unsupported_tiff_tags(Tiff(data), words) if format == "TIFF" else ""


def _unsupported_jpeg_coding(data: bytes) -> str:
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        if kind in _FRAMES:
            return _FRAMES[kind]
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC} and data[at + 4] != 8:
            return f"{data[at + 4]} bits per sample"
        at += 2 + max(int.from_bytes(data[at + 2 : at + 4]), 2)
    return ""


def _unsupported_tiff_tags(tiff: Tiff, words: str) -> str:
    for page in tiff.pages():
        if tiff.has_lost(page, structure=True) or not tiff.area(page):
            return ""
        compression = tiff.number(page, _COMPRESSION) or 1
        if compression not in TiffImagePlugin.COMPRESSION_INFO:
            return f"compression {compression}"
        if words == _UNKNOWN_MODE:
            tags = ((_PHOTOMETRIC, "photometric interpretation"), (_BITS, "bits per sample"), (_KIND, "sample format"))
            return ", ".join(f"{name} {tiff.number(page, tag)}" for tag, name in tags if tag in page.entries)
    return ""
