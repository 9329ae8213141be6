"""Texts as a terminal shows them: names break no line, and fields of a plan are options of the command."""

import re
import sys
import unicodedata
from pathlib import Path

from velum.errors import printable

_OPTIONS = {
    "on_damage": "--on-damage", "drop_members": "--drop-member", "copy_members": "--copy-member", "topics": "--topics",
}  # fmt: skip
_FIELD = re.compile(rf"\b({'|'.join(_OPTIONS)}) = ")


def has_other_bytes(name: str) -> bool:
    """Tell whether a name has bytes that are not UTF-8, which Python holds as lone surrogates (PEP 383)."""
    return any(unicodedata.category(char) == "Cs" for char in name)


def as_options(text: str) -> str:
    """Return a message with each `field = value` of a plan as the option that sets it on the command line."""
    text = text.replace("pdf_pages = render", "--render")
    return _FIELD.sub(lambda match: f"{_OPTIONS[match[1]]} ", text)


def message_text(text: str) -> str:
    """Return an error or a warning for the screen. It may have several lines; names in the command add none."""
    for name in {name for word in sys.argv[1:] for name in (word, Path(word).name)}:
        if (shown := printable(name)) != name:
            text = text.replace(name, shown)
    return as_options("\n".join(map(printable, text.split("\n"))))
