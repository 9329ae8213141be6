"""Label maps of TensorFlow's object detection: the labels of a network by number, as text of protocol buffers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from velum.errors import BadInput
from velum.locate.import_model import read_text

LARGEST_ID = 100_000

_WORD = re.compile(r"""(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<bare>[\w.+-]+)|(?P<mark>[{}<>:;,])""")

_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|#[^\n]*""")


def read_label_map(path: Path) -> tuple[str, ...]:
    """Return the labels of a label map by number; unused numbers, such as 0, have the empty string.

    An item's label is its `display_name`, else its `name`. Raises `BadInput` for an item without label or number, for
    two items with one number, and for a file without items.
    """
    labels: dict[int, str] = {}
    for item in _items(read_text(path), path):
        label = item.get("display_name") or item.get("name")
        number = item.get("id", "")
        if not label or not number.isdecimal() or not 1 <= int(number) <= LARGEST_ID:
            raise BadInput(f"an item of {path} is {item}; it must have a name and an id from 1")
        if int(number) in labels:
            raise BadInput(f"{path} has two items of id {number}: {labels[int(number)]} and {label}")
        labels[int(number)] = label
    if not labels:
        raise BadInput(f"{path} has no items such as item {{ name: 'face' id: 1 }}")
    return tuple(labels.get(number, "") for number in range(max(labels) + 1))


def _items(text: str, path: Path) -> Iterator[dict[str, str]]:
    """Yield the values of each `item { ... }` by key, without deeper nesting."""
    depth, key, item = 0, "", dict[str, str]()
    for match in _WORD.finditer(_COMMENT.sub(lambda comment: comment[1] or "", text)):
        word = match[0]
        if word in "{<":
            depth += 1
            item = {} if depth == 1 else item
        elif word in "}>":
            depth -= 1
            if depth == 0:
                yield item
        elif word in ":;,":
            continue
        elif depth == 1 and match["bare"] and not key:
            key = word
            continue
        elif depth == 1 and key:
            item[key] = _plain(word)
        key = ""
    if depth:
        raise BadInput(f"{path} ends within an item; copy the file again")


def _plain(word: str) -> str:
    if word[0] not in "\"'":
        return word
    try:
        return str(ast.literal_eval(word)).strip()
    except (ValueError, SyntaxError):
        return word[1:-1].strip()
