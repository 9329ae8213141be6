"""What documents hold beside their pages and pictures: previews, who wrote them and when, revisions, signatures.

Office Open XML is ISO/IEC 29500 (parts of a package: part 2), OpenDocument ISO/IEC 26300, EPUB the W3C's EPUB 3.3.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from velum.media.archive.xml_edit import XmlEdit, XmlElement

_KEPT = {
    "datetime": {"created", "modified", "lastPrinted", "creation-date", "date", "print-date"},
    "description": {"title", "subject", "description", "keywords", "keyword", "category"},
    "copyright": {"creator", "initial-creator", "rights", "publisher", "contributor"},
}
"""Local names of properties by the kind of metadata that keeps them."""

_SIGNATURES = (r"_xmlsignatures/.*", r"META-INF/(?:document|macro|package)?signatures\.xml")
_PREVIEWS = (r"docProps/thumbnail\.\w+", r"Thumbnails/.*", r"(?:.*/)?ObjectReplacements/.*")
_HISTORY = (
    r"Versions/.*", r"VersionList\.xml", r"ppt/changesInfos/.*", r"ppt/revisionInfo\.xml", r"xl/revisions/.*",
    r"docMetadata/.*", r"(?:word|xl|ppt)/printerSettings/.*", r"(?:.*/)?layout-cache",
)  # fmt: skip
"""Earlier versions, sensitivity labels with the id of an organisation, names of printers, and LibreOffice's cache."""

_JUNK = (
    r"(?:.*/)?__MACOSX/.*",
    r"(?:.*/)?\._[^/]*",
    r"(?:.*/)?\.DS_Store",
    r"(?:.*/)?[Tt]humbs\.db",
    r"(?:.*/)?desktop\.ini",
)
"""Files that file managers put beside others: with thumbnails, and with metadata."""

_PEOPLE: Mapping[str, str | None] = {
    "author": "Author", "initials": None, "person/displayName": "Author", "person/userId": "",
    "person/providerId": "None", "author/userId": "", "author/providerId": "None", "fileSharing/userName": "Author",
    "refreshedBy": "Author", "scenario/user": "Author", "gfxdata": None,
}  # fmt: skip
"""Attributes that name people, by local name; and `gfxdata` of VML, a second copy of a drawing with its pictures."""

_REVISION_IDS: Mapping[str, str | None] = {
    **dict.fromkeys(("rsidR", "rsidRPr", "rsidRDefault", "rsidP", "rsidTr", "rsidDel", "rsidSect"))
}
_DATES: Mapping[str, str | None] = {"date": None, "dateUtc": None, "dt": None, "dT": None}
_PRINTER = {"PrinterName", "PrinterSetup", "Rsid", "RsidRoot"}
_PICTURE_TYPES = ("/image", "/video", "/audio", "/media", "/oleObject", "/hyperlinkImage", "/frame", "/subDocument")
_BOOK_NEEDS = {"title", "identifier", "language"}
_RELATIONS = re.compile(r"(?:(.*)/)?_rels/([^/]*)\.rels")


