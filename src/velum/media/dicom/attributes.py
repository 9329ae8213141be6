"""Which attributes a result has: those of the allow-list in `attributes.toml`, and the record of what was done.

Everything else is left out, so that an attribute which nobody thought of does not stay.
"""

import hmac
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Self

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from velum import __version__
from velum.media.dicom.header import DAMAGE

PROFILE, PIXELS, FEATURES = "113100", "113101", "113102"
"""Codes of PS3.16, CID 7050, for what was done."""

MOST_DEPTH = 4
"""Sequences around one another that a result has; functional groups are two. pydicom writes many very slowly."""

UID_ROOT = "2.25."
"""Beginning of UIDs that are a random number (PS3.5, B.2)."""

_STANDARD = "1.2.840.10008."
_TEXTS = {"LO", "SH", "LT", "ST", "UT", "UC"}
_BINARY = {"OB", "OW", "US", "SS", "UL", "SL", "FD", "FL", "AT"}
_PATTERNS = {
    **dict.fromkeys(("DS", "IS"), re.compile(r"[0-9+\-.eE ]{0,16}")),
    **dict.fromkeys(("DA", "TM", "DT"), re.compile(r"[0-9.:+\-]{0,26}")),
    "UI": re.compile(rf"{re.escape(_STANDARD)}[0-9.]+"),
}
"""What values of kinds that are written as text may look like."""
_TABLES = {
    "LUTData": "LUTDescriptor",
    **{f"{colour}PaletteColorLookupTableData": f"{colour}PaletteColorLookupTableDescriptor"
       for colour in ("Red", "Green", "Blue")},
}  # fmt: skip
"""Tables of numbers, and the attribute that states the length of each."""

_RECORD = ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
           "LongitudinalTemporalInformationModified", "SpecificCharacterSet")  # fmt: skip
_CODED = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """The allow-list. `kinds`: attributes by the kind of metadata that keeps them."""

    keep: frozenset[str]
    sequences: frozenset[str]
    uids: frozenset[str]
    empty: frozenset[str]
    terms: Mapping[str, frozenset[str]]
    kinds: Mapping[str, frozenset[str]]
    options: Mapping[str, str]
    """Code of the option of PS3.15, by the kind of metadata."""
    codes: Mapping[str, str]

    @classmethod
    @lru_cache(maxsize=1)
    def load(cls) -> Self:
        """Return the table of this package."""
        values = tomllib.loads(files("velum.media.dicom").joinpath("attributes.toml").read_text(encoding="utf-8"))
        kinds: Mapping[str, Mapping[str, Any]] = values["kinds"]
        keep, sequences, uids, empty = (frozenset(values[name]) for name in ("keep", "sequences", "uids", "empty"))
        return cls(
            keep, sequences, uids, empty,
            terms={keyword: frozenset(terms) for keyword, terms in values["terms"].items()},
            kinds={kind: frozenset(entry["keep"]) for kind, entry in kinds.items()},
            options={kind: entry["option"] for kind, entry in kinds.items() if "option" in entry},
            codes=values["codes"],
        )  # fmt: skip

    def of(self, metadata: frozenset[str]) -> Self:
        """Return the table with only those kinds that a plan keeps; their attributes are not emptied."""
        kinds = {kind: keywords for kind, keywords in self.kinds.items() if kind in metadata}
        return replace(self, kinds=kinds, empty=self.empty - frozenset().union(*kinds.values()))


@dataclass(frozen=True, slots=True)
class UidMap:
    """Makes new UIDs: keyed by a secret, so that equal ones stay equal and nobody without the secret can compare."""

    key: bytes

    def new(self, uid: str) -> UID:
        """Return the UID that takes the place of another one."""
        number = int.from_bytes(hmac.digest(self.key, uid.encode(), "sha256")[:16])
        return UID(f"{UID_ROOT}{number}")


def reduce_attributes(source: Dataset, table: AttributeTable, uids: UidMap) -> Dataset:
    """Return the attributes of a result, without its pixel data and the record of what was done."""
    result = _copy_allowed(source, table, uids)
    for keyword in table.empty:
        setattr(result, keyword, None if dictionary_VR(keyword) == "SQ" else "")
    return result


def _copy_allowed(source: Dataset, table: AttributeTable, uids: UidMap, depth: int = 0) -> Dataset:
    result = Dataset()
    surplus = {name for name, _ in _table_surplus(source)}
    for element in _readable(source):
        keyword = element.keyword
        if keyword in surplus:
            continue
        if keyword in table.sequences and element.VR == "SQ":
            if depth < MOST_DEPTH:
                items = [_copy_allowed(item, table, uids, depth + 1) for item in element.value or []]
                result.add(DataElement(element.tag, "SQ", items))
        elif keyword in table.uids and element.VR == "UI" and element.value:
            result.add(DataElement(element.tag, "UI", uids.new(str(element.value))))
        elif is_harmless(element, table):
            result.add(DataElement(element.tag, element.VR, element.value))
    return result


