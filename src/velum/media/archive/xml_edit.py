"""Changes in an XML file that leave every other byte as it is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from velum.errors import BadInput

_TAG = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*+>")
_ATTRIBUTE = re.compile(rb"\s+([\w:.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")


@dataclass(frozen=True, slots=True)
class XmlElement:
    """An element: the local names of those around it and its own, from the root, and its attributes by local name."""

    path: tuple[str, ...]
    attributes: Mapping[str, str]


def _never(_: XmlElement) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class XmlEdit:
    """One change of an XML file.

    `removes` tells whether an element goes, `empties` whether its content does. `attributes` gives, by local name or by
    `element/name`, the new value of an attribute; None removes it.
    """

    removes: Callable[[XmlElement], bool] = _never
    empties: Callable[[XmlElement], bool] = _never
    attributes: Mapping[str, str | None] = field(default_factory=dict)

    def apply(self, data: bytes, name: str) -> bytes:
        """Return the XML with these changes; the same bytes where there are none. Raises `BadInput`, with `name`."""
        text = _as_utf8(data)
        cuts = _Cuts(self, text)
        try:
            cuts.parser.Parse(text, True)  # noqa: FBT003 - the parser of Python takes it so
        except (expat.ExpatError, IndexError, ValueError) as error:
            raise BadInput(f"cannot read {name}: it is not well-formed XML: {error}; repair the document") from error
        if not cuts.found:
            return data
        parts, last = [], 0
        for start, end, new in sorted(cuts.found):
            parts += [text[last:start], new]
            last = end
        return b"".join([*parts, text[last:]])


class _Cuts:
    """Finds the byte ranges that an edit replaces, while the parser goes through the file."""

    def __init__(self, edit: XmlEdit, data: bytes) -> None:
        self._edit, self._data = edit, data
        self._open: list[tuple[str, int, int, str]] = []
        self._inside = 0
        self.found: list[tuple[int, int, bytes]] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = _refuse_entities

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        at = self.parser.CurrentByteIndex
        end = _tag_end(self._data, at)
        local = tag.rpartition(":")[2]
        action = ""
        if not self._inside:
            plain = {name.rpartition(":")[2]: value for name, value in attributes.items()}
            element = XmlElement((*(name for name, *_ in self._open), local), plain)
            action = "remove" if self._edit.removes(element) else "empty" if self._edit.empties(element) else ""
            if action != "remove" and self._edit.attributes:
                self._change_attributes(local, at, end)
        self._inside += bool(action)
        self._open.append((local, at, end, action))

    def _end(self, _: str) -> None:
        _, start, inner, action = self._open.pop()
        if not action:
            return
        self._inside -= 1
        at = self.parser.CurrentByteIndex
        closed = self._data[inner - 2 : inner] == b"/>"
        if action == "remove":
            self.found.append((start, inner if closed else self._data.index(b">", at) + 1, b""))
        elif not closed and at > inner:
            self.found.append((inner, at, b""))

    def _change_attributes(self, element: str, at: int, end: int) -> None:
        for match in _ATTRIBUTE.finditer(self._data, at, end):
            name = match[1].rpartition(b":")[2].decode("utf-8", "replace")
            if match[1].startswith(b"xmlns"):
                continue
            for key in (f"{element}/{name}", name):
                if key in self._edit.attributes:
                    value = self._edit.attributes[key]
                    if value is None:
                        self.found.append((match.start(), match.end(), b""))
                    elif match[2][1:-1] != value.encode():
                        self.found.append((match.start(2), match.end(2), b'"%s"' % value.encode()))
                    break


def _tag_end(data: bytes, at: int) -> int:
    """Return the offset after a start tag: a `>` in a value does not end it."""
    match = _TAG.match(data, at)
    if match is None:
        raise ValueError(f"no tag at byte {at}")
    return match.end()


def _as_utf8(data: bytes) -> bytes:
    """Return XML that is in UTF-16 as UTF-8; other XML as it is."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError:
        return data
    return re.sub(r"(<\?xml[^>]*encoding=)([\"'])[^\"']*\2", r"\1\2UTF-8\2", text, count=1).encode()


def _refuse_entities(*_: Any) -> None:
    raise ValueError("it declares entities")