@dataclass(frozen=True, slots=True)
class Document:
    """A document (or another archive) with the names of its members, as far as they are known before they are read."""

    format: str
    names: tuple[str, ...]
    metadata: frozenset[str] = frozenset()
    """Kinds of metadata that the plan keeps."""
    dropped: frozenset[str] = field(default=frozenset())
    """Members that the plan leaves out."""

    @property
    def is_signed(self) -> bool:
        """Whether it has a digital signature, which no longer holds once anything has changed."""
        return any(_matches(name, _SIGNATURES) for name in self.names)

    def why_removed(self, name: str) -> Literal["preview", "history", "signature", ""]:
        """Say why a member is not taken over; empty for a member that is."""
        if _matches(name, _JUNK):
            return "preview"
        if self.format in {"ZIP", "TAR", "TGZ"}:
            return ""
        if _matches(name, _PREVIEWS):
            return "preview"
        if _matches(name, _HISTORY):
            return "history"
        return "signature" if _matches(name, _SIGNATURES) else ""

    def edit(self, name: str, data: bytes) -> bytes:
        """Return the bytes of a member without metadata, and without mention of members that are gone.

        The same bytes where nothing is to change. Raises `BadInput` for XML that cannot be read.
        """
        if name.endswith(".vml") and b"gfxdata" not in data:
            return data  # Excel's is no well-formed XML
        edit = self._edit_of(name, data)
        return data if edit is None else edit.apply(data, name)

    def edits(self, name: str) -> bool:
        """Tell whether a member is one that `edit` may change."""
        return self.format not in {"ZIP", "TAR", "TGZ"} and name.endswith((".xml", ".rels", ".opf", ".vml"))

    def _edit_of(self, name: str, data: bytes) -> XmlEdit | None:
        if not self.edits(name):
            return None
        if self.format == "EPUB":
            return self._of_book(data) if name.endswith(".opf") else None
        if self.format.startswith("O"):
            return self._of_open_document(name)
        return self._of_open_xml(name)

    @property
    def _kept_properties(self) -> set[str]:
        return {name for kind in self.metadata for name in _KEPT.get(kind, ())}

    def _removed_names(self) -> set[str]:
        return {name for name in self.names if self.why_removed(name)}

    def _of_open_xml(self, name: str) -> XmlEdit | None:
        if match := _RELATIONS.fullmatch(name):
            removed = self._removed_names()
            folder = match[1] or ""
            return XmlEdit(
                removes=lambda element: (
                    element.attributes.get("Type", "").endswith("/attachedTemplate")  # a path on somebody's machine
                    if element.attributes.get("TargetMode") == "External"
                    else _target(folder, element.attributes.get("Target", "")) in removed
                )
            )
        if name == "[Content_Types].xml":
            removed = self._removed_names()
            return XmlEdit(removes=lambda element: element.attributes.get("PartName", "/").lstrip("/") in removed)
        if name == "docProps/core.xml":
            properties = self._kept_properties
            return XmlEdit(removes=lambda element: len(element.path) == 2 and element.path[1] not in properties)
        if name in {"docProps/app.xml", "docProps/custom.xml", "word/people.xml"}:
            return XmlEdit(removes=lambda element: len(element.path) == 2)
        attributes = {**_PEOPLE, **({} if "datetime" in self.metadata else _DATES)}
        if name.startswith("word/"):
            return XmlEdit(
                removes=lambda element: element.path[-1] in {"rsids", "printerSettings", "attachedTemplate"},
                attributes={**attributes, **_REVISION_IDS},
            )
        if name.startswith("xl/"):
            return XmlEdit(
                removes=lambda element: element.path[-1] == "absPath",
                empties=lambda element: element.path[-2:] == ("authors", "author"),
                attributes={**attributes, "pageSetup/id": None},
            )
        names = ("ppt/commentAuthors.xml", "ppt/authors.xml")
        if name in names or name.startswith("ppt/comments/"):
            return XmlEdit(
                attributes={**attributes, "cmAuthor/name": "Author", "author/name": "Author", "initials": "A"}
            )
        return XmlEdit(attributes={"gfxdata": None}) if name.endswith(".vml") else None

    def _of_open_document(self, name: str) -> XmlEdit | None:
        base = posixpath.basename(name)
        if name == "META-INF/manifest.xml":
            removed = self._removed_names()
            folders = {posixpath.dirname(path) + "/" for path in removed} - {"/"}
            folders -= {
                folder for folder in folders if any(path.startswith(folder) for path in set(self.names) - removed)
            }
            return XmlEdit(
                removes=lambda element: (
                    element.path[-1] == "file-entry" and element.attributes.get("full-path") in removed | folders
                )
            )
        if base == "meta.xml":
            properties = self._kept_properties
            return XmlEdit(
                removes=lambda element: (
                    element.path[:2] == ("document-meta", "meta")
                    and len(element.path) == 3
                    and element.path[2] not in properties
                )
            )
        if base == "settings.xml":
            return XmlEdit(
                removes=lambda element: element.path[-1] == "config-item" and element.attributes.get("name") in _PRINTER
            )
        if base in {"content.xml", "styles.xml"}:
            properties = {"date"} if "datetime" in self.metadata else set()
            return XmlEdit(
                empties=lambda element: _is_said_of_author(element, properties),
                attributes={"rsid": None, "paragraph-rsid": None},
            )
        return None

    def _of_book(self, data: bytes) -> XmlEdit:
        properties = self._kept_properties | _BOOK_NEEDS
        removed: set[str] = set()
        collect = XmlEdit(removes=lambda element: _note_gone(element, properties, removed))
        collect.apply(data, "the package document")

        def removes(element: XmlElement) -> bool:
            if _is_property(element) and element.path[2] not in properties | {"meta", "link"}:
                return True
            if element.path[-1] != "meta" or len(element.path) != 3:
                return False
            if element.attributes.get("refines", "").lstrip("#") in removed:
                return True
            return "name" in element.attributes and element.attributes["name"] not in {"cover", "viewport"}

        return XmlEdit(removes=removes)


def external_pictures(data: bytes) -> list[str]:
    """Return the addresses of pictures, videos and objects that a document shows and does not hold."""
    addresses: list[str] = []

    def note(element: XmlElement) -> bool:
        kind = element.attributes.get("Type", "").lower()
        if element.attributes.get("TargetMode") == "External" and kind.endswith(tuple(map(str.lower, _PICTURE_TYPES))):
            addresses.append(element.attributes.get("Target", ""))
        return False

    XmlEdit(removes=note).apply(data, "the relations")
    return addresses


def is_relations(name: str) -> bool:
    """Tell whether a member of a package in Office Open XML says which parts belong together."""
    return _RELATIONS.fullmatch(name) is not None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, name, re.DOTALL) for pattern in patterns)


def _target(folder: str, target: str) -> str:
    """Return the name of the part that a relation leads to; `folder` is that of the part which it belongs to."""
    return posixpath.normpath(posixpath.join("/" + folder, target)).lstrip("/")


def _is_property(element: XmlElement) -> bool:
    return len(element.path) == 3 and element.path[:2] == ("package", "metadata")


def _note_gone(element: XmlElement, properties: set[str], removed: set[str]) -> bool:
    if _is_property(element) and element.path[2] not in properties and "id" in element.attributes:
        removed.add(element.attributes["id"])
    return False


def _is_said_of_author(element: XmlElement, properties: set[str]) -> bool:
    """Tell whether an element says who made a comment or a change, and when."""
    inside = {"annotation", "change-info"} & set(element.path[:-1])
    return bool(inside) and element.path[-1] in {"creator", "date", "creator-initials"} - properties