def _table_surplus(attributes: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the names of tables that have other lengths than they state, or that no picture of the file needs."""
    for keyword, descriptor in _TABLES.items():
        if keyword not in attributes:
            continue
        needed = keyword == "LUTData" or attributes.get("PhotometricInterpretation") == "PALETTE COLOR"
        stated, value = attributes.get(descriptor), attributes[keyword].value
        try:
            # The first number is that of the entries; 0 stands for 65,536 (PS3.3, C.11.1.1.1).
            entries = int(stated[0]) or 1 << 16
            size = len(value)
        except (TypeError, ValueError, IndexError):
            yield keyword, ""
            continue
        lengths = {entries + entries % 2, 2 * entries} if isinstance(value, bytes) else {entries}
        if not needed or size not in lengths:
            yield keyword, ""


def is_harmless(element: DataElement, table: AttributeTable) -> bool:
    """Tell whether an attribute may stay as it is: by its name, its kind of value, and its value."""
    keyword = element.keyword
    tag = tag_for_keyword(keyword) if keyword else None
    # Files without value representations leave it open which of two some elements have.
    if tag is None or not set(element.VR.split(" or ")) <= set(dictionary_VR(tag).split(" or ")):
        return False
    values = element.value if isinstance(element.value, (list, tuple)) or element.VM > 1 else [element.value]
    if keyword in table.terms:
        return all(str(value).strip() in {"", *table.terms[keyword]} for value in values or [])
    kept_by_plan = any(keyword in keywords for keywords in table.kinds.values())
    if keyword not in table.keep and not kept_by_plan:
        return False
    if element.VR in _TEXTS:
        return kept_by_plan
    pattern = _PATTERNS.get(element.VR)
    return (
        set(element.VR.split(" or ")) <= _BINARY
        if pattern is None
        else all(pattern.fullmatch(_text_of(v)) for v in values or [])
    )


def _text_of(value: Any) -> str:
    """Return a value as the file writes it."""
    return "" if value is None else str(getattr(value, "original_string", value))


def _readable(source: Dataset) -> Iterator[DataElement]:
    """Yield the elements of a data set whose values can be read; others are left out."""
    for tag in sorted(source.keys()):
        try:
            element = source[tag]
            hash(element.keyword)
        except DAMAGE:
            continue
        yield element


def record(result: Dataset, table: AttributeTable, codes: tuple[str, ...]) -> None:
    """Note in a result that it was de-identified, and how (PS3.15, E.1.1)."""
    options = [table.options[kind] for kind in table.kinds if kind in table.options]
    result.SpecificCharacterSet = "ISO_IR 192"
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = f"velum {__version__}: allow-list of attributes"
    items = []
    for code in (PROFILE, *codes, *options):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", table.codes[code]
        items.append(item)
    result.DeidentificationMethodCodeSequence = items
    result.LongitudinalTemporalInformationModified = "UNMODIFIED" if "datetime" in table.kinds else "REMOVED"


def removed_attributes(source: Dataset, result: Dataset) -> Counter[str]:
    """Count the attributes that a result does not have, by what they are; sequences count as one."""
    counts: Counter[str] = Counter()
    for tag in source.keys() - result.keys():
        counts["private" if tag.is_private else "overlay" if 0x6000 <= tag.group < 0x6100 else "other"] += 1
    counts["emptied"] = sum(
        1 for tag in source.keys() & result.keys() if _is_told(source, tag) and not _is_told(result, tag)
    )
    return +counts


def _is_told(attributes: Dataset, tag: Any) -> bool:
    element = attributes.get_item(tag)
    return element is not None and element.value not in (None, b"", "", [])


def identifying_attributes(attributes: Dataset, table: AttributeTable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name of each attribute that no result has, and the kind of metadata that would keep it, or nothing."""
    everything = AttributeTable.load()
    surplus = dict(_table_surplus(attributes))
    readable = {element.tag: element for element in _readable(attributes)}
    for tag in sorted(attributes.keys()):
        keyword = keyword_for_tag(tag)
        name = prefix + (keyword or f"({tag.group:04X},{tag.element:04X})")
        element = readable.get(tag)
        if element is None or keyword in surplus:
            yield name, ""
        elif keyword in table.sequences and element.VR == "SQ":
            if prefix.count(": ") >= MOST_DEPTH:
                yield name, ""
                continue
            for item in element.value or []:
                yield from identifying_attributes(item, table, f"{name}: ")
        elif keyword in _RECORD and not prefix:
            yield from _wrong_record(element, name)
        elif keyword in table.uids and element.VR == "UI":
            if element.value and not str(element.value).startswith(UID_ROOT):
                yield f"{name} of the source", ""
        elif not (keyword in table.empty and element.is_empty) and not is_harmless(element, table):
            yield name, next((kind for kind, keywords in everything.kinds.items() if keyword in keywords), "")


def _wrong_record(element: DataElement, name: str) -> Iterator[tuple[str, str]]:
    """Yield the record of what was done where it says anything else."""
    if element.VR == "SQ":
        codes = AttributeTable.load().codes
        plain = all(
            set(item.dir()) <= set(_CODED) and codes.get(str(item.get("CodeValue"))) == item.get("CodeMeaning")
            for item in element.value
        )
    else:
        text = str(element.value)
        plain = text in {"", "YES", "NO", "REMOVED", "UNMODIFIED", "ISO_IR 192", "ISO_IR 100"} or bool(
            re.fullmatch(r"velum [0-9a-z.]+: allow-list of attributes", text)
        )
    if not plain:
        yield name, ""
